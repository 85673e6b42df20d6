"""A run that a stream owns: how it is started, left and cleaned up."""
