"""MLflow's tracer, its traces in a database of a temporary folder."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from real_handlers.subject import Entries, Subject, tree

__all__ = ["mlflow"]


@contextmanager
def mlflow() -> Iterator[Subject]:
    """MLflow's tracer, its traces in a database of a temporary folder."""
    os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
    import mlflow as ml
    from mlflow.langchain.langchain_tracer import MlflowLangchainTracer

    experiment = _mlflow_experiment(ml)

    def record() -> Entries:
        entries: Entries = []
        for trace in ml.search_traces(locations=[experiment], return_type="list"):
            spans = {span.span_id: span for span in trace.data.spans}
            nodes = {key: (span.parent_id, _name(span)) for key, span in spans.items()}
            entries += tree(nodes, {key: _mlflow_span(span) for key, span in spans.items()})
        return entries

    yield Subject(MlflowLangchainTracer(), record)


_numbers = count()


@cache
def _mlflow_folder() -> str:
    memory = "/dev/shm"  # where there is one: MLflow waits for the disk at each span
    folder = mkdtemp(dir=memory if os.path.isdir(memory) else None)
    atexit.register(rmtree, folder, ignore_errors=True)
    return folder


def _mlflow_experiment(ml: Any) -> str:
    ml.set_tracking_uri(f"sqlite:///{_mlflow_folder()}/traces.db")
    experiment = ml.create_experiment(f"runs {next(_numbers)}", artifact_location=f"file://{_mlflow_folder()}")
    return str(ml.set_experiment(experiment_id=experiment).experiment_id)


def _name(span: Any) -> str:
    """What a span is called, one word for what MLflow calls a run without a name."""
    return "unnamed" if span.name in (None, "chain") else str(span.name)


def _mlflow_span(span: Any) -> dict[str, Any]:
    return {
        "name": span.name,
        "type": span.span_type,
        "inputs": span.inputs,
        "outputs": span.outputs,
        "status": span.status.status_code.value,
        "attributes": {key: value for key, value in span.attributes.items() if key not in ("mlflow.traceRequestId",)},
    }
