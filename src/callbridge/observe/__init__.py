"""Callbacks → events: handlers that hear of runs, and iterators over their events."""
