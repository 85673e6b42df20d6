"""Events → callbacks: calls old handlers as if they were attached to the run."""
