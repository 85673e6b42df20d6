"""Events → callbacks: old handlers are called as if they were attached to the run."""
