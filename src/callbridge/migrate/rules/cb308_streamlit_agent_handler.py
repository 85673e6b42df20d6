"""CB308: `StreamlitCallbackHandler`, which draws an agent's steps."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.token_sinks import step_findings
from callbridge.migrate.finding import Finding, Verdict
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    yield from step_findings(context, "CB308", frozenset({"streamlit"}))
    for call, use in context.made:
        if use.role == "streamlit-agent":
            verdict: Verdict = "adapter"
            reason = "decide which steps the page shows, and draw them in a loop over the events"
            facts = {"handler": use.dotted}
            yield context.finding(
                "CB308", call, "StreamlitCallbackHandler draws an agent's steps", verdict, "warning", reason, facts
            )


RULE = Rule(
    code="CB308",
    name="streamlit-agent-handler",
    severity="warning",
    fix="adapter",
    summary="`StreamlitCallbackHandler`, or a handler of your own, that draws the steps of an agent",
    why=(
        "The handler lives in langchain-community, knows the text agents of 2023, and draws only from the script's own "
        "thread. Tool events carry the same facts."
    ),
    before="agent.run(q, callbacks=[StreamlitCallbackHandler(st.container())])",
    after=(
        'for event in callbridge.stream_events(agent, {"input": q}):\n'
        '    if event["event"] == "on_tool_start":\n'
        '        st.status(event["name"]).write(event["data"]["input"])'
    ),
    when_not="If you want its look: `callbridge.drive` feeds it from events, unchanged.",
    check=_check,
)
