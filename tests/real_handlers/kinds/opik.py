"""Opik's tracer, posting to a server on loopback."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

from real_handlers.provider import Recorder, recorder
from real_handlers.subject import Entries, Subject, tree

__all__ = ["opik"]


@cache
def _opik_server() -> Recorder:
    """One server for all: Opik keeps the client that it has made first."""
    stack = ExitStack()
    atexit.register(stack.close)
    server = stack.enter_context(recorder())
    os.environ |= {"OPIK_URL_OVERRIDE": f"{server.url}/api", "OPIK_API_KEY": "none", "OPIK_WORKSPACE": "w"}
    return server


@contextmanager
def opik() -> Iterator[Subject]:
    """Opik's tracer, posting to a server on loopback."""
    server = _opik_server()
    import opik as client
    from opik.integrations.langchain import OpikTracer

    server.requests.clear()
    tracer = OpikTracer()

    def record() -> Entries:
        tracer.flush()
        client.flush_tracker()
        spans: dict[str, dict[str, Any]] = {}
        for _, path, body in sorted(server.requests, key=lambda request: request[0] == "PATCH"):  # they come in any order
            if path.split("/")[-2:] == ["spans", "batch"] or "/spans" in path:
                for span in body.get("spans", [body]):
                    known = spans.setdefault(span.get("id") or path.rsplit("/", 1)[-1], {})
                    told = {name: value for name, value in span.items() if value is not None}
                    if known.get("type", "general") != "general":
                        told.pop("type", None)  # an update that comes late says "general"
                    known |= told
        nodes = {key: (span.get("parent_span_id"), span.get("name", "")) for key, span in spans.items()}
        shown = ("type", "input", "output", "metadata", "model", "provider", "usage", "error_info", "tags")
        return tree(nodes, {key: {name: span.get(name) for name in shown} for key, span in spans.items()})

    yield Subject(tracer, record)
