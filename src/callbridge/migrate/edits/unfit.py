"""The error of a planner that does not know the form of some code."""

from __future__ import annotations

__all__ = ["UnfitError"]


class UnfitError(Exception):
    """The code has a form that `fix` cannot convert. The message says why, as one clause."""
