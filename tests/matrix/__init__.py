"""The cancellation matrix: each way of leaving, each kind of run, each moment. `python -m matrix` prints it as a table."""
