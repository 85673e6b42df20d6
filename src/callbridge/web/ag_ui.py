"""`"ag-ui"`: the Agent-User Interaction protocol, version 1.0, that CopilotKit and others read. Needs the extra `ag-ui`.

You can send any run: of a runnable, of a legacy call, or of one with a handler attached. It needs no graph and no checkpointer.
Lines end in LF, since the protocol's own client knows no other line end. When a run ends, nothing may be open.

Source: `ag_ui.core` (PyPI `ag-ui-protocol`, 1.0.0). Its types make all events, except the one per token. This module writes
that one as the types would, in a tenth of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final

try:
    from ag_ui.core import (
        PROTOCOL_VERSION,
        BaseEvent,
        CustomEvent,
        Interrupt,
        ReasoningEndEvent,
        ReasoningMessageEndEvent,
        ReasoningMessageStartEvent,
        ReasoningStartEvent,
        RunErrorEvent,
        RunFinishedCancelledOutcome,
        RunFinishedEvent,
        RunFinishedInterruptOutcome,
        RunStartedEvent,
        TextMessageEndEvent,
        TextMessageStartEvent,
        TokenUsage,
        ToolCallEndEvent,
        ToolCallResultEvent,
        ToolCallStartEvent,
    )
except ImportError as error:
    raise ImportError(
        "the wire format 'ag-ui' needs ag-ui-protocol, which is not installed: pip install 'callbridge[ag-ui]'", name=error.name
    ) from error

from callbridge.core.facts import (
    CallAnswered,
    CallArguments,
    CallBegan,
    CallBroken,
    CallFailed,
    CallWhole,
    CustomCame,
    PieceBegan,
    PieceCame,
    PieceEnded,
    SourceFound,
)
from callbridge.errors import ArgumentError
from callbridge.web.projected import ProjectedEncoder, Shown, plain_json, quoted
from callbridge.web.wire import BaseFormat, Failure, FrameEncoder

__all__ = ["AGUIFormat"]

CANCELLED: Final = 499


@dataclass(frozen=True)
class AGUIFormat(Shown, BaseFormat):
    """AG-UI events: text, reasoning, tools, sources and custom events as `CUSTOM`, interrupts, and how it ends.

    Raises:
        ArgumentError: An option has a value that is not allowed.
    """

    thread_id: str | None = None
    """`threadId` of the request; without one, it is made of the run."""

    run_id: str | None = None
    """`runId` of the request; without one, it is that of the run."""

    send_usage: bool = False
    """Whether the last event reports the models' token usage."""

    line_end: ClassVar[str] = "\n"
    always_ends: ClassVar[bool] = True
    bare: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("thread_id", "run_id"):
            value: object = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise ArgumentError(name, value, "a text, or None")

    def begin(self) -> FrameEncoder:
        """Return the encoder of one run."""
        return _Encoder(self)


class _Encoder(ProjectedEncoder):
    def __init__(self, options: AGUIFormat) -> None:
        super().__init__(options.projection())
        self._options = options
        self._messages: dict[str, str] = {}  # open pieces to the messages that they belong to; removed at their end
        self._used: set[str] = set()  # ids of messages that exist, at most one for each piece or model

    def _event(self, event: BaseEvent) -> None:
        try:
            self.send(event.model_dump_json(by_alias=True))
        except ValueError:  # a value that is not JSON, or half of a character
            self.send(plain_json(event.model_dump(by_alias=True)))

    @property
    def _run(self) -> str:
        return self._options.run_id or self.run_id or "run"

    @property
    def _thread(self) -> str:
        return self._options.thread_id or f"thread-{self.run_id or 'none'}"

    def begin(self) -> None:
        self._event(RunStartedEvent(thread_id=self._thread, run_id=self._run, protocol_version=PROTOCOL_VERSION))

    def failed(self, failure: Failure) -> None:
        if failure.status_code == CANCELLED and self.run_id is not None and not self.is_broken:
            self._finish(RunFinishedCancelledOutcome(type="cancelled"))
        else:
            self._event(RunErrorEvent(message=failure.detail, code=str(failure.status_code), usage=self._usage()))

    def finished(self) -> None:
        found = self.projection.interrupts
        waits = [Interrupt(id=each.id, reason="interrupt", message=_text(each.value)) for each in found]
        self._finish(RunFinishedInterruptOutcome(type="interrupt", interrupts=waits) if waits else None)

    def _finish(self, outcome: RunFinishedCancelledOutcome | RunFinishedInterruptOutcome | None) -> None:
        self._event(RunFinishedEvent(thread_id=self._thread, run_id=self._run, outcome=outcome, usage=self._usage()))

    def _usage(self) -> list[TokenUsage] | None:
        usage = self.projection.usage
        if not self._options.send_usage:
            return None
        return [TokenUsage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=usage.total_tokens)]

    # -- facts

    def _piece_began(self, fact: PieceBegan) -> None:
        first = f"{'msg' if fact.kind == 'text' else 'reasoning'}-{fact.run_id}"
        name = first if first not in self._used else f"{first}-{fact.id}"
        self._used.add(name)
        self._messages[fact.id] = name
        if fact.kind == "text":
            self._event(TextMessageStartEvent(message_id=name, role="assistant"))
        else:
            self._event(ReasoningStartEvent(message_id=name))
            self._event(ReasoningMessageStartEvent(message_id=name, role="reasoning"))

    def _piece_came(self, fact: PieceCame) -> None:
        kind = "TEXT_MESSAGE_CONTENT" if fact.kind == "text" else "REASONING_MESSAGE_CONTENT"
        self.send(f'{{"type":"{kind}","messageId":{quoted(self._messages[fact.id])},"delta":{quoted(fact.text)}}}')

    def _piece_ended(self, fact: PieceEnded) -> None:
        name = self._messages.pop(fact.id)
        if fact.kind == "text":
            self._event(TextMessageEndEvent(message_id=name))
        else:
            self._event(ReasoningMessageEndEvent(message_id=name))
            self._event(ReasoningEndEvent(message_id=name))

    def _call_began(self, fact: CallBegan) -> None:
        parent = None
        if fact.run_id is not None:
            parent = f"msg-{fact.run_id}"
            self._used.add(parent)  # the client creates it if it does not exist
        self._event(ToolCallStartEvent(tool_call_id=fact.id, tool_call_name=fact.name, parent_message_id=parent))

    def _call_arguments(self, fact: CallArguments) -> None:
        self.send(f'{{"type":"TOOL_CALL_ARGS","toolCallId":{quoted(fact.id)},"delta":{quoted(fact.text)}}}')

    def _call_whole(self, fact: CallWhole) -> None:
        if not fact.streamed:
            self._call_arguments(CallArguments(fact.id, plain_json(fact.arguments)))
        self._event(ToolCallEndEvent(tool_call_id=fact.id))

    def _call_broken(self, fact: CallBroken) -> None:
        self._event(ToolCallEndEvent(tool_call_id=fact.id))
        self._result(fact.id, "The call is not complete")

    def _call_answered(self, fact: CallAnswered) -> None:
        self._result(fact.id, _text(fact.content))

    def _call_failed(self, fact: CallFailed) -> None:
        self._result(fact.id, fact.error if self._options.show_errors and fact.error else "Tool failed")

    def _result(self, call_id: str, text: str) -> None:
        result = ToolCallResultEvent(message_id=f"result-{call_id}", tool_call_id=call_id, content=text, role="tool")
        self._event(result)

    def _source_found(self, fact: SourceFound) -> None:
        value = {"sourceId": fact.id, "title": fact.title, **({} if fact.url is None else {"url": fact.url})}
        self._event(CustomEvent(name="source", value=value))

    def _custom_came(self, fact: CustomCame) -> None:
        self._event(CustomEvent(name=fact.name, value=fact.data))

    table = MappingProxyType(
        {
            PieceCame: _piece_came,
            PieceBegan: _piece_began,
            PieceEnded: _piece_ended,
            CallBegan: _call_began,
            CallArguments: _call_arguments,
            CallWhole: _call_whole,
            CallBroken: _call_broken,
            CallAnswered: _call_answered,
            CallFailed: _call_failed,
            SourceFound: _source_found,
            CustomCame: _custom_came,
        }
    )


def _text(value: Any) -> str:
    """Return a value as text: itself, or JSON."""
    return value if isinstance(value, str) else plain_json(value)
