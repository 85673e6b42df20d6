"""`open_class`: a listed class that takes further fields, for objects of classes that extend it and cannot be restored."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from types import new_class
from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["open_class"]


def open_class(kind: type[Any], names: Iterable[str]) -> type[Any]:
    """Return a class whose objects can have fields with these names.

    Args:
        kind: A class on the list; messages take any field.
        names: The names of the object's fields.

    Returns:
        The class itself if it has all of these fields; else a subclass of the same name that keeps the others as attributes.
    """
    if not issubclass(kind, BaseModel) or kind.model_config.get("extra") == "allow" or kind.model_fields.keys() >= set(names):
        return kind
    return _opened(kind)


@cache
def _opened(kind: type[BaseModel]) -> type[BaseModel]:
    """Return the subclass. There are at most as many as classes on the list."""

    def reduce(self: BaseModel) -> tuple[Any, ...]:
        return _remade, (kind, {**self.__dict__, **(self.__pydantic_extra__ or {})})

    names = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
    body = {**names, "model_config": ConfigDict(extra="allow"), "__reduce__": reduce}
    made: type[BaseModel] = new_class(kind.__name__, (kind,), exec_body=lambda namespace: namespace.update(body))
    return made


def _remade(kind: type[BaseModel], fields: dict[str, Any]) -> BaseModel:
    """Rebuild a pickled object. Pickle alone would find another class of that name."""
    return _opened(kind)(**fields)
