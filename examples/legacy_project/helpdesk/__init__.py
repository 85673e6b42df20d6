"""A help desk that answers questions with a language model."""
