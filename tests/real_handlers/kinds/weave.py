"""Weave's tracer, its client posting to a server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from real_handlers.provider import recorder
from real_handlers.subject import Entries, Subject, tree

__all__ = ["weave"]

_MINE = ("id", "name", "start_time", "end_time", "parent_run_id")
"""What an output says of the run itself, that differs from one time to the next, or is where it stands."""


@contextmanager
def weave() -> Iterator[Subject]:
    """Weave's tracer, with a client as `weave.init` makes it."""
    from weave.integrations.langchain.langchain import WeaveTracer
    from weave.trace.context import weave_client_context
    from weave.trace.weave_client import WeaveClient
    from weave.trace_server_bindings.remote_http_trace_server import RemoteHTTPTraceServer

    with recorder({"digest": "none"}) as server:
        client = WeaveClient("entity", "runs", RemoteHTTPTraceServer(server.url), ensure_project_exists=False)
        weave_client_context.set_weave_client_global(client)

        def record() -> Entries:
            client.flush()
            return _calls(server.requests)

        yield Subject(WeaveTracer(), record)
        client.finish()
        weave_client_context.set_weave_client_global(None)


def _calls(requests: list[tuple[str, str, Any]]) -> Entries:
    calls: dict[str, dict[str, Any]] = {}
    for _, path, body in requests:
        phase = path.rpartition("/")[2]
        if path.startswith("/call/") and phase in ("start", "end"):
            calls.setdefault(body[phase]["id"], {}).update({f"{phase} {name}": value for name, value in body[phase].items()})
    nodes = {key: (call.get("start parent_id"), call.get("start display_name", "")) for key, call in calls.items()}
    return tree(nodes, {key: _told(call) for key, call in calls.items()})


def _told(call: dict[str, Any]) -> dict[str, Any]:
    output = call.get("end output")
    if isinstance(output, dict):
        output = {name: value for name, value in output.items() if name not in _MINE}
    summary = {name: value for name, value in (call.get("end summary") or {}).items() if name != "weave"}
    named = {"inputs": "start inputs", "attributes": "start attributes", "exception": "end exception"}
    return {"output": output, "summary": summary, **{name: call.get(key) for name, key in named.items()}}
