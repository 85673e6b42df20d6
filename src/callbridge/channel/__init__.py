"""The bounded channel, in which producers and their reader wait for each other."""
