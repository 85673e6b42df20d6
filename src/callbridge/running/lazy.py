"""`Lazy`: an attribute that is made on first use. Most streams never use theirs, and an idle stream should be small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, cast

__all__ = ["Lazy"]

T = TypeVar("T")


class Lazy(Generic[T]):
    """Makes an attribute of an instance on first use. From then on it is an ordinary attribute.

    Args:
        make: Makes it.

    Threads: any. Threads that ask at the same time get the same object, which `functools.cached_property` does not promise.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._name = ""

    def __set_name__(self, owner: type[object], name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type[object]) -> T:
        return cast("T", vars(instance).setdefault(self._name, self._make()))
