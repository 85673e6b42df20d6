"""The wire formats: whole events, tokens, the final answer's tokens, and source documents.

Tokens and documents have the form in which Lanarky 0.8.8 sent them. The rules for sending differ: the same text is never sent
twice, a failure sends only a frame that says so, and no request sees anything of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from langchain_core.documents import Document
from pydantic import BaseModel

from callbridge.codec.encode import dumps
from callbridge.core.filters import EventFilter
from callbridge.core.final import DEFAULT_PREFIX, FinalAnswer, FinalText
from callbridge.core.text import VisibleText
from callbridge.errors import ArgumentError, RemoteError
from callbridge.web.wire import BaseEncoder, BaseFormat, Failure, Frame, FrameEncoder, json_text

if TYPE_CHECKING:
    from callbridge.events import Event

__all__ = ["Mode", "SourceDocumentsFormat", "TokenFormat", "V2Format", "check_mode", "documents_text", "token_frame"]

Mode: TypeAlias = Literal["json", "text"]


def check_mode(mode: object) -> None:
    """Check a token mode.

    Raises:
        ArgumentError: It is neither `"json"` nor `"text"`.
    """
    if mode not in ("json", "text"):
        raise ArgumentError("mode", mode, "'json' or 'text'")


# -- whole events -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class V2Format(EventFilter, BaseFormat):
    """Every event as JSON (`callbridge.dumps`): the frame's event is the event's name, its id counts from 0.

    The six filters are those of `astream_events`.

    Raises:
        ArgumentError: A filter is not a sequence of strings.

    Example:
        ```python
        format = V2Format(include_types=["chat_model", "tool"], omit_input=True)
        response = EventStreamResponse(callbridge.astream_events(chain, {"drink": "tea"}), format)
        ```
    """

    stateless: ClassVar[bool] = True

    omit_input: bool = False
    """Whether to omit `input` from `data`: most pages should not see prompts and whole histories."""

    show_errors: bool = False
    """Whether error events show the error's type and message, which may reveal internals of the program."""

    def begin(self) -> FrameEncoder:
        """Return the encoder of one run."""
        return _V2Encoder(self)


class _V2Encoder(BaseEncoder):
    def __init__(self, options: V2Format) -> None:
        self._options = options
        self._sent = 0

    def feed(self, event: Event) -> Iterable[Frame]:
        name = event["event"]
        run_type = event["name"] if name == "on_custom_event" else name.removeprefix("on_").rpartition("_")[0]
        if not self._options.includes(event["name"], run_type, event["tags"]):
            return ()
        frame = Frame(dumps(self._shown(event)), name, str(self._sent))
        self._sent += 1
        return (frame,)

    def _shown(self, event: Event) -> Mapping[str, Any]:
        """Return the event without the parts that the client must not see."""
        data: Any = event["data"]
        if not isinstance(data, dict) or event["event"] == "on_custom_event":
            return event
        shown = {key: value for key, value in data.items() if key != "input" or not self._options.omit_input}
        if event["event"].endswith("_error") and not self._options.show_errors:
            shown["error"] = RemoteError(Failure().detail)
        return {**event, "data": shown}


# -- tokens -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TokenFormat(BaseFormat):
    """The text of models, one `completion` for each token; on request also source documents, as `source_documents`.

    If a model does not stream, one `completion` has its whole text. Models tagged `nostream` are left out.

    Example:
        ```python
        format = TokenFormat(final=True, hold=True)  # nothing but the final answer
        response = EventStreamResponse(callbridge.astream_events(chain, {"drink": "tea"}), format)
        ```
    """

    mode: Mode = "json"
    """`"json"`: `{"token":"Hel"}`. `"text"`: `Hel`."""

    final: bool = False
    """Whether to send only the final answer of an agent: see `prefix_tokens`."""

    documents: bool = False
    """Whether to send source documents, too: see `SourceDocumentsFormat`."""

    prefix_tokens: Sequence[str] | None = None
    """The text before the answer of an agent that is steered by text. None: `Final Answer:`, which counts only if the prompt
    asked the model for it. For all other agents, the answer is the text of a model that calls no tool."""

    hold: bool = False
    """Whether text waits for the end of the model call, so that text next to a tool call is never sent. Otherwise text goes out
    as it comes, and a blank line ends the text before a tool call."""

    def __post_init__(self) -> None:
        check_mode(self.mode)

    def begin(self) -> FrameEncoder:
        """Return the encoder of one run."""
        return _TokenEncoder(self)


class _TokenEncoder(BaseEncoder):
    def __init__(self, options: TokenFormat) -> None:
        self._mode: Mode = options.mode
        self._text: VisibleText | FinalText = VisibleText()
        if options.final:
            told = options.prefix_tokens is not None
            prefix = DEFAULT_PREFIX if options.prefix_tokens is None else options.prefix_tokens
            self._text = FinalText(FinalAnswer(prefix, always="prefix" if told else None, hold=options.hold))
        self._documents = _DocumentsEncoder() if options.documents else None

    def feed(self, event: Event) -> Iterable[Frame]:
        text = self._text.feed(event)
        if text:
            yield token_frame(text, self._mode)
        if self._documents is not None:
            yield from self._documents.feed(event)


def token_frame(token: str, mode: Mode) -> Frame:
    """Return the frame of one token."""
    return Frame(token if mode == "text" else json_text({"token": token}), "completion")


# -- source documents -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SourceDocumentsFormat(BaseFormat):
    """The sources of an answer: the documents in a chain's output under `source_documents`, or those of retrievers.

    Example:
        ```python
        response = EventStreamResponse(callbridge.astream_events(chain, {"drink": "tea"}), SourceDocumentsFormat())
        ```
    """

    retrievers: bool = False
    """Whether to send the results of retrievers as well. Only legacy chains output their sources."""

    def begin(self) -> FrameEncoder:
        """Return the encoder of one run."""
        return _DocumentsEncoder(retrievers=self.retrievers)


class _DocumentsEncoder(BaseEncoder):
    def __init__(self, *, retrievers: bool = False) -> None:
        self._retrievers = retrievers
        self._last: Sequence[Document] = ()

    def feed(self, event: Event) -> Iterable[Frame]:
        documents = self._documents(event)
        if documents and documents != self._last:  # an outer chain passes on what the inner one has found
            self._last = documents
            yield Frame(documents_text(documents), "source_documents")

    def _documents(self, event: Event) -> list[Document]:
        output: Any = event["data"].get("output") if isinstance(event["data"], Mapping) else None
        if event["event"] == "on_chain_end":
            output = output.get("source_documents") if isinstance(output, Mapping) else None
        elif event["event"] != "on_retriever_end" or not self._retrievers:
            return []
        return [found for found in output if isinstance(found, Document)] if isinstance(output, list) else []


class _SourceDocuments(BaseModel):
    source_documents: list[dict[str, Any]]


def documents_text(documents: Sequence[Document]) -> str:
    """Return documents as JSON. Pydantic writes their metadata; if it cannot, `callbridge.dumps` does."""
    found = [document.model_dump() for document in documents]
    try:
        return _SourceDocuments(source_documents=found).model_dump_json()
    except ValueError:  # the metadata has an object that pydantic does not know
        return dumps({"source_documents": found})
