"""The translators: pure functions of what they were fed. Nothing here waits, reads a clock or starts a thread."""
