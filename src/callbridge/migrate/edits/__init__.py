"""Rewriting: each kind of edit plans on the syntax tree of `ast`, one file applies what was planned with LibCST."""
