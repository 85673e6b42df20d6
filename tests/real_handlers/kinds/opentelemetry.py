"""Handlers that make OpenTelemetry spans, kept in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from real_handlers.provider import recorder
from real_handlers.subject import Entries, Subject, tree

__all__ = ["langfuse", "openinference", "traceloop"]


def exported() -> tuple[Any, Any]:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def spans_of(exporter: Any) -> Entries:
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
    return tree(nodes, entries)


@contextmanager
def langfuse() -> Iterator[Subject]:
    """Langfuse's handler, its spans kept in memory."""
    from langfuse import Langfuse
    from langfuse.langchain import CallbackHandler

    provider, exporter = exported()
    with recorder() as server:
        client = Langfuse(public_key="pk-lf-1", secret_key="sk-lf-1", host=server.url, tracer_provider=provider)
        yield Subject(CallbackHandler(public_key="pk-lf-1"), lambda: spans_of(exporter))
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

    provider, exporter = exported()
    tracer = OITracer(provider.get_tracer("runs"), config=TraceConfig())
    yield Subject(OpenInferenceTracer(tracer, False), lambda: spans_of(exporter))


@contextmanager
def traceloop() -> Iterator[Subject]:
    """Traceloop's handler, of OpenTelemetry's instrumentation of LangChain."""
    from opentelemetry.instrumentation.langchain.callback_handler import TraceloopCallbackHandler
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    provider, exporter = exported()
    meter = MeterProvider([InMemoryMetricReader()]).get_meter("runs")
    histograms = meter.create_histogram("duration"), meter.create_histogram("tokens")
    yield Subject(TraceloopCallbackHandler(provider.get_tracer("runs"), *histograms), lambda: spans_of(exporter))
