"""The base of formats for third-party protocols: an encoder is a table over the facts of `callbridge.core.projection`."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from callbridge.codec.encode import dumps
from callbridge.core.facts import Fact
from callbridge.core.projection import Projection
from callbridge.errors import ArgumentError
from callbridge.web.wire import Failure, Frame

if TYPE_CHECKING:
    from callbridge.events import Event

__all__ = ["Emit", "ProjectedEncoder", "Shown", "plain_json", "quoted"]

Emit: TypeAlias = Callable[[Any, Any], None]
"""A method of an encoder that makes frames for one kind of fact."""

_encoder: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)

quoted: Final[Callable[[str], str]] = _encoder.encode
"""Returns a text as JSON."""


def plain_json(value: Any) -> str:
    """Return a value as JSON. If JSON has no form for a part, `callbridge.dumps` writes it."""
    try:
        return _encoder.encode(value)
    except (TypeError, ValueError, RecursionError):
        return dumps(value)


@dataclass(frozen=True)
class Shown:
    """Which parts of a run the client sees, in any of the protocols.

    Raises:
        ArgumentError: An option has a value that is not allowed.
    """

    send_reasoning: bool = False
    """Whether to send the models' reasoning."""

    send_tools: bool | Collection[str] = True
    """Whether to send tool calls and their results; or the names of the tools to send."""

    send_sources: bool = True
    """Whether to send titles and addresses of sources: of chain outputs under `source_documents`, of the results of
    retrievers, and of citations by models. The text of documents is never sent."""

    send_inputs: bool = False
    """Whether to send the inputs of tools that code has started, not a model. They may contain anything."""

    show_errors: bool = False
    """Whether to send the errors of tools in full. They may reveal internals of the program."""

    def __post_init__(self) -> None:
        tools: object = self.send_tools
        if isinstance(tools, str) or not isinstance(tools, bool | Collection):
            raise ArgumentError("send_tools", tools, "True, False, or the names of the tools that are shown")

    def refusal(self, failure: Failure) -> tuple[str, str]:
        """Return the media type and the text of a response that refuses a request. The client shows the text as it is."""
        return "text/plain", failure.detail

    def projection(self) -> Projection:
        """Return the projection of one run into facts."""
        return Projection(
            reasoning=self.send_reasoning, tools=self.send_tools, sources=self.send_sources, inputs=self.send_inputs
        )


class ProjectedEncoder:
    """Makes frames from facts. A subclass has a table with a method for each kind of fact; it skips other kinds.

    An event that cannot be read ends the run. The encoder no longer knows what is open, so it closes nothing, and sends only
    the error.

    Args:
        projection: Makes the facts.
    """

    table: ClassVar[Mapping[type[Any], Emit]]

    def __init__(self, projection: Projection) -> None:
        self.projection = projection
        self.frames: list[Frame] = []
        self.run_id: str | None = None
        """The run id of the first event; None before it."""
        self.failure: Failure | None = None
        self.is_broken = False
        """Whether an event could not be read, so that the encoder does not know what is open."""

    def feed(self, event: Event) -> Iterable[Frame]:
        """Return the frames for an event; none for most events."""
        self.frames = []
        try:
            if self.run_id is None:
                self.run_id = event["run_id"]
                self.begin()
            facts = self.projection.feed(event)
            if facts:
                self._tell(facts)
        except BaseException:
            self.is_broken = True
            raise
        return self.frames

    def fail(self, failure: Failure) -> Iterable[Frame]:
        """Return the frames that close everything open and say that the run has failed."""
        self.frames = []
        self.failure = failure
        if not self.is_broken:
            self._tell(self.projection.close())
        self.failed(failure)
        return self.frames

    def end(self) -> Iterable[Frame]:
        """Return the frames that say that nothing more will come."""
        self.frames = []
        if self.failure is None:
            if self.run_id is None:  # there was no event at all
                self.begin()
            self._tell(self.projection.close())
            self.finished()
        self.ended()
        return self.frames

    def _tell(self, facts: Iterable[Fact]) -> None:
        table = self.table
        for fact in facts:
            emit = table.get(type(fact))
            if emit is not None:
                emit(self, fact)

    def send(self, text: str) -> None:
        """Add a frame."""
        self.frames.append(Frame(text))

    def begin(self) -> None:
        """Say that the run begins."""

    def failed(self, failure: Failure) -> None:
        """Say that the run has failed."""

    def finished(self) -> None:
        """Say that the run has ended well."""

    def ended(self) -> None:
        """Say that nothing more will come, however the run has ended."""
