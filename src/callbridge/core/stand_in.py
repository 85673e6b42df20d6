"""`StandIn`: an object that stands for another one, and answers for it when it is asked what it is."""

from __future__ import annotations

from typing import Any

__all__ = ["StandIn", "original"]


class StandIn:
    """An object that stands for another one."""

    wrapped: Any
    """The other one."""


def original(value: Any) -> Any:
    """Return what a value stands for, or the value itself."""
    while issubclass(type(value), StandIn):  # `isinstance` answers for the other one
        value = value.wrapped
    return value
