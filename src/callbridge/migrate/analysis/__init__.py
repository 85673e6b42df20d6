"""Reads code: files, modules, the meaning of names, handlers, and where they are attached."""
