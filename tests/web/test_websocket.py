"""WebSockets: real uvicorn, a real client, one run per message."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from starlette.exceptions import HTTPException
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from callbridge import astream_call, astream_events
from callbridge.errors import ArgumentError
from callbridge.web import BaseEncoder, Failure, Frame, Limits, websocket_endpoint
from lives import RUNS, Run, chain, watched
from web.serving import Frames, Site, serving, ws_site

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def talking(endpoint: Any) -> AsyncIterator[ClientConnection]:
    """A client of a server of its own."""
    async with serving(ws_site(endpoint)) as site, connect(site.ws, proxy=None) as client:
        yield client


def echo(_: Any, message: Any) -> Any:
    """Make a run that says the words of a message."""
    run = chain(words=message.split(" "))
    return astream_events(run.runnable, run.value)


async def answer(client: ClientConnection) -> Frames:
    """Read up to the end of a run."""
    frames: Frames = []
    while not frames or frames[-1][0] != "end":
        message = json.loads(await client.recv())
        frames.append((message["event"], message["data"]))
    return frames


async def ask(client: ClientConnection, message: Any) -> Frames:
    await client.send(json.dumps(message))
    return await answer(client)


async def test_the_messages_of_an_answer() -> None:
    """Character by character; JSON tokens are JSON text inside of JSON."""
    async with talking(websocket_endpoint(echo, "json")) as client:
        await client.send('"grün ja"')
        assert [await client.recv() for _ in range(3)] == [
            '{"data":"{\\"token\\":\\"grün\\"}","event":"completion"}',
            '{"data":"{\\"token\\":\\"ja\\"}","event":"completion"}',
            '{"data":"","event":"end"}',
        ]


async def test_each_message_is_a_run_and_they_come_one_after_the_other() -> None:
    """Also those that were sent before the first was answered."""
    async with talking(websocket_endpoint(echo, "text")) as client:
        for message in ("a b", "c", "d e"):
            await client.send(json.dumps(message))
        answers = [await answer(client) for _ in range(3)]
    assert [[data for event, data in frames if event == "completion"] for frames in answers] == [["a", "b"], ["c"], ["d", "e"]]


async def test_cancel_ends_the_run_and_the_socket_lives() -> None:
    """The run was awaited before the client hears that it was cancelled."""
    runs: list[Run] = []

    async def endless(_: Any, message: Any) -> Any:
        runs.append(chain(waits_at=1) if message == "endless" else chain(words=["x"]))
        return astream_events(runs[-1].runnable, runs[-1].value)

    with watched():
        async with talking(websocket_endpoint(endless, "text")) as client:
            await client.send('{"type": "cancel"}')  # nothing is on: nothing happens
            await client.send('"endless"')
            assert json.loads(await client.recv())["data"] == "red "
            await runs[0].book.waits.wait()
            await client.send('{"type": "cancel"}')
            assert await answer(client) == [("error", '{"status_code":499,"detail":"Cancelled"}'), ("end", "")]
            assert runs[0].book.closed
            assert await ask(client, "again") == [("completion", "x"), ("end", "")]


async def test_cancel_that_comes_before_the_run_has_begun_ends_it() -> None:
    """The application is still making the stream; the next message has nothing to do with it."""
    making, gate, run = asyncio.Event(), asyncio.Event(), chain(words=["x"])

    async def start(_: Any, message: Any) -> Any:
        making.set()
        await gate.wait()
        return echo(_, message) if message != "slow" else astream_events(run.runnable, run.value)

    async with talking(websocket_endpoint(start, "text")) as client:
        await client.send(json.dumps("slow"))
        await making.wait()
        await client.send(json.dumps({"type": "cancel"}))
        await client.send("{")  # an error is the answer at once, so the one before it has been read by then
        await client.recv()
        gate.set()
        (event, told), end = await answer(client)
        assert (event, json.loads(told)["status_code"], end) == ("error", 499, ("end", ""))
        assert run.book.begun == 0
        assert await ask(client, "fine") == [("completion", "fine"), ("end", "")]


@pytest.mark.parametrize("name", RUNS)
async def test_a_client_that_goes_cancels_the_run(name: str) -> None:
    """Whether it says goodbye or is just gone."""
    for abort in (False, True):
        run = RUNS[name](waits_at=1)
        endpoint = websocket_endpoint(lambda _, __, run=run: astream_events(run.runnable, run.value))
        with watched():
            async with serving(ws_site(endpoint)) as site:
                client = await connect(site.ws, proxy=None)
                await client.send("1")
                await client.recv()
                await run.book.waits.wait()
                if abort:
                    client.transport.abort()
                else:
                    await client.close()
                await run.book.all_left.wait()
            assert run.book.closed


async def test_bad_messages_get_an_error_and_the_socket_lives() -> None:
    """Messages that are not JSON, are too long, or mean nothing to the application."""
    async with talking(websocket_endpoint(echo, "text", max_message=1000)) as client:
        for message, code in (("{", 400), (b"\x00", 400), ("[" * 999, 400), ('"' + "x" * 2000 + '"', 413), ("[1]", 500)):
            await client.send(message)
            (event, told), end = await answer(client)
            assert (event, json.loads(told)["status_code"], end) == ("error", code, ("end", ""))
        assert await ask(client, "fine") == [("completion", "fine"), ("end", "")]


async def test_no_more_messages_wait_than_may() -> None:
    """While a run is on, an error does not look like its end."""
    run, gate = chain(words=["x"]), asyncio.Event()

    async def work(value: Any) -> Any:
        await gate.wait()
        return await run.runnable.ainvoke(value)

    endpoint = websocket_endpoint(lambda _, __: astream_call(work, run.value), "text", max_waiting=1)
    async with talking(endpoint) as client:
        for number in range(3):
            await client.send(str(number))
        first = json.loads(await client.recv())
        assert (first["event"], json.loads(first["data"])["status_code"]) == ("error", 429)
        gate.set()
        assert [await answer(client) for _ in range(2)] == [[("completion", "x"), ("end", "")]] * 2


async def test_an_error_of_the_run_tells_nothing_and_the_socket_lives(caplog: pytest.LogCaptureFixture) -> None:
    """The bug for which clients of Lanarky's lost their connection."""
    caplog.set_level(logging.ERROR, "callbridge.web")

    def fail(_: Any) -> str:
        raise ValueError("hunter2")

    def start(_: Any, message: Any) -> Any:
        return echo(_, message) if message != "fail" else astream_events(RunnableLambda(fail), 1)

    async with talking(websocket_endpoint(start, "text")) as client:
        assert await ask(client, "fail") == [
            ("error", '{"status_code":500,"detail":"Internal Server Error"}'),
            ("end", ""),
        ]
        assert await ask(client, "x") == [("completion", "x"), ("end", "")]
    assert "hunter2" in caplog.text
    caplog.clear()


async def test_a_mistake_in_a_format_is_an_error_frame_and_the_socket_lives(caplog: pytest.LogCaptureFixture) -> None:
    """In what it makes of an event, and in how it refuses a message."""

    class Mistaken(BaseEncoder):
        def begin(self) -> Mistaken:
            return self

        def feed(self, event: Any) -> Any:
            return [Frame({"a": 1}, "tok")]  # type: ignore[arg-type]

    class Speechless(Mistaken):
        def fail(self, failure: Failure) -> Any:
            raise AttributeError("hunter2")

    for wire_format in (Mistaken(), Speechless()):
        async with talking(websocket_endpoint(echo, wire_format)) as client:
            for message in ("hello", [1], "again"):
                assert await ask(client, message) == [
                    ("error", '{"status_code":500,"detail":"Internal Server Error"}'),
                    ("end", ""),
                ]
    assert "data={'a': 1}: expected text" in caplog.text
    assert "hunter2" in caplog.text
    caplog.clear()


@pytest.mark.parametrize("message", [[1], 3, None, {}, {"question": 7}])
async def test_an_application_refuses_a_message_as_it_would_a_request(message: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Starlette's own exception gives the status and the text. The server is not at fault, so it logs no traceback."""
    caplog.set_level(logging.INFO, "callbridge.web")

    def start(_: Any, message: Any) -> Any:
        question = message.get("question") if isinstance(message, dict) else None
        if not isinstance(question, str):
            raise HTTPException(422, "There is no question.")
        return echo(_, question)

    async with talking(websocket_endpoint(start, "text")) as client:
        assert await ask(client, message) == [
            ("error", '{"status_code":422,"detail":"There is no question."}'),
            ("end", ""),
        ]
        assert await ask(client, {"question": "x"}) == [("completion", "x"), ("end", "")]
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("INFO", None)


async def test_silence_is_broken_by_heartbeats() -> None:
    """While a run is on."""
    run = chain(waits_at=0)
    endpoint = websocket_endpoint(lambda _, __: astream_events(run.runnable, run.value), "text", heartbeat=0.01)
    async with talking(endpoint) as client:
        await client.send("1")
        assert [json.loads(await client.recv()) for _ in range(2)] == [{"data": "", "event": "heartbeat"}] * 2


async def test_each_run_has_its_own_limits() -> None:
    """After one that took too long comes another, which may take as long."""
    runs: list[Run] = []

    def start(_: Any, __: Any) -> Any:
        runs.append(chain(waits_at=1))
        return astream_events(runs[-1].runnable, runs[-1].value)

    async with talking(websocket_endpoint(start, "text", limits=Limits(max_seconds=0.1))) as client:
        for _ in range(2):
            frames = await ask(client, 1)
            assert frames[-2:] == [("error", '{"status_code":504,"detail":"Time limit exceeded"}'), ("end", "")]
    assert len(runs) == 2
    assert all(run.book.closed for run in runs)


async def test_a_server_that_shuts_down_cancels_the_run() -> None:
    """Uvicorn closes its sockets first thing."""
    run = chain(waits_at=1)
    site: Site
    async with serving(ws_site(websocket_endpoint(lambda _, __: astream_events(run.runnable, run.value)))) as site:
        client = await connect(site.ws, proxy=None)
        await client.send("1")
        await run.book.waits.wait()
        site.begin_stop()
        with pytest.raises(ConnectionClosed):
            while True:
                await client.recv()
        await site.stop()
    assert run.book.closed


@pytest.mark.parametrize(
    ("argument", "value", "expected"),
    [
        ("start", 3, "a function of the socket"),
        ("format", "xml", "one of 'v2'"),
        ("heartbeat", 0, "a positive number"),
        ("limits", 5, r"callbridge.web.Limits\("),
        ("limits", 0, r"callbridge.web.Limits\("),
        ("describe_error", 3, "a function of the exception"),
        ("max_message", -1, "a whole number, 1 or more"),
        ("max_message", None, "a whole number, 1 or more"),
        ("max_waiting", "x", "a whole number, 0 or more"),
        ("max_waiting", -1, "a whole number, 0 or more"),
    ],
)
async def test_bad_arguments_are_named(argument: str, value: Any, expected: str) -> None:
    """When the application is put together, not when its first client comes."""
    given = {"start": echo, argument: value}
    with pytest.raises(ArgumentError, match=f"^{argument}={value!r}: expected {expected}"):
        websocket_endpoint(**given)
