"""What people look at: the demo's screen and the commander's web console."""
