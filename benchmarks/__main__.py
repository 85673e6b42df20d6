"""`python -m benchmarks`: measure, and write tables and plots."""

from __future__ import annotations

import argparse
import json
import sys
import time
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from benchmarks import plots, tables
from benchmarks.machine import facts
from benchmarks.processes import ScenarioFailedError, measure_scenario
from benchmarks.results import ScenarioResult
from benchmarks.scenarios import SCENARIOS

EXAMPLES = """examples:
  python -m benchmarks                          everything: a few minutes
  python -m benchmarks --quick                  everything, roughly
  python -m benchmarks same-loop-1024 memory    these two
  python -m benchmarks --readme                 the table of the goals, out of the last run
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Return the exit status: 1 if a scenario failed, 2 if there is no such scenario."""
    options = _parser().parse_args(arguments)
    if options.list:
        width = max(map(len, SCENARIOS))
        print("\n".join(f"{name.ljust(width)}  {scenario.title}" for name, scenario in SCENARIOS.items()))
        return 0
    if options.readme:
        return _print_readme(options.out / "results.json")
    if options.growth is not None:
        return _draw_growth(options.out / "results.json", options.growth)
    unknown = [name for name in options.names if name not in SCENARIOS]
    for name in unknown:
        close = get_close_matches(name, SCENARIOS, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see --list"
        print(f"benchmarks: there is no scenario {name!r}; {hint}", file=sys.stderr)
    return 2 if unknown else _run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure callbridge beside everything that does the same work.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios to run (default: all)")
    parser.add_argument("--quick", action="store_true", help="less work and three rounds: rough figures")
    parser.add_argument("--list", action="store_true", help="name the scenarios and stop")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmark-results"), metavar="DIR", help="where to write (default: %(default)s)"
    )
    parser.add_argument("--readme", action="store_true", help="print the README's table out of DIR/results.json and stop")
    parser.add_argument(
        "--growth",
        type=Path,
        metavar="SVG",
        help="draw processor time per token along every axis, out of DIR/results.json, and stop",
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    known = facts()
    names = options.names or list(SCENARIOS)
    print("\n".join(f"{name}: {value}" for name, value in known.items()), end="\n\n", flush=True)
    results: list[ScenarioResult] = []
    failed = []
    for number, name in enumerate(names, 1):
        progress = _Progress(f"[{number}/{len(names)}] {name}")
        try:
            result = measure_scenario(name, quick=options.quick, progress=progress)
        except ScenarioFailedError as error:
            progress.end("failed")
            print(f"{name}: failed\n{error}\n", file=sys.stderr)
            failed.append(name)
            continue
        progress.end(f"{result.seconds:.1f} s")
        print(tables.terminal(result), end="\n\n", flush=True)
        results.append(result)
    _write(results, known | ({"quick": "yes"} if options.quick else {}), options.out)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


class _Progress:
    """A line on the standard error output: rewritten in a terminal, else written once."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._began = time.perf_counter()
        self._is_terminal = sys.stderr.isatty()
        self(0, 0)

    def __call__(self, done: int, of: int) -> None:
        """Show how many rounds are done."""
        if self._is_terminal:
            rounds = f"round {done} of {of}" if of else "starting"
            print(
                f"\r\x1b[K{self._label}: {rounds}, {time.perf_counter() - self._began:.0f} s",
                end="",
                file=sys.stderr,
                flush=True,
            )

    def end(self, text: str) -> None:
        """Show how it ended."""
        print(f"{chr(13) + chr(27) + '[K' if self._is_terminal else ''}{self._label}: {text}", file=sys.stderr, flush=True)


def _write(results: list[ScenarioResult], known: dict[str, str], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    data: dict[str, Any] = {"facts": known, "scenarios": [result.to_json() for result in results]}
    written = [directory / "results.json", directory / "results.md"]
    written[0].write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    written[1].write_text(tables.markdown(results, known), encoding="utf-8")
    reason = plots.why_none()
    if reason is None:
        written += plots.draw(results, directory)
    else:
        print(reason)
    print(f"written: {', '.join(str(path) for path in written)}")


def _results(path: Path) -> tuple[list[ScenarioResult], dict[str, str]] | None:
    """Read the results of the last run, or say that there are none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        print(f"benchmarks: there is no {path}; run python -m benchmarks first", file=sys.stderr)
        return None
    return [ScenarioResult.from_json(one) for one in data["scenarios"]], data["facts"]


def _print_readme(path: Path) -> int:
    found = _results(path)
    if found is not None:
        print(tables.readme(*found), end="")
    return 0 if found else 2


def _draw_growth(path: Path, picture: Path) -> int:
    found, reason = _results(path), plots.why_none()
    if reason is not None:
        print(reason, file=sys.stderr)
    elif found is not None:
        print(f"written: {plots.draw_growth(found[0], picture)}")
    return 0 if found and reason is None else 2


if __name__ == "__main__":
    sys.exit(main())
