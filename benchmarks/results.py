"""What a run has found: costs round by round, and the figures made of them. Everything here goes into JSON and comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import Any

from benchmarks.scenario import Contender, Goal, Scenario, Unit

__all__ = ["ContenderResult", "GoalResult", "ScenarioResult", "Spread", "goal_results", "spread"]


@dataclass(frozen=True)
class Spread:
    """A median between the quartiles."""

    low: float
    median: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median of the values and their quartiles; of one value, that value.

    Args:
        values: At least one.
    """
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, _, high = quantiles(values, n=4, method="inclusive")
    return Spread(low, median(values), high)


@dataclass
class ContenderResult:
    """One contender's costs."""

    name: str
    role: str
    at: int | None
    costs: list[float] = field(default_factory=list)
    """One for each round, less what the scenario takes off; seconds or bytes."""
    missing: str | None = None
    """Why there are none."""

    @classmethod
    def of(cls, contender: Contender) -> ContenderResult:
        """Begin with no costs."""
        return cls(contender.name, contender.role, contender.at)

    @property
    def label(self) -> str:
        """The name, and the point on the axis."""
        return self.name if self.at is None else f"{self.name}, {self.at:,}"


@dataclass
class ScenarioResult:
    """What all contenders of a scenario cost."""

    name: str
    title: str
    what: str
    unit: Unit
    axis: str | None
    over: str | None
    contenders: list[ContenderResult]
    goals: list[Goal]
    seconds: float = 0.0
    """How long it took to find out."""

    @classmethod
    def of(cls, scenario: Scenario) -> ScenarioResult:
        """Begin with no costs."""
        contenders = [ContenderResult.of(contender) for contender in scenario.contenders]
        return cls(
            scenario.name,
            scenario.title,
            scenario.what,
            scenario.unit,
            scenario.axis,
            scenario.over,
            contenders,
            list(scenario.goals),
        )

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ScenarioResult:
        """Read what `to_json` has made."""
        known = {name: data[name] for name in ("name", "title", "what", "axis", "over", "seconds")}
        contenders = [
            ContenderResult(one["name"], one["role"], one["at"], one["costs"], one["missing"]) for one in data["contenders"]
        ]
        return cls(
            unit=Unit(*data["unit"]), contenders=contenders, goals=[Goal(**goal["goal"]) for goal in data["goals"]], **known
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything, the figures that are derived included."""
        data = asdict(self) | {"unit": list(self.unit)}
        for made, contender in zip(data["contenders"], self.contenders, strict=True):
            made["cost"] = asdict(spread(contender.costs)) if contender.costs else None
            ratio = self.ratio_to_ours(contender)
            made["ratio_to_ours"] = asdict(ratio) if ratio else None
        data["goals"] = [
            {"goal": asdict(one.goal), "measured": asdict(one.measured) if one.measured else None, "met": one.met}
            for one in goal_results(self)
        ]
        return data

    def find(self, name: str, at: int | None = None) -> ContenderResult | None:
        """Return a contender that has been measured."""
        fitting = (one for one in self.contenders if one.name == name and one.costs and (at is None or one.at == at))
        return next(fitting, None)

    def ratio_to_ours(self, contender: ContenderResult) -> Spread | None:
        """Return its cost as a multiple of ours, at the same point of the axis; `None` if one of the two is missing."""
        of_ours = (one for one in self.contenders if one.role == "ours" and one.at == contender.at and one.costs)
        ours = next(of_ours, None)
        return None if ours is None else ratio(contender.costs, ours.costs)


def ratio(costs: Sequence[float], others: Sequence[float]) -> Spread | None:
    """Return the spread of costs over others, divided round by round, because rounds have weather in common.

    Returns:
        `None` if there are none, or the others cost nothing that can be told from noise.
    """
    pairs = list(zip(costs, others, strict=False))
    if not pairs or any(other <= 0 for _, other in pairs):
        return None
    return spread([cost / other for cost, other in pairs])


@dataclass(frozen=True)
class GoalResult:
    """A goal and what was measured."""

    goal: Goal
    measured: Spread | None
    """The ratio, or the cost in the scenario's unit; `None` if a contender is missing."""

    @property
    def met(self) -> bool | None:
        """Whether it is reached; `None` if it was not measured."""
        if self.measured is None:
            return None
        if self.goal.at_least is not None:
            return self.measured.median >= self.goal.at_least
        return self.goal.at_most is None or self.measured.median <= self.goal.at_most


def goal_results(result: ScenarioResult) -> list[GoalResult]:
    """Return what became of a scenario's goals."""
    return [GoalResult(goal, _measured(result, goal)) for goal in result.goals]


def _measured(result: ScenarioResult, goal: Goal) -> Spread | None:
    ours = result.find(goal.ours, goal.ours_at)
    if ours is None:
        return None
    if goal.against is None:
        return spread([cost * result.unit.scale for cost in ours.costs])
    theirs = result.find(goal.against, goal.against_at)
    if theirs is None:
        return None
    return ratio(ours.costs, theirs.costs) if goal.at_least is None else ratio(theirs.costs, ours.costs)
