"""What LangChain itself does with a scenario, and how to compare with it.

running      one call in any mode; its v2 events, by `astream_events` or by LangChain's own handler attached
recording    handlers that write down their calls
normalising  ids and times out of the way, everything else left to `==`; runs that overlap
projecting   a call log reduced to what v2 events can carry
"""

from __future__ import annotations

from .normalising import normalise, per_run
from .projecting import calls_per_run, lost_errors, project
from .recording import CALLBACK_METHODS, AsyncRecorder, LoggedCall, Recorder, TextOnlyRecorder
from .running import (
    arun_call,
    attached_reference_events,
    direct_calls,
    langchain_events,
    reference_events,
    reference_handler,
    run_attached,
    run_call,
)

__all__ = [
    "CALLBACK_METHODS",
    "AsyncRecorder",
    "LoggedCall",
    "Recorder",
    "TextOnlyRecorder",
    "arun_call",
    "attached_reference_events",
    "calls_per_run",
    "direct_calls",
    "langchain_events",
    "lost_errors",
    "normalise",
    "per_run",
    "project",
    "reference_events",
    "reference_handler",
    "run_attached",
    "run_call",
]
