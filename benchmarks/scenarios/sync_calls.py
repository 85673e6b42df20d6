"""A legacy sync `invoke`, observed from sync code."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler

import callbridge
from benchmarks.scenario import OURS, TOKEN, Contender, Goal, Scenario, check
from benchmarks.scenarios.models import TOKEN as TEXT
from benchmarks.scenarios.models import LegacyModel

__all__ = ["SCENARIOS"]

TOKENS = 1000

_END = object()


class Nothing(BaseCallbackHandler):
    """Does nothing with each token."""

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        """Do nothing."""


class IntoQueue(BaseCallbackHandler):
    """What is written by hand: each token goes into a queue."""

    def __init__(self, tokens: queue.Queue[Any]) -> None:
        self._tokens = tokens

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        """Pass it on."""
        self._tokens.put(token)


def observed(model: LegacyModel) -> int:
    """`stream_call` and `for`."""
    with callbridge.stream_call(model.invoke, "tea") as stream:
        tokens = sum(event["event"] == "on_chat_model_stream" for event in stream)
    check("result", stream.result.content, TEXT * model.tokens)
    return tokens


def observed_text(model: LegacyModel) -> int:
    """`stream_call` and `for text in stream.text()`: what the hand-written queue gives."""
    with callbridge.stream_call(model.invoke, "tea") as stream:
        return sum(1 for _ in stream.text())


def with_nothing(model: LegacyModel) -> int:
    """`invoke` with a handler that does nothing; nobody reads."""
    answer = model.invoke("tea", {"callbacks": [Nothing()]})
    check("result", answer.content, TEXT * model.tokens)
    return model.tokens


def with_queue(model: LegacyModel) -> int:
    """`invoke` in a thread, with a handler that fills a bounded queue."""
    tokens: queue.Queue[Any] = queue.Queue(256)

    def work() -> None:
        try:
            model.invoke("tea", {"callbacks": [IntoQueue(tokens)]})
        finally:
            tokens.put(_END)

    thread = threading.Thread(target=work)
    thread.start()
    read = sum(1 for _ in iter(tokens.get, _END))
    thread.join()
    return read


def bare(model: LegacyModel) -> int:
    """`invoke` without any handler."""
    model.invoke("tea")
    return model.tokens


def run(way: Callable[[LegacyModel], int], items: int) -> float:
    """Return the seconds per token."""
    tokens = min(items, TOKENS)
    model = LegacyModel(tokens=tokens)
    runs = max(items // tokens, 1)
    began = perf_counter()
    for _ in range(runs):
        check("tokens read", way(model), tokens)
    return (perf_counter() - began) / (runs * tokens)


SCENARIOS = (
    Scenario(
        name="stream-call",
        title="a legacy sync invoke, observed",
        what="A model that reports its tokens to callbacks while it generates, invoked from sync code.",
        unit=TOKEN,
        contenders=(
            Contender(OURS, partial(run, observed), TOKENS * 4, "ours", quick=TOKENS),
            Contender("callbridge, text()", partial(run, observed_text), TOKENS * 4, quick=TOKENS),
            Contender("queue.Queue and a thread", partial(run, with_queue), TOKENS * 4, quick=TOKENS),
            Contender("invoke, do-nothing handler", partial(run, with_nothing), TOKENS * 4, "incumbent", quick=TOKENS),
            Contender("invoke, no handler", partial(run, bare), TOKENS * 4, "floor", quick=TOKENS),
        ),
        goals=(
            Goal("invoke, do-nothing handler", at_most=1.3),
            Goal("invoke, do-nothing handler", at_most=1.3, processor=True),
        ),
        rounds=15,
        processor=True,
    ),
)
