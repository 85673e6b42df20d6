"""`CallsToEvents`: callback calls in, v2 events out.

The strict vocabulary is that of `astream_events(version="v2")`, bug for bug. Deliberate divergences (numbers as in
`docs/divergences.md`): a model run whose start was never reported is started from its first token or end (D1); a payload
whose comparison or truth value raises loses no event (D2); the root rule never writes to a custom event's payload (D3).

Under `version="v3"` models report events of the content-block protocol, and some report tokens as well. The first source that
reports content of a run is the only one used for it. LangChain's own v2 stream shows nothing of a model that reports no tokens
(D19).

The extended vocabulary adds what v2 drops: errors of every run type with their status, agent actions, text, retries and the
tool call's id. A run that is still open when its parent ends also gets a terminal event, so that each start has one.

Source: `_AstreamEventsCallbackHandler` and `_astream_events_implementation_v2`
(`langchain_core/tracers/event_stream.py`, 0.3.0 to 1.8.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, GenerationChunk

from callbridge import compat
from callbridge.core.arguments import check_flag
from callbridge.core.calls import Call, Payload
from callbridge.core.filters import EventFilter, Filters
from callbridge.core.methods import METHODS
from callbridge.core.protocol.to_chunks import MessageToChunks
from callbridge.core.results import generation_info_of
from callbridge.core.runs import MISSING, UNNAMED, Run, RunTree
from callbridge.core.status import status_of
from callbridge.errors import CallFormatError, RunUnfinishedError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from callbridge.events import Event

__all__ = ["CallsToEvents"]

_ON_EVENTS: Final = frozenset({"metadata", "parent_run_id", "run_id", "tags", "tool_call_id"})
"""Keyword arguments of callbacks that have a place in the fields of all events, or in their own event."""


class CallsToEvents:
    """Translate the callback calls of any number of runs into v2 events.

    For each callback method this class has a method of the same name. It takes the same arguments and returns the events, so
    the hot path needs no `Call`. `feed` does the same for calls as data.

    Args:
        extended: If true, events of the extended vocabulary are made as well.
        root_input: The input of the root runnable. If given, the first event that passes the filters shows it as its
            input, and the end of that run shows none, as in `astream_events`.
        linger: If true, descendants of a root that has ended are still translated when they report late, as in
            `astream_events`. If false, they are forgotten, so that a long-lived translator stays small.
        blocks: If true, chunks that are made of protocol events are lists of content blocks, text included.
        **filters: As in `astream_events`; see `EventFilter`.

    Threads: calls may come from several threads at once, as LangChain makes them for parallel runs.

    Example:
        ```python
        translate = callbridge.CallsToEvents()
        call = callbridge.Call("on_chain_start", ({"name": "Tea"}, {"drink": "tea"}), {"run_id": UUID(int=1)})
        print([event["event"] for event in translate.feed(call)])
        #> ['on_chain_start']
        ```
    """

    def __init__(
        self,
        *,
        extended: bool = False,
        root_input: Payload = MISSING,
        linger: bool = False,
        blocks: bool = False,
        **filters: Unpack[Filters],
    ) -> None:
        check_flag("extended", extended)
        check_flag("blocks", blocks)
        self._blocks = blocks
        self._filter = EventFilter(**filters)
        self._tree = RunTree()
        self.forks = self._tree.forks
        """Not empty while several runs below one open run go on at the same time; see `RunTree`."""
        self.speaking: Run | None = None
        """The chat model whose token came last, if its next token only makes an event, or is dropped by the filters.

        Then no run need be looked up. Reset when any run begins or ends, or is tapped. Not used in the extended vocabulary.
        """
        self._tapped: set[UUID] = set()  # runs whose tap began before they started; removed at their start or at the tap's end
        self.extended = extended
        """Whether events of the extended vocabulary are made as well."""
        self._linger = linger
        self._root_input = root_input
        self._is_root_input_due = root_input is not MISSING
        self._shown_in: str | None = None  # the run whose first event showed the root's input
        self.root_output: Payload = MISSING
        """Output of the last root run that ended well."""

    # -- reading ------------------------------------------------------------------------------------------------------

    @property
    def open_roots(self) -> int:
        """Root runs that have started and not ended."""
        return self._tree.open_roots

    def only_root(self) -> UUID | None:
        """Return the id of the root run, if there is one and no other."""
        return self._tree.only_root()

    @property
    def roots_ended(self) -> int:
        """Root runs that have ended, however they ended."""
        return self._tree.roots_ended

    @property
    def runs(self) -> int:
        """How many runs are remembered: 0 when all roots have ended."""
        return len(self._tree) + len(self._tapped)

    def open_run_ids(self) -> set[UUID]:
        """Return the ids of the runs that have started and not ended."""
        return {run.run_id for run in self._tree.open_runs()}

    def open_run(self, run_id: UUID) -> Run | None:
        """Return the run if it has started and not ended."""
        run = self._tree.get(run_id)
        return run if run is not None and run.open else None

    def unended_messages(self) -> tuple[int, int]:
        """Return how many open runs are driven by version 3, and how many of these have finished their message."""
        messages = [run.message for run in self._tree.open_runs() if run.message is not None]
        return len(messages), sum(message.finished for message in messages)

    def feed(self, call: Call) -> list[Event]:
        """Translate one call.

        Returns:
            The events it makes, in order. There are none if v2 has no event for it, or if the filters drop it.

        Raises:
            CallFormatError: There is no such callback method, or an argument is missing or of the wrong type.
        """
        if call.method not in METHODS:
            raise CallFormatError(call.method, f"expected one of {', '.join(METHODS)}")
        if "run_id" not in call.kwargs:
            raise CallFormatError(call.method, "expected the keyword argument 'run_id'")
        encode: Callable[..., Sequence[Event]] = getattr(self, call.method)
        try:
            return list(encode(*call.args, **call.kwargs))
        except (AttributeError, TypeError) as error:
            raise CallFormatError(call.method, str(error)) from error

    def close(self, error: BaseException | None = None) -> list[Event]:
        """End all open runs, innermost first, and forget all runs. The extended vocabulary reports each end.

        Args:
            error: The error that ended them, if it is known.
        """
        events: list[Event] = []
        for run in self._tree.open_runs():
            events += self._end_unreported(run, error)
        self.forget()
        return events

    def forget(self) -> None:
        """Forget all runs and report nothing. Any thread may call this, even while another one reports."""
        self.speaking = None
        self._tree.clear()
        self._tapped.clear()

    # -- models -------------------------------------------------------------------------------------------------------

    def on_chat_model_start(self, serialized: Payload, messages: Payload, /, **kwargs: Payload) -> Sequence[Event]:
        """Start a chat model run."""
        run = self._start(kwargs, serialized, "chat_model", {"messages": messages})
        return self.event(
            "on_chat_model_start", run, {"input": {"messages": messages}} | self._with_component(kwargs, serialized)
        )

    def on_llm_start(self, serialized: Payload, prompts: Payload, /, **kwargs: Payload) -> Sequence[Event]:
        """Start a run of a completion model."""
        run = self._start(kwargs, serialized, "llm", {"prompts": prompts})
        return self.event("on_llm_start", run, {"input": {"prompts": prompts}} | self._with_component(kwargs, serialized))

    def on_llm_new_token(
        self,
        token: Payload,
        *,
        run_id: UUID,
        chunk: Payload = None,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **_: Payload,
    ) -> Sequence[Event]:
        """Report a token of either kind of model."""
        run = self.speaking
        if run is None or run.run_id is not run_id:
            run = self._tree.get(run_id)
        if run is None:
            repaired, run = self._repair(run_id, parent_run_id, tags, isinstance(chunk, ChatGenerationChunk))
            if run is None:
                return ()
            return (*repaired, *self.on_llm_new_token(token, run_id=run_id, chunk=chunk))
        if run.tapped or not run.open or run.source == "protocol":
            return ()
        if run.run_type == "chat_model" and not self.extended:
            self.speaking = run
        if not run.included:
            return ()
        run.source = "tokens"
        if run.run_type == "chat_model":
            if chunk is None:
                return self.event(run.stream_event, run, {"chunk": AIMessageChunk(content=token)})
            return self.event(run.stream_event, run, _token_data(chunk) if self.extended else {"chunk": chunk.message})
        if run.run_type != "llm":
            return ()  # a model run that has the id of the chain around it
        if chunk is None:
            chunk = GenerationChunk(text=token if isinstance(token, str) else "")
        return self.event(run.stream_event, run, {"chunk": chunk})

    def on_stream_event(
        self,
        event: Payload,
        /,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **_: Payload,
    ) -> Sequence[Event]:
        """Report an event of the content-block protocol: a token, if the model reports none itself."""
        run = self._tree.get(run_id)
        if run is None:
            repaired, run = self._repair(run_id, parent_run_id, tags, True)
            return (*repaired, *self.on_stream_event(event, run_id=run_id)) if run else ()
        if run.tapped or not run.open or run.run_type != "chat_model":
            return ()
        if type(event) is not dict and not isinstance(event, Mapping):
            return ()
        message = run.message
        if message is None:
            message = run.message = MessageToChunks(blocks=self._blocks)
        if not run.source and (message.is_content(event) or event.get("event") == "message-finish"):
            run.source = "protocol"
        if run.source != "protocol" or not run.included:
            message.hear(event)
            return ()
        chunks = message.feed(event)
        if len(chunks) == 1:
            return self.event(run.stream_event, run, {"chunk": chunks[0]})
        return [made for chunk in chunks for made in self.event(run.stream_event, run, {"chunk": chunk})]

    def on_llm_end(
        self,
        response: Payload,
        /,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **_: Payload,
    ) -> Sequence[Event]:
        """End a run of either kind of model."""
        run = self._tree.get(run_id)
        if run is None:
            first = next((generation for group in response.generations for generation in group), None)
            repaired, run = self._repair(run_id, parent_run_id, tags, isinstance(first, ChatGeneration))
            return (*repaired, *self.on_llm_end(response, run_id=run_id)) if run else ()
        if run.run_type != "chat_model":
            return self._end(run, _llm_output(response), run.inputs)
        return self._end(run, _chat_output(response), run.inputs, _beside_message(response))

    def on_llm_error(self, error: BaseException, /, *, run_id: UUID, response: Payload = None, **_: Payload) -> Sequence[Event]:
        """Fail a run of either kind of model.

        If its message was complete, it has not failed: the reader of a v3 stream may leave when the text ends, which cancels
        the task before it has reported success (D20).
        """
        run = self._tree.get(run_id)
        if (
            run is not None
            and run.open
            and run.message is not None
            and run.message.finished
            and status_of(error) == "cancelled"
        ):
            return self._end(run, run.message.message(), run.inputs)
        return self._fail(run_id, error, None if response is None else {"response": response})

    # -- chains, prompts, parsers -------------------------------------------------------------------------------------

    def on_chain_start(
        self, serialized: Payload, inputs: Payload, /, *, run_type: str | None = None, **kwargs: Payload
    ) -> Sequence[Event]:
        """Start a run of anything but a model, tool or retriever."""
        # LangChain's streaming path does not know the input yet and reports `{"input": ""}` instead.
        known = MISSING if _is_placeholder(inputs) else inputs
        run = self._start(kwargs, serialized, run_type or "chain", known)
        return self.event(f"on_{run.run_type}_start", run, {} if known is MISSING else {"input": inputs})

    def on_chain_end(self, outputs: Payload, /, *, run_id: UUID, inputs: Payload = None, **_: Payload) -> Sequence[Event]:
        """End such a run."""
        run = self._tree.get(run_id)
        if run is None:
            return ()
        stored = None if run.inputs is MISSING else run.inputs
        return self._end(run, outputs, _first_true(inputs, stored, {}))

    def on_chain_error(self, error: BaseException, /, *, run_id: UUID, inputs: Payload = None, **_: Payload) -> Sequence[Event]:
        """Fail such a run."""
        run = self._tree.get(run_id)
        is_late = run is not None and run.inputs is MISSING and inputs is not None
        return self._fail(run_id, error, {"input": inputs} if is_late else None)

    # -- tools --------------------------------------------------------------------------------------------------------

    def on_tool_start(
        self, serialized: Payload, input_str: Payload, /, *, inputs: Payload = None, **kwargs: Payload
    ) -> Sequence[Event]:
        """Start a tool run."""
        run = self._start(kwargs, serialized, "tool", inputs)
        run.tool_call_id = kwargs.get("tool_call_id")
        data = self._with_tool_call_id(run, {"input": _first_true(inputs, {})}) | self._with_component(kwargs, serialized)
        if self.extended:
            if not isinstance(inputs, dict) or str(inputs) != input_str:
                data["input_str"] = input_str
            data |= _as_told(kwargs, ("name", kwargs.get("name")))
        return self.event("on_tool_start", run, data)

    def on_tool_end(self, output: Payload, /, *, run_id: UUID, **kwargs: Payload) -> Sequence[Event]:
        """End a tool run."""
        run = self._tree.get(run_id)
        if run is None:
            return ()
        if run.tool_call_id is None:
            run.tool_call_id = getattr(output, "tool_call_id", None)
        return self._end(run, output, run.inputs, _as_told(kwargs, ("name", run.name)))

    def on_tool_error(
        self, error: BaseException, /, *, run_id: UUID, tool_call_id: str | None = None, **_: Payload
    ) -> Sequence[Event]:
        """Fail a tool run. This is the only error that v2 reports, since langchain-core 1.0.0."""
        run = self._tree.get(run_id)
        if run is not None and tool_call_id is not None:
            run.tool_call_id = tool_call_id
        return self._fail(run_id, error, None, in_v2=compat.V2_HAS_TOOL_ERROR)

    # -- retrievers ---------------------------------------------------------------------------------------------------

    def on_retriever_start(self, serialized: Payload, query: Payload, /, **kwargs: Payload) -> Sequence[Event]:
        """Start a retriever run."""
        run = self._start(kwargs, serialized, "retriever", {"query": query})
        return self.event("on_retriever_start", run, {"input": {"query": query}})

    def on_retriever_end(self, documents: Payload, /, *, run_id: UUID, **_: Payload) -> Sequence[Event]:
        """End a retriever run."""
        run = self._tree.get(run_id)
        return () if run is None else self._end(run, documents, run.inputs)

    def on_retriever_error(self, error: BaseException, /, *, run_id: UUID, **_: Payload) -> Sequence[Event]:
        """Fail a retriever run."""
        return self._fail(run_id, error)

    # -- notes: calls that neither begin nor end a run ----------------------------------------------------------------

    def on_custom_event(
        self,
        name: str,
        data: Payload,
        /,
        *,
        run_id: UUID,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **_: Payload,
    ) -> Sequence[Event]:
        """Pass on a custom event; `run_id` names the run that dispatched it."""
        if not self._filter.includes(name, name, tags or ()):
            return ()
        run = self._tree.get(run_id)
        if run is not None and run.hidden:
            return ()
        if self._is_root_input_due:
            self._is_root_input_due, self._shown_in = False, str(run_id)
            if isinstance(data, dict):
                data = {**data, "input": self._root_input}
        event: Any = {
            "event": "on_custom_event",
            "data": data,
            "run_id": str(run_id),
            "name": name,
            "tags": tags or [],
            "metadata": metadata or {},
            "parent_ids": [] if run is None else run.parent_ids.copy(),
        }
        return (event,)

    def on_agent_action(self, action: Payload, /, *, run_id: UUID, **kwargs: Payload) -> Sequence[Event]:
        """Pass on an agent's decision (extended)."""
        return self._note("on_agent_action", run_id, {"action": action}, kwargs)

    def on_agent_finish(self, finish: Payload, /, *, run_id: UUID, **kwargs: Payload) -> Sequence[Event]:
        """Pass on an agent's answer (extended)."""
        return self._note("on_agent_finish", run_id, {"finish": finish}, kwargs)

    def on_text(self, text: Payload, /, *, run_id: UUID, **kwargs: Payload) -> Sequence[Event]:
        """Pass on a chain's text (extended)."""
        return self._note("on_text", run_id, {"text": text}, kwargs)

    def on_retry(self, retry_state: Payload, /, *, run_id: UUID, **kwargs: Payload) -> Sequence[Event]:
        """Pass on a retry (extended)."""
        return self._note("on_retry", run_id, {"retry_state": retry_state}, kwargs)

    # -- taps: chunks that no callback reports ------------------------------------------------------------------------

    def begin_tap(self, run_id: UUID) -> bool:
        """Note that a run's chunks will come through `chunk`, so that its tokens make no events.

        Returns:
            Whether this is the run's first tap. Pass the chunks of another one through without reporting them.
        """
        run = self._tree.get(run_id)
        if run is not None:
            self.speaking = None
            first, run.tapped = not run.tapped, True
            return first
        first = run_id not in self._tapped
        self._tapped.add(run_id)
        return first

    def end_tap(self, run_id: UUID) -> None:
        """Forget a tap, even one whose run never began."""
        self._tapped.discard(run_id)

    def tapped_run(self, run_id: UUID) -> Run | None:
        """Return the run if it is open and its chunks are wanted. A tap asks once, at its first chunk."""
        run = self._tree.get(run_id)
        return run if run is not None and run.open and run.included else None

    def chunk(self, run: Run, chunk: Payload) -> Sequence[Event]:
        """Report one chunk of a tapped run."""
        if self.extended and not run.open:
            return ()  # a late chunk would come after the terminal event
        return self.event(run.stream_event, run, {"chunk": chunk})

    # -- the pieces ---------------------------------------------------------------------------------------------------

    def _start(self, kwargs: dict[str, Any], serialized: Payload, run_type: str, inputs: Payload) -> Run:
        self.speaking = None
        run_id: UUID = kwargs["run_id"]
        run = Run(
            run_id,
            parent_run_id=kwargs.get("parent_run_id"),
            run_type=run_type,
            name=_name(kwargs.get("name"), serialized),
            tags=kwargs.get("tags") or [],
            metadata=kwargs.get("metadata") or {},
            inputs=inputs,
        )
        run.included = self._filter.includes(run.name, run_type, run.tags)
        if run_id in self._tapped:
            run.tapped = True
            self._tapped.discard(run_id)
        if not self._tree.start(run):
            run.hidden = True
            self._hide_namesake(run)
        if run.hidden:
            run.included = False
        return run

    def _hide_namesake(self, run: Run) -> None:
        """Hide the ancestor whose id a run has, and all runs below it: the ids form a cycle, at which v2 goes silent.

        The extended vocabulary hides only the run itself, so that each start that was reported has its end.
        """
        namesake = self._tree.get(run.run_id)
        if namesake is None or self.extended:
            return
        for one in (namesake, *self._tree.orphans(namesake)):
            one.hidden, one.included = True, False

    def _repair(
        self, run_id: UUID, parent_run_id: UUID | None, tags: list[str] | None, chat: bool
    ) -> tuple[Sequence[Event], Run | None]:
        """Start a model run whose start LangChain did not report.

        If one handler is inline, `AsyncCallbackManager.on_llm_start` skips all that are not (LangChain issue 39633). If the
        parent is unknown as well, nothing is repaired: this is a late report of a run that has ended.
        """
        if parent_run_id is not None and self._tree.get(parent_run_id) is None:
            return (), None
        start = {"run_id": run_id, "parent_run_id": parent_run_id, "tags": tags}
        # The input is unknown, but readers rely on its shape.
        inputs: dict[str, Any] = {"messages": [[]]} if chat else {"prompts": []}
        run = self._start(start, None, "chat_model" if chat else "llm", inputs)
        return self.event(f"on_{run.run_type}_start", run, {"input": inputs}), run

    def _end(self, run: Run, output: Payload, inputs: Payload, told: dict[str, Any] | None = None) -> Sequence[Event]:
        """End a run.

        Args:
            run: The run.
            output: Its output.
            inputs: Its inputs.
            told: Further data for the extended vocabulary.
        """
        if not run.open or self._tree.end_double(run):
            return ()
        orphaned = self._end_orphans(run, None)
        data: dict[str, Any] = {"output": output}
        if inputs is not MISSING and run.id != self._shown_in:
            data["input"] = inputs
        if self.extended and told:
            data |= told
        event = self.event(f"on_{run.run_type}_end", run, self._with_tool_call_id(run, data))
        if run.root is run:
            self.root_output = output
        self._leave(run)
        return (*orphaned, *event)

    def _fail(
        self, run_id: UUID, error: BaseException, told: dict[str, Any] | None = None, *, in_v2: bool = False
    ) -> Sequence[Event]:
        run = self._tree.get(run_id)
        if run is None or not run.open or self._tree.end_double(run):
            return ()
        orphaned = self._end_orphans(run, error)
        event = self._error_event(run, error, told) if in_v2 or self.extended else ()
        self._leave(run)
        return (*orphaned, *event)

    def _error_event(self, run: Run, error: BaseException, told: dict[str, Any] | None = None) -> Sequence[Event]:
        inputs = None if run.inputs is MISSING else run.inputs
        data: dict[str, Any] = {"error": error, "input": inputs}
        if run.run_type == "tool" and (self.extended or compat.V2_HAS_TOOL_CALL_ID):
            data["tool_call_id"] = run.tool_call_id
        if self.extended:
            data |= {"status": status_of(error), **(told or {})}
        return self.event(f"on_{run.run_type}_error", run, data)

    def _end_orphans(self, run: Run, error: BaseException | None) -> Sequence[Event]:
        """End the runs that are open below a run that ends. In strict v2 they never end."""
        if not self.extended or not run.children:
            return ()
        events: list[Event] = []
        for orphan in self._tree.orphans(run):
            events += self._end_unreported(orphan, error)
        return events

    def _end_unreported(self, run: Run, error: BaseException | None) -> Sequence[Event]:
        cause = RunUnfinishedError(run.id, run.name) if error is None else error
        event = self._error_event(run, cause) if self.extended else ()
        self._leave(run)
        return event

    def _leave(self, run: Run) -> None:
        self.speaking = None
        self._tree.end(run, forget=not self._linger)

    def _note(self, event: str, run_id: UUID, data: dict[str, Any], kwargs: dict[str, Any]) -> Sequence[Event]:
        run = self._tree.get(run_id)
        if run is None or not self.extended:
            return ()
        told = {key: value for key, value in kwargs.items() if key not in _ON_EVENTS and value is not None}
        return self.event(event, run, data | told)

    def _with_component(self, kwargs: dict[str, Any], serialized: Payload) -> dict[str, Any]:
        """Return data with the class name of a model or tool run that was given another name: no other field has it then."""
        if not self.extended or kwargs.get("name") is None:
            return {}
        return {"component": _name(None, serialized)}

    def _with_tool_call_id(self, run: Run, data: dict[str, Any]) -> dict[str, Any]:
        if self.extended and run.run_type == "tool":
            data["tool_call_id"] = run.tool_call_id
        return data

    def event(self, event: str, run: Run, data: dict[str, Any]) -> Sequence[Event]:
        """Make an event of a run.

        Args:
            event: Its name.
            run: The run.
            data: Its data. Do not use the dict elsewhere.

        Returns:
            The event; empty if the filters drop it.
        """
        if not run.included:
            return ()
        if self._is_root_input_due:
            self._is_root_input_due, self._shown_in = False, run.id
            data["input"] = self._root_input
        made: Any = {
            "event": event,
            "data": data,
            "run_id": run.id,
            "name": run.name,
            "tags": run.tags,
            "metadata": run.metadata,
            "parent_ids": run.parent_ids.copy(),
        }
        return (made,)


def _name(name: str | None, serialized: Payload) -> str:
    """Name a run (source: `_assign_name`)."""
    if name is not None:
        return name
    if serialized is not None:
        if "name" in serialized:
            return cast("str", serialized["name"])
        if "id" in serialized:
            return cast("str", serialized["id"][-1])
    return UNNAMED


def _as_told(kwargs: dict[str, Any], *usual: tuple[str, Payload]) -> dict[str, Any]:
    """Return the keyword arguments of a tool's callback that have no place in an event, unless they have their usual values.

    Args:
        kwargs: All of them.
        *usual: Keys with their usual values, besides `color` with `"green"`.
    """
    told = {
        key: value
        for key, value in kwargs.items()
        if key not in _ON_EVENTS and (key, value) not in (("color", "green"), *usual)
    }
    return {"kwargs": told} if told else {}


def _token_data(chunk: Payload) -> dict[str, Any]:
    """Return a chat model's chunk, with the provider's `generation_info` if the message does not carry it."""
    message, info = chunk.message, chunk.generation_info
    if info == generation_info_of(message, streamed=True):
        return {"chunk": message}
    return {"chunk": message, "generation_info": info}


def _beside_message(response: Payload) -> dict[str, Any]:
    """Return the parts of a chat model's result other than its first message."""
    first, *further = next((group for group in response.generations if group), [None])
    told: dict[str, Any] = {"llm_output": response.llm_output, "generation_info": getattr(first, "generation_info", None)}
    return {**told, "further": further} if further else told


def _is_placeholder(inputs: Payload) -> bool:
    """Return whether these inputs are `{"input": ""}`, without comparing values whose comparison may raise (D2)."""
    if not isinstance(inputs, dict) or len(inputs) != 1:
        return False
    value = inputs.get("input")
    return isinstance(value, str) and value == ""


def _first_true(*values: Payload) -> Payload:
    """Return the first true value, else the last one. A value whose truth value raises counts as true (D2)."""
    for value in values[:-1]:
        try:
            if value:
                return value
        except Exception:  # noqa: BLE001 - numpy arrays, data frames: their ambiguity is not an error of the run
            return value
    return values[-1]


def _chat_output(response: Payload) -> Payload:
    """Return the message of the first generation."""
    return next((generation.message for group in response.generations for generation in group[:1]), {})


def _llm_output(response: Payload) -> dict[str, Any]:
    return {
        "generations": [
            [
                {"text": generation.text, "generation_info": generation.generation_info, "type": generation.type}
                for generation in group
            ]
            for group in response.generations
        ],
        "llm_output": response.llm_output,
    }
