"""Rewriting: each kind of edit plans on the `ast` tree, and `apply` carries the plan out with LibCST."""
