"""The translators: pure functions of their input. Nothing here waits, reads a clock or starts a thread."""
