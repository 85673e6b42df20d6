"""Results of a run: costs for each round, and the figures from them. Everything here can be written as JSON and read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median, quantiles
from typing import Any, Literal, TypeAlias

from benchmarks.scenario import Contender, Goal, Scenario, Unit

__all__ = ["ContenderResult", "GoalResult", "ScenarioResult", "Spread", "Verdict", "goal_results", "spread"]

Verdict: TypeAlias = Literal["reached", "missed", "undecided", ""]
"""The verdict of a run on a goal; empty if the goal was not measured."""


@dataclass(frozen=True)
class Spread:
    """A median between the quartiles."""

    low: float
    median: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles of values; for one value, that value.

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
    """One cost for each round, in seconds or bytes, less the cost of the scenario's `over`."""
    processor: list[float] = field(default_factory=list)
    """The same in processor time, if the scenario shows it."""
    counts: dict[str, float] = field(default_factory=dict)
    """Counts of its work for one item, by name."""
    missing: str | None = None
    """Why there are no costs."""

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
    """The costs of all contenders of a scenario."""

    name: str
    title: str
    what: str
    unit: Unit
    axis: str | None
    over: str | None
    contenders: list[ContenderResult]
    goals: list[Goal]
    seconds: float = 0.0
    """How long measuring took."""

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
        """Read the output of `to_json`."""
        known = {name: data[name] for name in ("name", "title", "what", "axis", "over", "seconds")}
        contenders = [
            ContenderResult(one["name"], one["role"], one["at"], one["costs"], one["processor"], one["counts"], one["missing"])
            for one in data["contenders"]
        ]
        return cls(
            unit=Unit(*data["unit"]), contenders=contenders, goals=[Goal(**goal["goal"]) for goal in data["goals"]], **known
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything, including derived figures."""
        data = asdict(self) | {"unit": list(self.unit)}
        for made, contender in zip(data["contenders"], self.contenders, strict=True):
            made["cost"] = asdict(spread(contender.costs)) if contender.costs else None
            ratio = self.ratio_to_ours(contender)
            made["ratio_to_ours"] = asdict(ratio) if ratio else None
        data["goals"] = [
            {"goal": asdict(one.goal), "measured": asdict(one.measured) if one.measured else None, "verdict": one.verdict}
            for one in goal_results(self)
        ]
        return data

    def find(self, name: str, at: int | None = None) -> ContenderResult | None:
        """Return a measured contender."""
        fitting = (one for one in self.contenders if one.name == name and one.costs and (at is None or one.at == at))
        return next(fitting, None)

    def ratio_to_ours(self, contender: ContenderResult, *, processor: bool = False) -> Spread | None:
        """Return its cost as a multiple of ours, at the same point of the axis; `None` if one of the two is missing."""
        of_ours = (one for one in self.contenders if one.role == "ours" and one.at == contender.at and one.costs)
        ours = next(of_ours, None)
        if ours is None:
            return None
        return ratio(contender.processor, ours.processor) if processor else ratio(contender.costs, ours.costs)


def ratio(costs: Sequence[float], others: Sequence[float]) -> Spread | None:
    """Return the spread of the ratios of costs to others, round by round, because the same disturbances affect a round.

    Returns:
        `None` if there are none, or if the others cost no more than noise.
    """
    pairs = list(zip(costs, others, strict=False))
    if not pairs or any(other <= 0 for _, other in pairs):
        return None
    return spread([cost / other for cost, other in pairs])


@dataclass(frozen=True)
class GoalResult:
    """A goal and its measurement."""

    goal: Goal
    measured: Spread | None
    """The ratio, or the cost in the scenario's unit; `None` if a contender is missing."""

    @property
    def verdict(self) -> Verdict:
        """Whether the goal is reached. If the quartiles are on both sides of the bound, this run does not decide it."""
        if self.measured is None:
            return ""
        low, high = self.measured.low, self.measured.high
        if self.goal.at_least is not None:
            reached, missed = low >= self.goal.at_least, high < self.goal.at_least
        else:
            at_most = self.goal.at_most or 0.0
            reached, missed = high <= at_most, low > at_most
        return "reached" if reached else "missed" if missed else "undecided"


def goal_results(result: ScenarioResult) -> list[GoalResult]:
    """Return the outcome of a scenario's goals."""
    return [GoalResult(goal, _measured(result, goal)) for goal in result.goals]


def _measured(result: ScenarioResult, goal: Goal) -> Spread | None:
    ours = _costs(result, goal, goal.ours, goal.ours_at)
    if not ours:
        return None
    if goal.against is None:
        return spread([cost * result.unit.scale for cost in ours])
    theirs = _costs(result, goal, goal.against, goal.against_at)
    return ratio(ours, theirs) if goal.at_least is None else ratio(theirs, ours)


def _costs(result: ScenarioResult, goal: Goal, name: str, at: int | None) -> list[float]:
    """Return the values that a goal compares, round by round: the costs of a contender, or their growth."""
    found = result.find(name, at)
    if found is None:
        return []
    costs = found.processor if goal.processor else found.costs
    if goal.grown_from is None:
        return costs
    before = _costs(result, replace(goal, grown_from=None), name, goal.grown_from)
    return [cost / less for cost, less in zip(costs, before, strict=False)]
