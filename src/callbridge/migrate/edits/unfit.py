"""The error with which a planner gives up on code that is not of a form it knows."""

from __future__ import annotations

__all__ = ["UnfitError"]


class UnfitError(Exception):
    """The code is not of a form that can be converted; the message says why, as one clause."""
