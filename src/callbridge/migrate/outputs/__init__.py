"""Output formats, one file each: every one is a function from an outcome to text."""
