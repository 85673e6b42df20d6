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
from benchmarks.machine import commit_of, facts
from benchmarks.processes import ScenarioFailedError, imported_from, measure_scenario
from benchmarks.results import ScenarioResult
from benchmarks.scenarios import SCENARIOS

EXAMPLES = """examples:
  python -m benchmarks                          everything: a few minutes
  python -m benchmarks --quick                  everything, roughly
  python -m benchmarks same-loop-1024 memory    these two
  python -m benchmarks --against ../before      everything, twice: another source tree's callbridge as well
  python -m benchmarks --readme                 the table of the goals, out of the last run
  python -m benchmarks --page docs/benchmarks.md --growth docs/pictures/cost-per-token.svg
                                                 that table and the plot, into the documentation
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Return the exit status: 1 if a scenario failed, 2 if there is no such scenario."""
    options = _parser().parse_args(arguments)
    if options.list:
        width = max(map(len, SCENARIOS))
        print("\n".join(f"{name.ljust(width)}  {scenario.title}" for name, scenario in SCENARIOS.items()))
        return 0
    if options.readme or options.page is not None or options.growth is not None:
        return _tell(options)
    unknown = [name for name in options.names if name not in SCENARIOS]
    for name in unknown:
        close = get_close_matches(name, SCENARIOS, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see --list"
        print(f"benchmarks: there is no scenario {name!r}; {hint}", file=sys.stderr)
    if unknown or not _is_source_tree(options.against):
        return 2
    return _run(options)


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
    parser.add_argument("--page", type=Path, metavar="MD", help="put that table into a page in place of its own, and stop")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="TREE",
        help="measure the callbridge of another source tree, too, in turns: the table has a column for it",
    )
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
    if options.against is not None:
        known["against"] = commit_of(options.against)
    results: list[ScenarioResult] = []
    before: list[ScenarioResult] = []
    failed = []
    for number, name in enumerate(names, 1):
        label = f"[{number}/{len(names)}] {name}"
        turns = [(label, results, None)]
        if options.against is not None:
            turns.insert(number % 2, (f"{label}, against", before, options.against))
        for said, found, source in turns:
            result = _measured(name, said, options.quick, source)
            if result is None:
                failed.append(said)
            else:
                found.append(result)
    _write(results, before, known | ({"quick": "yes"} if options.quick else {}), options.out)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _measured(name: str, label: str, quick: bool, source: Path | None) -> ScenarioResult | None:
    """Measure a scenario and print its table; `None` if it failed."""
    progress = _Progress(label)
    try:
        result = measure_scenario(name, quick=quick, progress=progress, source=source)
    except ScenarioFailedError as error:
        progress.end("failed")
        print(f"{name}: failed\n{error}\n", file=sys.stderr)
        return None
    progress.end(f"{result.seconds:.1f} s")
    print(tables.terminal(result), end="\n\n", flush=True)
    return result


def _is_source_tree(tree: Path | None) -> bool:
    """Return whether callbridge can be imported out of a source tree, and say so if it cannot."""
    if tree is None:
        return True
    if (tree / "src" / "callbridge" / "__init__.py").is_file() and imported_from(tree).is_relative_to(tree.resolve()):
        return True
    print(f"benchmarks: callbridge cannot be imported out of {tree}; give the directory that has `src` in it", file=sys.stderr)
    return False


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


def _write(results: list[ScenarioResult], before: list[ScenarioResult], known: dict[str, str], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    data: dict[str, Any] = {"facts": known}
    data |= {name: [one.to_json() for one in found] for name, found in (("scenarios", results), ("before", before))}
    written = [directory / "results.json", directory / "results.md"]
    written[0].write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    written[1].write_text(tables.markdown(results, known), encoding="utf-8")
    reason = plots.why_none()
    if reason is None:
        written += plots.draw(results, directory)
    else:
        print(reason)
    print(f"written: {', '.join(str(path) for path in written)}")


def _tell(options: argparse.Namespace) -> int:
    """Print or write what is asked for out of the last run, or say that there is nothing."""
    path = options.out / "results.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        print(f"benchmarks: there is no {path}; run python -m benchmarks first", file=sys.stderr)
        return 2
    results, before = (list(map(ScenarioResult.from_json, data.get(name, ()))) for name in ("scenarios", "before"))
    table = tables.readme(results, data["facts"], before)
    if options.readme:
        print(table, end="")
    if options.page is not None:
        page = options.page.read_text(encoding="utf-8")
        options.page.write_text(tables.put_into(page, table), encoding="utf-8")
        print(f"written: {options.page}")
    if options.growth is not None:
        if (reason := plots.why_none()) is not None:
            print(reason, file=sys.stderr)
            return 2
        if not any(result.axis for result in results):
            print("benchmarks: no scenario with an axis in that run; there is growth-runs, and reading-adds-*", file=sys.stderr)
            return 2
        print(f"written: {plots.draw_growth(results, options.growth)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
