"""How fast callbridge is, beside everything that does the same work. Run as `python -m benchmarks`; see `docs/benchmarks.md`."""
