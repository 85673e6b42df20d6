"""Results as pictures: bars of ratios with their quartiles, or costs along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.results import ContenderResult, ScenarioResult, spread
from benchmarks.tables import heading

__all__ = ["draw", "draw_growth", "why_none"]

GREY = "#808080"
"""To be read on white and on black."""

COLORS = {"ours": "#1b7837", "incumbent": "#b2182b", "peer": "#4393c3", "floor": "#bbbbbb"}


def why_none() -> str | None:
    """Return why there can be no plots; `None` if there can."""
    return "no plots: matplotlib is not installed (see the extra `bench`)" if find_spec("matplotlib") is None else None


def draw(results: Sequence[ScenarioResult], directory: Path) -> list[Path]:
    """Draw each scenario into its own file. Return the files."""
    import matplotlib as mpl  # noqa: PLC0415 - may be missing

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "callbridge"  # the same figures give the same file
    return [
        _draw_one(result, directory / f"{result.name}.svg") for result in results if any(one.costs for one in result.contenders)
    ]


def draw_growth(results: Sequence[ScenarioResult], path: Path) -> Path:
    """Draw what a token costs along each axis, the length of the answer and the number of runs, in one picture.

    Its ground is transparent, and its words are grey, so that it is read on a light page and on a dark one.
    """
    import matplotlib as mpl  # noqa: PLC0415 - may be missing

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - may be missing

    shown = [result for result in results if result.axis is not None and any(one.processor for one in result.contenders)]
    inks = ("text.color", "axes.labelcolor", "axes.titlecolor", "axes.edgecolor", "xtick.color", "ytick.color")
    style = {"svg.hashsalt": "callbridge", "svg.fonttype": "none", "font.size": 9.0, **dict.fromkeys(inks, GREY)}
    with mpl.rc_context(style):
        figure, places = plt.subplots(1, len(shown), figsize=(4.2 * len(shown), 3.6), layout="constrained", squeeze=False)
        for result, axes in zip(shown, places[0], strict=True):
            axes.set_title(heading(result), fontsize=9)
            _lines(result, axes, processor=True)
            axes.spines[["top", "right"]].set_visible(False)
        # One legend below all panels, where it covers no data.
        legends = [axes.get_legend_handles_labels() for axes in places[0]]
        entries = {label: handle for handles, labels in legends for handle, label in zip(handles, labels, strict=True)}
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=len(entries), frameon=False)
        figure.savefig(path, transparent=True, metadata={"Date": None, "Description": _described(shown)})
        plt.close(figure)
    return path


def _described(results: Sequence[ScenarioResult]) -> str:
    """Return the medians of what is drawn, for those who do not see it."""
    return "; ".join(
        f"{heading(result)}: "
        + ", ".join(
            f"{one.label} {_cost(result, one, processor=True).median:.1f} {result.unit.name}"
            for one in result.contenders
            if one.processor and one.name != result.over
        )
        for result in results
    )


def _draw_one(result: ScenarioResult, path: Path) -> Path:
    import matplotlib.pyplot as plt  # noqa: PLC0415 - may be missing

    rows = sum(bool(one.costs) for one in result.contenders)
    figure, axes = plt.subplots(figsize=(8, 4.5 if result.axis else 1.2 + 0.4 * rows), layout="constrained")
    axes.set_title(heading(result), fontsize=11)
    if result.axis is None:
        _bars(result, axes)
    else:
        _lines(result, axes)
        axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path


def _bars(result: ScenarioResult, axes: Any) -> None:
    """Draw costs as multiples of ours, or absolute costs if they cannot be divided."""
    shown = [one for one in reversed(result.contenders) if one.costs and one.name != result.over]
    ratios = [result.ratio_to_ours(one) for one in shown]
    divided = all(ratios)
    values = [one for one in ratios if one] if divided else [_cost(result, one) for one in shown]
    low = [max(value.median - value.low, 0) for value in values]
    high = [max(value.high - value.median, 0) for value in values]
    colors = [COLORS[one.role] for one in shown]
    axes.barh([one.label for one in shown], [value.median for value in values], xerr=(low, high), color=colors, capsize=3)
    if divided:
        axes.set_xlabel("cost as a multiple of callbridge's (less is better); whiskers: quartiles")
        if max(value.median for value in values) > 8:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        axes.axvline(1, color=COLORS["ours"], linewidth=1)
    else:
        axes.set_xlabel(f"{result.unit.name} (less is better); whiskers: quartiles")


def _lines(result: ScenarioResult, axes: Any, *, processor: bool = False) -> None:
    """Draw costs or processor time along the axis, with a band between the quartiles."""
    for name in dict.fromkeys(one.name for one in result.contenders):
        points = [one for one in result.contenders if one.name == name and one.costs and one.at is not None]
        if name == result.over:
            continue
        if not points:
            continue
        at = [one.at for one in points]
        costs = [_cost(result, one, processor=processor) for one in points]
        (line,) = axes.plot(at, [cost.median for cost in costs], marker="o", label=name, color=_line_color(points[0]))
        axes.fill_between(at, [cost.low for cost in costs], [cost.high for cost in costs], alpha=0.2, color=line.get_color())
    if max(one.at or 0 for one in result.contenders) > 100:
        axes.set_xscale("log")
        axes.set_xticks(sorted({one.at for one in result.contenders if one.at is not None}))
        axes.minorticks_off()
        axes.xaxis.set_major_formatter("{x:,g}")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(result.axis)
    axes.set_ylabel(f"{result.unit.name}{', processor time' if processor else ''}")


def _line_color(contender: ContenderResult) -> str:
    return COLORS[contender.role]


def _cost(result: ScenarioResult, contender: ContenderResult, *, processor: bool = False) -> Any:
    return spread([cost * result.unit.scale for cost in (contender.processor if processor else contender.costs)])
