"""Checks of arguments that several parts of the package share."""

from __future__ import annotations

from callbridge.errors import ArgumentError

__all__ = ["check_error", "check_flag", "class_hint"]


def check_error(error: object, *, optional: bool = True) -> None:
    """Check that something is an error that can be raised and handed to handlers.

    Args:
        error: The value to check.
        optional: Whether None is allowed, too.

    Raises:
        ArgumentError: It is not. An exception class does not count: handlers look at the attributes of what they get.
    """
    if isinstance(error, BaseException) or (optional and error is None):
        return
    is_class = isinstance(error, type) and issubclass(error, BaseException)
    hint = class_hint(error) if is_class else f"; a message goes into one: Exception({error!r:.50})"
    raise ArgumentError("error", error, f"an exception{' or None' if optional else ''}{hint}")


def class_hint(value: object) -> str:
    """Return a hint for a value that is a class although an instance was expected; `""` for any other value."""
    return "; this is a class, make an instance of it" if isinstance(value, type) else ""


def check_flag(name: str, value: object) -> None:
    """Check that something is True or False, because a value such as `"no"` would count as true.

    Raises:
        ArgumentError: It is not.
    """
    if not isinstance(value, bool):
        raise ArgumentError(name, value, "True or False")
