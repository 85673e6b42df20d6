"""`python -m real_server`: start, run, read, compare, stop."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
from langchain_core.callbacks import BaseCallbackHandler
from langgraph_sdk import get_client, get_sync_client

import callbridge as cb
from real_server.graphs import GRAPHS

SECONDS = 120
"""For which the server may start."""

ASKED = {"messages": [{"role": "user", "content": "How is the weather?"}]}


class Hears(BaseCallbackHandler):
    """Notes what it hears of models and tools."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **_: Any) -> None:
        """Note it."""
        self.heard.append("start")

    def on_llm_new_token(self, token: str, **_: Any) -> None:
        """Note it."""
        self.heard += [token] if token else []

    def on_llm_end(self, response: Any, **_: Any) -> None:
        """Note the text and the calls."""
        message = response.generations[0][0].message
        self.heard.append(("end", message.text, [call["args"] for call in message.tool_calls]))

    def on_tool_start(self, serialized: Any, input_str: str, *, inputs: Any = None, **_: Any) -> None:
        """Note its name and its input."""
        self.heard.append(("tool", serialized["name"], inputs))

    def on_tool_end(self, output: Any, **_: Any) -> None:
        """Note what it returned."""
        self.heard.append(("returned", getattr(output, "content", output)))

    def on_tool_error(self, error: BaseException, **_: Any) -> None:
        """Note it."""
        self.heard.append("tool error")

    def on_chain_error(self, error: BaseException, *, parent_run_id: Any = None, **_: Any) -> None:
        """Note how the run has ended."""
        self.heard += ["failed"] if parent_run_id is None else []


def attached(name: str) -> list[Any]:
    """Return what a handler hears that is attached to a run in this process."""
    handler = Hears()
    with suppress(ConnectionError):
        for _ in GRAPHS[name].stream_events(ASKED, {"callbacks": [cb.with_tokens(handler)]}, version="v3"):
            pass
    return handler.heard


def _is_end(event: Any) -> bool:
    if event.get("method") != "lifecycle":  # over a WebSocket there are answers to commands as well
        return False
    return not event["params"]["namespace"] and event["params"]["data"]["event"] in ("completed", "failed")


async def _until_its_end(events: AsyncIterator[Any], seen: list[Any]) -> AsyncIterator[Any]:
    async for event in events:
        seen.append(event)
        yield event
        if _is_end(event):
            return


async def fed(name: str, url: str, seen: list[Any], **options: Any) -> list[Any]:
    """Return what a handler hears that is driven by what the async client reads."""
    handler = Hears()
    async with get_client(url=url).threads.stream(assistant_id=name, **options) as thread:
        await thread.run.start(input=ASKED)
        await cb.adrive(_until_its_end(thread.events, seen), handler)
    return handler.heard


def fed_sync(name: str, url: str, seen: list[Any]) -> list[Any]:
    """Do the same with the sync client."""
    handler = Hears()

    def until_its_end(events: Iterator[Any]) -> Iterator[Any]:
        for event in events:
            seen.append(event)
            yield event
            if _is_end(event):
                return

    with get_sync_client(url=url).threads.stream(assistant_id=name) as thread:
        thread.run.start(input=ASKED)
        cb.drive(until_its_end(thread.events), handler)
    return handler.heard


def recorded(name: str, url: str, seen: list[Any]) -> list[Any]:
    """Return what a handler hears of a run that was read before, out of JSON, as v2 events."""
    convert, handler = cb.ProtocolToEvents(), Hears()
    events = [event for line in map(json.dumps, seen) for event in convert.feed(json.loads(line))]
    cb.drive([*events, *convert.close()], handler)
    return handler.heard


WAYS: dict[str, Callable[..., list[Any]]] = {
    "async client": lambda *args: asyncio.run(fed(*args)),
    "async client, WebSocket": lambda *args: asyncio.run(fed(*args, transport="websocket")),
    "sync client": fed_sync,
    "recorded": recorded,
}


@contextmanager
def served() -> Iterator[str]:
    """Start the server on a free port of loopback; yield its address; stop it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as home:
        graphs = {name: f"{Path(__file__).with_name('graphs.py')}:{name}" for name in GRAPHS}
        config = {"dependencies": ["."], "graphs": graphs}
        (Path(home) / "langgraph.json").write_text(json.dumps(config), encoding="utf-8")
        quiet = {"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false", "LANGGRAPH_CLI_NO_ANALYTICS": "1"}
        known = {key: value for key, value in os.environ.items() if not key.startswith(("LANGSMITH_", "LANGCHAIN_"))}
        command = [str(Path(sys.executable).with_name("langgraph")), "dev", "--no-browser", "--no-reload", "--port", str(port)]
        with (Path(home) / "log").open("w+", encoding="utf-8") as log:
            server = subprocess.Popen(command, cwd=home, env=known | quiet, stdout=log, stderr=subprocess.STDOUT)
            try:
                _wait_for(url, server)
                yield url
            except BaseException:
                log.seek(0)
                sys.stderr.write(log.read()[-4000:])
                raise
            finally:
                server.terminate()
                server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(SECONDS * 10):
        if server.poll() is not None:
            raise RuntimeError(f"the server has ended with {server.returncode}")
        try:
            if httpx.get(f"{url}/ok").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the server has not started within {SECONDS} seconds")


def main() -> int:
    """Compare each way of each graph."""
    warnings.simplefilter("ignore")
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("langgraph-api", "langgraph-sdk", "langgraph", "langchain-core")
    )
    print(versions)  # noqa: T201 - the table is what it is for
    is_well = True
    with served() as url:
        for name in GRAPHS:
            wanted, seen = attached(name), list[Any]()
            for way, hear in WAYS.items():
                if way != "recorded":
                    seen.clear()
                found = hear(name, url, seen)
                is_well = is_well and found == wanted
                result = "equal" if found == wanted else f"\n  attached: {wanted}\n  heard:    {found}"
                print(f"{name}, {way}: {len(wanted)} calls, {result}", flush=True)  # noqa: T201
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
