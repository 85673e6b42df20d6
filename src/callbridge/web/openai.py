"""`"openai"`: chunks of OpenAI's chat completions, which any OpenAI client reads.

The protocol has room for one text only. If several models speak at once, their texts follow one another. If a retry replaces a
failed attempt, a blank line comes first, as in `text()`. The encoder does not send tool calls that the run has made itself,
since a client would make them again. It sends the calls that the client has to make. A run that is cut short ends with an
error: a `finish_reason` would say that the answer is complete.

Source: OpenAI's API reference, "The chat completion chunk object"; `Stream` of the SDKs (Python 3.57.0, JavaScript 7.59.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Final
from uuid import UUID

from callbridge.core.attempts import Attempts
from callbridge.core.facts import ModelBegan, ModelEnded, PieceBegan, PieceCame, PieceEnded
from callbridge.errors import ArgumentError
from callbridge.web.projected import ProjectedEncoder, Shown, plain_json, quoted
from callbridge.web.wire import BaseFormat, Failure, FrameEncoder

__all__ = ["OpenAIFormat"]

_REASONS: Final = MappingProxyType({"length": "length", "content-filter": "content_filter"})
_TYPES: Final = MappingProxyType({499: "cancelled", 504: "timeout", 507: "limit_exceeded"})


@dataclass(frozen=True)
class OpenAIFormat(Shown, BaseFormat):
    """Chat completion chunks: the text, the end, and if you ask for them, reasoning and usage.

    Raises:
        ArgumentError: An option has a value that is not allowed.

    Example:
        ```python
        format = OpenAIFormat(model="tea", include_usage=True)
        response = EventStreamResponse(callbridge.astream_events(chain, {"drink": "tea"}), format)
        ```
    """

    model: str = "callbridge"
    """The name of the model in the chunks."""

    include_usage: bool = False
    """Whether a last chunk reports the models' token usage: `stream_options.include_usage` of the request."""

    between: str = ""
    """The text between the texts of two models, or before and after a tool; a blank line, for example."""

    line_end: ClassVar[str] = "\n"
    always_ends: ClassVar[bool] = True
    bare: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("model", "between"):
            value: object = getattr(self, name)
            if not isinstance(value, str):
                raise ArgumentError(name, value, "a text")

    def refusal(self, failure: Failure) -> tuple[str, str]:
        """Return the media type and the text of a response that refuses a request: an error in OpenAI's form."""
        kind = "invalid_request_error" if failure.status_code < 500 else "server_error"
        return "application/json", _error(failure.detail, kind, failure.status_code)

    def begin(self) -> FrameEncoder:
        """Return the encoder of one run."""
        return _Encoder(self)


@dataclass
class _Piece:
    """A text that has begun and is not sent completely."""

    id: str
    waiting: list[str] = field(default_factory=list)
    has_ended: bool = False


class _Encoder(ProjectedEncoder):
    def __init__(self, options: OpenAIFormat) -> None:
        super().__init__(options.projection())
        self._options = options
        self._pieces: list[_Piece] = []  # in their order; the first one is being sent, and removed when complete
        self._attempts = Attempts()
        self._has_text = False
        self._head = ""

    def begin(self) -> None:
        run_id = self.run_id or "none"
        self._head = (
            f'{{"id":{quoted(f"chatcmpl-{run_id}")},"object":"chat.completion.chunk","created":{_created(run_id)},'
            f'"model":{quoted(self._options.model)}'
        )
        self._delta('{"role":"assistant","content":""}')

    def failed(self, failure: Failure) -> None:
        self._flush()
        kind = _TYPES.get(failure.status_code, "server_error")
        self.send(_error(failure.detail, kind, failure.status_code))

    def finished(self) -> None:
        self._flush()
        if self.projection.interrupts:
            self.send(_error("The run waits for an answer that this protocol cannot give", "interrupted", 409))
            return
        pending = self.projection.pending
        if pending:
            calls = [
                {
                    "index": index,
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": plain_json(call.arguments)},
                }
                for index, call in enumerate(pending)
            ]
            self._delta(plain_json({"tool_calls": calls}))
        reason = "tool_calls" if pending else _REASONS.get(self.projection.usage.reason, "stop")
        self._delta("{}", f'"{reason}"')
        if self._options.include_usage:
            usage = self.projection.usage
            counted = {
                "prompt_tokens": usage.input_tokens,
                "completion_tokens": usage.output_tokens,
                "total_tokens": usage.total_tokens,
            }
            self.send(f'{self._head},"choices":[],"usage":{plain_json(counted)}}}')

    def ended(self) -> None:
        self.send("[DONE]")

    def _delta(self, delta: str, reason: str = "null") -> None:
        self.send(f'{self._head},"choices":[{{"index":0,"delta":{delta},"finish_reason":{reason}}}]}}')

    # -- text: one after the other

    def _model_began(self, fact: ModelBegan) -> None:
        self._attempts.start(fact.run_id)

    def _model_ended(self, fact: ModelEnded) -> None:
        self._attempts.end(fact.run_id, failed=fact.failed)

    def _piece_began(self, fact: PieceBegan) -> None:
        if fact.kind == "text":
            self._pieces.append(_Piece(fact.id))
            if len(self._pieces) == 1:
                self._separate()

    def _piece_came(self, fact: PieceCame) -> None:
        if fact.kind == "reasoning":
            self._delta(f'{{"reasoning_content":{quoted(fact.text)}}}')
            return
        piece = next(piece for piece in self._pieces if piece.id == fact.id)
        text = self._attempts.say(fact.run_id, fact.text)
        if text is not fact.text and piece is not self._pieces[0]:  # it replaces the text that the first attempt broke off
            self._pieces.remove(piece)
            self._pieces.insert(0, piece)
        if piece is self._pieces[0]:
            self._text(text)
        else:
            piece.waiting.append(text)

    def _piece_ended(self, fact: PieceEnded) -> None:
        for piece in self._pieces:
            if piece.id == fact.id:
                piece.has_ended = True
        if self._pieces and self._pieces[0].has_ended:
            self._advance()

    def _advance(self) -> None:
        """Send the waiting pieces, up to one that is not complete."""
        while self._pieces and self._pieces[0].has_ended and not self._pieces[0].waiting:
            del self._pieces[0]
        while self._pieces:
            piece = self._pieces[0]
            self._separate()
            for text in piece.waiting:
                self._text(text)
            piece.waiting.clear()
            if not piece.has_ended:
                return
            del self._pieces[0]

    def _flush(self) -> None:
        """Send the waiting pieces if an error kept the encoder from it."""
        for piece in self._pieces:
            for text in piece.waiting:
                self._text(text)
        self._pieces.clear()

    def _separate(self) -> None:
        if self._has_text and self._options.between:
            self._text(self._options.between)

    def _text(self, text: str) -> None:
        self._has_text = True
        self._delta(f'{{"content":{quoted(text)}}}')

    table: ClassVar[Mapping[type[Any], Any]] = MappingProxyType(
        {
            PieceCame: _piece_came,
            PieceBegan: _piece_began,
            PieceEnded: _piece_ended,
            ModelBegan: _model_began,
            ModelEnded: _model_ended,
        }
    )


def _error(message: str, kind: str, code: int) -> str:
    return plain_json({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _created(run_id: str) -> int:
    """Return when a run was made, in seconds, from its id: the same run always gives the same bytes."""
    try:
        number = UUID(run_id)
    except ValueError:
        return 0
    return (number.int >> 80) // 1000 if number.version == 7 else 0
