"""The error that ends a command of the migration tool with status 2: wrong arguments, or unusable configuration files."""

from __future__ import annotations

from callbridge.errors import CallbridgeError

__all__ = ["MigrateError"]


class MigrateError(CallbridgeError):
    """A command cannot do what you asked for.

    Attributes:
        problem: What is wrong, and what to do.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
