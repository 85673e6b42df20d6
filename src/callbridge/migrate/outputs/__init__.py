"""Output formats, one file each. Each has a function from an outcome to text."""
