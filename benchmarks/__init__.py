"""How fast callbridge is, beside everything that does the same work: `python -m benchmarks`; see `docs/benchmarks.md`."""
