"""`Projection`: turns the events of one stream into the facts that a page shows. Sans-I/O; equal events give equal facts.

A page shows:

- Models that run outside of tools and are not tagged `nostream`. Their text comes once: at the end if it was not streamed.
- Each tool call of a shown model, and each that code makes outside of tools. A page does not show what happens inside a tool,
  except for sources and custom events, which are made to be shown. The arguments are those that a model wrote. If code called
  the tool, the page shows its arguments only if all of them are in what a model has just said (agents that are steered by
  text), or if `inputs` asks for them.
- Only what has begun can continue or end, whatever was filtered out, and `close` closes everything that is open. If a model's
  end never comes, for example because a fallback rescued it, it ends with the run around it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from langchain_core.documents import Document

from callbridge.core.blocks import said_in
from callbridge.core.calls import Payload
from callbridge.core.facts import (
    CallAnswered,
    CallArguments,
    CallBegan,
    CallBroken,
    CallFailed,
    CallWhole,
    CustomCame,
    Fact,
    Interrupted,
    ModelBegan,
    ModelEnded,
    PieceBegan,
    PieceCame,
    PieceEnded,
    PieceKind,
)
from callbridge.core.sources import Sources
from callbridge.core.status import status_of
from callbridge.core.text import UNSEEN_TAGS, output_text
from callbridge.core.toolcalls import Call, ToolCalls, answers_in
from callbridge.core.usage import Usage

if TYPE_CHECKING:
    from callbridge.events import Event

__all__ = ["Projection"]


@dataclass(eq=False)
class _Model:
    """A model that speaks."""

    run_id: str
    parents: Collection[str]
    shown: bool
    outside: bool
    """Whether it is outside of tools. Then its calls count even if it is not shown."""
    calls: list[Call] = field(default_factory=list)
    by_index: dict[Any, Call] = field(default_factory=dict)
    piece: tuple[PieceKind, str, Any] | None = None  # kind, id and index of its open piece
    streamed: set[PieceKind] = field(default_factory=set)


class Projection:
    """Makes facts of the events of one stream.

    Args:
        reasoning: Whether to show the models' reasoning.
        tools: Whether to show tool calls, or the names of the tools to show.
        sources: Whether to show sources: documents that chains put out under `source_documents`, documents that retrievers
            find, and what models cite.
        inputs: Whether to show the inputs of tools that code has started.
    """

    def __init__(
        self,
        *,
        reasoning: bool = False,
        tools: bool | Collection[str] = True,
        sources: bool = True,
        inputs: bool = False,
    ) -> None:
        self._reasoning = reasoning
        self._tools = tools
        self._inputs = inputs
        self._sources = Sources() if sources else None
        self._models: dict[str, _Model] = {}  # removed at their end, or at that of a run around them
        self._over: set[str] = set()  # models that have ended; removed with their root
        self._inside: set[str] = set()  # tools and all runs below them; removed when they end
        self._speaking = 0  # how many shown models are speaking
        self._pieces = 0
        self._calls = ToolCalls()
        self._said = ""  # the text of the last shown model
        self._interrupts: list[Interrupted] = []
        self.usage = Usage()
        """The tokens that the models have used, and why the last shown one ended."""

    @property
    def interrupts(self) -> list[Interrupted]:
        """The interrupts that the run waits for."""
        return self._interrupts

    @property
    def pending(self) -> list[Call]:
        """Calls that nobody has made by the end. A client may make them."""
        return [call for call in self._calls.unmade() if call.shown]

    def feed(self, event: Event) -> list[Fact]:
        """Return the facts that an event adds. Most events add none."""
        facts: list[Fact] = []
        reader = _READERS.get(event["event"])
        if reader is not None:
            reader(self, event, facts)
        return facts

    def close(self) -> list[Fact]:
        """Note that no more events will come, and return the facts that close everything open."""
        facts: list[Fact] = []
        for model in list(self._models.values()):
            self._close_model(model, facts)
        for call in self._calls.all_over():
            self._tell_failure(call, facts)
        return facts

    # -- models -------------------------------------------------------------------------------------------------------

    def _model_started(self, event: Any, facts: list[Fact]) -> None:
        if event["run_id"] not in self._models:
            self._model(event, facts)

    def _model(self, event: Any, facts: list[Fact]) -> _Model:
        """Return the model of an event. It begins with its first event, even if a filter removed its start."""
        run_id: str = event["run_id"]
        model = self._models.get(run_id)
        if model is not None:
            return model
        parents = event["parent_ids"]
        outside = self._inside.isdisjoint(parents) and run_id not in self._over
        shown = outside and UNSEEN_TAGS.isdisjoint(event["tags"])
        model = self._models[run_id] = _Model(run_id, parents, shown, outside)
        if shown:
            facts.append(ModelBegan(run_id, first=self._speaking == 0))
            self._speaking += 1
        return model

    def _chunk_came(self, event: Any, facts: list[Fact]) -> None:
        model = self._models.get(event["run_id"]) or self._model(event, facts)
        if not model.shown:
            return
        chunk = event["data"]["chunk"]
        content = getattr(chunk, "content", None)
        if type(content) is str and not self._reasoning:
            if content:
                self._say(model, "text", None, content, facts)
        else:
            for said in said_in(chunk, reasoning=self._reasoning):
                self._say(model, said.kind, said.index, said.text, facts)
                self._cite(said.citations, facts)
        parts = getattr(chunk, "tool_call_chunks", None)
        if parts:
            for part in parts:
                self._call_came(model, part, facts)

    def _say(self, model: _Model, kind: PieceKind, index: Any, text: str, facts: list[Fact]) -> None:
        if not text:
            return
        piece = model.piece
        if piece is None or piece[0] != kind or (index is not None and piece[2] is not None and piece[2] != index):
            self._end_piece(model, facts)
            self._pieces += 1
            piece = model.piece = (kind, f"{kind}-{self._pieces}", index)
            model.streamed.add(kind)
            facts.append(PieceBegan(kind, piece[1], model.run_id))
        facts.append(PieceCame(kind, piece[1], text, model.run_id))

    def _end_piece(self, model: _Model, facts: list[Fact]) -> None:
        if model.piece is not None:
            facts.append(PieceEnded(model.piece[0], model.piece[1], model.run_id))
            model.piece = None

    def _model_ended(self, event: Any, facts: list[Fact]) -> None:
        if event["run_id"] in self._over:
            return
        model = self._model(event, facts)
        output = event["data"].get("output")
        if model.shown:
            self._say_rest(model, output, facts)
            self._said = output_text(output) if output is not None else ""
        if model.outside:
            self._end_calls(model, output, facts)
            self.usage.add(output, last=model.shown)
        self._close_model(model, facts)
        self._run_ended(event, facts)

    def _say_rest(self, model: _Model, output: Payload, facts: list[Fact]) -> None:
        """Add the text that the model has said but not streamed."""
        if output is None or model.streamed >= {"text", "reasoning"}:
            return
        streamed = frozenset(model.streamed)
        if isinstance(output, Mapping):  # a completion model's generations
            if "text" not in streamed:
                self._say(model, "text", None, output_text(output), facts)
            return
        for said in said_in(output, reasoning=self._reasoning):
            if said.kind not in streamed:
                self._say(model, said.kind, said.index, said.text, facts)
                self._cite(said.citations, facts)

    def _model_failed(self, event: Any, facts: list[Fact]) -> None:
        model = self._models.get(event["run_id"])
        if model is not None:
            self._close_model(model, facts, failed=True)
        self._run_ended(event, facts)

    def _close_model(self, model: _Model, facts: list[Fact], *, failed: bool = False) -> None:
        del self._models[model.run_id]
        self._over.add(model.run_id)
        self._end_piece(model, facts)
        for call in model.calls:
            if not call.whole:
                self._break(call, facts)
        if model.shown:
            self._speaking -= 1
            facts.append(ModelEnded(model.run_id, last=self._speaking == 0, failed=failed))

    # -- calls of tools -----------------------------------------------------------------------------------------------

    def _call_came(self, model: _Model, part: Mapping[str, Any], facts: list[Fact]) -> None:
        index, given_id, name, text = part.get("index"), part.get("id"), part.get("name"), part.get("args")
        call = model.by_index.get(index)
        if call is None or _begins_another(call, index, given_id, name):
            if not (given_id or name) and index is None:
                return  # a part of a call that never began
            call = self._add_call(model, name or "", given_id)
            model.by_index[index] = call
        elif name and not call.name:
            call.name = name
        call.given_id = call.given_id or given_id
        if isinstance(text, str) and text:
            call.pieces.append(text)
        if not call.shown:
            if not self._is_shown(call.name):
                return
            self._begin_call(model, call, facts)
            text = "".join(call.pieces)
        if text:
            facts.append(CallArguments(call.id, text))

    def _add_call(self, model: _Model, name: str, given_id: str | None) -> Call:
        call = self._calls.add(name, given_id, f"call-{model.run_id}-{len(model.calls) + 1}")
        model.calls.append(call)
        return call

    def _begin_call(self, model: _Model, call: Call, facts: list[Fact]) -> None:
        self._end_piece(model, facts)
        call.shown = True
        facts.append(CallBegan(call.id, call.name, model.run_id))

    def _is_shown(self, name: str) -> bool:
        return bool(name) and (self._tools if isinstance(self._tools, bool) else name in self._tools)

    def _end_calls(self, model: _Model, output: Payload, facts: list[Fact]) -> None:
        """Complete the calls of a model that has ended, from its output."""
        rest = list(model.calls)
        for found in _calls_in(output):
            call = _same(rest, found)
            if call is None:
                call = self._add_call(model, found.get("name") or "", found.get("id"))
            else:
                rest.remove(call)
            self._complete(model, call, found, facts)
        for call in rest:
            self._complete(
                model, call, {"args": _parsed(call)}, facts
            )  # a call without valid JSON breaks when the model is closed

    def _complete(self, model: _Model, call: Call, found: Mapping[str, Any], facts: list[Fact]) -> None:
        call.name = call.name or found.get("name") or ""
        call.given_id = call.given_id or found.get("id")
        if model.shown and not call.shown and self._is_shown(call.name):
            self._begin_call(model, call, facts)
        if isinstance(found["args"], str):  # an `invalid_tool_call`
            call.pieces = call.pieces or [found["args"]]
            return
        call.whole, call.arguments = True, found["args"]
        if call.shown:
            facts.append(CallWhole(call.id, call.name, call.arguments, streamed=bool(call.pieces)))

    def _break(self, call: Call, facts: list[Fact]) -> None:
        self._calls.drop(call)
        if call.shown:
            facts.append(CallBroken(call.id, call.name, "".join(call.pieces)))

    # -- runs of tools ------------------------------------------------------------------------------------------------

    def _tool_started(self, event: Any, facts: list[Fact]) -> None:
        run_id, parents = event["run_id"], event["parent_ids"]
        nested = not self._inside.isdisjoint(parents)
        self._inside.add(run_id)
        if nested:
            return
        name, given = event["name"], event["data"].get("input")
        call = self._calls.start(run_id, name, given, parents)
        if call is None:
            call = self._calls.add(name, None, run_id)
            call.whole, call.arguments = True, given
            self._calls.bind(run_id, call, parents)
            shown = given if self._inputs or _is_said(given, self._said) else {}
        else:
            shown = call.arguments
        self._show(call, shown, facts)

    def _show(self, call: Call, arguments: Any, facts: list[Fact]) -> None:
        """Show a call because a tool runs for it, although its model is not shown or there is none."""
        if not call.shown and self._is_shown(call.name):
            call.shown = True
            facts += [CallBegan(call.id, call.name, None), CallWhole(call.id, call.name, arguments, streamed=False)]

    def _tool_ended(self, event: Any, facts: list[Fact]) -> None:
        run_id, output = event["run_id"], event["data"].get("output")
        messages = answers_in(output)
        self._leave(run_id)
        call = self._calls.end(run_id, messages[0].tool_call_id if messages else None)
        if call is not None:
            self._show(call, call.arguments, facts)  # its run may have been bound to another call before
            if messages:
                self._answer_with(call, messages[0], facts)
            else:
                is_command = hasattr(output, "goto") and hasattr(output, "update")
                self._answer(call, "" if output is None or is_command else output, facts)
        for message in messages[1:]:
            self._answer_named(message, facts)
        self._run_ended(event, facts)

    def _tool_failed(self, event: Any, facts: list[Fact]) -> None:
        data = event["data"]
        error = data.get("error")
        self._leave(event["run_id"])
        failed = not isinstance(error, BaseException) or status_of(error) == "failed"
        call = self._calls.fail(event["run_id"], data.get("tool_call_id"), str(error) if failed else None)
        if call is not None:
            self._show(call, call.arguments, facts)
        self._run_ended(event, facts)

    def _leave(self, run_id: str) -> None:
        self._inside.discard(run_id)

    def _answer_named(self, message: Any, facts: list[Fact]) -> None:
        call = self._calls.named(message.tool_call_id)
        if call is not None:
            self._answer_with(call, message, facts)

    def _answer_with(self, call: Call, message: Any, facts: list[Fact]) -> None:
        if getattr(message, "status", None) == "error":
            call.error = output_text(message)
            self._calls.drop(call)
            self._tell_failure(call, facts)
        else:
            self._answer(call, message.content, facts)

    def _answer(self, call: Call, content: Payload, facts: list[Fact]) -> None:
        self._calls.drop(call)
        if call.shown:
            facts.append(CallAnswered(call.id, call.name, content))

    def _tell_failure(self, call: Call, facts: list[Fact]) -> None:
        if call.shown:
            facts.append(CallFailed(call.id, call.name, call.error or ""))

    # -- chains, retrievers, custom events ----------------------------------------------------------------------------

    def _run_started(self, event: Any, facts: list[Fact]) -> None:
        if self._inside and not self._inside.isdisjoint(event["parent_ids"]):
            self._inside.add(event["run_id"])

    def _run_ended(self, event: Any, facts: list[Fact]) -> None:
        """Close everything that was open below a run that has ended."""
        run_id = event["run_id"]
        self._inside.discard(run_id)
        if self._models:
            for model in [model for model in self._models.values() if run_id in model.parents]:
                self._close_model(model, facts)
        if self._calls:
            for call in self._calls.run_over(run_id):
                self._tell_failure(call, facts)
        if not event["parent_ids"]:
            self._inside.clear()
            self._over.clear()

    def _chain_streamed(self, event: Any, facts: list[Fact]) -> None:
        if not event["parent_ids"]:
            self._interrupt(event["data"].get("chunk"), facts)

    def _chain_ended(self, event: Any, facts: list[Fact]) -> None:
        output = event["data"].get("output")
        if self._calls and event["run_id"] not in self._inside:
            for message in answers_in(output):
                self._answer_named(message, facts)
        if isinstance(output, Mapping):
            if isinstance(output.get("source_documents"), list):
                self._find(output["source_documents"], facts)
            if not event["parent_ids"]:
                self._interrupt(output, facts)
        self._run_ended(event, facts)

    def _interrupt(self, output: Payload, facts: list[Fact]) -> None:
        if not isinstance(output, dict) or "__interrupt__" not in output:
            return
        for found in output["__interrupt__"] or ():
            number = f"interrupt-{len(self._interrupts) + 1}"
            each = Interrupted(str(getattr(found, "id", None) or number), getattr(found, "value", found))
            if each not in self._interrupts:
                self._interrupts.append(each)
                facts.append(each)

    def _retrieved(self, event: Any, facts: list[Fact]) -> None:
        output = event["data"].get("output")
        if isinstance(output, list) and UNSEEN_TAGS.isdisjoint(event["tags"]):
            self._find(output, facts)
        self._run_ended(event, facts)

    def _find(self, documents: list[Any], facts: list[Fact]) -> None:
        if self._sources is not None:
            facts += self._sources.documents(each for each in documents if isinstance(each, Document))

    def _cite(self, citations: tuple[Mapping[str, Any], ...], facts: list[Fact]) -> None:
        if citations and self._sources is not None:
            facts += self._sources.citations(citations)

    def _custom(self, event: Any, facts: list[Fact]) -> None:
        facts.append(CustomCame(event["name"], event["data"]))


_Reader = Callable[[Projection, Any, "list[Fact]"], None]

_READERS: Final[Mapping[str, _Reader]] = MappingProxyType(
    {
        "on_chat_model_stream": Projection._chunk_came,
        "on_llm_stream": Projection._chunk_came,
        "on_chat_model_start": Projection._model_started,
        "on_llm_start": Projection._model_started,
        "on_chat_model_end": Projection._model_ended,
        "on_llm_end": Projection._model_ended,
        "on_chat_model_error": Projection._model_failed,
        "on_llm_error": Projection._model_failed,
        "on_tool_start": Projection._tool_started,
        "on_tool_end": Projection._tool_ended,
        "on_tool_error": Projection._tool_failed,
        "on_chain_start": Projection._run_started,
        "on_prompt_start": Projection._run_started,
        "on_parser_start": Projection._run_started,
        "on_retriever_start": Projection._run_started,
        "on_chain_stream": Projection._chain_streamed,
        "on_chain_end": Projection._chain_ended,
        "on_chain_error": Projection._run_ended,
        "on_prompt_end": Projection._run_ended,
        "on_parser_end": Projection._run_ended,
        "on_retriever_end": Projection._retrieved,
        "on_retriever_error": Projection._run_ended,
        "on_custom_event": Projection._custom,
    }
)


def _begins_another(call: Call, index: Any, given_id: str | None, name: str | None) -> bool:
    """Return whether a part of a call begins a new call, although it has the place of the call before it."""
    if given_id and call.given_id:
        return given_id != call.given_id
    if index is None:
        return bool(given_id or name)
    if not name or not call.name:
        return False
    try:
        json.loads("".join(call.pieces))
    except ValueError:
        return False
    return True  # the call before is complete: the provider does not number its calls


def _calls_in(output: Payload) -> list[Mapping[str, Any]]:
    """Return the calls of a model's output. `args` is a string if it is not JSON."""
    found: list[Mapping[str, Any]] = list(getattr(output, "tool_calls", None) or ())
    for broken in getattr(output, "invalid_tool_calls", None) or ():
        found.append({**broken, "args": broken.get("args") or ""})
    beside = getattr(output, "additional_kwargs", None) or {}
    function = beside.get("function_call")  # how agents of 2023 called functions
    if not found and isinstance(function, Mapping):
        text = function.get("arguments")
        try:
            arguments = json.loads(text) if isinstance(text, str) else text
        except ValueError:
            arguments = text
        found.append({"name": function.get("name"), "args": arguments, "id": None})
    return found


def _same(calls: list[Call], found: Mapping[str, Any]) -> Call | None:
    """Return the call whose pieces make up a complete one, by id and name, and if several match, by arguments."""
    given_id, name = found.get("id"), found.get("name") or ""
    fits = [call for call in calls if call.name == name and (call.given_id == given_id or not (call.given_id and given_id))]
    exact = [call for call in fits if call.given_id == given_id]
    return next((call for call in exact + fits if _parsed(call) == found["args"]), next(iter(exact + fits), None))


def _parsed(call: Call) -> Payload:
    """Return the arguments of a call so far: a string if they are not JSON."""
    text = "".join(call.pieces)
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


def _is_said(given: Payload, text: str) -> bool:
    """Return whether a text contains all values of an input."""
    if isinstance(given, Mapping):
        return all(_is_said(value, text) for value in given.values())
    if isinstance(given, list | tuple):
        return all(_is_said(value, text) for value in given)
    if isinstance(given, str | int | float):
        return str(given).strip() in text if not isinstance(given, bool) else True
    return given is None
