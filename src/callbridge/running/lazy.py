"""`Lazy`: an attribute that is made when it is first asked for. Most streams never ask, and an idle one is to be small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, cast

__all__ = ["Lazy"]

T = TypeVar("T")


class Lazy(Generic[T]):
    """Makes an attribute of each instance; from then on it is one like any other.

    Args:
        make: Makes it.

    Threads: any. Several that ask at once get the same one, which `functools.cached_property` does not promise.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._name = ""

    def __set_name__(self, owner: type[object], name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type[object]) -> T:
        return cast("T", vars(instance).setdefault(self._name, self._make()))
