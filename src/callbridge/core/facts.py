"""Facts: what a page shows of a run, in the order in which the page shows it.

```
ModelBegan ── PieceBegan ── PieceCame... ── PieceEnded ──┐   a piece is a run of text, or of reasoning, of one model
    │         CallBegan ── CallArguments... ── CallWhole ─┼─▶ ModelEnded        or CallBroken
    │                                             └───────── CallAnswered or CallFailed, at most one, any time later
SourceFound, CustomCame, Interrupted: at any time
```

`Projection` makes them, and keeps this order whatever the events are.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from callbridge.core.calls import Payload

__all__ = [
    "CallAnswered",
    "CallArguments",
    "CallBegan",
    "CallBroken",
    "CallFailed",
    "CallWhole",
    "CustomCame",
    "Fact",
    "Interrupted",
    "ModelBegan",
    "ModelEnded",
    "PieceBegan",
    "PieceCame",
    "PieceEnded",
    "PieceKind",
    "SourceFound",
]

PieceKind: TypeAlias = Literal["text", "reasoning"]


class ModelBegan(NamedTuple):
    """A model begins to speak."""

    run_id: str
    first: bool
    """Whether no other model is speaking."""


class ModelEnded(NamedTuple):
    """A model has ended, well or not."""

    run_id: str
    last: bool
    """Whether no other model is speaking any more."""
    failed: bool
    """Whether it is known to have failed."""


class PieceBegan(NamedTuple):
    """Text or reasoning begins."""

    kind: PieceKind
    id: str
    run_id: str


class PieceCame(NamedTuple):
    """More text of the piece."""

    kind: PieceKind
    id: str
    text: str
    run_id: str


class PieceEnded(NamedTuple):
    """The piece has ended."""

    kind: PieceKind
    id: str
    run_id: str


class CallBegan(NamedTuple):
    """A tool is going to be called."""

    id: str
    name: str
    run_id: str | None
    """The run of the model that calls it; None if code calls it."""


class CallArguments(NamedTuple):
    """More of the JSON of a call's arguments."""

    id: str
    text: str


class CallWhole(NamedTuple):
    """All arguments of a call are known."""

    id: str
    name: str
    arguments: Payload
    streamed: bool
    """Whether they also came as `CallArguments`."""


class CallBroken(NamedTuple):
    """A model's call cannot be made: its arguments are not JSON, or they break off."""

    id: str
    name: str
    text: str


class CallAnswered(NamedTuple):
    """A tool has answered."""

    id: str
    name: str
    content: Payload


class CallFailed(NamedTuple):
    """A tool has failed."""

    id: str
    name: str
    error: str
    """The whole message, which is not for everybody."""


class SourceFound(NamedTuple):
    """A source of the answer: its title and address, never its text."""

    id: str
    title: str
    url: str | None


class CustomCame(NamedTuple):
    """The program has dispatched a custom event."""

    name: str
    data: Payload


class Interrupted(NamedTuple):
    """The run waits for a human's answer."""

    id: str
    value: Payload


Fact: TypeAlias = (
    ModelBegan
    | ModelEnded
    | PieceBegan
    | PieceCame
    | PieceEnded
    | CallBegan
    | CallArguments
    | CallWhole
    | CallBroken
    | CallAnswered
    | CallFailed
    | SourceFound
    | CustomCame
    | Interrupted
)
