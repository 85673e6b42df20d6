"""Calls of old handlers with recorded events, compared with the same calls by LangChain's managers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from time import perf_counter
from typing import Any, TypeAlias
from uuid import UUID, uuid4

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.callbacks.manager import ahandle_event, handle_event
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

import callbridge
from benchmarks.scenario import EVENT, OURS, Contender, Goal, Scenario, check

__all__ = ["SCENARIOS"]

Work: TypeAlias = "Callable[[list[Any], int], Coroutine[Any, Any, float]]"
"""Calls the handlers a number of times. Returns the seconds."""

CALLS = 4000
RUN = UUID("0f5d8a52-7a86-4f24-9f3e-0c2d6a1b7e11")


class Counts:
    """Base of the handlers, which count their calls."""

    calls = 0


class Async(Counts, AsyncCallbackHandler):
    """A handler with one coroutine method."""

    async def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        """Count."""
        self.calls += 1


class Sync(Counts, BaseCallbackHandler):
    """A handler with one sync method."""

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        """Count."""
        self.calls += 1


class Inline(Sync):
    """The same, but called in the loop's own thread."""

    run_inline = True


class Chains(Counts, AsyncCallbackHandler):
    """A handler with one coroutine method, for the ends of chains."""

    async def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        """Count."""
        self.calls += 1


def _event(name: str, data: dict[str, Any], run_id: str) -> dict[str, Any]:
    return {
        "event": name,
        "data": data,
        "run_id": run_id,
        "name": "one",
        "tags": ["seq:step:1"],
        "metadata": {},
        "parent_ids": [],
    }


def _tokens(calls: int) -> list[dict[str, Any]]:
    return [_event("on_chat_model_stream", {"chunk": AIMessageChunk(content="tok ")}, str(RUN)) for _ in range(calls)]


async def dispatched_tokens(handlers: list[Any], calls: int) -> float:
    """`CallbackDispatcher.afeed` of recorded tokens."""
    events = _tokens(calls)
    async with callbridge.CallbackDispatcher(handlers) as dispatcher:
        await dispatcher.afeed(_event("on_chat_model_start", {"input": {"messages": [[]]}}, str(RUN)))
        began = perf_counter()
        for event in events:
            await dispatcher.afeed(event)
        return perf_counter() - began


async def dispatched_chains(handlers: list[Any], calls: int) -> float:
    """The same with starts and ends of chains; each pair ends in one call."""
    events = []
    for _ in range(calls):
        run_id = str(uuid4())
        events.append(_event("on_chain_start", {"input": "tea"}, run_id))
        events.append(_event("on_chain_end", {"input": "tea", "output": "hot"}, run_id))
    async with callbridge.CallbackDispatcher(handlers) as dispatcher:
        began = perf_counter()
        for event in events:
            await dispatcher.afeed(event)
        return perf_counter() - began


async def langchain_tokens(handlers: list[Any], calls: int) -> float:
    """`ahandle_event`, with the arguments from `AsyncCallbackManagerForLLMRun.on_llm_new_token`."""
    chunks = [ChatGenerationChunk(message=AIMessageChunk(content="tok ")) for _ in range(calls)]
    began = perf_counter()
    for chunk in chunks:
        await ahandle_event(
            handlers, "on_llm_new_token", "ignore_llm", "tok ", chunk=chunk, run_id=RUN, parent_run_id=None, tags=["seq:step:1"]
        )
    return perf_counter() - began


async def langchain_chains(handlers: list[Any], calls: int) -> float:
    """`ahandle_event` for the start and for the end of a chain, which calls the inherited start as well."""
    ids = [uuid4() for _ in range(calls)]
    serialized = {"name": "one", "id": ["one"]}
    began = perf_counter()
    for run_id in ids:
        common: dict[str, Any] = {"run_id": run_id, "parent_run_id": None, "tags": ["seq:step:1"]}
        await ahandle_event(handlers, "on_chain_start", "ignore_chain", serialized, "tea", metadata={}, name="one", **common)
        await ahandle_event(handlers, "on_chain_end", "ignore_chain", "hot", **common)
    return perf_counter() - began


async def sync_dispatched_tokens(handlers: list[Any], calls: int) -> float:
    """`CallbackDispatcher.feed`."""
    events = _tokens(calls)
    with callbridge.CallbackDispatcher(handlers) as dispatcher:
        dispatcher.feed(_event("on_chat_model_start", {"input": {"messages": [[]]}}, str(RUN)))
        began = perf_counter()
        for event in events:
            dispatcher.feed(event)
        return perf_counter() - began


async def sync_langchain_tokens(handlers: list[Any], calls: int) -> float:
    """`handle_event`."""
    chunks = [ChatGenerationChunk(message=AIMessageChunk(content="tok ")) for _ in range(calls)]
    began = perf_counter()
    for chunk in chunks:
        handle_event(
            handlers, "on_llm_new_token", "ignore_llm", "tok ", chunk=chunk, run_id=RUN, parent_run_id=None, tags=["seq:step:1"]
        )
    return perf_counter() - began


async def floor(handlers: list[Any], calls: int) -> float:
    """The methods, called directly."""
    method = "on_chain_end" if isinstance(handlers[0], Chains) else "on_llm_new_token"
    began = perf_counter()
    for _ in range(calls):
        for handler in handlers:
            result = getattr(handler, method)("tok ", run_id=RUN)
            if result is not None:
                await result
    return perf_counter() - began


def run(work: Work, make: type[Any], handlers: int, calls: int) -> float:
    """Return the seconds per call that reaches all handlers."""
    made = [make() for _ in range(handlers)]
    seconds = asyncio.run(work(made, calls))
    check("calls of each handler", [handler.calls for handler in made], [calls] * handlers)
    return seconds / calls


def _scenario(
    name: str, what: str, make: type[Any], handlers: int, works: tuple[Work, Work], goals: tuple[Goal, ...]
) -> Scenario:
    ours, theirs = works
    return Scenario(
        name=f"dispatch-{name}-{handlers}",
        title=f"dispatching {what} to {handlers} handler{'s' * (handlers > 1)}",
        what="Recorded events given to handlers that override one method, beside LangChain's function that calls it.",
        unit=EVENT,
        contenders=(
            Contender(OURS, partial(run, ours, make, handlers), CALLS, "ours"),
            Contender("LangChain", partial(run, theirs, make, handlers), CALLS, "incumbent"),
            Contender("floor", partial(run, floor, make, handlers), CALLS, "floor"),
        ),
        goals=goals,
    )


_HALF = (Goal("LangChain", at_most=0.5, text="1/2"),)
_TOKENS: tuple[Work, Work] = (dispatched_tokens, langchain_tokens)

SCENARIOS = (
    _scenario("async", "a token", Async, 1, _TOKENS, _HALF),
    _scenario("sync", "a token (sync method)", Sync, 1, _TOKENS, _HALF),
    _scenario("inline", "a token (sync method, run_inline)", Inline, 1, _TOKENS, (Goal("LangChain", at_most=1.0, text="1"),)),
    _scenario("chains", "a chain's start and end", Chains, 1, (dispatched_chains, langchain_chains), _HALF),
    _scenario("from-sync", "a token from sync code", Sync, 1, (sync_dispatched_tokens, sync_langchain_tokens), ()),
    _scenario("async", "a token", Async, 8, _TOKENS, _HALF),
    _scenario("sync", "a token (sync method)", Sync, 8, _TOKENS, _HALF),
)
