"""Traces: one line of JSON for each run."""

import json
from pathlib import Path

from langchain_core.tracers import BaseTracer
from langchain_core.tracers.schemas import Run


class FileTracer(BaseTracer):
    """Appends every finished root run to a file, with the names of the runs below it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def _persist_run(self, run: Run) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"name": run.name, "below": [child.name for child in run.child_runs]}) + "\n")
