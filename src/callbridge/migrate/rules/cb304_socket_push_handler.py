"""CB304: a handler that pushes tokens to a websocket, socket.io, channel layer or ASGI `send`."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.handlers import Sink
from callbridge.migrate.analysis.token_sinks import sink_findings
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_SINKS: frozenset[Sink] = frozenset({"socket"})


def _check(context: Context) -> Iterator[Finding]:
    yield from sink_findings(context, "CB304", _SINKS, "pushes tokens to a socket")


RULE = Rule(
    code="CB304",
    name="socket-push-handler",
    severity="warning",
    fix="auto-review, adapter",
    summary="a handler that sends tokens over a websocket, socket.io, a channel layer or ASGI",
    why=(
        "The handler sends what the user sees from within the model's callback. LangChain logs an error in sending and "
        "swallows it, and a closed socket does not stop the model."
    ),
    before=(
        "class PushHandler(AsyncCallbackHandler):\n"
        "    async def on_llm_new_token(self, token, **kwargs):\n"
        "        await self.websocket.send_text(token)"
    ),
    after=(
        'async with callbridge.astream_call(chain.acall, {"question": q}) as stream:\n'
        "    async for text in stream.text():\n"
        "        await websocket.send_text(text)"
    ),
    when_not="If a framework owns the handler and attaches it for you.",
    check=_check,
)
