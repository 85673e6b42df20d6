"""What the commands do: scan, fix, report, explain, with their arguments and settings."""
