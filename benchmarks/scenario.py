"""`Scenario`: contenders that do the same work, and the goals for ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = [
    "BYTES",
    "EVENT",
    "ITEM",
    "KILOBYTES",
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
"""The incumbent is what a LangChain user has without callbridge; the floor is the least work that any solution needs."""

OURS: Final = "callbridge"
"""The contender by which to divide all others, unless a scenario names another one."""


class Unit(NamedTuple):
    """The unit of costs."""

    name: str
    scale: float
    """The factor from seconds or bytes to the unit."""
    per: str | None = None
    """The items to count per second; `None` if that says nothing."""


ITEM: Final = Unit("µs/item", 1e6, "items")
TOKEN: Final = Unit("µs/token", 1e6, "tokens")
EVENT: Final = Unit("µs/event", 1e6, "events")
LATENCY: Final = Unit("µs", 1e6)
BYTES: Final = Unit("MB", 1e-6)
KILOBYTES: Final = Unit("kB", 1e-3)


class WrongOutputError(Exception):
    """A contender did not deliver its input, so its speed does not matter."""


def check(what: str, got: object, expected: object) -> None:
    """Check the output of a run.

    Raises:
        WrongOutputError: It is not the expected output.
    """
    if got != expected:
        raise WrongOutputError(f"{what}: got {got!r}, expected {expected!r}")


@dataclass(frozen=True)
class Contender:
    """One way to do the work of a scenario."""

    name: str
    run: Callable[[int], float]
    """Does the work for a number of items, checks the output, and returns the cost: seconds per item, or bytes."""
    items: int
    role: Role = "peer"
    needs: tuple[str, ...] = ()
    """The modules that it needs."""
    at: int | None = None
    """The point on the horizontal axis, if the scenario has one."""
    quick: int | None = None
    """Items with `--quick`; 0: leave it out. `None`: a twentieth."""
    rounds: int | None = None
    """The most rounds, for a slow contender."""
    lacks: Callable[[], str | None] | None = None
    """Returns what else is missing here. Called before it runs."""
    units: int = 1
    """How many units an item has: the tokens of a run, if the items are runs."""
    counts: Callable[[], dict[str, float]] | None = None
    """Counts its work for one item, which is the same on any machine."""
    warms_up: bool = True
    """Whether to run a first round that does not count. A contender with a process for each measurement does that itself."""

    def amount(self, quick: bool) -> int:
        """Return the number of items for it; 0: do not run it."""
        if not quick:
            return self.items
        return max(self.items // 20, 20) if self.quick is None else self.quick


@dataclass(frozen=True)
class Goal:
    """A goal for ours. It has one of the two bounds."""

    against: str | None
    """The contender to compare ours with; `None`: the bound is absolute, in the scenario's unit."""
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
    """Whether to compare processor time instead of wall time. Other work on the machine hardly affects processor time."""
    text: str = ""
    """How to write the bound if the number does not show it well: `"1/4"`."""


@dataclass(frozen=True)
class Scenario:
    """A scenario: its contenders run in their own process, one after the other in each round."""

    name: str
    title: str
    what: str
    """The subject of the measurement, in a sentence."""
    unit: Unit
    contenders: tuple[Contender, ...]
    goals: tuple[Goal, ...] = ()
    over: str | None = None
    """The contender whose cost to subtract from all others, if the cost is what something adds."""
    axis: str | None = None
    """The meaning of `at`, if contenders have it."""
    rounds: int = 9
    processor: bool = False
    """Whether to show processor time, too, if the measuring process does all the work."""
