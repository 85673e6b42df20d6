"""Measures one scenario in this process. The main process runs it as `python -m benchmarks.measuring NAME`.

Contenders take turns in every round, in a rotating order, so that other work on the machine affects all of them. A round before
the first one does not count.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

from benchmarks.results import ScenarioResult
from benchmarks.scenario import Contender, Scenario

__all__ = ["main", "measure"]

QUICK_ROUNDS = 3

TIME_LIMIT = 300.0
"""Seconds after which to give a scenario up and print the stacks of all threads: a contender has a deadlock."""


def measure(scenario: Scenario, *, quick: bool = False, progress: Callable[[int, int], None] | None = None) -> ScenarioResult:
    """Run all contenders that can run.

    Args:
        scenario: The scenario.
        quick: Whether a rough figure is enough.
        progress: Called with the number of rounds done and their total.

    Raises:
        WrongOutputError: A contender delivered a wrong output.
    """
    began = time.perf_counter()
    result = ScenarioResult.of(scenario)
    here = []
    for contender, found in zip(scenario.contenders, result.contenders, strict=True):
        found.missing = _why_missing(contender, quick)
        if found.missing is None:
            here.append((contender, found))
    rounds = min(QUICK_ROUNDS, scenario.rounds) if quick else scenario.rounds
    for contender, _ in here:
        if contender.warms_up:
            contender.run(max(contender.amount(quick) // 10, 1) if contender.at is None else min(contender.amount(quick), 100))
    for number in range(rounds):
        for contender, found in here[number % len(here) :] + here[: number % len(here)]:
            if contender.rounds is None or number < contender.rounds:
                gc.collect()
                began_working = time.process_time()
                found.costs.append(contender.run(contender.amount(quick)))
                if scenario.processor:
                    worked = time.process_time() - began_working
                    found.processor.append(worked / (contender.amount(quick) * contender.units))
        if progress is not None:
            progress(number + 1, rounds)
    for contender, found in here:
        if contender.counts is not None:
            found.counts = contender.counts()
    _take_off(result)
    result.seconds = time.perf_counter() - began
    return result


def _why_missing(contender: Contender, quick: bool) -> str | None:
    absent = [name for name in contender.needs if find_spec(name) is None]
    if absent:
        return f"not measured: {', '.join(absent)} is not installed (see the extra `bench`)"
    lacking = contender.lacks() if contender.lacks is not None else None
    if lacking is not None:
        return f"not measured: {lacking}"
    return None if contender.amount(quick) else "not measured with --quick"


def _take_off(result: ScenarioResult) -> None:
    """Subtract the cost of the scenario's `over` from all costs, round by round."""
    if result.over is None:
        return
    base = {one.at: one for one in result.contenders if one.name == result.over}
    for contender in result.contenders:
        if contender.name != result.over:
            plain = base[contender.at if contender.at in base else None]
            contender.costs = _less(contender.costs, plain.costs)
            contender.processor = _less(contender.processor, plain.processor)


def _less(costs: list[float], base: list[float]) -> list[float]:
    return [cost - taken for cost, taken in zip(costs, base, strict=False)]


def main(arguments: list[str] | None = None) -> int:
    """Measure a scenario, and print a line of JSON for each round and one with the result. Or run one contender once."""
    from benchmarks.scenarios import HIDDEN, SCENARIOS  # noqa: PLC0415 - scenarios may start this module themselves

    known = SCENARIOS | HIDDEN
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measuring", description=main.__doc__)
    parser.add_argument("scenario", choices=known)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--contender", help="this one alone, once; prints its cost")
    parser.add_argument("--items", type=int)
    options = parser.parse_args(arguments)
    faulthandler.dump_traceback_later(TIME_LIMIT, exit=True)
    scenario = known[options.scenario]
    if options.contender is not None:
        contender = next(one for one in scenario.contenders if one.name == options.contender)
        contender.run(max(options.items // 10, 1))
        gc.collect()
        print(json.dumps({"cost": contender.run(options.items)}))
        return 0
    result = measure(
        scenario, quick=options.quick, progress=lambda done, of: print(json.dumps({"round": done, "of": of}), flush=True)
    )
    print(json.dumps({"result": result.to_json()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
