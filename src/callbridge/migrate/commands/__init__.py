"""The commands scan, fix, report and explain, with their arguments and settings."""
