"""The wire formats: whole events, tokens, the final answer's tokens, and source documents.

Tokens and documents look to the client as Lanarky 0.8.8 sent them. What is sent when is another matter: the same text is never
sent twice, nothing is sent for what goes wrong but a frame that says so, and no request sees anything of another.
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
        ArgumentError: A filter is no sequence of strings.

    Example:
        ```python
        format = V2Format(include_types=["chat_model", "tool"], omit_input=True)
        response = EventStreamResponse(callbridge.astream_events(chain, {"drink": "tea"}), format)
        ```
    """

    stateless: ClassVar[bool] = True

    omit_input: bool = False
    """Whether `data` goes without `input`: prompts and whole histories are no business of most pages."""

    show_errors: bool = False
    """Whether events of errors show the error's type and message, which may tell of the program's inside."""

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
        """Return the event without what the client is not to see."""
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
    """The text of models, one `completion` per token; source documents as `source_documents`, if asked for.

    A model that does not stream gives one `completion` with its whole text. Models tagged `nostream` are left out.

    Example:
        ```python
        format = TokenFormat(final=True, hold=True)  # nothing but the final answer
        response = EventStreamResponse(callbridge.astream_events(chain, {"drink": "tea"}), format)
        ```
    """

    mode: Mode = "json"
    """`"json"`: `{"token":"Hel"}`. `"text"`: `Hel`."""

    final: bool = False
    """Whether only the final answer of an agent is sent: see `prefix_tokens`."""

    documents: bool = False
    """Whether source documents are sent, too: see `SourceDocumentsFormat`."""

    prefix_tokens: Sequence[str] | None = None
    """What comes before the answer of an agent that is steered by text. If not told, that is `Final Answer:`, and it only
    counts where the model was told so; of all other agents the answer is what a model says without calling a tool."""

    hold: bool = False
    """Whether text waits for the end of the model call, so that what a model says beside a tool call is never sent. Otherwise
    text is sent as it comes, and a blank line ends what precedes a tool call."""

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
    """The documents that an answer comes from: those in the output of a chain under `source_documents`, or of retrievers.

    Example:
        ```python
        response = EventStreamResponse(callbridge.astream_events(chain, {"drink": "tea"}), SourceDocumentsFormat())
        ```
    """

    retrievers: bool = False
    """Whether what retrievers have found is sent as well; chains that are not legacy ones do not output their sources."""

    def begin(self) -> FrameEncoder:
        """Return the encoder of one run."""
        return _DocumentsEncoder(retrievers=self.retrievers)


class _DocumentsEncoder(BaseEncoder):
    def __init__(self, *, retrievers: bool = False) -> None:
        self._retrievers = retrievers
        self._last: Sequence[Document] = ()

    def feed(self, event: Event) -> Iterable[Frame]:
        documents = self._documents(event)
        if documents and documents != self._last:  # a chain around a chain hands on what that has found
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
    """Return documents as JSON; what their metadata holds is written as pydantic does, or else as `callbridge.dumps` does."""
    found = [document.model_dump() for document in documents]
    try:
        return _SourceDocuments(source_documents=found).model_dump_json()
    except ValueError:  # an object in the metadata that pydantic knows nothing of
        return dumps({"source_documents": found})
