"""Handlers of LangChain itself and of its community."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from real_handlers.comparing import masked
from real_handlers.provider import recorder
from real_handlers.subject import Entries, Subject, tree

__all__ = ["cost", "langsmith", "stdout", "usage"]


@contextmanager
def langsmith() -> Iterator[Subject]:
    """LangChain's tracer, posting to a server on loopback."""
    from langchain_core.tracers import LangChainTracer
    from langsmith import Client

    with recorder() as server:
        client = Client(api_url=server.url, api_key="none", auto_batch_tracing=False)
        tracer = LangChainTracer(client=client, project_name="runs")

        def record() -> Entries:
            runs: dict[str, dict[str, Any]] = {}
            for method, path, body in server.requests:
                if path.startswith("/runs") and isinstance(body, dict):
                    key = str(body.get("id") or path.rsplit("/", 1)[-1])
                    if method == "PATCH":
                        body = {key: value for key, value in body.items() if value is not None}
                    runs.setdefault(key, {}).update(body)
            nodes = {key: (run.get("parent_run_id"), run.get("name", "")) for key, run in runs.items()}
            told = ("run_type", "inputs", "outputs", "error", "tags", "extra", "serialized", "events")
            return tree(nodes, {key: {name: run.get(name) for name in told} for key, run in runs.items()})

        yield Subject(tracer, record)
        client.cleanup()


@contextmanager
def cost() -> Iterator[Subject]:
    """The counter behind `get_openai_callback`."""
    from langchain_community.callbacks.openai_info import OpenAICallbackHandler

    handler = OpenAICallbackHandler()
    counted = ("total_tokens", "prompt_tokens", "prompt_tokens_cached", "completion_tokens", "reasoning_tokens")
    names = (*counted, "successful_requests", "total_cost")
    yield Subject(handler, lambda: [{"path": (), **{name: getattr(handler, name, None) for name in names}}])


@contextmanager
def stdout() -> Iterator[Subject]:
    """LangChain's printer; each line is an entry of its own."""
    from langchain_core.callbacks import StdOutCallbackHandler

    printed = io.StringIO()
    with redirect_stdout(printed):
        yield Subject(
            StdOutCallbackHandler(), lambda: [{"path": (repr(masked(line)),)} for line in printed.getvalue().splitlines()]
        )


@contextmanager
def usage() -> Iterator[Subject]:
    """LangChain's counter of usage."""
    from langchain_core.callbacks import UsageMetadataCallbackHandler

    handler = UsageMetadataCallbackHandler()
    yield Subject(handler, lambda: [{"path": (), "usage": handler.usage_metadata}])
