"""`dumps`: any value as JSON.

If JSON has no form for a value, `dumps` writes an object whose key `lc` is 1, as LangChain does. Its `type` says what it is:

| type | other keys | of |
|---|---|---|
| `constructor` | `id`, `kwargs` | a LangChain object on the list in `allowed` |
| `not_implemented` | `id`, `repr`, `fields` | an object that cannot be restored |
| `exception` | `id`, `message`, `args` | an exception |
| `dict` | `value`: pairs of key and value | a dict with keys other than strings, or with the key `lc` |
| `addable_dict`, `tuple`, `set`, `frozenset` | `value`: the dict or the items | these |
| `bytes`, `datetime`, `date`, `time`, `timedelta`, `uuid`, `decimal`, `float`, `int` | `value` | these; bytes in base 64 |

So the key `lc` always marks something: if a user's dict has it, the dict is written as pairs. Nothing here calls a method that
a user's class has overridden, with two exceptions: `repr` of what cannot be restored, and `lc_secrets`, which names what must
stay secret.

If an object's class extends one on the list, the object is written as one of that class, so that the reader gets a message, or
a document. `name` is its own class's, and its own fields are among the `kwargs`.
"""

from __future__ import annotations

import dataclasses
import inspect
import marshal
import math
import re
from base64 import b64encode
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from itertools import chain
from json.encoder import encode_basestring_ascii as _quoted
from types import MappingProxyType, NoneType
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

from langchain_core.load.serializable import Serializable
from langchain_core.runnables.utils import AddableDict
from pydantic import BaseModel

from callbridge.codec.allowed import Id, id_of_class, listed_classes
from callbridge.codec.unknown import UnknownObject
from callbridge.core.calls import Payload

__all__ = ["LC_ESCAPED", "MAX_DEPTH", "dumps"]

MAX_DEPTH: Final = 200
"""Levels of JSON. A deeper value becomes an object that cannot be restored."""

LC_ESCAPED: Final = "__lc_escaped__"
"""LangChain's own mark for a dict of the user's (`langchain_core/load/_validation.py`, since 1.2.5)."""

_REPR_SHOWN: Final = 500
_LONGEST_KEPT: Final = 4096  # bytes to remember of a run's events, for at most 512 runs
_WIDEST_INT: Final = 2**256  # a reader may refuse more digits: CPython does at 4300
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def dumps(event: Payload) -> str:
    """Return an event, or any other value, as JSON.

    Never fails: an object that cannot be restored later is written as a mark with its class and `repr`. The text is a snapshot:
    it does not change if you change a payload afterwards. It is ASCII only and in one line, so it can go into any log and onto
    any wire. It is strict JSON, without `NaN`.

    Args:
        event: The event. It is not written to.

    Threads: any. If another thread changes a payload meanwhile, each part of it is written as it was at some moment.

    Example:
        ```python
        print(callbridge.dumps({"event": "on_custom_event", "data": {"when": date(2026, 3, 1)}}))
        #> {"event":"on_custom_event","data":{"when":{"lc":1,"type":"date","value":"2026-03-01"}}}
        ```
    """
    for depth in (MAX_DEPTH, 40, 8):
        try:
            return _of_a_run(event) or _Encoder(depth).encode(event, 1)
        except RecursionError:  # the caller is deep in the stack, so there is less room
            continue
    return _unknown(event)


def _of_a_run(event: Payload) -> str | None:
    """Return the JSON of an event that shares all members but `data` with an earlier one, as the events of a run do.

    Return `None` if members are long, or not plain data.
    """
    if type(event) is not dict or type(event.get("data")) is not dict:
        return None
    try:
        known = marshal.dumps({**event, "data": None}, 2)  # it tells 1 from True and from 1.0
    except ValueError:
        return None
    around = _around_data(known) if len(known) <= _LONGEST_KEPT else None
    return around and around[0] + _Encoder(MAX_DEPTH, event).encode(event["data"], 2) + around[1]


@lru_cache(512)
def _around_data(known: bytes) -> tuple[str, str] | None:
    """Return the JSON of an event before and after its data."""
    members: dict[Payload, Payload] = marshal.loads(known)
    if not all(type(key) is str and key != "lc" for key in members):
        return None
    texts = [f"{_quoted(key)}:{_Encoder(MAX_DEPTH).encode(item, 2)}" for key, item in members.items()]
    at = list(members).index("data")
    before, after = ",".join([*texts[:at], '"data":']), ",".join(["", *texts[at + 1 :]])
    # Any object with a buffer looks like bytes here.
    return None if '"type":"bytes"' in before + after else ("{" + before, after + "}")


class _Encoder:
    """Makes JSON of a value.

    It writes the text itself. A tree for `json.dumps` would take twice as long, because `json.dumps` would mostly repeat
    checks that this class has made.

    Args:
        max_depth: Levels of JSON that may be written.
        inside: The objects that contain the values.
    """

    def __init__(self, max_depth: int, *inside: Payload) -> None:
        self._max_depth = max_depth
        self._forms = _forms()
        self._path: set[int] = {id(value) for value in inside}  # ids of the objects being written; each removed when it is done
        self._in_key = False  # in a key of a dict or an item of a set: the restored value must be hashable

    def encode(self, value: Payload, depth: int) -> str:
        """Return the JSON of a value at a certain depth."""
        kind = type(value)
        plain = _PLAIN.get(kind)
        if plain is not None:
            return plain(value)
        form = self._forms.get(kind)
        if form is None and kind not in _NESTED:
            for base, encoder in _SCALARS.items():
                if issubclass(kind, base):
                    return _guarded(encoder, value)
        path, identity = self._path, id(value)
        if depth + 3 > self._max_depth or identity in path:
            return _unknown(value)
        path.add(identity)
        try:
            if kind is dict and not self._in_key:
                return self._dict(value, kind, depth)
            if form is None or self._in_key:
                return self._container(value, kind, depth)
            return self._listed(value, form, depth)
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001 - an odd class may raise anything
            return _unknown(value)
        finally:
            path.discard(identity)

    def _container(self, value: Payload, kind: type[Any], depth: int) -> str:
        if not self._in_key:
            if issubclass(kind, dict):
                return self._dict(value, kind, depth)
            if issubclass(kind, list):
                return self._items(list.copy(value), depth)
        if issubclass(kind, tuple):
            return _mark("tuple", value=self._items(tuple.__iter__(value), depth + 1))
        if issubclass(kind, frozenset):
            return _mark("frozenset", value=self._unordered(frozenset.copy(value), depth + 1))
        if issubclass(kind, BaseException):
            content = {"message": _quoted(_text(value)), "args": self._items(_made_with(value), depth + 1)}
            return _mark("exception", id=_array(map(_quoted, _id(kind))), **content)
        if kind is UnknownObject:
            return _unknown_mark(value.id, value.repr, self._fields(value.fields.items(), depth + 1))
        if self._in_key:
            return _unknown(value)
        if issubclass(kind, set):
            return _mark("set", value=self._unordered(set.copy(value), depth + 1))
        return self._object(value, kind, depth)

    def _unordered(self, values: Iterable[Payload], depth: int) -> str:
        """Return the items of a set, in an order that does not change from one process to the next."""
        return _array(sorted(self._key(value, depth + 1) for value in values))

    def _key(self, value: Payload, depth: int) -> str:
        was_in_key, self._in_key = self._in_key, True
        try:
            return self.encode(value, depth)
        finally:
            self._in_key = was_in_key

    def _items(self, values: Iterable[Payload], depth: int) -> str:
        return _array([self.encode(value, depth + 1) for value in values])

    def _dict(self, value: dict[Payload, Payload], kind: type[Any], depth: int) -> str:
        pairs = list(dict.items(value))
        for key, _ in pairs:
            if type(key) is not str or key == "lc" or (key == LC_ESCAPED and len(pairs) == 1):
                return _mark("dict", value=_array([self._pair(key, item, depth + 3) for key, item in pairs]))
        if kind is not dict and issubclass(kind, AddableDict):
            return _mark("addable_dict", value=self._members(pairs, depth + 2))
        return self._members(pairs, depth + 1)

    def _pair(self, key: Payload, item: Payload, depth: int) -> str:
        return f"[{self._key(key, depth)},{self.encode(item, depth)}]"

    def _members(self, pairs: Iterable[tuple[str, Payload]], depth: int) -> str:
        encode, quoted, find = self.encode, _quoted, _PLAIN.get
        parts = [
            f"{quoted(key)}:{plain(item) if (plain := find(type(item))) else encode(item, depth)}"  # most are texts
            for key, item in pairs
        ]
        return f"{{{','.join(parts)}}}"

    def _object(self, value: Payload, kind: type[Any], depth: int) -> str:
        path = id_of_class(kind)
        if path is not None:
            return _constructor(path, self._fields(_arguments(value, kind), depth + 1))
        base = next((base for base in kind.__mro__ if issubclass(base, BaseModel) and id_of_class(base)), None)
        if base is not None:
            kwargs = self._fields(chain(_arguments(value, base), _own_fields(value, kind, base)), depth + 1)
            return _constructor(id_of_class(base) or (), kwargs, name=_quoted(kind.__name__))
        return _unknown_mark(_id(kind), _repr(value), self._fields(_shown_fields(value, kind), depth + 1))

    def _listed(self, value: BaseModel, form: _Form, depth: int) -> str:
        """Return the JSON of an instance of a model on the list. Uses the cached form of its class."""
        held, pairs = value.__dict__, []
        for name, empty, default in form.fields:
            item = held.get(name, default)
            if item is not default and not _goes_without_saying(item, empty, default):
                pairs.append((name, item))
        pairs.extend((value.__pydantic_extra__ or {}).items())
        return f"{form.beginning}{self._members(pairs, depth + 2)}}}"

    def _fields(self, fields: Iterable[tuple[str, Payload]], depth: int) -> str:
        return self._members({str(name): value for name, value in fields}.items(), depth + 1)


# -- scalars ----------------------------------------------------------------------------------------------------------


def _int(value: int) -> str:
    number = int.__index__(value)
    return int.__repr__(number) if -_WIDEST_INT < number < _WIDEST_INT else _mark("int", value=_quoted(hex(number)))


def _float(value: float) -> str:
    number = float.__float__(value)
    text = float.__repr__(number)
    return text if math.isfinite(number) else _mark("float", value=_quoted(text))


def _timedelta(value: timedelta) -> str:
    return _mark("timedelta", value=f"[{value.days},{value.seconds},{value.microseconds}]")


def _bytes(value: bytes | bytearray | memoryview) -> str:
    return _mark("bytes", value=_quoted(b64encode(value).decode("ascii")))


_PLAIN: Final = MappingProxyType[type[Any], Callable[[Any], str]](
    {
        str: _quoted,
        NoneType: lambda value: "null",
        bool: lambda value: "true" if value else "false",
        int: _int,
        float: _float,
    }
)
"""Exactly these classes, no subclasses: their encoders cannot fail."""

_NESTED: Final = frozenset({dict, list, tuple, set, frozenset})

_SCALARS: Final = MappingProxyType[type[Any], Callable[[Any], str]](
    {
        str: lambda value: _quoted(str.__str__(value)),
        int: _int,
        float: _float,
        bytes: _bytes,
        bytearray: _bytes,
        memoryview: _bytes,
        UUID: lambda value: _mark("uuid", value=_quoted(UUID.__str__(value))),
        datetime: lambda value: _mark("datetime", value=_quoted(datetime.isoformat(value))),
        date: lambda value: _mark("date", value=_quoted(date.isoformat(value))),
        time: lambda value: _mark("time", value=_quoted(time.isoformat(value))),
        timedelta: _timedelta,
        Decimal: lambda value: _mark("decimal", value=_quoted(Decimal.__str__(value))),
    }
)
"""Base class to its encoder; a subclass comes before its base."""


def _guarded(encoder: Callable[[Any], str], value: Payload) -> str:
    try:
        return encoder(value)
    except Exception:  # noqa: BLE001 - a user's own time zone may raise anything
        return _unknown(value)


# -- objects ----------------------------------------------------------------------------------------------------------


_ALWAYS: Final = object()
"""The default of a field that is always written."""


class _Form(NamedTuple):
    """How instances of a model on the list are written."""

    beginning: str
    fields: tuple[_FormField, ...]


_FormField: TypeAlias = tuple[str, type[Any] | None, Payload]
"""A field's name, the class of the empty list or dict that is its default, and its default."""


@cache
def _forms() -> Mapping[type[Any], _Form]:
    """Return the form of each model on the list. It asks pydantic once, because asking takes longer than writing."""
    return MappingProxyType(
        {
            kind: _Form(_constructor(path, "")[:-1], tuple(_form_fields(kind)))
            for kind, path in listed_classes().items()
            if issubclass(kind, BaseModel)
        }
    )


def _form_fields(kind: type[BaseModel]) -> Iterator[_FormField]:
    for name, field in kind.model_fields.items():
        default: Payload = _ALWAYS if name == "type" else field.default
        empty: type[Any] | None = None
        one: type[Any]
        for one in (list, dict):
            if field.default_factory is one or (type(default) is one and not default):
                empty = one
        yield name, empty, default


def _goes_without_saying(value: Payload, empty: type[Any] | None, default: Payload) -> bool:
    """Return whether a value is its field's default. It compares only values of types with a plain `==`."""
    kind = type(value)
    if kind is list or kind is dict:
        return not value and kind is empty
    return kind in _PLAIN and kind is type(default) and bool(value == default)


def _arguments(value: Payload, kind: type[Any]) -> Iterator[tuple[str, Payload]]:
    """Return the arguments that construct an object on the list: those that differ from the defaults."""
    if not issubclass(kind, BaseModel):
        for name, parameter in inspect.signature(kind).parameters.items():
            if parameter.kind is not parameter.VAR_KEYWORD and not (getattr(value, name) is None is parameter.default):
                yield name, getattr(value, name)
        return
    held, is_own = value.__dict__, type(value) is not kind
    for name, empty, default in _form_fields(kind):
        # The class on the list would refuse the `type` of a user's subclass.
        skipped = is_own if name == "type" else name in held and _goes_without_saying(held[name], empty, default)
        if name in held and not skipped:
            yield name, held[name]
    if not is_own:
        yield from (value.__pydantic_extra__ or {}).items()


def _own_fields(value: Payload, kind: type[Any], base: type[Any]) -> Iterator[tuple[str, Payload]]:
    """Return the fields that a class adds to one on the list, as LangChain's own `dumps` writes them too."""
    held, hidden = value.__dict__, _secrets(value, kind)
    for name, field in kind.model_fields.items():
        if name in held and name not in base.model_fields and name not in hidden and not field.exclude:
            yield name, held[name]
    yield from (value.__pydantic_extra__ or {}).items()


def _secrets(value: Payload, kind: type[Any]) -> Container[str]:
    """Return the names of fields that a LangChain object declares secret."""
    if issubclass(kind, Serializable) and kind.lc_secrets is not Serializable.lc_secrets:
        return dict(value.lc_secrets)
    return ()


def _is_component(kind: type[Any]) -> bool:
    """Return whether a class is a LangChain component, a serializable runnable. It tests the name: the import is slow."""
    bases = {(base.__module__, base.__name__) for base in kind.__mro__}
    return issubclass(kind, Serializable) and ("langchain_core.runnables.base", "Runnable") in bases


def _shown_fields(value: Payload, kind: type[Any]) -> Iterator[tuple[str, Payload]]:
    """Return the fields to show for an object that cannot be restored; none for LangChain's components."""
    if issubclass(kind, BaseModel) and not _is_component(kind):
        held, hidden = value.__dict__, _secrets(value, kind)
        yield from (
            (name, held[name])
            for name, field in kind.model_fields.items()
            if field.repr and name in held and name not in hidden
        )
        yield from (getattr(value, "__pydantic_extra__", None) or {}).items()
    elif dataclasses.is_dataclass(kind):
        yield from ((field.name, getattr(value, field.name)) for field in dataclasses.fields(kind) if field.repr)


def _array(items: Iterable[str]) -> str:
    return f"[{','.join(items)}]"


def _mark(type: str, **content: str) -> str:
    return f'{{"lc":1,"type":"{type}",{",".join([f"{chr(34)}{key}{chr(34)}:{text}" for key, text in content.items()])}}}'


def _constructor(path: Id, kwargs: str, **name: str) -> str:
    return _mark("constructor", id=_array(map(_quoted, path)), kwargs=kwargs, **name)


def _unknown(value: Payload) -> str:
    if type(value) is UnknownObject:
        return _unknown_mark(value.id, value.repr, "{}")
    return _unknown_mark(_id(type(value)), _repr(value), "{}")


def _unknown_mark(path: Iterable[str], shown: str | None, fields: str) -> str:
    content = {} if fields == "{}" else {"fields": fields}
    return _mark("not_implemented", id=_array(map(_quoted, path)), repr="null" if shown is None else _quoted(shown), **content)


def _id(kind: type[Any]) -> list[str]:
    try:
        return [*str(kind.__module__).split("."), str(kind.__qualname__)]
    except Exception:  # noqa: BLE001 - a metaclass may do anything here
        return []


def _repr(value: Payload) -> str | None:
    try:
        text = _ADDRESS.sub("", repr(value))
    except Exception:  # noqa: BLE001 - including RecursionError from a deeply nested `repr`
        return None
    return str(text if len(text) <= _REPR_SHOWN else f"{text[:_REPR_SHOWN]}…")


def _made_with(error: BaseException) -> tuple[Payload, ...]:
    """Return the arguments that made the error: the `args` of an `OSError` lack the files that it names."""
    if not isinstance(error, OSError):
        return error.args
    made_with: tuple[Payload, ...] = OSError.__reduce__(error)[1]  # type: ignore[assignment]
    return made_with


def _text(error: BaseException) -> str:
    try:
        return str.__str__(str(error))
    except Exception:  # noqa: BLE001 - a user's own `__str__` may raise anything
        return ""
