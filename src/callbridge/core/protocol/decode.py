"""`ProtocolToEvents`: protocol events of version 3 in, v2 events out.

It accepts events that are live, recorded, or from `langgraph-sdk`: envelopes, with or without the metadata beside the data, and
the bare message events of a model's own stream.

| channel | makes |
|---|---|
| `messages` | start, chunks and end of a chat model; its error, which is an extended event |
| `tools` | start, chunks, end and error of a tool |
| `lifecycle` | start and end of a subgraph; its error, which is an extended event |
| `values` | the first one makes the root's start; the last one is its output, reported at the end |

If nothing says that a model or tool is in a graph, as in a model's own stream, it is a root itself.

The translator fills in what version 3 leaves out: an empty list for a model's messages, a stand-in for each missing name, and
for an id that is not a UUID always the same UUID (D9). A run's parents are the graphs around it. Source: as in `encode`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID, uuid5

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

from callbridge.core.arguments import check_flag
from callbridge.core.calls import Payload
from callbridge.core.protocol.envelope import Opened, check_namespace, is_answer, opened
from callbridge.core.protocol.from_chunks import message_events
from callbridge.core.protocol.table import CHANNELS, MESSAGE_EVENTS, RUN_PREFIX, TOOL_EVENTS
from callbridge.core.protocol.to_chunks import MessageToChunks
from callbridge.core.protocol.whole import plain_message
from callbridge.errors import CallbridgeError, EventFormatError, EventSequenceError, RemoteError

if TYPE_CHECKING:
    from callbridge.events import Event

__all__ = ["ProtocolToEvents"]

_NAMESPACE: Final = UUID("5b9b4e52-93b1-4c6c-8a3e-0c1f6f7c2d10")
"""Namespace for the UUIDs of whatever has no UUID of its own. It is fixed, so a recording gives the same events each time."""

_TOOL_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {**{told: name for name, told in TOOL_EVENTS.items()}, "tool-output-delta": "on_tool_stream"}
)
"""The v2 event, by the event of the channel `tools`."""


class _Run:
    """An open run."""

    __slots__ = ("fields", "input", "message", "namespace", "node")

    def __init__(self, fields: dict[str, Any], namespace: tuple[str, ...], node: Payload = None, blocks: bool = False) -> None:
        self.fields = fields  # shared by all its events; their `name` is empty if it makes none
        self.namespace = namespace
        self.node = node
        self.message = MessageToChunks(blocks=blocks, strict=True)
        self.input: Payload = None


class ProtocolToEvents:
    """Translate protocol events into v2 events.

    Args:
        blocks: If true, the content of messages is made of blocks, as in version 3. If false, text is a `str`, as v2 code
            expects, and other content is made of blocks.

    Threads: one at a time.

    Example:
        ```python
        there, back = callbridge.EventsToProtocol(), callbridge.ProtocolToEvents()
        for event in callbridge.stream_events(chain, {"drink": "tea"}):
            for told in there.feed(event):
                for event in back.feed(told):
                    if event["event"] == "on_chat_model_end":
                        print(event["data"]["output"].text)
        #> With hot water.
        ```
    """

    def __init__(self, *, blocks: bool = False) -> None:
        check_flag("blocks", blocks)
        self._blocks = blocks
        self._root: _Run | None = None
        self._name = "LangGraph"  # the root's
        self._graphs: dict[tuple[str, ...], _Run] = {}  # open subgraphs
        self._values: dict[tuple[str, ...], Payload] = {}  # the last state of each graph; removed at its end
        self._messages: dict[str, _Run] = {}  # open, by run id
        self._tools: dict[str, _Run] = {}  # open, by the id of the call
        self._seen = 0  # how many messages had no id
        self.skipped = 0
        """How many events were skipped, because their channel, name or type has no counterpart."""

    def feed(self, event: Mapping[str, Any]) -> list[Event]:
        """Translate one protocol event.

        Args:
            event: An envelope, or a message event. It is not written to.

        Returns:
            The v2 events it makes, in order.

        Raises:
            EventFormatError: It is neither of these, or its data does not fit its name.
            EventSequenceError: It belongs to a message, block or tool call that has not begun, or begins one that is open, or
                does not say to which of several messages it belongs. Nothing has changed.
        """
        if not isinstance(event, Mapping):
            raise EventFormatError(event, f"{type(event).__name__} is not a mapping", kind="protocol")
        if is_answer(event):
            self.skipped += 1
            return []
        told = opened(event)
        if told.method not in CHANNELS:
            self.skipped += 1
            return []
        root = self._root
        if root is None and _is_call(told):
            self._name = str(told.data.get("graph_name") or self._name)
            return []
        begun = [] if root is not None or _is_alone(told) else self._begin_root(told, event)
        try:
            return cast("list[Event]", [*begun, *self._made(told, event)])
        except CallbridgeError:
            self._root = root
            raise
        except (AttributeError, LookupError, TypeError, ValueError) as error:  # the data does not fit the name
            self._root = root
            raise EventFormatError(event, f"{type(error).__name__}: {error}", kind="protocol") from error

    def close(self, error: BaseException | None = None) -> list[Event]:
        """Note that the stream has ended. A graph's run ends with its last state, if nothing in it is open.

        Args:
            error: The error that ended the stream, if there was one. Then nothing ends here.
        """
        root, self._root = self._root, None
        if root is None or error is not None or self._messages or self._tools or self._graphs:
            return []
        return cast("list[Event]", [_event("on_chain_end", root, {"output": self._values.get(())})])

    def _made(self, told: Opened, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        if told.method == "messages":
            return self._message(told, event)
        if told.method == "tools":
            return self._tool(told, event)
        if told.method == "lifecycle":
            return self._lifecycle(told, event)
        self._values[told.namespace] = told.data
        return []

    # -- graphs -------------------------------------------------------------------------------------------------------

    def _begin_root(self, told: Opened, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        is_root = told.method == "values" and not told.namespace
        run_id = told.metadata.get("run_id") if is_root else None
        fields = {"name": self._name, "run_id": str(run_id or _root_id(event)), "tags": [], "metadata": {}, "parent_ids": []}
        self._root = _Run(fields, ())
        return [_event("on_chain_start", self._root, {"input": told.data} if is_root else {})]

    def _lifecycle(self, told: Opened, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        data = _mapping(told, event)
        graph = check_namespace(event, data.get("namespace", told.namespace))
        name = data.get("event")
        if name in ("started", "running"):
            if graph in self._graphs or not graph:
                return []
            fields = self._fields(str(data.get("graph_name") or graph[-1].partition(":")[0]), _id(*graph), graph[:-1])
            fields["metadata"] = {"langgraph_checkpoint_ns": "|".join(graph) + "|"}
            run = self._graphs[graph] = _Run(fields, graph)
            return [_event("on_chain_start", run, {})]
        run_or_none = self._graphs.pop(graph, None) if graph else self._root
        if run_or_none is None or name not in ("completed", "failed", "interrupted"):
            self.skipped += 1
            return []
        if not graph:
            self._root = None
        output = self._values.pop(graph, None)
        if name == "completed":
            return [_event("on_chain_end", run_or_none, {"output": output})]
        status = "interrupted" if name == "interrupted" else "failed"
        error = {"error": RemoteError(data.get("error") or name), "input": None, "status": status}
        return [_event("on_chain_error", run_or_none, error)]

    def _fields(self, name: str, run_id: str, namespace: tuple[str, ...]) -> dict[str, Any]:
        graphs = [self._graphs.get(namespace[:length]) for length in range(1, len(namespace) + 1)]
        parents = [run for run in (self._root, *graphs) if run is not None]
        return {
            "name": name,
            "run_id": run_id,
            "tags": [],
            "metadata": {},
            "parent_ids": [run.fields["run_id"] for run in parents],
        }

    # -- messages -----------------------------------------------------------------------------------------------------

    def _message(self, told: Opened, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        if isinstance(told.data, BaseMessage):
            return self._whole_message(told, told.data)
        data = _mapping(told, event)
        name = data.get("event")
        if name not in MESSAGE_EVENTS:
            self.skipped += 1
            return []
        if name == "message-start":
            return self._start_message(told, data)
        run = self._run_of(told, data)
        chunks: list[AIMessageChunk] = []
        if name == "error":
            self._messages.pop(run.fields["run_id"])
            error = {"error": RemoteError(data.get("message") or "unknown error"), "input": _asked(), "status": "failed"}
            return [_event("on_chat_model_error", run, error)]
        before = run.message.skipped
        chunks = run.message.feed(data)
        self.skipped += run.message.skipped - before
        made = [_event("on_chat_model_stream", run, {"chunk": chunk}) for chunk in chunks]
        if run.message.finished:
            self._messages.pop(run.fields["run_id"])
            made.append(self._end_message(run, run.message.message()))
        return made if run.fields["name"] else []

    def _start_message(self, told: Opened, data: Mapping[str, Any]) -> list[dict[str, Any]]:
        run = self._new_message(told, str(data.get("id") or data.get("message_id") or ""))
        if run.fields["run_id"] in self._messages:
            raise EventSequenceError(
                "message-start", run.fields["run_id"], "the message has begun already; expected its end first"
            )
        run.message.feed(data)
        self._messages[run.fields["run_id"]] = run
        if data.get("role") not in (None, "ai", "assistant"):
            run.fields["name"] = ""  # no model wrote it
            return []
        return [_event("on_chat_model_start", run, {"input": _asked()})]

    def _new_message(self, told: Opened, message_id: str) -> _Run:
        run_id = told.metadata.get("run_id")
        if run_id is None:
            run_id = message_id.removeprefix(RUN_PREFIX) if message_id.startswith(RUN_PREFIX) else None
        if run_id is None:
            self._seen += not message_id
            run_id = _id("message", *told.namespace, message_id or str(self._seen))
        fields = self._fields("ChatModel", str(run_id), told.namespace)
        fields["metadata"] = _metadata(told)
        return _Run(fields, told.namespace, fields["metadata"].get("langgraph_node"), self._blocks)

    def _whole_message(self, told: Opened, message: BaseMessage) -> list[dict[str, Any]]:
        """Make the events of a message that came whole, if a model wrote it and not the graph's own code."""
        if not isinstance(message, AIMessage) or not str(message.id).startswith(RUN_PREFIX):
            self.skipped += 1
            return []
        run = self._new_message(told, str(message.id))
        for one in message_events(message):
            run.message.feed(one)
        return [_event("on_chat_model_start", run, {"input": _asked()}), self._end_message(run, run.message.message())]

    def _end_message(self, run: _Run, message: AIMessage) -> dict[str, Any]:
        output = message if self._blocks else plain_message(message)
        asked = {"input": _asked()} if run.fields["parent_ids"] else {}
        return _event("on_chat_model_end", run, {"output": output, **asked})

    def _run_of(self, told: Opened, data: Mapping[str, Any]) -> _Run:
        """Return the open message that an event belongs to."""
        run_id, node = told.metadata.get("run_id"), _node(told)
        if run_id is not None:
            found = [self._messages[str(run_id)]] if str(run_id) in self._messages else []
        else:
            found = [
                run
                for run in self._messages.values()
                if run.namespace == told.namespace and (node is None or run.node in (None, node))
            ]
        if len(found) != 1:
            where = f"in namespace {list(told.namespace)!r}" if run_id is None else "of this run"
            problem = f"{len(found) or 'no'} messages are open {where}; expected one, or its run_id in the metadata"
            raise EventSequenceError(str(data.get("event")), str(run_id or data.get("id") or ""), problem)
        return found[0]

    # -- tools --------------------------------------------------------------------------------------------------------

    def _tool(self, told: Opened, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        data = _mapping(told, event)
        name = _TOOL_NAMES.get(str(data.get("event")))
        if name is None:
            self.skipped += 1
            return []
        call_id = data.get("tool_call_id")
        if not isinstance(call_id, str):
            raise EventFormatError(event, "it has no tool_call_id", kind="protocol")
        if (name == "on_tool_start") == (call_id in self._tools):
            problem = "it has started already" if call_id in self._tools else "it never started; expected tool-started first"
            raise EventSequenceError(str(data["event"]), call_id, problem)
        if name == "on_tool_start":
            run_id = told.metadata.get("run_id") or _id("tool", *told.namespace, call_id)
            fields = self._fields(str(data.get("tool_name") or "tool"), str(run_id), told.namespace)
            fields["metadata"] = _metadata(told)
            run = self._tools[call_id] = _Run(fields, told.namespace)
            run.input = data.get("input")
            return [_event(name, run, {"input": run.input, "tool_call_id": call_id})]
        if name == "on_tool_stream":
            return [_event(name, self._tools[call_id], {"chunk": data.get("delta")})]
        run = self._tools.pop(call_id)
        more: dict[str, Any] = {"output": data.get("output")}
        if name == "on_tool_error":
            more = {"error": RemoteError(data.get("message") or "unknown error"), "status": "failed"}
        return [_event(name, run, {**more, "input": run.input, "tool_call_id": call_id})]


# -- helpers ----------------------------------------------------------------------------------------------------------


def _event(name: str, run: _Run, data: dict[str, Any]) -> dict[str, Any]:
    fields = run.fields
    return {
        "event": name,
        "name": fields["name"],
        "run_id": fields["run_id"],
        "tags": list(fields["tags"]),
        "metadata": dict(fields["metadata"]),
        "parent_ids": list(fields["parent_ids"]),
        "data": data,
    }


def _id(*parts: str) -> str:
    return str(uuid5(_NAMESPACE, "|".join(parts)))


def _root_id(event: Mapping[str, Any]) -> str:
    """Return an id for a root without one: from the first event and its time, so that no two runs get the same."""
    when = event.get("params", {}).get("timestamp")
    return _id("root", *(str(one) for one in (event.get("event_id"), when) if one))


def _asked() -> dict[str, Any]:
    """Return the input of a model. Its messages are unknown, but readers rely on the shape."""
    return {"messages": [[]]}


def _mapping(told: Opened, event: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(told.data, Mapping):
        raise EventFormatError(event, f"data is {type(told.data).__name__}, not an event of {told.method}", kind="protocol")
    return told.data


def _is_alone(told: Opened) -> bool:
    """Return whether nothing says that an event's model or tool runs in a graph. Then it is a root itself."""
    return told.method in ("messages", "tools") and not told.namespace and _node(told) is None


def _is_call(told: Opened) -> bool:
    """Return whether an event says that the root was called. Servers send this first, and the input next."""
    if told.method != "lifecycle" or told.namespace or not isinstance(told.data, Mapping) or told.data.get("namespace"):
        return False
    return told.data.get("event") in ("started", "running")


def _node(told: Opened) -> Payload:
    return told.metadata.get("langgraph_node") or told.metadata.get("node")


def _metadata(told: Opened) -> dict[str, Any]:
    """Return a run's metadata, with LangGraph's names for its place added."""
    metadata = {key: value for key, value in told.metadata.items() if key not in ("run_id", "node")}
    node = _node(told)
    if node is not None:
        metadata["langgraph_node"] = node
    if told.namespace or node is not None:
        metadata.setdefault("langgraph_checkpoint_ns", "|".join([*told.namespace, str(node or "")]))
    return metadata
