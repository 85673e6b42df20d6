"""Checks of arguments that several parts of the package take."""

from __future__ import annotations

from callbridge.errors import ArgumentError

__all__ = ["check_error", "check_flag", "class_hint"]


def check_error(error: object, *, optional: bool = True) -> None:
    """Check that something is an error that can be raised and handed to handlers.

    Args:
        error: It, or whatever was given instead.
        optional: Whether None will do, too.

    Raises:
        ArgumentError: It is none. A class of errors is none either: handlers look into what they are given.
    """
    if isinstance(error, BaseException) or (optional and error is None):
        return
    is_class = isinstance(error, type) and issubclass(error, BaseException)
    hint = class_hint(error) if is_class else f"; a message goes into one: Exception({error!r:.50})"
    raise ArgumentError("error", error, f"an exception{' or None' if optional else ''}{hint}")


def class_hint(value: object) -> str:
    """Return what to say of a value that is a class where an instance was expected; `""` for any other."""
    return "; this is a class, make an instance of it" if isinstance(value, type) else ""


def check_flag(name: str, value: object) -> None:
    """Check that something is True or False: `"no"` is true, too.

    Raises:
        ArgumentError: It is neither.
    """
    if not isinstance(value, bool):
        raise ArgumentError(name, value, "True or False")
