"""What a handler hears: recorded from its calls, and derived from events.

Both are reduced to what an event can carry, so that you can compare them: the method, the run, and the text, output or name
of the call. Arguments that events lack are left out (`serialized`, `invocation_params`, inputs of chains and tools, the errors
themselves). See `EventsToCalls` for how a handler gets those if events drive it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from callbridge.core.calls import Call, Scope
from callbridge.core.methods import METHODS
from callbridge.core.text import text_of
from callbridge.dispatch.receiving_handler import ReceivingHandler, as_llm_start

__all__ = ["Heard", "by_run", "hearing", "told", "with_text"]


@dataclass(frozen=True, slots=True)
class Heard:
    """One call of a handler, reduced to what events carry."""

    method: str
    run_id: UUID | None
    about: Any

    def __repr__(self) -> str:
        return f"{self.method}({'' if self.about is None else repr(self.about)})"


@contextmanager
def hearing(handler: BaseCallbackHandler, heard: list[Heard]) -> Iterator[None]:
    """Note each call of a handler's methods while it goes on as before.

    This replaces the methods of this one object, so it works wherever the handler is attached, and restores them at the end.
    """
    namespace = vars(handler)
    methods = ReceivingHandler(handler).methods
    replaced = {name: namespace[name] for name in methods if name in namespace}
    for name in methods:
        namespace[name] = _noting(name, getattr(handler, name), heard)
    try:
        yield
    finally:
        for name in methods:
            del namespace[name]
        namespace.update(replaced)


def _noting(name: str, method: Callable[..., Any], heard: list[Heard]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(method):

        @wraps(method)
        async def note_async(*args: Any, **kwargs: Any) -> Any:
            heard.append(_heard(name, args, kwargs))
            return await method(*args, **kwargs)

        return note_async

    @wraps(method)
    def note(*args: Any, **kwargs: Any) -> Any:
        heard.append(_heard(name, args, kwargs))
        return method(*args, **kwargs)

    return note


def told(calls: Sequence[Call], handler: BaseCallbackHandler, methods: frozenset[str]) -> list[Heard]:
    """Return the calls that a handler would hear: those of its own methods that it does not ignore."""
    found = []
    for call in calls:
        if _ignores(handler, call.method):
            continue
        if call.method == "on_chat_model_start" and call.method not in methods:
            # LangChain falls back to this, unless the handler ignores it.
            call = Call(*as_llm_start((call.method, call.args, dict(call.kwargs), Scope(None)))[:3])
        if call.method in methods and not _ignores(handler, call.method):
            found.append(_heard(call.method, call.args, call.kwargs))
    return found


def _ignores(handler: BaseCallbackHandler, method: str) -> bool:
    ignored_by = METHODS[method].ignored_by
    return ignored_by is not None and bool(getattr(handler, ignored_by))


def by_run(heard: Sequence[Heard], like: Sequence[Heard]) -> list[Heard]:
    """Group calls by run, because concurrent runs report in no certain order."""
    order: dict[UUID | None, int] = {}
    for one in (*like, *heard):
        order.setdefault(one.run_id, len(order))
    return sorted(heard, key=lambda one: order[one.run_id])


def _heard(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Heard:
    return Heard(name, kwargs.get("run_id"), _about(name, args, kwargs))


def _about(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if name == "on_llm_new_token":
        return args[0] if args else kwargs.get("token")
    if name == "on_llm_end":
        return _texts(args[0]) if args else None
    if name in ("on_llm_start", "on_retriever_start"):
        return args[1] if len(args) > 1 else None
    if name == "on_chat_model_start":
        return [[text_of(message.content) for message in group] for group in args[1]] if len(args) > 1 else None
    if name == "on_custom_event":
        return repr(args)
    if name in ("on_tool_end", "on_chain_end", "on_retriever_end", "on_agent_action", "on_agent_finish", "on_text"):
        return repr(args[0]) if args else None
    return None


def _texts(result: Any) -> list[str]:
    return [group[0].text for group in getattr(result, "generations", ()) if group]


def with_text(heard: Heard) -> Heard:
    """Return the call with text if its token is a list of content blocks."""
    return replace(heard, about=text_of(heard.about)) if isinstance(heard.about, list) else heard
