"""CB606: a streaming handler on a model without `streaming=True`."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.dataflow import runs_in_scope
from callbridge.migrate.analysis.langchain_names import STREAM_METHODS
from callbridge.migrate.analysis.module import called_name
from callbridge.migrate.analysis.streaming_models import may_stream
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    for each in context.attachments:
        if each.style != "constructor" or each.owner != "model" or each.call is None:
            continue
        name = each.callee.rpartition(".")[2]
        if not any(use.role in ("stdout", "aiter", "token", "final") for use in each.handlers):
            continue
        if may_stream(name, each.call) or any(
            called_name(run) in STREAM_METHODS for run in runs_in_scope(each.call, context.module)
        ):
            continue
        message = f"{name} has a streaming handler and no `streaming=True`: `invoke` and `run` never report a token"
        reason = "read the run as a stream, which asks the model to stream, or set `streaming=True`"
        yield context.finding("CB606", each.call, message, "adapter", "warning", reason, {"callee": each.callee})


RULE = Rule(
    code="CB606",
    name="streaming-flag-missing",
    severity="warning",
    fix="adapter",
    summary="a streaming handler on a model without `streaming=True`, called without streaming",
    why="LangChain never calls `on_llm_new_token`: the handler looks attached and shows nothing.",
    before="llm = ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler()])",
    after=("with callbridge.stream_call(chain.run, q) as stream:\n    ..."),
    when_not="If the model always streams.",
    check=_check,
)
