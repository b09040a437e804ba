"""What people write: budget files and settings, loaded strictly, all problems in one report."""
