"""An environment for each set of handlers that fit together, and a process for each handler."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from real_handlers.kinds import KINDS, Kind
from real_handlers.results import ROOT, Results
from real_handlers.runs import RUNS

__all__ = ["all_of"]

Say = Callable[[str], None]


def all_of(folder: Path, jobs: int, say: Say) -> bool:
    """Run every handler that is not done yet; return whether all of them came to their end."""
    locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
    for kind in KINDS.values():
        locks[kind.environment]  # made here, because threads would make two

    def one(kind: Kind) -> bool:
        with locks[kind.environment]:
            python = _environment(folder / "environments" / kind.environment, kind.environment, say)
        return python is not None and _run(python, kind, folder, say)

    with ThreadPoolExecutor(jobs) as pool:
        return all(list(pool.map(one, KINDS.values())))


def _environment(place: Path, name: str, say: Say) -> Path | None:
    """Return the interpreter of an environment, which is made if it is not there; None if that failed."""
    requirements = Path(__file__).parent / "requirements" / f"{name}.txt"
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    made, wanted = place / "installed", hashlib.sha256(requirements.read_bytes()).hexdigest()
    if made.exists() and made.read_text(encoding="utf-8") == wanted:
        return python
    say(f"{name}: installing")
    uv = shutil.which("uv")  # pip takes many minutes to find versions that fit together for some of them
    pip = [uv, "pip", "install", "--python", str(python)] if uv else [str(python), "-m", "pip", "install"]
    install = [*pip, "--quiet", "--editable", str(ROOT), "--requirement", str(requirements)]
    for command in ([sys.executable, "-m", "venv", str(place)], install):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            say(f"{name}: {done.stderr.strip()[-2000:]}")
            return None
    made.write_text(wanted, encoding="utf-8")
    return python


def _run(python: Path, kind: Kind, folder: Path, say: Say) -> bool:
    """Run one handler in a process of its own, line by line; return whether it went through all runs."""
    results = folder / f"{kind.name}.jsonl"
    command = [str(python), "-m", "real_handlers", kind.name, "--results", str(results)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    pipes = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    with pipes as process:
        assert process.stdout is not None
        for line in process.stdout:
            if re.match(rf"{kind.name} \d+/|Traceback|\w*Error:", line):
                say(line.rstrip())
    found = Results.read(results)
    if found is None or set(found.cells) != set(RUNS):
        say(f"{kind.name}: ended with {process.returncode} before its last run")
        return False
    return True
