"""The handlers: how each is made so that nothing leaves the machine, and what it has recorded."""

from __future__ import annotations

import atexit
import io
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cache
from itertools import count
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from real_handlers.provider import Recorder, recorder

__all__ = ["KINDS", "Subject"]

Entries = list[dict[str, Any]]


@dataclass
class Subject:
    """A handler, and what to ask for its record when the run is over."""

    handler: Any
    record: Callable[[], Entries]


def _tree(nodes: dict[Any, tuple[Any, str]], entries: dict[Any, dict[str, Any]]) -> Entries:
    """Give entries the path of their nodes: a node has a parent and a name."""

    def path(node: Any) -> tuple[str, ...]:
        if node not in nodes:
            return ()
        parent, name = nodes[node]
        return (*path(parent), name)

    return [{"path": path(node), **entry} for node, entry in entries.items()]


# -- OpenTelemetry ----------------------------------------------------------------------------------------------------


def _exporter() -> tuple[Any, Any]:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def _spans(exporter: Any) -> Entries:
    spans = {span.context.span_id: span for span in exporter.get_finished_spans()}
    nodes = {one: (span.parent.span_id if span.parent else None, span.name) for one, span in spans.items()}
    entries = {
        one: {
            "kind": span.kind.name,
            "status": span.status.status_code.name,
            "described": span.status.description,
            "attributes": dict(span.attributes or {}),
            "events": [{"name": event.name, "attributes": dict(event.attributes or {})} for event in span.events],
        }
        for one, span in spans.items()
    }
    return _tree(nodes, entries)


@contextmanager
def langfuse() -> Iterator[Subject]:
    """Langfuse's handler, its spans kept in memory."""
    from langfuse import Langfuse
    from langfuse.langchain import CallbackHandler

    provider, exporter = _exporter()
    with recorder() as server:
        client = Langfuse(public_key="pk-lf-1", secret_key="sk-lf-1", host=server.url, tracer_provider=provider)
        yield Subject(CallbackHandler(public_key="pk-lf-1"), lambda: _spans(exporter))
        client.shutdown()
        _forget_langfuse()


def _forget_langfuse() -> None:
    from langfuse._client.resource_manager import LangfuseResourceManager

    LangfuseResourceManager._instances.clear()


@contextmanager
def openinference() -> Iterator[Subject]:
    """OpenInference's tracer, given as a handler."""
    from openinference.instrumentation import OITracer, TraceConfig
    from openinference.instrumentation.langchain._tracer import OpenInferenceTracer

    provider, exporter = _exporter()
    tracer = OITracer(provider.get_tracer("runs"), config=TraceConfig())
    yield Subject(OpenInferenceTracer(tracer, False), lambda: _spans(exporter))


@contextmanager
def traceloop() -> Iterator[Subject]:
    """Traceloop's handler, of OpenTelemetry's instrumentation of LangChain."""
    from opentelemetry.instrumentation.langchain.callback_handler import TraceloopCallbackHandler
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    provider, exporter = _exporter()
    meter = MeterProvider([InMemoryMetricReader()]).get_meter("runs")
    histograms = meter.create_histogram("duration"), meter.create_histogram("tokens")
    yield Subject(TraceloopCallbackHandler(provider.get_tracer("runs"), *histograms), lambda: _spans(exporter))


# -- LangChain's own, and of its community ----------------------------------------------------------------------------


@contextmanager
def langsmith() -> Iterator[Subject]:
    """LangChain's tracer, posting to a server on loopback."""
    from langchain_core.tracers import LangChainTracer
    from langsmith import Client

    with recorder() as server:
        client = Client(api_url=server.url, api_key="none", auto_batch_tracing=False)
        tracer = LangChainTracer(client=client, project_name="runs")

        def record() -> Entries:
            runs: dict[str, dict[str, Any]] = {}
            for method, path, body in server.requests:
                if path.startswith("/runs") and isinstance(body, dict):
                    key = str(body.get("id") or path.rsplit("/", 1)[-1])
                    if method == "PATCH":
                        body = {key: value for key, value in body.items() if value is not None}
                    runs.setdefault(key, {}).update(body)
            nodes = {key: (run.get("parent_run_id"), run.get("name", "")) for key, run in runs.items()}
            told = ("run_type", "inputs", "outputs", "error", "tags", "extra", "serialized", "events")
            return _tree(nodes, {key: {name: run.get(name) for name in told} for key, run in runs.items()})

        yield Subject(tracer, record)
        client.cleanup()


@contextmanager
def cost() -> Iterator[Subject]:
    """The counter behind `get_openai_callback`."""
    from langchain_community.callbacks.openai_info import OpenAICallbackHandler

    handler = OpenAICallbackHandler()
    counted = ("total_tokens", "prompt_tokens", "prompt_tokens_cached", "completion_tokens", "reasoning_tokens")
    names = (*counted, "successful_requests", "total_cost")
    yield Subject(handler, lambda: [{"path": (), **{name: getattr(handler, name, None) for name in names}}])


@contextmanager
def stdout() -> Iterator[Subject]:
    """LangChain's printer."""
    from langchain_core.callbacks import StdOutCallbackHandler

    printed = io.StringIO()
    with redirect_stdout(printed):
        yield Subject(StdOutCallbackHandler(), lambda: [{"path": (), "printed": printed.getvalue()}])


@contextmanager
def usage() -> Iterator[Subject]:
    """LangChain's counter of usage."""
    from langchain_core.callbacks import UsageMetadataCallbackHandler

    handler = UsageMetadataCallbackHandler()
    yield Subject(handler, lambda: [{"path": (), "usage": handler.usage_metadata}])


# -- vendors with clients of their own --------------------------------------------------------------------------------


_TIMES = ("start", "end", "time_to_first_token", "duration")


@contextmanager
def braintrust() -> Iterator[Subject]:
    """Braintrust's handler, its spans in the memory of its test logger."""
    from braintrust import init_logger, logger
    from braintrust.integrations.langchain import BraintrustCallbackHandler
    from braintrust.test_helpers import init_test_logger

    del init_logger
    init_test_logger("runs")
    with logger._internal_with_memory_background_logger() as memory:

        def record() -> Entries:
            spans = {span["span_id"]: span for span in memory.pop()}
            nodes = {
                key: ((span.get("span_parents") or [None])[0], span["span_attributes"]["name"]) for key, span in spans.items()
            }
            entries = {}
            for key, span in spans.items():
                metrics = {name: value for name, value in (span.get("metrics") or {}).items() if name not in _TIMES}
                kind = (span.get("span_attributes") or {}).get("type")
                told = {name: span.get(name) for name in ("input", "output", "error", "metadata", "tags")}
                entries[key] = {**told, "metrics": metrics, "type": kind}
            return _tree(nodes, entries)

        yield Subject(BraintrustCallbackHandler(), record)


@contextmanager
def mlflow() -> Iterator[Subject]:
    """MLflow's tracer, its traces in a database of a temporary folder."""
    import mlflow as ml
    from mlflow.langchain.langchain_tracer import MlflowLangchainTracer

    experiment = _mlflow_experiment(ml)

    def record() -> Entries:
        ml.flush_trace_async_logging()
        entries: Entries = []
        for trace in ml.search_traces(locations=[experiment], return_type="list"):
            spans = {span.span_id: span for span in trace.data.spans}
            nodes = {key: (span.parent_id, span.name) for key, span in spans.items()}
            entries += _tree(nodes, {key: _mlflow_span(span) for key, span in spans.items()})
        return entries

    yield Subject(MlflowLangchainTracer(), record)


_numbers = count()


@cache
def _mlflow_folder() -> str:
    folder = mkdtemp()
    atexit.register(rmtree, folder, ignore_errors=True)
    return folder


def _mlflow_experiment(ml: Any) -> str:
    ml.set_tracking_uri(f"sqlite:///{_mlflow_folder()}/traces.db")
    ml.config.enable_async_logging(False)
    experiment = ml.create_experiment(f"runs {next(_numbers)}", artifact_location=f"file://{_mlflow_folder()}")
    return str(ml.set_experiment(experiment_id=experiment).experiment_id)


def _mlflow_span(span: Any) -> dict[str, Any]:
    return {
        "type": span.span_type,
        "inputs": span.inputs,
        "outputs": span.outputs,
        "status": span.status.status_code.value,
        "attributes": {key: value for key, value in span.attributes.items() if key not in ("mlflow.traceRequestId",)},
    }


@cache
def _opik_server() -> Recorder:
    """One server for all: Opik keeps the client that it has made first."""
    stack = ExitStack()
    atexit.register(stack.close)
    server = stack.enter_context(recorder())
    os.environ |= {"OPIK_URL_OVERRIDE": f"{server.url}/api", "OPIK_API_KEY": "none", "OPIK_WORKSPACE": "w"}
    return server


@contextmanager
def opik() -> Iterator[Subject]:
    """Opik's tracer, posting to a server on loopback."""
    server = _opik_server()
    import opik as client
    from opik.integrations.langchain import OpikTracer

    server.requests.clear()
    tracer = OpikTracer()

    def record() -> Entries:
        tracer.flush()
        client.flush_tracker()
        spans: dict[str, dict[str, Any]] = {}
        for _, path, body in server.requests:
            if path.split("/")[-2:] == ["spans", "batch"] or "/spans" in path:
                for span in body.get("spans", [body]):
                    known = spans.setdefault(span.get("id") or path.rsplit("/", 1)[-1], {})
                    known |= {name: value for name, value in span.items() if value is not None}
        nodes = {key: (span.get("parent_span_id"), span.get("name", "")) for key, span in spans.items()}
        told = ("type", "input", "output", "metadata", "model", "provider", "usage", "error_info", "tags")
        return _tree(nodes, {key: {name: span.get(name) for name in told} for key, span in spans.items()})

    yield Subject(tracer, record)


KINDS: dict[str, Callable[[], AbstractContextManager[Subject]]] = {
    "langfuse": langfuse,
    "openinference": openinference,
    "traceloop": traceloop,
    "langsmith": langsmith,
    "cost": cost,
    "stdout": stdout,
    "usage": usage,
    "braintrust": braintrust,
    "mlflow": mlflow,
    "opik": opik,
}
