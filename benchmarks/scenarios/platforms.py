"""The same scenarios on other event loops and other interpreters."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

from benchmarks.processes import ROOT, measure_once
from benchmarks.scenario import ITEM, OURS, TOKEN, Contender, Scenario
from benchmarks.scenarios.same_loop import PUMPS, Pump
from benchmarks.scenarios.threads import callbridge_threads

__all__ = ["SCENARIOS"]

ITEMS = 50_000
MINORS = (10, 11, 12, 13)
"""The minor versions of the supported CPythons."""


# -- event loops ----------------------------------------------------------------------------------------------------------


def on_uvloop(pump: Pump, items: int) -> float:
    """Return the seconds per item in a loop of uvloop."""
    import uvloop  # noqa: PLC0415 - a peer may be missing

    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(pump(items, 1024)) / items
    finally:
        loop.close()


def on_asyncio(pump: Pump, items: int) -> float:
    """Return the seconds per item in a loop of asyncio's own."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(pump(items, 1024)) / items
    finally:
        loop.close()


async def _from_thread(items: int, capacity: int) -> float:
    return await callbridge_threads(items, capacity, 1)


def _loop(name: str, pump: Pump, items: int, role: str = "peer") -> tuple[Contender, ...]:
    return (
        Contender(f"{name}, asyncio", partial(on_asyncio, pump), items, "ours" if role == "ours" else "peer"),
        Contender(f"{name}, uvloop", partial(on_uvloop, pump), items, "peer", needs=("uvloop",)),
    )


LOOPS = Scenario(
    name="loops",
    title="asyncio's loop and uvloop, capacity 1024",
    what="The channels of `same-loop-1024` and callbridge's of `threads-1`, on both kinds of loop.",
    unit=ITEM,
    contenders=(
        *_loop(OURS, PUMPS[OURS], ITEMS, "ours"),
        *_loop(f"{OURS} from a thread", _from_thread, ITEMS),
        *_loop("asyncio.Queue", PUMPS["asyncio.Queue"], ITEMS),
        *_loop("LangChain's _MemoryStream", PUMPS["LangChain's _MemoryStream"], ITEMS // 5),
    ),
)


# -- interpreters ---------------------------------------------------------------------------------------------------------


WANTED = tuple(f"{name}=={version(name)}" for name in ("langchain-core", "anyio"))
"""The requirements installed here, so that other interpreters measure the same versions."""


@cache
def interpreter(minor: int) -> str | None:
    """Return the path of a working CPython 3.`minor` from PATH or pyenv; `None` if there is none."""
    candidates = [sys.executable, f"python3.{minor}", *_of_pyenv(minor)]
    program = f"import sys, venv; sys.exit(sys.version_info[:2] != (3, {minor}) or sys.implementation.name != 'cpython')"
    for candidate in candidates:
        path = shutil.which(candidate)
        if path and not subprocess.run([path, "-c", program], capture_output=True, check=False).returncode:
            return path
    return None


def _lacking(minor: int) -> str | None:
    if interpreter(minor) is None:
        return f"there is no CPython 3.{minor} here"
    if environment(minor) is None:
        return f"{' and '.join(WANTED)} cannot be installed for CPython 3.{minor}"
    return None


def _of_pyenv(minor: int) -> list[str]:
    if shutil.which("pyenv") is None:
        return []
    root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False).stdout.strip()
    return [str(found) for found in sorted(Path(root).glob(f"versions/3.{minor}.*/bin/python"))]


@cache
def environment(minor: int) -> str | None:
    """Return the interpreter of an environment with `WANTED`; `None` if there are no such versions for it."""
    path = interpreter(minor)
    assert path is not None
    if path == sys.executable:
        return path
    home = tempfile.TemporaryDirectory(prefix="callbridge-bench-")
    _homes.append(home)
    made = Path(home.name) / "bin" / "python"
    subprocess.run([path, "-m", "venv", "--without-pip", home.name], check=True, capture_output=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(made),
        "install",
        "-q",
        "--no-compile",
    ]  # installing its own pip is slow
    if subprocess.run([*pip, *WANTED], check=False, capture_output=True).returncode:
        return None
    (path_file,) = Path(home.name).glob("lib/python*/site-packages")
    (path_file / "callbridge.pth").write_text(str(ROOT / "src"), encoding="utf-8")
    return str(made)


_homes: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


def by(minor: int, scenario: str, contender: str, items: int) -> float:
    """Run a contender once in another interpreter. Return the cost."""
    python = environment(minor)
    assert python is not None, minor
    return measure_once(python, scenario, contender, items)


def _interpreters(name: str, title: str, of: str, contenders: dict[str, int], unit: object) -> Scenario:
    return Scenario(
        name=name,
        title=title,
        what=f"`{of}` by each supported CPython that is installed here, with the same versions of LangChain and anyio.",
        unit=ITEM if unit is ITEM else TOKEN,
        contenders=tuple(
            Contender(
                contender,
                partial(by, minor, of, contender),
                items,
                "ours" if contender == OURS else "peer",
                at=minor,
                lacks=partial(_lacking, minor),
                warms_up=False,
                quick=items // 2,
            )
            for minor in MINORS
            for contender, items in contenders.items()
        ),
        axis="CPython 3.x",
        rounds=3,
    )


SCENARIOS = (
    LOOPS,
    _interpreters(
        "interpreters-channel",
        "each CPython: channel, one loop, capacity 1024",
        "same-loop-1024",
        {OURS: 50_000, "LangChain's _MemoryStream": 10_000},
        ITEM,
    ),
    _interpreters(
        "interpreters-model",
        "each CPython: a model, end to end",
        "tokens-model",
        {OURS: 2000, "astream_events(v2)": 2000},
        TOKEN,
    ),
)
