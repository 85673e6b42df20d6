"""Results as tables: for the terminal, as Markdown, and the one of the goals for the README."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from benchmarks.results import ContenderResult, GoalResult, ScenarioResult, Spread, goal_results, spread
from benchmarks.scenario import Goal

__all__ = ["goals_table", "heading", "markdown", "put_into", "readme", "terminal"]

Row = Sequence[str]


def terminal(result: ScenarioResult) -> str:
    """Return a scenario's table as plain text, with its goals below."""
    rows = [_columns(result), *_rows(result)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [f"{result.name}: {heading(result)}"]
    for row in rows:
        cells = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    lines += [f"  {text}" for text in map(_sentence, goal_results(result))]
    return "\n".join(lines)


def markdown(results: Sequence[ScenarioResult], facts: dict[str, str]) -> str:
    """Return everything as a page: the facts, the goals, a table for each scenario."""
    parts = ["# Benchmarks", "", *(f"- {name}: {value}" for name, value in facts.items()), ""]
    if any(result.goals for result in results):
        parts += ["## Goals", "", goals_table(results), ""]
    for result in results:
        parts += [f"## {result.title}", "", f"`{result.name}`. {result.what}", ""]
        parts += [_markdown_table(_columns(result), _rows(result)), ""]
    return "\n".join(parts)


def goals_table(results: Sequence[ScenarioResult]) -> str:
    """Return the table of all goals."""
    return _markdown_table(("what", "against", "goal", "measured", ""), list(_goal_rows(results)))


def readme(results: Sequence[ScenarioResult], facts: dict[str, str], before: Sequence[ScenarioResult] = ()) -> str:
    """Return the table of the goals, and below it what a reader must know to reproduce it.

    Args:
        results: What was found.
        facts: Where.
        before: What another source tree did in the same run; has a column of its own.
    """
    versions = ", ".join(
        f"{name} {facts[name]}"
        for name in ("langchain-core", "anyio", "janus", "culsans")
        if facts.get(name, "not installed") != "not installed"
    )
    source = f"Medians of ratios, {facts['python']}, {versions}; {facts['system']}, {facts['processor']}"
    against = f", before: {facts['against']}" if before else ""
    return f"{_short_goals_table(results, before)}\n\n{source}; commit {facts['commit']}{against}.\n"


def put_into(page: str, table: str) -> str:
    """Return a page of the documentation with this table, as `readme` makes it, in the place of the one it has.

    Raises:
        ValueError: It has none.
    """
    start = re.search(r"^\| what \|.* measured \(goal\) \|$", page, re.MULTILINE)
    end = re.search(r"^Medians of ratios, .*\n", page, re.MULTILINE)
    if start is None or end is None:
        raise ValueError("the page has no table of the goals with a line 'Medians of ratios' below it")
    return page[: start.start()] + table + page[end.end() :]


def _short_goals_table(results: Sequence[ScenarioResult], before: Sequence[ScenarioResult]) -> str:
    """Return the goals with one line for each scenario; the quartiles are left to the whole table."""
    earlier = {result.name: _short_goals(result, with_goal=False) for result in before}
    rows: list[Row] = []
    for result in results:
        if said := _short_goals(result):
            rows.append((result.title, *([earlier.get(result.name, "")] if before else []), said))
    return _markdown_table(("what", *(["before"] if before else []), "measured (goal)"), rows, align="---")


def _short_goals(result: ScenarioResult, *, with_goal: bool = True) -> str:
    found = [one for one in goal_results(result) if one.measured is not None]
    return "; ".join(_short_sentence(result, one, with_goal=with_goal) for one in found)


def _short_sentence(result: ScenarioResult, one: GoalResult, *, with_goal: bool) -> str:
    measured = "" if one.measured is None else _number(one.measured.median)
    if not with_goal:
        return measured
    if one.goal.at_least is not None:
        said = f"{measured}× {_against(one.goal)}"
    elif one.goal.against is None:
        said = f"{measured} {result.unit.name} over {_against(one.goal)}"
    else:
        said = f"{measured} of {_against(one.goal)}"
    verdict = "" if one.verdict == "reached" else f", {one.verdict}"
    return f"{said} ({_bound(result, one.goal)}{verdict})"


def heading(result: ScenarioResult) -> str:
    """Return the title, and what has been taken off the costs."""
    return result.title if result.over is None else f"{result.title} (less {result.over})"


def _columns(result: ScenarioResult) -> Row:
    per = (f"{result.unit.per}/s",) if result.unit.per else ()
    processor = ("processor time", "× ours") if _has_processor(result) else ()
    return ("contender", result.unit.name, "quartiles", *per, "× ours", "quartiles", *processor, *_counted(result))


def _has_processor(result: ScenarioResult) -> bool:
    return any(one.processor for one in result.contenders)


def _counted(result: ScenarioResult) -> list[str]:
    """Return the names of what is counted."""
    return list(dict.fromkeys(name for one in result.contenders for name in one.counts))


def _rows(result: ScenarioResult) -> list[Row]:
    return [(*_row(result, contender), *_further(result, contender)) for contender in result.contenders]


def _further(result: ScenarioResult, contender: ContenderResult) -> Row:
    """Return the cells behind those of the cost: processor time, and what is counted."""
    cells: list[str] = []
    if _has_processor(result):
        times = [one * result.unit.scale for one in contender.processor]
        is_plain = contender.role == "ours" or contender.name == result.over
        ratio = None if is_plain else result.ratio_to_ours(contender, processor=True)
        cells += [_number(spread(times).median) if times else "", "" if ratio is None else _number(ratio.median)]
    return (*cells, *(_number(contender.counts[name]) if name in contender.counts else "" for name in _counted(result)))


def _row(result: ScenarioResult, contender: ContenderResult) -> Row:
    rate: tuple[str, ...] = ("",) if result.unit.per else ()
    if not contender.costs:
        return (contender.label, contender.missing or "no figures", "", *rate, "", "")
    cost = spread([one * result.unit.scale for one in contender.costs])
    if result.unit.per:
        median = cost.median / result.unit.scale
        rate = (f"{1 / median:,.0f}" if median > 0 else "",)
    ratio = None if contender.role == "ours" else result.ratio_to_ours(contender)
    # The plain run is what the others' costs are over; its own is no cost of the same kind.
    if ratio is None or contender.name == result.over:
        return (contender.label, _number(cost.median), _range(cost), *rate, "1" if contender.role == "ours" else "", "")
    return (contender.label, _number(cost.median), _range(cost), *rate, _number(ratio.median), _range(ratio))


def _goal_rows(results: Sequence[ScenarioResult]) -> Iterator[Row]:
    for result in results:
        for one in goal_results(result):
            measured = "not measured" if one.measured is None else f"{_number(one.measured.median)} ({_range(one.measured)})"
            yield (result.title, _against(one.goal), _bound(result, one.goal), measured, one.verdict)


def _sentence(one: GoalResult) -> str:
    measured = "not measured" if one.measured is None else f"{_number(one.measured.median)} ({_range(one.measured)})"
    bound = f"{'≥' if one.goal.at_least is not None else '≤'} {one.goal.text or _number(_limit(one.goal))}"
    return f"goal: {bound} against {_against(one.goal)}: {measured} {one.verdict}".rstrip()


def _against(goal: Goal) -> str:
    if goal.against is None:
        return "idle"
    if goal.grown_from is not None:
        return f"{goal.against}'s own growth"
    if goal.against == goal.ours:
        return f"itself at {goal.against_at:,}"
    at = "" if goal.ours_at is None else f" at {goal.ours_at:,}"
    return f"{goal.against}{at}{', processor time' if goal.processor else ''}"


def _bound(result: ScenarioResult, goal: Goal) -> str:
    if goal.at_least is not None:
        return f"≥ {_number(goal.at_least)}×"
    unit = f" {result.unit.name}" if goal.against is None else "" if goal.text else "×"
    return f"≤ {goal.text or _number(_limit(goal))}{unit}"


def _limit(goal: Goal) -> float:
    return goal.at_least if goal.at_least is not None else goal.at_most or 0.0


def _range(values: Spread) -> str:
    return f"{_number(values.low)}–{_number(values.high)}"


def _number(value: float) -> str:
    """Write a number with three digits that say something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _markdown_table(columns: Row, rows: Sequence[Row], align: str = "---:") -> str:
    lines = [columns, ["---", *(align for _ in columns[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
