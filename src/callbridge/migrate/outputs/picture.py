"""The report as an SVG picture: findings over time, stacked by package, and a bar of verdicts for each package."""

from __future__ import annotations

from html import escape
from types import MappingProxyType

from callbridge.migrate.finding import VERDICTS
from callbridge.migrate.outputs.report import Package, Report

__all__ = ["render_svg"]

_WIDTH, _MARGIN, _LEFT, _ROW, _CHART = 860, 24, 210, 24, 220
_COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#bbbbbb")
_VERDICT_COLOURS = MappingProxyType(
    {"auto-safe": "#228833", "auto-review": "#66ccee", "adapter": "#ccbb44", "manual": "#ee6677"}
)
_NAMED = 6
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.t{font-size:15px;font-weight:600}.m{fill:#666}.p{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.m{fill:#9aa9b8}.p{fill:#0d1117}}"
)


def render_svg(report: Report) -> str:
    """Return the picture. It has a burn-down if there are at least two points."""
    parts: list[str] = []
    top = 56.0
    if len(report.points) > 1:
        parts += _burn_down(report, top)
        top += _CHART + 74
    rows = [package for package in report.packages if package.left or package.start]
    parts += _legend([(verdict, _VERDICT_COLOURS[verdict]) for verdict in VERDICTS if verdict != "keep"], top)
    parts += _bars(rows, top + 18)
    height = top + 18 + max(len(rows), 1) * _ROW + _MARGIN
    title = f"callbacks left: {report.left}"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" height="{height:.0f}" '
        f'role="img" aria-label="{title}"><style>{_STYLE}</style><rect width="100%" height="100%" class="p"/>'
    )
    return "\n".join([head, _text(_MARGIN, 32, title, "t"), *parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    styled = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{styled}>{escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, colour: str, tip: str = "") -> str:
    title = f"<title>{escape(tip)}</title>" if tip else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}">{title}</rect>'


def _legend(entries: list[tuple[str, str]], y: float) -> list[str]:
    parts, x = [], float(_LEFT)
    for name, colour in entries:
        shown = name if len(name) <= 16 else f"…{name[-15:]}"
        parts += [_rect(x, y - 10, 11, 11, colour), _text(x + 16, y, shown, "m")]
        x += 28 + 6.6 * len(shown)
    return parts


def _bars(packages: list[Package], top: float) -> list[str]:
    most = max([max(package.left, package.start) for package in packages] + [1])
    scale = (_WIDTH - _LEFT - _MARGIN - 40) / most
    parts = []
    for row, package in enumerate(packages):
        y, x = top + row * _ROW, float(_LEFT)
        name = package.name if len(package.name) <= 26 else f"…{package.name[-25:]}"
        parts.append(_text(_LEFT - 8, y + 13, name, anchor="end"))
        if package.start > package.left:
            tip = f"{package.start} at the start"
            parts.append(f'<rect x="{x:.1f}" y="{y + 1:.1f}" width="{package.start * scale:.1f}" height="15" fill="none" '
                         f'stroke="#bbb" stroke-dasharray="3 2"><title>{tip}</title></rect>')  # fmt: skip
        for verdict, colour in _VERDICT_COLOURS.items():
            number = package.verdicts[verdict]
            if number:
                parts.append(_rect(x, y + 1, number * scale, 15, colour, f"{package.name}: {number} {verdict}"))
                x += number * scale
        parts.append(_text(_LEFT + max(package.left, package.start) * scale + 6, y + 13, str(package.left), "m"))
    return parts


def _burn_down(report: Report, top: float) -> list[str]:
    totals = [point.total for point in report.points]
    most = max([*totals, 1])
    width = _WIDTH - _LEFT - _MARGIN - 40
    xs = [_LEFT + width * index / (len(totals) - 1) for index in range(len(totals))]
    bottom = top + _CHART
    groups = _groups(report)
    parts, below = [], [0.0] * len(totals)
    for name, members in groups:
        counts = [sum(point.counts.get(member, 0) for member in members) for point in report.points]
        above = [low + count for low, count in zip(below, counts, strict=True)]
        outline = [*zip(xs, above, strict=True), *reversed(list(zip(xs, below, strict=True)))]
        points = " ".join(f"{x:.1f},{bottom - _CHART * value / most:.1f}" for x, value in outline)
        colour = _COLOURS[groups.index((name, members)) % len(_COLOURS)]
        parts.append(f'<polygon points="{points}" fill="{colour}" fill-opacity="0.85"><title>{escape(name)}</title></polygon>')
        below = above
    for value in sorted({0, most // 2, most}):
        y = bottom - _CHART * value / most
        parts += [
            f'<path d="M{_LEFT} {y:.1f}H{_LEFT + width:.1f}" stroke="#ddd"/>',
            _text(_LEFT - 8, y + 4, str(value), "m", "end"),
        ]
    for index in sorted({0, len(xs) // 2, len(xs) - 1}):
        parts.append(_text(xs[index], bottom + 18, report.points[index].date, "m", "middle"))
    legend = [(name, _COLOURS[index % len(_COLOURS)]) for index, (name, _) in enumerate(groups)]
    return [*parts, *_legend(legend, bottom + 42)]


def _groups(report: Report) -> list[tuple[str, list[str]]]:
    """Return the packages with the most findings at any time, and the rest as one group."""
    peak: dict[str, int] = {}
    for point in report.points:
        for name, count in point.counts.items():
            peak[name] = max(peak.get(name, 0), count)
    names = sorted((name for name, count in peak.items() if count), key=lambda name: (-peak[name], name))
    groups = [(name, [name]) for name in names[:_NAMED]]
    return groups + ([("others", names[_NAMED:])] if names[_NAMED:] else [])
