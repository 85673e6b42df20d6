"""`EventsToProtocol`: v2 events in, protocol events of version 3 out.

Each is an envelope in the wire format, so you can send it as it is:

| channel | made from |
|---|---|
| `messages` | chunks and ends of chat models and string models; errors (extended) |
| `tools` | starts, chunks, ends and errors of tools |
| `lifecycle` | the first event and the end of a subgraph; the root's error (extended) |
| `values` | input and output of a root that is a chain or a graph |

Besides the fields of LangGraph's own envelopes, `params` have `run_id`, and `node` if LangGraph reports it. Without these,
messages that are open at the same time could not be told apart. If a node streams by itself, LangGraph sends one whole message;
here are its tokens. Only extended events have the `tool_call_id` at a tool's start. Without it, the run's id stands in (D23).

Source: `langgraph/stream/_types.py`, `transformers.py` (1.2.0 to 1.2.24).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

from callbridge.core.calls import Payload
from callbridge.core.protocol.envelope import namespace_of
from callbridge.core.protocol.from_chunks import ChunksToMessage, message_events
from callbridge.core.protocol.table import LIFECYCLE_ENDS, RUN_PREFIX, TOOL_EVENTS
from callbridge.core.revive import revive_message
from callbridge.core.status import status_of
from callbridge.core.text import chunk_text, output_text
from callbridge.events import check_event, is_event

__all__ = ["EventsToProtocol"]


class _Run:
    """The facts of an open run that matter here."""

    __slots__ = ("message", "namespace", "place", "tool_call_id")

    def __init__(self, place: str, namespace: tuple[str, ...]) -> None:
        self.place = place  # LangGraph's name for the task that it belongs to
        self.namespace = namespace
        self.message: ChunksToMessage | None = None
        self.tool_call_id = ""


class EventsToProtocol:
    """Translate v2 events of any number of runs into protocol events.

    Args:
        clock: Returns the `timestamp` of an event, in milliseconds. Without a clock the timestamp is 0.
        snapshots: If true, each event has the arguments of a call so far, as readers before langchain-core 1.7 expect them.

    Threads: one at a time.

    Example:
        ```python
        convert = callbridge.EventsToProtocol()
        events = callbridge.stream_events(chain, {"drink": "tea"})
        methods = {told["method"] for event in events for told in convert.feed(event)}
        print("messages" in methods)
        #> True
        ```
    """

    def __init__(self, *, clock: Callable[[], int] | None = None, snapshots: bool = False) -> None:
        self._clock = clock
        self._snapshots = snapshots
        self._seq = 0
        self._runs: dict[str, _Run] = {}  # open; an entry is removed at the end of its run or root
        self._families: dict[str, list[str]] = {}  # the runs of each root
        self._graphs: dict[tuple[str, tuple[str, ...]], str] = {}  # the run of each open subgraph, by root
        self.skipped = 0
        """How many events were skipped because they have no counterpart, such as those of prompts, parsers and retrievers."""

    def feed(self, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Translate one event.

        Args:
            event: An event of v2 or of the extended vocabulary, live or out of JSON. It is not written to.

        Returns:
            The protocol events it makes, in order. Most events of chains make none.

        Raises:
            EventFormatError: It is not an event.
        """
        checked: Mapping[str, Any] = event if is_event(event) else check_event(event)
        name, run_id = checked["event"], checked["run_id"]
        is_end = name.endswith(("_end", "_error"))
        begun = self._begin(checked)
        if is_end and not checked["parent_ids"]:
            begun += self._end_graphs(checked, None)
        made = [*begun, *self._made(checked, name)]
        if is_end:
            made += self._end_graphs(checked, run_id)
            self._forget(checked, run_id)
        if not made:
            self.skipped += 1
        return made

    def _made(self, event: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
        if name.startswith(("on_chat_model_", "on_llm_")):
            return self._message(event, name.rpartition("_")[2])
        if name.startswith("on_tool_"):
            return self._tool(event, name)
        if not event["parent_ids"] and name.startswith("on_chain_"):
            return self._root(event, name.rpartition("_")[2])
        return []

    # -- runs and graphs ----------------------------------------------------------------------------------------------

    def _begin(self, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Remember a run, and report the start of the subgraphs around it."""
        metadata, run_id = event["metadata"], event["run_id"]
        root = (event["parent_ids"] or [run_id])[0]
        if run_id not in self._runs and not event["event"].endswith(("_end", "_error")):
            self._runs[run_id] = _Run(str(metadata.get("langgraph_checkpoint_ns") or ""), namespace_of(metadata))
            self._families.setdefault(root, []).append(run_id)
        namespace = namespace_of(metadata)
        started: list[dict[str, Any]] = []
        for length in range(1, len(namespace) + 1):
            graph = namespace[:length]
            if (root, graph) not in self._graphs:
                self._graphs[root, graph] = self._owner(event, graph)
                name, _, task = graph[-1].partition(":")
                told = {"event": "started", "namespace": list(graph), "graph_name": name}
                started.append(
                    self._envelope("lifecycle", graph[:-1], told | ({"trigger_call_id": task} if task else {}), event)
                )
        return started

    def _owner(self, event: Mapping[str, Any], graph: tuple[str, ...]) -> str:
        """Return the run of a subgraph: the innermost run of the task that gave the subgraph its name."""
        if str(event["metadata"].get("langgraph_checkpoint_ns")).endswith("|"):
            return str(event["run_id"])  # made from an event of the subgraph's own lifecycle
        for run_id in reversed(event["parent_ids"]):
            run = self._runs.get(run_id)
            if run is not None and run.place.rstrip("|") == "|".join(graph):
                return str(run_id)
        return ""

    def _end_graphs(self, event: Mapping[str, Any], owner: str | None) -> list[dict[str, Any]]:
        """Report the end of the subgraph that a run was. Without `owner`, report all subgraphs of a root, innermost first."""
        ended: list[dict[str, Any]] = []
        root = (event["parent_ids"] or [event["run_id"]])[0]
        for of, graph in reversed(list(self._graphs)):
            if of == root and owner in (None, self._graphs[of, graph]):
                del self._graphs[of, graph]
                told: dict[str, Any] = {"event": "completed", "namespace": list(graph)}
                if event["event"].endswith("_error"):
                    told = {"event": _ending(event), "namespace": list(graph), "error": str(event["data"]["error"])}
                ended.append(self._envelope("lifecycle", graph[:-1], told, event))
        return ended

    def _forget(self, event: Mapping[str, Any], run_id: str) -> None:
        self._runs.pop(run_id, None)
        if not event["parent_ids"]:
            for one in self._families.pop(run_id, ()):
                self._runs.pop(one, None)

    def _root(self, event: Mapping[str, Any], phase: str) -> list[dict[str, Any]]:
        data = event["data"]
        if phase == "error":
            told = {"event": _ending(event), "namespace": [], "error": str(data["error"])}
            return [self._envelope("lifecycle", (), told, event)]
        key = {"start": "input", "end": "output"}.get(phase)
        return [self._envelope("values", (), data[key], event)] if key in data else []

    # -- messages -----------------------------------------------------------------------------------------------------

    def _message(self, event: Mapping[str, Any], phase: str) -> list[dict[str, Any]]:
        run = self._runs.get(event["run_id"])
        if run is None or phase == "start":
            return []
        data = event["data"]
        message_id = RUN_PREFIX + event["run_id"]
        if phase == "error":
            return [self._envelope("messages", run.namespace, {"event": "error", "message": str(data["error"])}, event)]
        told: list[dict[str, Any]]
        if phase == "stream":
            chunk = _chunk(data["chunk"])
            if chunk is None:
                return []
            if run.message is None:
                run.message = ChunksToMessage(message_id, snapshots=self._snapshots)
            told = run.message.feed(chunk)
        elif run.message is not None:
            told = run.message.finish()
        else:
            told = message_events(_whole(data["output"]), message_id)
        return [self._envelope("messages", run.namespace, one, event) for one in told]

    # -- tools --------------------------------------------------------------------------------------------------------

    def _tool(self, event: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
        run = self._runs.get(event["run_id"])
        if run is None:
            return []
        data = event["data"]
        run.tool_call_id = run.tool_call_id or data.get("tool_call_id") or _call_id(data.get("input")) or event["run_id"]
        told: dict[str, Any]
        if name == "on_tool_stream":
            if not isinstance(data["chunk"], str):
                return []
            told = {"event": "tool-output-delta", "tool_call_id": run.tool_call_id, "delta": data["chunk"]}
        else:
            told = {"event": TOOL_EVENTS[name], "tool_call_id": run.tool_call_id}
            if name == "on_tool_start":
                told |= {"tool_name": event["name"], "input": data.get("input")}
            else:
                told |= {"output": data["output"]} if name == "on_tool_end" else {"message": str(data["error"])}
        return [self._envelope("tools", run.namespace, told, event)]

    # -- envelopes ----------------------------------------------------------------------------------------------------

    def _envelope(self, method: str, namespace: tuple[str, ...], data: Payload, event: Mapping[str, Any]) -> dict[str, Any]:
        self._seq += 1
        params: dict[str, Any] = {
            "namespace": list(namespace),
            "timestamp": self._clock() if self._clock is not None else 0,
            "data": data,
            "run_id": event["run_id"],
        }
        node = event["metadata"].get("langgraph_node")
        if node is not None:
            params["node"] = node
        return {"type": "event", "seq": self._seq, "method": method, "params": params}


def _ending(event: Mapping[str, Any]) -> str:
    data = event["data"]
    return LIFECYCLE_ENDS[data.get("status") or status_of(data["error"])]


def _chunk(payload: Payload) -> AIMessageChunk | None:
    """Return a model's chunk as a message chunk; None for the whole output that a root yields if it does not stream."""
    if isinstance(payload, AIMessageChunk):
        return payload
    message = revive_message(payload)
    if isinstance(message, BaseMessage):
        return message if isinstance(message, AIMessageChunk) else None
    return AIMessageChunk(content=chunk_text(payload))


def _whole(output: Payload) -> Payload:
    """Return a model's output as a message. The output of a string model is a dict of generations."""
    message = revive_message(output)
    return message if isinstance(message, BaseMessage) else AIMessage(content=output_text(output))


def _call_id(given: Payload) -> str:
    """Return the id of a tool call, if a tool was called with one."""
    called = isinstance(given, Mapping) and given.get("type") == "tool_call"
    return str(given.get("id") or "") if called else ""
