"""CB504: a handler that sends tokens to another process."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.handlers import Sink
from callbridge.migrate.analysis.token_sinks import sink_findings
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_SINKS: frozenset[Sink] = frozenset({"process-queue"})


def _check(context: Context) -> Iterator[Finding]:
    yield from sink_findings(context, "CB504", _SINKS, "sends tokens to another process", "manual")


RULE = Rule(
    code="CB504",
    name="cross-process-stream",
    severity="warning",
    fix="manual",
    summary="a handler that puts tokens into a multiprocessing queue or a task's state",
    why=(
        "One process runs the model and another one reads, so an iterator does not get across. Publish the run in the "
        "worker, and follow it in the process that reads: `callbridge.relay` (docs/relay.md) resumes and stops runs, and "
        "detects a dead worker."
    ),
    before=('def on_llm_new_token(self, token, **kwargs):\n    self.task.update_state(meta={"token": token})'),
    after=(
        "relay.publish_sync(run, callbridge.stream_call(chain.run, q))  # in the worker\n"
        "for event in relay.follow(run):  # where it is read\n    ..."
    ),
    when_not="If the worker must stay as it is.",
    check=_check,
)
