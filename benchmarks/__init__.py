"""Compares the speed of callbridge with all that does the same work: `python -m benchmarks`. See `docs/benchmarks.md`."""
