"""The bounded channel: the only place of callbridge that waits."""
