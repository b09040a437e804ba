"""What the demo needs of the outside: the topics, and the monitor's workers as processes."""
