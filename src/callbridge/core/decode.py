"""`EventsToCalls`: v2 events in, callback calls out.

The translator handles each event as it arrives, because events hold live objects that the run goes on to change. It splits
arguments into positional and keyword ones as LangChain's callback managers do, and ids are UUIDs. It fills in what callbacks
have and events lack:

| argument | is |
|---|---|
| `serialized` | `{"name": name, "id": [name]}`, for models with `kwargs`; `{}` for a run without a name; never None |
| `name` of models and tools | None: LangChain passes a name only if the run was given one, and v2 does not tell |
| `invocation_params` | the settings that LangChain puts into the metadata; `options` is `{}`, `batch_size` 1 |
| `inputs` of a chain whose start shows none | `{"input": ""}`, as on LangChain's streaming path; its end has the inputs |
| `input_str` | the text of the arguments |
| `color` | `"green"`, LangChain's default for tools |
| `llm_output`, `generation_info`, `response` of a failed model | see `results` |

Extended events carry most of this, and the translator passes it on.

If the end of a run never comes (a fallback or retry rescued it, or it was cancelled), the run is still open when its parent
ends. The translator closes it just before, with its error callback, and ignores later events of it (D7 in
`docs/divergences.md`). If a token is a list of content blocks, handlers get the text in it (D4).

Source: `langchain_core/callbacks/manager.py`, `tools/base.py`, `retrievers.py`, `language_models/chat_models.py`, 0.3.0 to
1.8.1; the events are those of `_AstreamEventsCallbackHandler`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final, cast
from uuid import UUID, uuid5

from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import (
    GenerationChunk,
    LLMResult,
)

from callbridge.core.calls import Call, CallParts, Payload, Scope
from callbridge.core.check import EXTENDED_EVENT_NAMES, NOTES, completed, is_whole
from callbridge.core.chunks import chat_chunk
from callbridge.core.inputs import messages_of, prompts_of, query_of, tool_input_of
from callbridge.core.methods import METHODS
from callbridge.core.results import MANY, chat_result, documents, error_response, folded, generation_info_of, text_result
from callbridge.core.revive import (
    revive_agent_step,
    revive_error,
    revive_generation,
    revive_message,
    revive_tool_output,
)
from callbridge.core.runs import MISSING, UNNAMED, Run, RunTree
from callbridge.core.settings import settings_of
from callbridge.core.text import text_of
from callbridge.errors import EventFormatError, EventSequenceError, RunUnfinishedError

__all__ = ["EventsToCalls"]

_NAMESPACE: Final = UUID("6f0d5b5e-5d1f-4c55-9d0b-8f2f1c1f7a11")
"""Namespace for the UUIDs of run ids that are not UUIDs. It is fixed, so that a recording gives the same calls each time."""

_REMEMBERED: Final = 1024
"""How many runs of finished roots are remembered, so that their late events are known to be late: the garbage collector fires
callbacks after the root's end. This is a bound, not a tuning knob: an even later event counts as out of sequence."""

_FAMILIES: Final[Mapping[str, str]] = MappingProxyType(
    {"chat_model": "llm", "llm": "llm", "tool": "tool", "retriever": "retriever"}
)
"""The middle of the callbacks' names, by run type; `chain` for all other types."""

_NAMED_BY_CLASS: Final = frozenset({"chat_model", "llm", "tool"})
"""Run types for which LangChain passes the name only in `serialized`, unless the run was given a name."""

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class _Run(Run):
    """A run as the calls describe it, which may differ from the tree's view."""

    __slots__ = ("has_input", "ids", "ids_of_token", "members", "said", "scope", "source_id", "streamed")

    source_id: str  # the id as it is in the events
    ids: dict[str, Any]  # `run_id`, `parent_run_id`, `tags` of all its calls; filters may hide that parent
    ids_of_token: dict[str, Any]  # the same and `chunk`, for the keywords of its tokens
    has_input: bool  # whether the start showed an input
    members: list[str]  # for a root: source ids of all runs of its family, including its own
    said: list[Payload]  # for a model: its chunks so far, kept if a handler wants them should the model fail
    scope: Scope | None  # None when the run has ended
    streamed: bool  # whether a model has put out chunks


class EventsToCalls:
    """Translate the events of any number of runs into callback calls.

    Args:
        list_tokens: If true, a token whose content is a list of blocks is that list, as in LangChain. If false, it is the
            text in the list, and the blocks are in `chunk`.
        methods: The callback methods you want. Events that make calls only of others are not translated. `None` means all.

    Threads: one at a time.

    Example:
        ```python
        translate = callbridge.EventsToCalls()
        events = callbridge.stream_events(chain, {"drink": "tea"})
        methods = [call.method for event in events for call in translate.feed(event)]
        print(methods[:2])
        #> ['on_chain_start', 'on_chain_start']
        ```
    """

    def __init__(self, *, list_tokens: bool = False, methods: Collection[str] | None = None) -> None:
        self._list_tokens = list_tokens
        self._wanted = frozenset(METHODS if methods is None else methods)
        of_models = self._wanted & {"on_llm_new_token", "on_llm_end", "on_llm_error"}
        self._wants_no_model = not of_models
        self._wants_tokens_alone = of_models == {"on_llm_new_token"}
        self._tree = RunTree()
        self._runs: dict[str, _Run] = {}  # by source id, open and ended; an entry is removed with its root
        self._finished: deque[str] = deque(maxlen=_REMEMBERED)  # source ids of the last finished roots' runs
        self._open = 0
        self.root_output: Payload = MISSING
        """Output of the last root run that ended well."""

    @property
    def open_runs(self) -> int:
        """Runs that have started and not ended."""
        return self._open

    def feed(self, event: Mapping[str, Any]) -> list[Call]:
        """Translate one event.

        Args:
            event: An event, live or out of JSON. It is not written to.

        Returns:
            The calls it makes, in order. Chunks of chains, prompts, parsers, tools and retrievers make none.

        Raises:
            EventFormatError: It is not an event, or its payload does not fit its name.
            EventSequenceError: It belongs to a run that has not started, or starts a run that is open. Nothing has changed.
        """
        return [Call(*parts[:3]) for parts in self.feed_parts(event) if parts[0]]

    def feed_parts(self, event: Mapping[str, Any]) -> list[CallParts]:
        """Do what `feed` does, without making objects of the calls."""
        return self.whole_parts(event if is_whole(event) else completed(event))

    def whole_parts(self, event: Mapping[str, Any]) -> list[CallParts]:
        """Do what `feed_parts` does, for an event that is known to be complete."""
        name = event["event"]
        run_type, phase = _KINDS.get(name) or _kind(name)
        if phase == "stream":
            return self._stream(event, run_type)
        if phase == "start":
            return self._start(event, run_type)
        if phase == "note":
            return self._note(event)
        return self._end(event, run_type, phase)

    def close(self, error: BaseException | None = None) -> list[Call]:
        """Close all open runs with their error callbacks, innermost first.

        Args:
            error: The error that ended them, for every callback. None means a `RunUnfinishedError` for each run.

        Returns:
            One call for each open run. Late events of these runs are ignored afterwards.
        """
        return [Call(*parts[:3]) for parts in self.close_parts(error)]

    def close_parts(self, error: BaseException | None = None) -> list[CallParts]:
        """Do what `close` does, without making objects of the calls."""
        calls: list[CallParts] = []
        for run in self._tree.open_runs():
            calls += self._closed(cast("_Run", run), error)
        return calls

    # -- the life of a run --------------------------------------------------------------------------------------------

    def _start(self, event: Mapping[str, Any], run_type: str) -> list[CallParts]:
        source_id = event["run_id"]
        known = self._runs.get(source_id)
        if known is not None and known.open:
            raise EventSequenceError(event["event"], source_id, "it has started already; expected its end first")
        data: dict[str, Any] = event["data"]
        run = self._new_run(event, run_type, data)
        calls = self._start_call(run, data)
        self._tree.start(run)
        self._runs[source_id] = run
        cast("_Run", run.root).members.append(source_id)
        self._open += 1
        return calls or [("", (), {}, cast("Scope", run.scope))]

    def _new_run(self, event: Mapping[str, Any], run_type: str, data: dict[str, Any]) -> _Run:
        parent_ids = event["parent_ids"]
        parent = self._runs.get(parent_ids[-1]) if parent_ids else None
        # Filters may have hidden the parent. Then the run still ends with its nearest visible ancestor.
        ancestor = parent or next((self._runs[one] for one in reversed(parent_ids) if one in self._runs), None)
        run = _Run(
            _uuid(event["run_id"]),
            parent_run_id=None if ancestor is None else ancestor.run_id,
            run_type=run_type,
            name=event["name"],
            tags=list(event["tags"]),  # handlers may write to the list
            metadata=dict(event["metadata"]),
        )
        run.source_id = event["run_id"]
        parent_run_id = parent.run_id if parent else _uuid(parent_ids[-1]) if parent_ids else None
        run.ids = {"run_id": run.run_id, "parent_run_id": parent_run_id, "tags": run.tags}
        run.ids_of_token = {"chunk": None, **run.ids}
        run.has_input = "input" in data
        run.members = []
        run.tool_call_id = data.get("tool_call_id")
        run.said, run.streamed = [], False
        run.scope = Scope(_open_scope(ancestor))
        return run

    def _stream(self, event: Mapping[str, Any], run_type: str) -> list[CallParts]:
        run = self._runs.get(event["run_id"]) or self._running(event)
        if run is None or self._wants_no_model or (scope := run.scope) is None:
            return []
        data: dict[str, Any] = event["data"]
        payload: Payload = data["chunk"]
        if run_type != "chat_model":
            return self._text(event, run) if run_type == "llm" else []
        message = payload if isinstance(payload, AIMessageChunk) else _chat_chunk(event, payload)
        if message is None or not (self._wants_tokens_alone or self._note_said(run, message)):
            return []
        token: Payload = message.content
        if type(token) is not str and not self._list_tokens:
            token = text_of(token)
        info = generation_info_of(message, streamed=True) if message.response_metadata else None
        chunk = chat_chunk(message, data.get("generation_info", info))
        kwargs = run.ids_of_token.copy()
        kwargs["chunk"] = chunk
        return [("on_llm_new_token", (token,), kwargs, scope)]

    def _text(self, event: Mapping[str, Any], run: _Run) -> list[CallParts]:
        """Do what `_stream` does, for a completion model."""
        chunk = _text_chunk(event, event["data"]["chunk"])
        is_wanted = self._wants_tokens_alone or self._note_said(run, chunk)
        return [("on_llm_new_token", (chunk.text,), {"chunk": chunk, **run.ids}, _scope(run))] if is_wanted else []

    def _note_said(self, run: _Run, chunk: Payload) -> bool:
        """Remember a model's chunk for its end; return whether a handler wants the token now."""
        run.streamed = True
        if "on_llm_error" in self._wanted:
            run.said.append(chunk)
            if len(run.said) >= MANY:
                run.said = folded(run.said)
        return "on_llm_new_token" in self._wanted

    def _end(self, event: Mapping[str, Any], run_type: str, phase: str) -> list[CallParts]:
        run = self._running(event)
        if run is None:
            return []
        data: dict[str, Any] = event["data"]
        error: BaseException | None = None
        if phase == "error":
            error = revive_error(data["error"])
            run.tool_call_id = data.get("tool_call_id") or run.tool_call_id
            calls = self._error_call(run, error, data)
        else:
            calls = self._end_call(event, run, run_type, data)
        orphaned: list[CallParts] = []
        for orphan in self._tree.orphans(run):
            orphaned += self._closed(cast("_Run", orphan), error)
        if error is None and not event["parent_ids"]:
            self.root_output = _root_output(run_type, data["output"])
        self._leave(run)
        return orphaned + calls

    def _running(self, event: Mapping[str, Any]) -> _Run | None:
        """Return the open run that an event belongs to; None if the run has ended, so that the event is too late."""
        source_id = event["run_id"]
        run = self._runs.get(source_id)
        if run is not None:
            return run if run.open else None
        if source_id in self._finished:
            return None
        raise EventSequenceError(
            event["event"], source_id, "it never started; expected its start first: was the stream joined late or cut?"
        )

    def _closed(self, run: _Run, error: BaseException | None) -> list[CallParts]:
        """Close a run whose end was never reported."""
        calls = self._error_call(run, error)
        self._leave(run)
        return calls

    def _leave(self, run: _Run) -> None:
        self._tree.end(run)
        run.scope = None
        self._open -= 1
        if run.root is not run:
            return
        for source_id in run.members:
            self._runs.pop(source_id, None)
        self._finished += run.members

    # -- calls --------------------------------------------------------------------------------------------------------

    def _start_call(self, run: _Run, data: dict[str, Any]) -> list[CallParts]:
        method = _start_method(run.run_type)
        # A handler without `on_chat_model_start` gets `on_llm_start` instead.
        if method not in self._wanted and not (method == "on_chat_model_start" and "on_llm_start" in self._wanted):
            return []
        value = data.get("input", MISSING)
        # The class name of a run that was given another name. Without it, the name of a model or tool is its class name.
        component = data.get("component")
        own_name = component if isinstance(component, str) else run.name
        # For a run without a name LangChain passes None. Handlers treat an empty dict in the same way.
        serialized: dict[str, Any] = {} if own_name == UNNAMED else {"name": own_name, "id": [own_name]}
        kwargs = dict(run.ids)
        kwargs["metadata"] = run.metadata
        is_named = component is not None if run.run_type in _NAMED_BY_CLASS else run.name != UNNAMED
        kwargs["name"] = run.name if is_named else None
        subject: Payload
        if method == "on_tool_start":
            subject, told = self._tool_start(run, data)
            kwargs |= told
        elif method == "on_retriever_start":
            subject = query_of(value)
        elif method == "on_chain_start":
            subject = {"input": ""} if value is MISSING else value
            if run.run_type != "chain":
                kwargs["run_type"] = run.run_type
        else:
            subject = messages_of(value) if method == "on_chat_model_start" else prompts_of(value)
            settings = settings_of(run.metadata)
            if settings:
                serialized["kwargs"] = settings
            kwargs |= {"invocation_params": settings, "options": {}, "batch_size": 1}
        return [(method, (serialized, subject), kwargs, _scope(run))]

    def _tool_start(self, run: _Run, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return a tool's input as text, and the keyword arguments of its start."""
        value = data.get("input", MISSING)
        text, inputs, tool_call_id = tool_input_of(value)
        run.tool_call_id = run.tool_call_id or tool_call_id
        if isinstance(data.get("input_str"), str):
            text, inputs = data["input_str"], inputs or None
        return text, {"inputs": inputs, "color": "green"} | _tool_call_id(run) | _told(data)

    def _end_call(self, event: Mapping[str, Any], run: _Run, run_type: str, data: dict[str, Any]) -> list[CallParts]:
        method = f"on_{_FAMILIES.get(run_type, 'chain')}_end"
        if method not in self._wanted:
            return []
        output = data["output"]
        kwargs = dict(run.ids)
        if method == "on_llm_end":
            output = chat_result(event, streamed=run.streamed) if run_type == "chat_model" else text_result(event)
        elif method == "on_tool_end":
            output = revive_tool_output(output)
            kwargs |= {"color": "green", "name": run.name} | _told(data)
        elif method == "on_retriever_end":
            output = documents(output)
        elif not run.has_input and "input" in data:
            kwargs["inputs"] = data["input"]
        return [(method, (output,), kwargs, _scope(run))]

    def _error_call(self, run: _Run, error: BaseException | None, data: Mapping[str, Any] = _NOTHING) -> list[CallParts]:
        """Make the error callback of a run.

        Args:
            run: The run.
            error: The error that ended it; None if it is not known.
            data: The data of the error event, if there is one.
        """
        method = f"on_{_FAMILIES.get(run.run_type, 'chain')}_error"
        if method not in self._wanted:
            return []
        kwargs = dict(run.ids)
        if method == "on_tool_error":
            kwargs |= _tool_call_id(run)
        elif method == "on_llm_error":
            told = data.get("response")
            kwargs["response"] = told if isinstance(told, LLMResult) else error_response(run.run_type, run.said, error)
        elif method == "on_chain_error" and data.get("input") is not None and not run.has_input:
            kwargs["inputs"] = data["input"]
        cause = RunUnfinishedError(run.source_id, run.name) if error is None else error
        return [(method, (cause,), kwargs, _scope(run))]

    def _note(self, event: Mapping[str, Any]) -> list[CallParts]:
        method = event["event"]
        if method not in self._wanted:
            return []
        if method == "on_custom_event":
            # Filters may hide the run that dispatched it.
            kwargs = {
                "run_id": _uuid(event["run_id"]),
                "tags": list(event["tags"]),
                "metadata": dict(event["metadata"]),
            }
            return [(method, (event["name"], event["data"]), kwargs, self._scope_of(event))]
        run = self._runs.get(event["run_id"])
        if run is not None and not run.open:
            return []
        data: dict[str, Any] = dict(event["data"])
        subject = data.pop(NOTES[method])
        if method in ("on_agent_action", "on_agent_finish"):
            subject = revive_agent_step(subject)
        parent_ids = event["parent_ids"]
        ids = {
            "run_id": _uuid(event["run_id"]),
            "parent_run_id": _uuid(parent_ids[-1]) if parent_ids else None,
            "tags": list(event["tags"]),
        }
        return [(method, (subject,), ids | data, self._scope_of(event))]

    def _scope_of(self, event: Mapping[str, Any]) -> Scope:
        """Return the scope of the run that a note belongs to; if filters hide that, one below its nearest known ancestor."""
        run = self._runs.get(event["run_id"])
        if run is not None and run.scope is not None:
            return run.scope
        known = (self._runs[one] for one in reversed(event["parent_ids"]) if one in self._runs)
        return Scope(_open_scope(run or next(known, None)))


# -- names and ids ----------------------------------------------------------------------------------------------------


def _kind(name: str) -> tuple[str, str]:
    """Return the run type and the phase in an event's name."""
    if name == "on_custom_event" or name in NOTES:
        return "", "note"
    run_type, _, phase = name[3:].rpartition("_")
    return run_type, phase


_KINDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({name: _kind(name) for name in EXTENDED_EVENT_NAMES})
"""The result for each name that LangChain itself uses."""


def _scope(run: _Run) -> Scope:
    scope = run.scope
    assert scope is not None, run
    return scope


def _open_scope(run: _Run | None) -> Scope | None:
    """Return the scope of a run, or of its nearest open ancestor."""
    while run is not None and run.scope is None:
        run = cast("_Run | None", run.parent)
    return None if run is None else run.scope


def _start_method(run_type: str) -> str:
    return "on_chat_model_start" if run_type == "chat_model" else f"on_{_FAMILIES.get(run_type, 'chain')}_start"


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return uuid5(_NAMESPACE, text)


def _told(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments that an extended event carries."""
    told = data.get("kwargs")
    return dict(told) if isinstance(told, dict) else {}


def _tool_call_id(run: _Run) -> dict[str, str]:
    return {} if run.tool_call_id is None else {"tool_call_id": run.tool_call_id}


# -- payloads ---------------------------------------------------------------------------------------------------------


def _chat_chunk(event: Mapping[str, Any], payload: Payload) -> AIMessageChunk | None:
    """Return a chat model's chunk; None for a whole message, from a root that does not stream: its handlers get no token."""
    message = revive_message(payload)
    if isinstance(message, str):
        return AIMessageChunk(content=message)
    if not isinstance(message, BaseMessage):
        raise EventFormatError(event, f"its chunk is {type(payload).__name__}, not a message")
    return message if isinstance(message, AIMessageChunk) else None


def _text_chunk(event: Mapping[str, Any], payload: Payload) -> GenerationChunk:
    if isinstance(payload, str):
        return GenerationChunk(text=payload)
    chunk = revive_generation(payload, chunk=True)
    if not isinstance(chunk, GenerationChunk):
        raise EventFormatError(event, f"its chunk is {type(payload).__name__}, neither GenerationChunk nor str")
    return chunk


def _root_output(run_type: str, output: Payload) -> Payload:
    """Return what a root's caller would have received."""
    if run_type == "chat_model":
        return revive_message(output)
    if run_type == "tool":
        return revive_tool_output(output)
    return documents(output) if run_type == "retriever" else output
