"""`dumps`: any value as JSON.

What JSON has no form for is written as an object whose key `lc` is 1, as LangChain does. Its `type` says what it is:

| type | other keys | of |
|---|---|---|
| `constructor` | `id`, `kwargs` | a LangChain object on the list in `allowed` |
| `not_implemented` | `id`, `repr`, `fields` | an object that cannot be restored |
| `exception` | `id`, `message`, `args` | an exception |
| `dict` | `value`: pairs of key and value | a dict with keys other than strings, or with the key `lc` |
| `addable_dict`, `tuple`, `set`, `frozenset` | `value`: the dict or the items | these |
| `bytes`, `datetime`, `date`, `time`, `timedelta`, `uuid`, `decimal`, `float`, `int` | `value` | these; bytes in base 64 |

So the key `lc` always marks something: a dict of the user's that has it is written as pairs. Nothing here calls a method that a
user's class has overridden, but for `repr` of what cannot be restored, and `lc_secrets`, which says what is not to be told.

An object whose class extends one on the list is written as one of that class, so that whoever reads it has a message, or a
document; `name` is its own class's, and its own fields are among the `kwargs`.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import re
from base64 import b64encode
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from langchain_core.load.serializable import Serializable
from langchain_core.runnables import Runnable
from langchain_core.runnables.utils import AddableDict
from pydantic import BaseModel

from callbridge.codec.allowed import id_of_class
from callbridge.codec.unknown import UnknownObject
from callbridge.core.calls import Payload

__all__ = ["LC_ESCAPED", "MAX_DEPTH", "dumps"]

MAX_DEPTH: Final = 200
"""Levels of JSON; what lies deeper is written as an object that cannot be restored."""

LC_ESCAPED: Final = "__lc_escaped__"
"""LangChain's own mark for a dict of the user's (`langchain_core/load/_validation.py`, since 1.2.5)."""

_REPR_SHOWN: Final = 500
_WIDEST_INT: Final = 2**256  # beyond, a reader may refuse the digits: CPython does at 4300
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def dumps(event: Payload) -> str:
    """Return an event, or any other value, as JSON.

    Never fails: what cannot be restored later is written as a mark with its class and `repr`. What comes of it is a snapshot:
    payloads that are changed afterwards do not change it. ASCII only and in one line, so that it can go into any log and
    onto any wire; strict JSON, without `NaN`.

    Args:
        event: The event. It is not written to.

    Threads: any; a payload that another thread changes meanwhile is written as it was at some moment of each of its parts.
    """
    for depth in (MAX_DEPTH, 40, 8):
        try:
            tree = _Encoder(depth).encode(event, 1)
            return json.dumps(tree, allow_nan=False, separators=(",", ":"))
        except RecursionError:  # called from deep inside: there is less room
            continue
    return json.dumps(_unknown(event))


class _Encoder:
    """Makes of a value what `json` can write.

    Args:
        max_depth: Levels of JSON that may be written.
    """

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self._path: set[int] = set()  # ids of the objects being written; each removed when it is done
        self._in_key = False  # in a key of a dict or an item of a set: what is restored must be hashable

    def encode(self, value: Payload, depth: int) -> Payload:
        """Return the JSON value that stands for a value at a certain depth."""
        kind = type(value)
        if kind is str or kind is bool or value is None:
            return value
        if kind is not dict and kind is not list:
            for base, encoder in _SCALARS.items():
                if issubclass(kind, base):
                    return _guarded(encoder, value)
        if depth + 3 > self._max_depth or id(value) in self._path:
            return _unknown(value)
        with self._inside(value):
            try:
                return self._container(value, kind, depth)
            except RecursionError:
                raise
            except Exception:  # noqa: BLE001 - whatever an odd class makes of being looked at
                return _unknown(value)

    @contextmanager
    def _inside(self, value: Payload) -> Iterator[None]:
        self._path.add(id(value))
        try:
            yield
        finally:
            self._path.discard(id(value))

    def _container(self, value: Payload, kind: type[Any], depth: int) -> Payload:
        if issubclass(kind, tuple):
            return _mark("tuple", value=self._items(tuple.__iter__(value), depth + 1))
        if issubclass(kind, frozenset):
            return _mark("frozenset", value=self._unordered(frozenset.copy(value), depth + 1))
        if issubclass(kind, BaseException):
            content = {"message": _text(value), "args": self._items(_made_with(value), depth + 1)}
            return _mark("exception", id=_id(kind), **content)
        if kind is UnknownObject:
            return _unknown_mark(value.id, value.repr, self._fields(value.fields.items(), depth + 1))
        if self._in_key:
            return _unknown(value)
        if issubclass(kind, dict):
            return self._dict(value, kind, depth)
        if issubclass(kind, list):
            return self._items(list.copy(value), depth)
        if issubclass(kind, set):
            return _mark("set", value=self._unordered(set.copy(value), depth + 1))
        return self._object(value, kind, depth)

    def _unordered(self, values: Iterable[Payload], depth: int) -> list[Payload]:
        """Return the items of a set, in an order that does not change from one process to the next."""
        return sorted((self._key(value, depth + 1) for value in values), key=json.dumps)

    def _key(self, value: Payload, depth: int) -> Payload:
        was_in_key, self._in_key = self._in_key, True
        try:
            return self.encode(value, depth)
        finally:
            self._in_key = was_in_key

    def _items(self, values: Iterable[Payload], depth: int) -> list[Payload]:
        return [self.encode(value, depth + 1) for value in values]

    def _dict(self, value: dict[Payload, Payload], kind: type[Any], depth: int) -> Payload:
        pairs = list(dict.items(value))
        if any(type(key) is not str or key == "lc" for key, _ in pairs) or (len(pairs) == 1 and pairs[0][0] == LC_ESCAPED):
            return _mark("dict", value=[[self._key(key, depth + 3), self.encode(item, depth + 3)] for key, item in pairs])
        if issubclass(kind, AddableDict):
            return _mark("addable_dict", value={key: self.encode(item, depth + 2) for key, item in pairs})
        return {key: self.encode(item, depth + 1) for key, item in pairs}

    def _object(self, value: Payload, kind: type[Any], depth: int) -> Payload:
        path = id_of_class(kind)
        if path is not None:
            kwargs = self._fields(_arguments(value, kind), depth + 1)
            return _mark("constructor", id=list(path), kwargs=kwargs)
        base = next((base for base in kind.__mro__ if issubclass(base, BaseModel) and id_of_class(base)), None)
        if base is not None:
            kwargs = self._fields(chain(_arguments(value, base), _own_fields(value, kind, base)), depth + 1)
            return _mark("constructor", id=list(id_of_class(base) or ()), kwargs=kwargs, name=kind.__name__)
        return _unknown_mark(_id(kind), _repr(value), self._fields(_shown_fields(value, kind), depth + 1))

    def _fields(self, fields: Iterable[tuple[str, Payload]], depth: int) -> dict[str, Payload]:
        return {str(name): self.encode(value, depth + 1) for name, value in fields}


# -- scalars ----------------------------------------------------------------------------------------------------------


def _int(value: int) -> Payload:
    number = int.__index__(value)
    return number if -_WIDEST_INT < number < _WIDEST_INT else _mark("int", value=hex(number))


def _float(value: float) -> Payload:
    number = float.__float__(value)
    return number if math.isfinite(number) else _mark("float", value=float.__repr__(number))


def _timedelta(value: timedelta) -> Payload:
    return _mark("timedelta", value=[value.days, value.seconds, value.microseconds])


def _bytes(value: bytes | bytearray | memoryview) -> Payload:
    return _mark("bytes", value=b64encode(value).decode("ascii"))


_SCALARS: Final = MappingProxyType[type[Any], Callable[[Any], Payload]](
    {
        str: lambda value: str.__str__(value),
        int: _int,
        float: _float,
        bytes: _bytes,
        bytearray: _bytes,
        memoryview: _bytes,
        UUID: lambda value: _mark("uuid", value=UUID.__str__(value)),
        datetime: lambda value: _mark("datetime", value=datetime.isoformat(value)),
        date: lambda value: _mark("date", value=date.isoformat(value)),
        time: lambda value: _mark("time", value=time.isoformat(value)),
        timedelta: _timedelta,
        Decimal: lambda value: _mark("decimal", value=Decimal.__str__(value)),
    }
)
"""Base class to what writes it; a subclass comes before its base."""


def _guarded(encoder: Callable[[Any], Payload], value: Payload) -> Payload:
    try:
        return encoder(value)
    except Exception:  # noqa: BLE001 - a time zone of somebody's own may raise what it likes
        return _unknown(value)


# -- objects ----------------------------------------------------------------------------------------------------------


def _arguments(value: Payload, kind: type[Any]) -> Iterator[tuple[str, Payload]]:
    """Return what an object on the list has to be constructed with: what differs from the defaults."""
    if not issubclass(kind, BaseModel):
        for name, parameter in inspect.signature(kind).parameters.items():
            if parameter.kind is not parameter.VAR_KEYWORD and not (getattr(value, name) is None is parameter.default):
                yield name, getattr(value, name)
        return
    held, is_own = value.__dict__, type(value) is not kind
    for name, field in kind.model_fields.items():
        # What a class of one's own calls its type, the one on the list would refuse.
        if name in held and (not is_own if name == "type" else not _is_default(held[name], field)):
            yield name, held[name]
    if not is_own:
        yield from (value.__pydantic_extra__ or {}).items()


def _is_default(value: Payload, field: Any) -> bool:
    """Return whether a value goes without saying. Compares only what compares without surprises."""
    if type(value) in (list, dict):
        return not value and (
            field.default_factory is type(value) or (type(field.default) is type(value) and not field.default)
        )
    return type(value) in (str, int, bool, float, type(None)) and type(value) is type(field.default) and value == field.default


def _own_fields(value: Payload, kind: type[Any], base: type[Any]) -> Iterator[tuple[str, Payload]]:
    """Return what a class adds to one on the list: what LangChain's own `dumps` writes, too."""
    held, hidden = value.__dict__, _secrets(value, kind)
    for name, field in kind.model_fields.items():
        if name in held and name not in base.model_fields and name not in hidden and not field.exclude:
            yield name, held[name]
    yield from (value.__pydantic_extra__ or {}).items()


def _secrets(value: Payload, kind: type[Any]) -> Container[str]:
    """Return the names of fields that a LangChain object declares to be secret."""
    if issubclass(kind, Serializable) and kind.lc_secrets is not Serializable.lc_secrets:
        return dict(value.lc_secrets)
    return ()


def _shown_fields(value: Payload, kind: type[Any]) -> Iterator[tuple[str, Payload]]:
    """Return what of an object that cannot be restored is worth telling; nothing of LangChain's components."""
    if issubclass(kind, BaseModel) and not (issubclass(kind, Serializable) and issubclass(kind, Runnable)):
        held, hidden = value.__dict__, _secrets(value, kind)
        yield from (
            (name, held[name])
            for name, field in kind.model_fields.items()
            if field.repr and name in held and name not in hidden
        )
        yield from (getattr(value, "__pydantic_extra__", None) or {}).items()
    elif dataclasses.is_dataclass(kind):
        yield from ((field.name, getattr(value, field.name)) for field in dataclasses.fields(kind) if field.repr)


def _mark(type: str, **content: Payload) -> dict[str, Payload]:
    return {"lc": 1, "type": type, **content}


def _unknown(value: Payload) -> dict[str, Payload]:
    if type(value) is UnknownObject:
        return _unknown_mark(value.id, value.repr, {})
    return _unknown_mark(_id(type(value)), _repr(value), {})


def _unknown_mark(path: Iterable[str], shown: str | None, fields: dict[str, Payload]) -> dict[str, Payload]:
    content: dict[str, Payload] = {"fields": fields} if fields else {}
    return _mark("not_implemented", id=list(path), repr=shown, **content)


def _id(kind: type[Any]) -> list[str]:
    try:
        return [*str(kind.__module__).split("."), str(kind.__qualname__)]
    except Exception:  # noqa: BLE001 - a metaclass can make anything of these
        return []


def _repr(value: Payload) -> str | None:
    try:
        text = _ADDRESS.sub("", repr(value))
    except Exception:  # noqa: BLE001 - RecursionError included: `repr` of what nests too deeply
        return None
    return str(text if len(text) <= _REPR_SHOWN else f"{text[:_REPR_SHOWN]}…")


def _made_with(error: BaseException) -> tuple[Payload, ...]:
    """Return what the error was made with: the `args` of an `OSError` go without the files that it names."""
    if not isinstance(error, OSError):
        return error.args
    made_with: tuple[Payload, ...] = OSError.__reduce__(error)[1]  # type: ignore[assignment]
    return made_with


def _text(error: BaseException) -> str:
    try:
        return str.__str__(str(error))
    except Exception:  # noqa: BLE001 - somebody's own `__str__`
        return ""
