"""`loads`: reads values from the JSON that `dumps` writes, and from what LangChain's `dumps` writes.

The text may come from anybody. It can only choose from fixed lists of plain data classes. If it has any other name, the whole
text is refused. No secret is read from the environment.
"""

from __future__ import annotations

import builtins
import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NoReturn
from uuid import UUID

from langchain_core.messages import RemoveMessage
from langchain_core.runnables.utils import AddableDict
from pydantic_core import from_json

from callbridge.codec.allowed import Id, class_of_id, interrupt_of_id, is_known_id
from callbridge.codec.encode import LC_ESCAPED, MAX_DEPTH
from callbridge.codec.opened import open_class
from callbridge.codec.unknown import UnknownObject
from callbridge.core.calls import Payload
from callbridge.errors import JSONFormatError, RemoteError, RunUnfinishedError

__all__ = ["loads"]


def loads(text: str | bytes) -> Payload:
    """Return the event, or other value, from the JSON that `dumps` made of it.

    Messages, documents, prompt values, generations, results, agents' steps and LangGraph's `Command`, `Send` and `Interrupt`
    are of their classes again. An object whose own class extends one of these is of the class that it extends, and has its own
    fields as attributes. LangGraph's interrupts and Python's built-in errors are of their classes again, too, but for those
    that end a program or an iteration when they are raised. These and all other errors become a `RemoteError`, and objects of
    all other classes an `UnknownObject`.

    JSON that `dumps` did not write is taken as it is, so that you can also read the events of LangServe's `stream_events` and
    of a LangGraph server: `dispatch_events` makes messages of the dicts in them.

    Args:
        text: JSON; bytes in UTF-8, UTF-16 or UTF-32.

    Returns:
        The value. The text of a hostile sender can make it any JSON value and any combination of the classes above.

    Raises:
        JSONFormatError: The text is not JSON, is nested more deeply than `dumps` ever nests, has `NaN` in it, or asks for
            something that is not data: a class that is not on the list, a secret, or a mark that is of an unknown kind or not
            well-formed. Nothing that it names was imported or called.

    Threads: any.

    Example:
        ```python
        event = next(iter(callbridge.stream_events(chain, {"drink": "tea"})))
        print(callbridge.loads(callbridge.dumps(event)) == event)
        #> True
        ```
    """
    if not isinstance(text, (str, bytes, bytearray)):
        raise JSONFormatError(text, f"{type(text).__name__} is not text")
    try:
        return _decode(_parse(text), 1)
    except JSONFormatError:
        raise
    except RecursionError:
        raise JSONFormatError(text, "it is nested too deeply") from None
    except ValueError as error:
        raise JSONFormatError(text, f"it is not JSON ({error})") from error


def _parse(text: str | bytes) -> Payload:
    """Return what `json.loads` returns, in less time.

    Where pydantic's parser refuses a text, as with half a character, `json.loads` decides.
    """
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise JSONFormatError(name, "JSON has no such number")


def _decode(value: Payload, depth: int) -> Payload:
    """Return what parsed JSON stands for. Its dicts are the parser's, so they are changed where they are."""
    kind = type(value)
    if kind is not dict and kind is not list:
        return value
    if depth > MAX_DEPTH + 1:
        raise JSONFormatError(value, f"it is nested more than {MAX_DEPTH} levels deep")
    if kind is list:
        return [_decode(item, depth + 1) for item in value] if value else value
    if "lc" in value and value["lc"] == 1 and isinstance(value.get("type"), str):
        return _marked(value, depth)
    if len(value) == 1 and LC_ESCAPED in value:
        return value[LC_ESCAPED]  # LangChain's mark: its content has no special meaning
    return _members(value, depth + 1)


def _members(value: dict[str, Payload], depth: int) -> dict[str, Payload]:
    for key, item in value.items():
        kind = type(item)
        if kind is dict or kind is list:  # most are texts
            value[key] = _decode(item, depth)
    return value


def _marked(mark: dict[str, Payload], depth: int) -> Payload:
    """Return the value that a mark stands for. Each type checks its own members."""
    decoder = _KINDS.get(mark["type"])
    if decoder is None:
        raise JSONFormatError(mark, f"there is no mark of type {mark['type']!r}, or it asks for something that is not data")
    try:
        return decoder(mark, depth)
    except (JSONFormatError, RecursionError):
        raise
    except Exception as error:  # validators may raise anything
        raise JSONFormatError(mark, f"a {mark['type']!r} cannot be made from this") from error


# -- objects ----------------------------------------------------------------------------------------------------------


def _constructor(mark: dict[str, Payload], depth: int) -> Payload:
    path = _path(mark)
    # Check the class before anything inside it.
    if not is_known_id(path):
        raise JSONFormatError(mark, f"{'.'.join(path)} is not among the classes that may be restored")
    kwargs = _members(mark["kwargs"], depth + 2)
    kind = class_of_id(path)
    if kind is RemoveMessage:
        kwargs.pop("content", None)  # LangChain writes this, but does not accept it
    if kind is not None:
        try:
            return (open_class(kind, kwargs) if "name" in mark else kind)(**kwargs)
        except Exception:  # noqa: BLE001 - keep fields of another version, or fields that were changed after validation
            pass
    return UnknownObject(path, None, kwargs)


def _not_implemented(mark: dict[str, Payload], depth: int) -> Payload:
    shown = mark.get("repr")
    if not (shown is None or isinstance(shown, str)):
        raise JSONFormatError(mark, "its repr is not text")
    return UnknownObject(_path(mark), shown, _decode_fields(mark.get("fields", {}), depth))


def _decode_fields(fields: dict[str, Payload], depth: int) -> dict[str, Payload]:
    return {name: _decode(value, depth + 2) for name, value in dict.items(fields)}


def _path(mark: dict[str, Payload]) -> Id:
    path = mark["id"]
    if not (isinstance(path, list) and set(map(type, path)) <= {str}):
        raise JSONFormatError(mark, "its id is not a list of names")
    return tuple(path)


_UNWANTED: Final = (StopIteration, StopAsyncIteration)  # code that raises them steers an iteration
_BUILTIN_ERRORS: Final[Mapping[Id, type[Exception]]] = MappingProxyType(
    {
        ("builtins", name): kind
        for name, kind in vars(builtins).items()
        if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, _UNWANTED)
    }
)
_OWN_ERRORS: Final[Mapping[Id, type[Exception]]] = MappingProxyType(
    {(*kind.__module__.split("."), kind.__name__): kind for kind in (RemoteError, RunUnfinishedError)}
)
"""The errors that `loads` restores. None ends a program or a task: a sender must not make a reader raise those."""


def _exception(mark: dict[str, Payload], depth: int) -> BaseException:
    path, message = _path(mark), mark["message"]
    args = [_decode(item, depth + 2) for item in list.copy(mark["args"])]
    interrupt = interrupt_of_id(path)
    if interrupt is not None:
        return interrupt(*args)  # its text may differ between versions of LangGraph
    kind = _BUILTIN_ERRORS.get(path) or _OWN_ERRORS.get(path)
    try:
        error = None if kind is None else kind(*args)
    except Exception:  # noqa: BLE001 - arguments of another version, or of a hostile sender
        error = None
    if error is not None and (isinstance(error, RemoteError) or str(error) == message):
        return error
    return RemoteError({"type": path[-1] if path else "Exception", "message": str(message)})


# -- containers and scalars -------------------------------------------------------------------------------------------


def _items(mark: dict[str, Payload], depth: int) -> list[Payload]:
    return [_decode(item, depth + 2) for item in list.copy(mark["value"])]


def _dict(mark: dict[str, Payload], depth: int) -> dict[Payload, Payload]:
    return {_decode(key, depth + 3): _decode(item, depth + 3) for key, item in list.copy(mark["value"])}


def _addable_dict(mark: dict[str, Payload], depth: int) -> AddableDict:
    return AddableDict({key: _decode(item, depth + 2) for key, item in dict.items(mark["value"])})


def _text_of(mark: dict[str, Payload]) -> str:
    value = mark["value"]
    if not isinstance(value, str):
        raise JSONFormatError(mark, "its value is not text")
    return value


def _scalar(make: Callable[[str], Payload]) -> Callable[[dict[str, Payload], int], Payload]:
    return lambda mark, _: make(_text_of(mark))


_KINDS: Final[Mapping[str, Callable[[dict[str, Payload], int], Payload]]] = MappingProxyType(
    {
        "constructor": _constructor,
        "not_implemented": _not_implemented,
        "exception": _exception,
        "dict": _dict,
        "addable_dict": _addable_dict,
        "tuple": lambda mark, depth: tuple(_items(mark, depth)),
        "set": lambda mark, depth: set(_items(mark, depth)),
        "frozenset": lambda mark, depth: frozenset(_items(mark, depth)),
        "bytes": _scalar(lambda text: b64decode(text, validate=True)),
        "datetime": _scalar(datetime.fromisoformat),
        "date": _scalar(date.fromisoformat),
        "time": _scalar(time.fromisoformat),
        "timedelta": lambda mark, _: timedelta(*map(int, list.copy(mark["value"]))),
        "uuid": _scalar(UUID),
        "decimal": _scalar(Decimal),
        "float": _scalar(float),
        "int": _scalar(lambda text: int(text, 16)),
    }
)
"""The function that reads each type of mark."""
