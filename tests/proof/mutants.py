"""Seeded faults in the channel's own code, and how many examples the models of `channel/test_model.py` need to find each.

    python -m proof.mutants                 one seed, at most 1000 examples for each fault
    python -m proof.mutants --seeds 10      the whole table
    python -m proof.mutants --only end      the faults with "end" in their names

Run from `tests/`. Every fault is a small change of the text of one file, made in a copy that a process of its own imports. The
unchanged code has to pass first. Only a failed assertion of a model counts: an exception that a fault happens to cause would be
noticed by anybody.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from exits import Programs

__all__ = ["MUTANTS", "NEEDED", "SECONDS", "Mutant", "faulty", "find", "mutated_copy", "survivors", "table"]

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "src" / "callbridge"
BLOCKING, TRIO, MERGING, OLDEST, NEWEST, FAILING = (
    "BlockingChannel",
    "TrioChannel",
    "Coalescing",
    "DroppingOldest",
    "DroppingNewest",
    "Failing",
)


NEEDED = ("anyio", "hypothesis.stateful", "pytest", "trio")
"""What the models import but for callbridge, which a process has to find with its fault."""


SECONDS = 600
"""What a process may take: a fault that makes a model run for ever is no kill."""


class Mutant(NamedTuple):
    """A fault: in `file` of the channel, `old` becomes `new`; the model `killer` has to notice."""

    name: str
    killer: str
    file: str
    old: str
    new: str


_WAKING = (
    Mutant(
        "the reader is not woken",
        BLOCKING,
        "state.py",
        "waiter.thread == get_ident():\n            waiter.wake()",
        "waiter.thread == get_ident():\n            pass",
    ),
    Mutant(
        "the reader is not woken after the task",
        BLOCKING,
        "state.py",
        "withdraw(self.slot, waiter):\n            waiter.wake_here()",
        "withdraw(self.slot, waiter):\n            pass",
    ),
    Mutant("the reader is not woken, trio", TRIO, "state.py", "self.hand_over.wake(waiter)", "pass"),
    Mutant(
        "a trio task is not rescheduled",
        TRIO,
        "waiters.py",
        "if task is not None:\n            trio",
        "if False:\n            trio",
    ),
    Mutant(
        "only one producer is woken",
        BLOCKING,
        "state.py",
        "while self.producers and len(self.buffer)",
        "if self.producers and len(self.buffer)",
    ),
    Mutant("producers are woken late", BLOCKING, "state.py", "policy.capacity // 2", "policy.capacity // 2 - 1"),
    Mutant(
        "a batch runs past the mark",
        BLOCKING,
        "memory.py",
        "if size <= state.low and state.producers:",
        "if size < state.low and state.producers:",
    ),
    Mutant(
        "an empty buffer wakes no producer", BLOCKING, "memory.py", "if size <= state.low and state.producers:", "if False:"
    ),
    Mutant(
        "a sender does not wait",
        BLOCKING,
        "memory.py",
        "if self.push(item):\n            await",
        "if not self.push(item):\n            await",
    ),
    Mutant(
        "a sender waits too soon",
        BLOCKING,
        "state.py",
        "return length > self.capacity and",
        "return length >= self.capacity and",
    ),
    Mutant(
        "a sender waits too late",
        BLOCKING,
        "memory.py",
        "len(state.buffer) > state.capacity and not",
        "len(state.buffer) > state.capacity + 1 and not",
    ),
    Mutant("a wait for the reader itself", BLOCKING, "memory.py", "return reader.is_task(task)", "return True"),
    Mutant(
        "a cancelled sender stays registered",
        BLOCKING,
        "memory.py",
        "withdraw(state.producers, waiter)\n            raise\n\n    def room_sync",
        "raise\n\n    def room_sync",
    ),
    Mutant(
        "a cancelled sender stays, trio",
        TRIO,
        "memory.py",
        "withdraw(state.producers, waiter)\n            raise\n\n    def room_sync",
        "raise\n\n    def room_sync",
    ),
    Mutant(
        "a cancelled reader stays registered",
        BLOCKING,
        "memory.py",
        "unpark(state.slot, waiter)",
        "pass",
    ),
)


_ENDING = (
    Mutant(
        "closing wakes nobody",
        BLOCKING,
        "state.py",
        'self._shut_locked("sender")\n        self._wake_all()',
        'self._shut_locked("sender")',
    ),
    Mutant(
        "leaving wakes nobody",
        BLOCKING,
        "state.py",
        "self.discarded += len(discarded)\n        self._wake_all()",
        "self.discarded += len(discarded)",
    ),
    Mutant(
        "closing wakes only the reader",
        BLOCKING,
        "state.py",
        "for waiters in (self.slot, self.producers)",
        "for waiters in (self.slot,)",
    ),
    Mutant(
        "closing wakes only producers",
        BLOCKING,
        "state.py",
        "for waiters in (self.slot, self.producers)",
        "for waiters in (self.producers,)",
    ),
    Mutant("a closed channel takes more", BLOCKING, "state.py", "    raise ChannelClosedError(by)", "    return"),
    Mutant(
        "the end comes before the last item",
        BLOCKING,
        "memory.py",
        "if not state.buffer:\n            return self._tell_end()",
        "if not state.buffer or (state.shut and len(state.buffer) == 1):\n"
        "            state.buffer.clear()\n            return self._tell_end()",
    ),
    Mutant("the error is told twice", BLOCKING, "memory.py", "error, state.error = state.error, None", "error = state.error"),
    Mutant("the error is forgotten", BLOCKING, "state.py", "self.error = error\n", "self.error = None\n"),
    Mutant("who has left gets the error", BLOCKING, "state.py", "self.error = None\n            self.reader", "self.reader"),
    Mutant("who has left keeps its items", BLOCKING, "state.py", "discarded = self.policy.clear()", "discarded: list[T] = []"),
    Mutant(
        "the wrong end is said to be closed",
        BLOCKING,
        "state.py",
        'self._shut_locked("receiver")',
        'self._shut_locked("sender")',
    ),
)


_COUNTING = (
    Mutant(
        "the newest comes first",
        BLOCKING,
        "policies.py",
        'if there is none."""\n        return self.buffer.popleft',
        'if there is none."""\n        return self.buffer.pop',
    ),
    Mutant("received counts what is granted", BLOCKING, "state.py", "self.granted - length_hint(self.tickets)", "self.granted"),
    Mutant("sent misses what is merged", MERGING, "state.py", "policy.dropped + policy.merged", "policy.dropped"),
    Mutant("discarded items are not counted", BLOCKING, "state.py", "self.discarded += len(discarded)", "pass"),
    Mutant("waits are not counted", BLOCKING, "state.py", "self.waits += 1", "pass"),
    Mutant("the peak is that of the end", OLDEST, "state.py", "self.peak = max(length, self.peak)", "pass"),
    Mutant(
        "a revoked grant counts as received",
        BLOCKING,
        "memory.py",
        "length_hint(state.tickets) + 1",
        "length_hint(state.tickets)",
    ),
    Mutant("refusals are not counted", FAILING, "policies.py", "self.refused += 1", "pass"),
)


_REFUSAL = "if len(self.buffer) >= self.capacity:\n                # An error"

_POLICIES = (
    Mutant("fail accepts one too many", FAILING, "policies.py", _REFUSAL, _REFUSAL.replace(">=", ">")),
    Mutant(
        "fail refuses what must arrive",
        FAILING,
        "policies.py",
        "if self.kind(item) is not None:\n                    self.refused",
        "if True:\n                    self.refused",
    ),
    Mutant(
        "oldest drops what must arrive",
        OLDEST,
        "policies.py",
        "if self.kind(self.buffer[index]) is not None:\n                del self.buffer[index]\n"
        "                self.dropped += 1\n                return True\n"
        "            self._kept = index + 1",
        "if True:\n                del self.buffer[index]\n                self.dropped += 1\n"
        "                return True\n            self._kept = index + 1",
    ),
    Mutant("oldest does not look at the front again", OLDEST, "policies.py", "self._kept = max(0, self._kept - 1)", "pass"),
    Mutant(
        "oldest keeps what it should drop itself",
        OLDEST,
        "policies.py",
        "if self.kind(item) is not None:\n                    self.dropped += 1\n"
        "                    return\n                self.overruns",
        "if False:\n                    self.dropped += 1\n                    return\n                self.overruns",
    ),
    Mutant(
        "newest drops the oldest",
        NEWEST,
        "policies.py",
        "for index in range(last - self._kept, -1, -1)",
        "for index in range(0, last - self._kept + 1)",
    ),
    Mutant(
        "newest does not look at the back again",
        NEWEST,
        "policies.py",
        "if len(self.buffer) < self.capacity:\n                self._kept = 0",
        "if len(self.buffer) < self.capacity:\n                pass",
    ),
    Mutant(
        "newest spares the front",
        NEWEST,
        "policies.py",
        "range(last - self._kept, -1, -1)",
        "range(last - self._kept, 0, -1)",
    ),
    Mutant(
        "newest drops what must arrive",
        NEWEST,
        "policies.py",
        "elif self.kind(item) is not None:\n                self.dropped",
        "elif True:\n                self.dropped",
    ),
)


_MERGING = (
    Mutant(
        "chunks merge across what must arrive",
        MERGING,
        "policies.py",
        "group = _Group(kind, [item])\n            if kind is None:\n                self._latest.clear()",
        "group = _Group(kind, [item])\n            if kind is None:\n                pass",
    ),
    Mutant(
        "compacting merges across it",
        MERGING,
        "policies.py",
        "if group.kind is None:\n                self._latest.clear()\n            else:\n"
        "                self._latest[group.kind] = group\n            self.buffer.append",
        "if group.kind is None:\n                pass\n            else:\n"
        "                self._latest[group.kind] = group\n            self.buffer.append",
    ),
    Mutant("chunks join what is taken", MERGING, "policies.py", "del self._latest[group.kind]", "pass"),
    Mutant(
        "chunks merge in the wrong order",
        MERGING,
        "policies.py",
        "earlier.items += group.items",
        "earlier.items[:0] = group.items",
    ),
    Mutant("what came early is not merged", MERGING, "policies.py", "self._loose += earlier is not None", "pass"),
    Mutant(
        "compacting starts with old groups",
        MERGING,
        "policies.py",
        "self._loose = 0\n        self._latest.clear()",
        "self._loose = 0",
    ),
    Mutant(
        "merges are not counted",
        MERGING,
        "policies.py",
        "earlier.items.append(item)\n                    self.merged += 1",
        "earlier.items.append(item)",
    ),
    Mutant(
        "a group that cannot merge loses a half",
        MERGING,
        "policies.py",
        "self.buffer.appendleft(_Group(None, group.items[half:]))",
        "pass",
    ),
    Mutant(
        "its halves change places",
        MERGING,
        "policies.py",
        "return _Group(None, group.items[:half])",
        "return _Group(None, group.items[half:])",
    ),
    Mutant(
        "its rest goes to the end",
        MERGING,
        "policies.py",
        "self.buffer.appendleft(_Group(None",
        "self.buffer.append(_Group(None",
    ),
    Mutant("its halves count as merged", MERGING, "policies.py", "self.merged -= 1\n            # Without", "# Without"),
)


MUTANTS: tuple[Mutant, ...] = (*_WAKING, *_ENDING, *_COUNTING, *_POLICIES, *_MERGING)


def faulty(mutant: Mutant) -> str:
    """Return the text of the mutant's file with the fault in it.

    Raises:
        ValueError: The text to be changed is not there exactly once.
    """
    text = (PACKAGE / "channel" / mutant.file).read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: found {text.count(mutant.old)} times in {mutant.file}: {mutant.old!r}")
    return text.replace(mutant.old, mutant.new)


@contextmanager
def mutated_copy(mutant: Mutant | None) -> Iterator[Path]:
    """Make a copy of the package with this fault; of the package as it is if `None`. What has no fault in it is linked."""
    with tempfile.TemporaryDirectory() as home:
        package, channel = Path(home) / "callbridge", Path(home) / "callbridge" / "channel"
        package.mkdir()
        for path in PACKAGE.iterdir():
            if path.name != "channel":
                (package / path.name).symlink_to(path)
        shutil.copytree(PACKAGE / "channel", channel, ignore=shutil.ignore_patterns("__pycache__"))
        if mutant is not None:
            (channel / mutant.file).write_text(faulty(mutant), encoding="utf-8")
        yield Path(home)


def find(mutant: Mutant | None, killers: Sequence[str], seeds: int, examples: int, programs: Programs) -> list[dict[str, Any]]:
    """Run models against a mutant in a process of its own.

    Args:
        mutant: The fault; `None` for the code as it is.
        killers: The models.
        seeds: How many of them.
        examples: At most, for each model and seed.
        programs: What makes the processes.

    Returns:
        For each model and seed `{"model", "seed", "outcome", "examples"}`; the outcome is "passed", "killed" or the name of an
        exception that is no assertion.
    """
    with mutated_copy(mutant) as home:
        paths = [str(home), str(ROOT / "tests"), str(ROOT / "tests" / "channel")]
        killing = f"from proof.killing import main\nmain({[*killers]}, {seeds}, {examples})"
        done = programs.run(f"import sys\nsys.path[:0] = {paths}\n{killing}")
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def survivors(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the runs that did not end in a failed assertion."""
    return [one for one in found if one["outcome"] != "killed"]


def table(seeds: int, examples: int, programs: Programs, only: str = "") -> Iterator[tuple[str, bool]]:
    """Yield the lines of the table in Markdown as they come about, and whether each is as it should be."""
    yield "| mutant | killed by | killed | examples needed, least to most |", True
    yield "|---|---|---|---|", True
    killers = sorted({mutant.killer for mutant in MUTANTS})
    clean = find(None, killers, 1, examples, programs)
    passed = all(one["outcome"] == "passed" for one in clean)
    yield f"| *none: the code as it is* | {', '.join(killers)} | {'no' if passed else 'YES'} | {examples} each |", passed
    for mutant in MUTANTS:
        if only not in mutant.name:
            continue
        found = find(mutant, [mutant.killer], seeds, examples, programs)
        left = survivors(found)
        needed = sorted(one["examples"] for one in found if one["outcome"] == "killed")
        span = f"{needed[0]} to {needed[-1]}" if needed else ", ".join(sorted({one["outcome"] for one in left}))
        yield f"| {mutant.name} | {mutant.killer} | {len(found) - len(left)} of {len(found)} | {span} |", not left


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m proof.mutants")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    is_well = True
    with tempfile.TemporaryDirectory() as home:
        programs = Programs(Path(home), *NEEDED, seconds=SECONDS)
        for line, is_right in table(options.seeds, options.examples, programs, options.only):
            print(line, flush=True)  # noqa: T201 - the table is what it is for
            is_well = is_well and is_right
        programs.close()
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
