"""Callbacks → events: handlers that hear of runs, and iterators of what they hear."""
