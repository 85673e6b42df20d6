"""Braintrust's handler, its spans in the memory of its test logger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from real_handlers.subject import Entries, Subject, tree

__all__ = ["braintrust"]

_TIMES = ("start", "end", "time_to_first_token", "duration")


@contextmanager
def braintrust() -> Iterator[Subject]:
    """Braintrust's handler, its spans in the memory of its test logger."""
    from braintrust import logger
    from braintrust.integrations.langchain import BraintrustCallbackHandler
    from braintrust.test_helpers import init_test_logger

    init_test_logger("runs")
    logger._state._override_bg_logger = SimpleNamespace()  # for all threads: handlers of async runs are called in others
    with logger._internal_with_memory_background_logger() as memory:

        def record() -> Entries:
            spans = {span["span_id"]: span for span in memory.pop()}
            nodes = {
                key: ((span.get("span_parents") or [None])[0], span["span_attributes"]["name"]) for key, span in spans.items()
            }
            entries = {}
            for key, span in spans.items():
                metrics = {name: value for name, value in (span.get("metrics") or {}).items() if name not in _TIMES}
                kind = (span.get("span_attributes") or {}).get("type")
                told = {name: span.get(name) for name in ("input", "output", "error", "metadata", "tags")}
                entries[key] = {**told, "metrics": metrics, "type": kind}
            return tree(nodes, entries)

        yield Subject(BraintrustCallbackHandler(), record)
