"""The benchmarks themselves: figures, tables, the command line. How fast anything is, is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.__main__ import main
from benchmarks.counting import counted
from benchmarks.measuring import measure
from benchmarks.processes import imported_from
from benchmarks.results import ScenarioResult, Spread, goal_results, ratio, spread
from benchmarks.scenario import ITEM, Contender, Goal, Scenario, WrongOutputError, check
from benchmarks.scenarios.models import Talker
from benchmarks.scenarios.readers import READERS

from benchmarks import plots, tables

ROOT = Path(__file__).resolve().parent.parent.parent
FACTS = {"python": "CPython 3.11.7", "system": "Linux", "processor": "one", "commit": "abc", "langchain-core": "1.0.0"}


def costing(*costs: float) -> Callable[[int], float]:
    """Return what costs so many microseconds, one figure after the other; the first is the round that is thrown away."""
    left = iter((0.0, *costs))
    return lambda items: next(left) / 1e6


def scenario(*contenders: Contender, **options: Any) -> Scenario:
    return Scenario("made-up", "a title", "What it is.", ITEM, contenders, **{"rounds": 3, **options})


def measured(**options: Any) -> ScenarioResult:
    """Return the figures of ours and theirs, in which theirs are twice, four times and three times as high."""
    ours = Contender("callbridge", costing(10, 20, 10), 100, "ours")
    theirs = Contender("theirs", costing(20, 80, 30), 100, "incumbent")
    return measure(scenario(ours, theirs, **options))


def test_a_spread_is_the_median_between_the_quartiles() -> None:
    assert spread([5.0, 1.0, 3.0, 2.0, 4.0]) == Spread(2.0, 3.0, 4.0)
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0)


def test_ratios_are_taken_round_by_round() -> None:
    assert ratio([2.0, 40.0, 3.0], [1.0, 10.0, 1.0]) == Spread(2.5, 3.0, 3.5)


def test_there_is_no_ratio_to_what_costs_nothing() -> None:
    assert ratio([1.0, 1.0], [1.0, 0.0]) is None
    assert ratio([], []) is None


def test_goals_are_reached_or_missed_or_not_measured() -> None:
    goals = (Goal("theirs", at_least=2), Goal("theirs", at_most=0.2), Goal("nobody", at_least=1), Goal(None, at_most=15))
    results = goal_results(measured(goals=goals))
    assert [one.verdict for one in results] == ["reached", "missed", "", "reached"]
    assert results[0].measured == Spread(2.5, 3.0, 3.5)
    assert results[2].measured is None
    assert results[3].measured is not None
    assert results[3].measured.median == pytest.approx(10)


def test_a_goal_between_the_quartiles_is_not_decided() -> None:
    results = goal_results(
        measured(goals=(Goal("theirs", at_least=3), Goal("theirs", at_most=0.3), Goal("theirs", at_least=4)))
    )
    assert [one.verdict for one in results] == ["undecided", "undecided", "missed"]


def test_growth_is_compared_with_growth() -> None:
    contenders = (
        Contender("callbridge", costing(10, 10, 10), 100, "ours", at=1),
        Contender("callbridge", costing(30, 40, 30), 100, "ours", at=9),
        Contender("theirs", costing(1, 1, 1), 100, at=1),
        Contender("theirs", costing(2, 2, 2), 100, at=9),
    )
    goal = Goal("theirs", at_most=1, ours_at=9, against_at=9, grown_from=1)
    (found,) = goal_results(measure(scenario(*contenders, goals=(goal,), axis="runs")))
    assert found.measured is not None
    assert found.measured.median == pytest.approx(1.5)
    assert found.verdict == "missed"


def test_processor_time_and_counts_stand_beside_the_costs() -> None:
    ours = Contender("callbridge", costing(10, 10, 10), 100, "ours", counts=lambda: {"calls": 7.0})
    result = measure(scenario(ours, processor=True))
    assert len(result.contenders[0].processor) == 3
    header, row = (line.split() for line in tables.terminal(result).splitlines()[1:3])
    assert header[-4:] == ["processor", "time", "×", "ours", "calls"][-4:]
    assert row[-1] == "7"
    assert ScenarioResult.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_what_all_have_in_common_is_taken_off_round_by_round() -> None:
    plain = Contender("plain", costing(5, 15, 5), 100, "floor")
    ours = Contender("callbridge", costing(10, 20, 10), 100, "ours")
    theirs = Contender("theirs", costing(15, 25, 15), 100, "incumbent")
    result = measure(scenario(ours, theirs, plain, over="plain"))
    assert [round(cost * 1e6) for cost in result.contenders[0].costs] == [5, 5, 5]
    (found,) = goal_results(ScenarioResult(**{**vars(result), "goals": [Goal("theirs", at_most=0.5)]}))
    assert found.measured is not None
    assert found.measured.median == pytest.approx(0.5)


def test_contenders_take_turns() -> None:
    order: list[str] = []

    def note(name: str) -> Callable[[int], float]:
        def run(items: int) -> float:
            order.append(name)
            return 1.0

        return run

    measure(scenario(Contender("a", note("a"), 100, "ours"), Contender("b", note("b"), 100), Contender("c", note("c"), 100)))
    assert "".join(order) == "abc" + "abc" + "bca" + "cab"


def test_a_missing_peer_is_said_to_be_missing() -> None:
    peer = Contender("peer", costing(), 100, needs=("there_is_no_such_module",))
    result = measure(scenario(Contender("callbridge", costing(1, 1, 1), 100, "ours"), peer))
    assert "there_is_no_such_module is not installed (see the extra `bench`)" in tables.terminal(result)


def test_a_contender_that_delivers_something_else_fails() -> None:
    def wrong(items: int) -> float:
        check("items", items - 1, items)
        return 1.0

    with pytest.raises(WrongOutputError, match="got 9, expected 10"):
        measure(scenario(Contender("callbridge", wrong, 100, "ours")))


def test_the_terminal_table_has_costs_and_ratios() -> None:
    text = tables.terminal(measured(goals=(Goal("theirs", at_least=4),)))
    ours, theirs = (line.split() for line in text.splitlines()[2:4])
    assert ours == ["callbridge", "10", "10–15", "100,000", "1"]
    assert theirs == ["theirs", "30", "25–55", "33,333", "3", "2.5–3.5"]
    assert "goal: ≥ 4 against theirs: 3 (2.5–3.5) missed" in text


def test_markdown_tables_have_as_many_cells_in_each_row() -> None:
    page = tables.markdown([measured(goals=(Goal("theirs", at_least=4),))], FACTS)
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows[:3]} == {6}
    assert {line.count("|") for line in rows[3:]} == {7}
    assert "commit: abc" in page


def test_results_survive_json() -> None:
    result = measured(goals=(Goal("theirs", at_least=4),))
    again = ScenarioResult.from_json(json.loads(json.dumps(result.to_json())))
    assert again == result


def test_plots_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    points = [Contender("callbridge", costing(1, 1, 1), 100, "ours", at=at) for at in (1, 10)]
    along = measure(scenario(*points, axis="items"))
    along.name = "along"
    files = plots.draw([measured(), along], tmp_path)
    assert [file.name for file in files] == ["made-up.svg", "along.svg"]
    assert all("</svg>" in file.read_text(encoding="utf-8") for file in files)


def test_list_names_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"same-loop-64", "threads-1", "reading-adds-model", "stream-call", "memory", "growth-runs"} <= set(listed)


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["same-lop-64"]) == 2
    assert "there is no scenario 'same-lop-64'; did you mean same-loop-64" in capsys.readouterr().err


def test_a_readme_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--readme", "--out", str(tmp_path)]) == 2
    assert "run python -m benchmarks first" in capsys.readouterr().err


def test_a_quick_run_writes_tables_json_and_the_readme(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "benchmarks", "same-loop-64", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[1/1] same-loop-64" in done.stderr
    assert "LangChain's _MemoryStream" in done.stdout
    data = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert data["facts"]["quick"] == "yes"
    assert {"commit", "python", "langchain-core"} <= data["facts"].keys()
    (found,) = data["scenarios"]
    assert all(len(one["costs"]) == 3 or one["missing"] for one in found["contenders"])
    assert main(["--readme", "--out", str(tmp_path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| channel, one loop, capacity 64 |")]
    assert "× asyncio.Queue (≥ 2×" in line


def run_of(directory: Path, *results: ScenarioResult, before: tuple[ScenarioResult, ...] = ()) -> list[str]:
    """Write what a run has found, and return the options that name it."""
    data = {"facts": FACTS | {"against": "def"}}
    data |= {"scenarios": [one.to_json() for one in results], "before": [one.to_json() for one in before]}  # type: ignore[dict-item]
    (directory / "results.json").write_text(json.dumps(data), encoding="utf-8")
    return ["--out", str(directory)]


def test_growth_is_drawn_for_light_and_dark_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    points = [Contender("callbridge", costing(1, 1, 1), 100, "ours", at=at) for at in (1, 10)]
    along = measure(scenario(*points, axis="runs at once", processor=True))
    drawn = tmp_path / "growth.svg"
    assert main(["--growth", str(drawn), *run_of(tmp_path, measured(), along)]) == 0
    picture = drawn.read_text(encoding="utf-8")
    assert "runs at once" in picture
    assert "#808080" in picture
    assert "fill: #ffffff" not in picture
    assert "callbridge, 10 " in picture  # in words, for those who do not see it
    assert main(["--growth", str(drawn), *run_of(tmp_path, measured())]) == 2
    assert "no scenario with an axis" in capsys.readouterr().err


def test_the_table_of_a_page_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n\n| what | measured (goal) |\n| --- | --- |\n| old | 1 |\n\nMedians of ratios, old.\n\nB\n", encoding="utf-8"
    )
    found = measured(goals=(Goal("theirs", at_least=4),))
    assert main(["--page", str(page), *run_of(tmp_path, found)]) == 0
    first = page.read_text(encoding="utf-8")
    assert first.startswith("# A\n\n| what | measured (goal) |\n")
    assert "| a title | 3× theirs (≥ 4×, missed) |" in first
    assert first.endswith("commit abc.\n\nB\n")
    assert "old" not in first
    # A run against another source tree has a column for it, and takes the place of a table without.
    assert main(["--page", str(page), *run_of(tmp_path, found, before=(found,))]) == 0
    second = page.read_text(encoding="utf-8")
    assert "| a title | 3 | 3× theirs (≥ 4×, missed) |" in second
    assert second.endswith("commit abc, before: def.\n\nB\n")
    assert second.count("Medians of ratios") == 1


def test_a_page_without_a_table_is_left_alone() -> None:
    with pytest.raises(ValueError, match="no table of the goals"):
        tables.put_into("# A page\n", "| what |")


def test_another_source_tree_is_measured_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the same scenarios; which of the two begins changes from one to the next."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "src").symlink_to(ROOT / "src")
    assert imported_from(other) == other / "src" / "callbridge" / "__init__.py"
    order: list[tuple[str, Path | None]] = []

    def note(name: str, *, source: Path | None, **_: object) -> ScenarioResult:
        order.append((name, source))
        return measured()

    monkeypatch.setattr("benchmarks.__main__.measure_scenario", note)
    assert main(["same-loop-64", "threads-1", "--against", str(other), "--out", str(tmp_path)]) == 0
    assert order == [("same-loop-64", None), ("same-loop-64", other), ("threads-1", other), ("threads-1", None)]
    data = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert [len(data[name]) for name in ("scenarios", "before")] == [2, 2]
    assert data["facts"]["against"] == "unknown"


def test_a_tree_without_callbridge_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["same-loop-64", "--against", str(tmp_path)]) == 2
    assert f"cannot be imported out of {tmp_path}" in capsys.readouterr().err


def test_what_a_token_takes_is_counted() -> None:
    """The same each time, whatever the machine does beside."""
    plain, ours = (
        counted(READERS[name], lambda tokens: Talker(tokens=tokens), "tea") for name in ("plain astream", "callbridge")
    )
    assert plain["calls"] < ours["calls"]
    assert plain["futures"] in (0, 2)  # 2: langchain-core 0.3.0 gathers the handlers of a token, though there are none
    assert plain["futures"] <= ours["futures"]
    assert ours["blocks"] <= plain["blocks"] + 5
