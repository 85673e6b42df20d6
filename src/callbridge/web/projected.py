"""What the formats of other people's protocols share: an encoder is a table over the facts of `callbridge.core.projection`."""

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
"""A method of an encoder that makes frames of one kind of fact."""

_encoder: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)

quoted: Final[Callable[[str], str]] = _encoder.encode
"""Returns a text as JSON."""


def plain_json(value: Any) -> str:
    """Return a value as JSON. What JSON has no form for is written as `callbridge.dumps` writes it."""
    try:
        return _encoder.encode(value)
    except (TypeError, ValueError, RecursionError):
        return dumps(value)


@dataclass(frozen=True)
class Shown:
    """What of a run is shown to the client, in any of the protocols.

    Raises:
        ArgumentError: An option has a value that is not allowed.
    """

    send_reasoning: bool = False
    """Whether models' reasoning is sent."""

    send_tools: bool | Collection[str] = True
    """Whether calls of tools and their results are sent; or the names of those whose are."""

    send_sources: bool = True
    """Whether titles and addresses of sources are sent: of what chains put out under `source_documents`, of what retrievers
    find, and of what models cite. What documents say is never sent."""

    send_inputs: bool = False
    """Whether the inputs of tools are sent that code has started, and not a model. Those may hold anything."""

    show_errors: bool = False
    """Whether the errors of tools are sent in full. They may tell of the program's inside."""

    def __post_init__(self) -> None:
        tools: object = self.send_tools
        if isinstance(tools, str) or not isinstance(tools, bool | Collection):
            raise ArgumentError("send_tools", tools, "True, False, or the names of the tools that are shown")

    def refusal(self, failure: Failure) -> tuple[str, str]:
        """Return the media type and the text of a response that refuses a request: what the client shows as it is."""
        return "text/plain", failure.detail

    def projection(self) -> Projection:
        """Return what makes facts of one run."""
        return Projection(
            reasoning=self.send_reasoning, tools=self.send_tools, sources=self.send_sources, inputs=self.send_inputs
        )


class ProjectedEncoder:
    """Makes frames of facts. A subclass has a table of what it makes of each kind; of others it makes none.

    An event that cannot be read ends the run: what it had added is lost, so nothing is closed then, and the error is all that
    follows.

    Args:
        projection: Makes the facts.
    """

    table: ClassVar[Mapping[type[Any], Emit]]

    def __init__(self, projection: Projection) -> None:
        self.projection = projection
        self.frames: list[Frame] = []
        self.run_id: str | None = None
        """Of the first event; None before it."""
        self.failure: Failure | None = None
        self.is_broken = False
        """Whether an event could not be read, so that it is not known what is open."""

    def feed(self, event: Event) -> Iterable[Frame]:
        """Return the frames that an event makes; none for most."""
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
        """Return what closes all that is open, and says that the run has failed."""
        self.frames = []
        self.failure = failure
        if not self.is_broken:
            self._tell(self.projection.close())
        self.failed(failure)
        return self.frames

    def end(self) -> Iterable[Frame]:
        """Return what says that nothing more will come."""
        self.frames = []
        if self.failure is None:
            if self.run_id is None:  # nothing has happened at all
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
        """Say that it has failed."""

    def finished(self) -> None:
        """Say that it has ended well."""

    def ended(self) -> None:
        """Say that nothing more will come, however it has ended."""
