"""Programs whose interpreter ends with them, at the price of a fork: a process that has loaded what they import makes them.

Run as a program it reads commands as JSON, one a line. For each it becomes two: one waits for the other, which runs the code to
its end and exits as any interpreter does.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SECONDS = 100
"""What a program may take, if nothing else is said; a deadlock is ended by a signal."""


class Ended(NamedTuple):
    """What a program has written, and how it ended."""

    stdout: str
    stderr: str
    returncode: int


class Programs:
    """Makes programs that have these modules loaded, with warnings as errors.

    Args:
        home: A directory for what they write.
        modules: Loaded before.
        seconds: What a program may take.
    """

    def __init__(self, home: Path, *modules: str, seconds: int = SECONDS) -> None:
        self._seconds = seconds
        self._outputs = home / "out", home / "err"
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", __file__, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )

    def run(self, code: str) -> Ended:
        """Run a program to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([code, self._seconds, *map(str, self._outputs)]) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        return Ended(*(path.read_text(encoding="utf-8") for path in self._outputs), status)

    def close(self) -> None:
        """End what makes them."""
        self._process.communicate()


def next_program() -> str | None:
    """Fork for each command. Return its code in the process that is to run it, and nothing in this one, at the end."""
    for line in sys.stdin:
        code, seconds, *outputs = json.loads(line)
        pid = os.fork()
        if pid == 0:
            signal.alarm(seconds)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number, path in enumerate(outputs, 1):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            return str(code)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    return None


if __name__ == "__main__":
    for module in sys.argv[1:]:
        importlib.import_module(module)
    program = next_program()
    if program is not None:
        exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
