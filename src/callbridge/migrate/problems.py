"""What makes a command of the migration tool end with status 2: wrong arguments, and files of its own that cannot be used."""

from __future__ import annotations

from callbridge.errors import CallbridgeError

__all__ = ["MigrateError"]


class MigrateError(CallbridgeError):
    """A command that cannot do what it was asked to.

    Attributes:
        problem: What is wrong, and what to do.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
