"""`Scenario`: contenders that do the same work, and the goals that are set for ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = [
    "BYTES",
    "EVENT",
    "ITEM",
    "LATENCY",
    "OURS",
    "TOKEN",
    "Contender",
    "Goal",
    "Role",
    "Scenario",
    "Unit",
    "WrongOutputError",
    "check",
]

Role: TypeAlias = Literal["ours", "incumbent", "peer", "floor"]
"""The incumbent is what a LangChain user has without callbridge; the floor is what cannot be done without."""

OURS: Final = "callbridge"
"""The contender that all others are divided by, unless a scenario says otherwise."""


class Unit(NamedTuple):
    """What costs are told in."""

    name: str
    scale: float
    """Costs are seconds or bytes; times this they are in the unit."""
    per: str | None = None
    """What there are how many of per second; `None` where that says nothing."""


ITEM: Final = Unit("µs/item", 1e6, "items")
TOKEN: Final = Unit("µs/token", 1e6, "tokens")
EVENT: Final = Unit("µs/event", 1e6, "events")
LATENCY: Final = Unit("µs", 1e6)
BYTES: Final = Unit("MB", 1e-6)


class WrongOutputError(Exception):
    """A contender did not deliver what it was given; how fast it was does not matter then."""


def check(what: str, got: object, expected: object) -> None:
    """Check the output of a run.

    Raises:
        WrongOutputError: It is not what was expected.
    """
    if got != expected:
        raise WrongOutputError(f"{what}: got {got!r}, expected {expected!r}")


@dataclass(frozen=True)
class Contender:
    """One way to do the work of a scenario."""

    name: str
    run: Callable[[int], float]
    """Does it for so many items, checks what came out, and returns the cost: seconds per item, or bytes."""
    items: int
    role: Role = "peer"
    needs: tuple[str, ...] = ()
    """Modules without which it cannot run."""
    at: int | None = None
    """The point on the horizontal axis, where a scenario has one."""
    quick: int | None = None
    """Items with `--quick`; 0: left out then. `None`: a twentieth."""
    rounds: int | None = None
    """Rounds at most, for one that takes its time."""
    lacks: Callable[[], str | None] | None = None
    """Says what else is missing here; asked before it is run."""
    units: int = 1
    """How many of the unit an item is: the tokens of a run, where items are runs."""
    counts: Callable[[], dict[str, float]] | None = None
    """Counts what it does for one item: the same on any machine."""
    warms_up: bool = True
    """Whether a round before the first is thrown away; what starts a process for each measurement sees to that itself."""

    def amount(self, quick: bool) -> int:
        """Return for how many items it is run; 0: not at all."""
        if not quick:
            return self.items
        return max(self.items // 20, 20) if self.quick is None else self.quick


@dataclass(frozen=True)
class Goal:
    """What ours should reach. One of the bounds is given."""

    against: str | None
    """The contender that ours is compared with; `None`: the bound is absolute, in the scenario's unit."""
    at_most: float | None = None
    """Of ours / theirs."""
    at_least: float | None = None
    """Of theirs / ours."""
    ours: str = OURS
    ours_at: int | None = None
    against_at: int | None = None
    grown_from: int | None = None
    """The point on the axis since which both have grown, where it is their growth that is compared."""
    processor: bool = False
    """Whether it is on processor time, which hardly depends on what the machine does beside, and not on wall time."""
    text: str = ""
    """How the bound is written, where the number does not say it well: `"1/4"`."""


@dataclass(frozen=True)
class Scenario:
    """Contenders, measured in a process of its own, one after the other in each round."""

    name: str
    title: str
    what: str
    """What is measured, in a sentence."""
    unit: Unit
    contenders: tuple[Contender, ...]
    goals: tuple[Goal, ...] = ()
    over: str | None = None
    """The contender whose cost is taken off everybody's, where the cost is what something adds."""
    axis: str | None = None
    """What `at` is, if contenders have it."""
    rounds: int = 9
    processor: bool = False
    """Whether processor time is shown, too: where all work is done in the process that measures."""
