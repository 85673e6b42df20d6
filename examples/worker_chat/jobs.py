"""The worker's side without a server: a table of jobs in an SQLite file, and a process that takes them one by one.

python examples/worker_chat/jobs.py FOLDER
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from pathlib import Path

import callbridge
from answering import answer
from callbridge.relay import connect

LOOK_SECONDS = 0.05


def relay_url(folder: Path) -> str:
    """Return where the runs of this folder are."""
    return f"sqlite:///{folder / 'runs.db'}"


def open_jobs(folder: Path) -> sqlite3.Connection:
    """Return the table of jobs."""
    jobs = sqlite3.connect(folder / "jobs.db", isolation_level=None, timeout=10, check_same_thread=False)
    jobs.execute("CREATE TABLE IF NOT EXISTS jobs (number INTEGER PRIMARY KEY, run TEXT, question TEXT)")
    return jobs


def put(jobs: sqlite3.Connection, run: str, question: str) -> None:
    """Queue a job for a worker."""
    jobs.execute("INSERT INTO jobs (run, question) VALUES (?, ?)", (run, question))


def take(jobs: sqlite3.Connection) -> tuple[str, str] | None:
    """Take the oldest job, so that no other worker gets it; None if there is none."""
    jobs.execute("BEGIN IMMEDIATE")
    row = jobs.execute("SELECT number, run, question FROM jobs ORDER BY number LIMIT 1").fetchone()
    if row is not None:
        jobs.execute("DELETE FROM jobs WHERE number = ?", row[:1])
    jobs.execute("COMMIT")
    return None if row is None else (row[1], row[2])


def work(folder: Path) -> None:
    """Take jobs forever."""
    jobs = open_jobs(folder)
    pause = float(os.environ.get("WORKER_CHAT_PAUSE", "0.03"))
    with connect(relay_url(folder), lease_seconds=5) as relay:
        while True:
            job = take(jobs)
            if job is None:
                time.sleep(LOOK_SECONDS)
                continue
            try:
                answer(relay, *job, pause)
            except (callbridge.RunStoppedError, callbridge.RunTakenError) as error:
                print(error, flush=True)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
