"""`"ai-sdk"`: the UI message stream that `useChat` of the AI SDK reads, in versions 5, 6 and 7 at once.

Old clients fail at an unknown key or type, so the encoder sends only what 5.0.115 knows. A step ends when no model speaks any
more: up to version 6, the end of a step removes all open texts. Every version takes a stream that just ends for a whole answer,
so the encoder always ends it with `finish` or `error`. After an `abort` no client says that anything is missing, so `error`
follows that, too.

Source: `uiMessageChunkSchema` and `processUIMessageStream` (npm `ai`, 5.0.115 to 7.0.173).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final

from callbridge.core.facts import (
    CallAnswered,
    CallArguments,
    CallBegan,
    CallBroken,
    CallFailed,
    CallWhole,
    CustomCame,
    Interrupted,
    ModelBegan,
    ModelEnded,
    PieceBegan,
    PieceCame,
    PieceEnded,
    SourceFound,
)
from callbridge.web.projected import ProjectedEncoder, Shown, plain_json, quoted
from callbridge.web.wire import BaseFormat, Envelope, Failure, FrameEncoder

__all__ = ["AISDKFormat"]

CANCELLED: Final = 499

_KINDS: Final = MappingProxyType({"send": "ask", "abort": "cancel", "resume": "resume"})


@dataclass(frozen=True)
class AISDKFormat(Shown, BaseFormat):
    """The AI SDK's UI message stream: text, reasoning, tools, sources, custom events as `data-...`, and the end.

    Raises:
        ArgumentError: An option has a value that is not allowed.

    Example:
        ```python
        format = AISDKFormat(send_reasoning=True, send_tools=["search"])
        response = EventStreamResponse(callbridge.astream_events(chain, {"drink": "tea"}), format)
        ```
    """

    send_usage: bool = False
    """Whether the last chunk reports the models' token usage in `messageMetadata.usage`."""

    headers: ClassVar[Mapping[str, str]] = MappingProxyType({"x-vercel-ai-ui-message-stream": "v1"})
    line_end: ClassVar[str] = "\n"
    always_ends: ClassVar[bool] = True
    bare: ClassVar[bool] = True

    def begin(self) -> FrameEncoder:
        """Return the encoder of one run."""
        return _Encoder(self)

    def envelope(self, message: Any) -> Envelope | None:
        """Return the envelope of a message as `WebSocketChatTransport` (`ai` 7) sends it; None for others."""
        kind = _KINDS.get(str(message.get("type"))) if isinstance(message, dict) else None
        request_id = message.get("requestId") if kind is not None else None
        return None if kind is None or not isinstance(request_id, str) else _Envelope(kind, request_id)


class _Envelope:
    """Numbers the chunks of one answer."""

    def __init__(self, kind: str, request_id: str) -> None:
        self.kind = kind
        self.request_id = request_id
        self._sent = 0

    def pack(self, text: str) -> str:
        if text == "[DONE]":
            return f'{{"type":"end","requestId":{quoted(self.request_id)}}}'
        self._sent += 1
        return f'{{"type":"chunk","requestId":{quoted(self.request_id)},"sequence":{self._sent - 1},"chunk":{text}}}'

    def nothing(self) -> str:
        return f'{{"type":"no-active","requestId":{quoted(self.request_id)}}}'


class _Encoder(ProjectedEncoder):
    def __init__(self, options: AISDKFormat) -> None:
        super().__init__(options.projection())
        self._options = options

    def begin(self) -> None:
        self.send(
            '{"type":"start"}' if self.run_id is None else f'{{"type":"start","messageId":{quoted(f"msg-{self.run_id}")}}}'
        )

    def failed(self, failure: Failure) -> None:
        if failure.status_code == CANCELLED:
            self.send('{"type":"abort"}')
        self.send(f'{{"type":"error","errorText":{quoted(failure.detail)}}}')

    def finished(self) -> None:
        usage = self.projection.usage
        reason = "other" if self.projection.interrupts else usage.reason
        if reason == "tool-calls" and not self.projection.pending:
            reason = "stop"  # the run has made these calls itself
        metadata = ""
        if self._options.send_usage:
            counted = {
                "inputTokens": usage.input_tokens,
                "outputTokens": usage.output_tokens,
                "totalTokens": usage.total_tokens,
            }
            metadata = f',"messageMetadata":{plain_json({"usage": counted})}'
        self.send(f'{{"type":"finish","finishReason":"{reason}"{metadata}}}')

    def ended(self) -> None:
        self.send("[DONE]")

    # -- facts

    def _model_began(self, fact: ModelBegan) -> None:
        if fact.first:
            self.send('{"type":"start-step"}')

    def _model_ended(self, fact: ModelEnded) -> None:
        if fact.last:
            self.send('{"type":"finish-step"}')

    def _piece_began(self, fact: PieceBegan) -> None:
        self.send(f'{{"type":"{fact.kind}-start","id":"{fact.id}"}}')

    def _piece_came(self, fact: PieceCame) -> None:
        self.send(f'{{"type":"{fact.kind}-delta","id":"{fact.id}","delta":{quoted(fact.text)}}}')

    def _piece_ended(self, fact: PieceEnded) -> None:
        self.send(f'{{"type":"{fact.kind}-end","id":"{fact.id}"}}')

    def _call_began(self, fact: CallBegan) -> None:
        self._call("tool-input-start", fact.id, f',"toolName":{quoted(fact.name)}')

    def _call_arguments(self, fact: CallArguments) -> None:
        self.send(f'{{"type":"tool-input-delta","toolCallId":{quoted(fact.id)},"inputTextDelta":{quoted(fact.text)}}}')

    def _call_whole(self, fact: CallWhole) -> None:
        self._call("tool-input-available", fact.id, f',"toolName":{quoted(fact.name)},"input":{plain_json(fact.arguments)}')

    def _call_broken(self, fact: CallBroken) -> None:
        told = f',"toolName":{quoted(fact.name)},"input":{quoted(fact.text)},"errorText":"The call is not complete"'
        self._call("tool-input-error", fact.id, told)

    def _call_answered(self, fact: CallAnswered) -> None:
        self._call("tool-output-available", fact.id, f',"output":{plain_json(fact.content)}')

    def _call_failed(self, fact: CallFailed) -> None:
        text = fact.error if self._options.show_errors and fact.error else "Tool failed"
        self._call("tool-output-error", fact.id, f',"errorText":{quoted(text)}')

    def _call(self, kind: str, call_id: str, rest: str) -> None:
        """Send a chunk about a call; `dynamic`, because the client's program need not know the tool."""
        self.send(f'{{"type":"{kind}","toolCallId":{quoted(call_id)}{rest},"dynamic":true}}')

    def _source_found(self, fact: SourceFound) -> None:
        said = f'"sourceId":{quoted(fact.id)},"title":{quoted(fact.title)}'
        if fact.url is None:
            self.send(f'{{"type":"source-document",{said},"mediaType":"text/plain"}}')
        else:
            self.send(f'{{"type":"source-url",{said},"url":{quoted(fact.url)}}}')

    def _custom_came(self, fact: CustomCame) -> None:
        self.send(f'{{"type":{quoted(f"data-{fact.name}")},"data":{plain_json(fact.data)}}}')

    def _interrupted(self, fact: Interrupted) -> None:
        value = {"id": fact.id, "value": fact.value}
        self.send(f'{{"type":"data-interrupt","id":{quoted(fact.id)},"data":{plain_json(value)}}}')

    table = MappingProxyType(
        {
            PieceCame: _piece_came,
            ModelBegan: _model_began,
            ModelEnded: _model_ended,
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
            Interrupted: _interrupted,
        }
    )
