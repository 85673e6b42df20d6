"""CB307: a handler that writes tokens into a Streamlit container."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.handlers import Sink
from callbridge.migrate.analysis.token_sinks import sink_findings
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_SINKS: frozenset[Sink] = frozenset({"streamlit"})


def _check(context: Context) -> Iterator[Finding]:
    yield from sink_findings(context, "CB307", _SINKS, "writes tokens into a Streamlit container")


RULE = Rule(
    code="CB307",
    name="streamlit-token-handler",
    severity="warning",
    fix="auto-safe, auto-review, adapter",
    summary="a handler that writes tokens into a Streamlit container",
    why=(
        "Streamlit draws only from the script's own thread. If a callback in another thread draws, Streamlit warns and draws "
        "nothing. `st.write_stream` takes any iterator of text."
    ),
    before=(
        "class StreamHandler(BaseCallbackHandler):\n"
        "    def on_llm_new_token(self, token, **kwargs):\n"
        "        self.text += token\n"
        "        self.container.markdown(self.text)"
    ),
    after=("with callbridge.stream_call(chain.run, q) as stream:\n    st.write_stream(stream.text())"),
    when_not="If the container shows more than the text, such as tool calls or sources (CB308 shows how).",
    check=_check,
)
