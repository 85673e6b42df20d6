"""`StandIn`: an object that stands for another one, also when `isinstance` asks."""

from __future__ import annotations

from typing import Any

__all__ = ["StandIn", "original"]


class StandIn:
    """An object that stands for another one."""

    wrapped: Any
    """The other one."""


def original(value: Any) -> Any:
    """Return the object that a value stands for, or the value itself."""
    while issubclass(type(value), StandIn):  # `isinstance` would see the other object
        value = value.wrapped
    return value
