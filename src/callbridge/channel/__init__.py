"""The bounded channel: how producers and their reader wait for each other."""
