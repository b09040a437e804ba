"""What people look at: the demo's screen and the web console."""
