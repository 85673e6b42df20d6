"""Server-sent events: real uvicorn, real HTTP, and a provider that notices how it is treated."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx
import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool
from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import Response

import callbridge
from callbridge import astream_call, astream_events, loads
from callbridge.errors import ArgumentError
from callbridge.web import EventStreamResponse, Failure, Frame, Limits, TokenFormat
from lives import RUNS, chain, our_threads, watched
from web.serving import frames_of, reading, serving, sse_site

pytestmark = pytest.mark.anyio


def respond(run: Any, format: Any = "json", **options: Any) -> Response:
    return EventStreamResponse(astream_events(run.runnable, run.value), format, **options)


async def get(response: Any) -> httpx.Response:
    async with serving(sse_site(response)) as site, reading(site) as got:
        await got.aread()
        return got


async def test_the_bytes_and_headers_of_an_answer() -> None:
    """What goes over the wire, byte by byte."""
    got = await get(lambda _: respond(chain()))
    assert got.content == (
        b'event: completion\r\ndata: {"token":"red "}\r\n\r\n'
        b'event: completion\r\ndata: {"token":"green "}\r\n\r\n'
        b"event: end\r\ndata: \r\n\r\n"
    )
    assert got.status_code == 200
    assert got.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert got.headers["cache-control"] == "no-cache"
    assert got.headers["x-accel-buffering"] == "no"
    assert "content-length" not in got.headers


async def test_headers_of_ones_own_take_the_place_of_ours() -> None:
    """However they are spelt; none is sent twice."""
    own = {"Cache-Control": "no-store", "X-Run": "7"}
    got = await get(lambda _: respond(chain(), headers=own))
    assert got.headers.get_list("cache-control") == ["no-store"]
    assert got.headers["x-run"] == "7"
    assert got.headers["x-accel-buffering"] == "no"


async def test_without_the_end_frame_a_response_is_as_before() -> None:
    """Clients that know no `end` get none."""
    got = await get(lambda _: respond(chain(words=["a\nb", "ü"]), "text", end_event=False))
    assert got.content == b"event: completion\r\ndata: a\r\ndata: b\r\n\r\nevent: completion\r\ndata: \xc3\xbc\r\n\r\n"


async def test_a_legacy_call_a_handler_and_langchains_own_stream_can_be_sent() -> None:
    """Any of our streams, and any iterator of v2 events."""
    run = chain()
    want = [("completion", "red "), ("completion", "green "), ("end", "")]
    got = await get(lambda _: EventStreamResponse(astream_call(run.runnable.ainvoke, run.value), "text"))
    assert frames_of(got.text) == want
    got = await get(lambda _: EventStreamResponse(run.runnable.astream_events(run.value, version="v2"), "text"))
    assert frames_of(got.text) == want

    handler = callbridge.EventStreamHandler(streaming=True)
    attached: list[asyncio.Task[Any]] = []

    def respond_with_handler(_: Any) -> Response:
        attached.append(asyncio.create_task(run.runnable.ainvoke(run.value, {"callbacks": [handler]})))
        return EventStreamResponse(handler, "text")

    got = await get(respond_with_handler)
    assert frames_of(got.text) == want
    assert await attached[0] == "red green "


async def test_whole_events_can_be_loaded_again() -> None:
    """Each frame is named after its event and numbered; the events are those of the run."""
    run = chain()
    seen = [event["event"] async for event in astream_events(run.runnable, run.value)]
    got = await get(lambda _: respond(chain(), "v2"))
    events = [loads(data) for name, data in frames_of(got.text) if name != "end"]
    assert [event["event"] for event in events] == seen
    assert [name for name, _ in frames_of(got.text)] == [*seen, "end"]
    ids = [line for line in got.text.splitlines() if line.startswith("id: ")]
    assert ids == [f"id: {number}" for number in range(len(seen))]
    assert isinstance(next(event for event in events if "chat_model_stream" in event["event"])["data"]["chunk"], AIMessageChunk)


@pytest.mark.parametrize("name", RUNS)
async def test_a_client_that_goes_cancels_the_run(name: str) -> None:
    """The provider's `finally` has run, although the model would have gone on for ever."""
    run = RUNS[name](waits_at=1)
    with watched():
        async with serving(sse_site(lambda _: respond(run, "v2"))) as site:
            async with reading(site) as response:
                chunks = response.aiter_bytes()  # dropped, it would close the connection
                assert await anext(chunks)
                await run.book.waits.wait()
            await run.book.all_left.wait()
        assert run.book.closed
    assert not our_threads()


async def test_a_client_that_goes_cancels_the_run_behind_middleware() -> None:
    """Starlette's `BaseHTTPMiddleware` runs the response in a task group of its own."""
    run = chain(waits_at=1)

    async def passing(request: Any, call_next: Any) -> Response:
        return await call_next(request)  # type: ignore[no-any-return]

    with watched():
        app = BaseHTTPMiddleware(sse_site(lambda _: respond(run, "v2")), dispatch=passing)
        async with serving(app) as site:
            async with reading(site) as response:
                chunks = response.aiter_bytes()  # dropped, it would close the connection
                assert await anext(chunks)
                await run.book.waits.wait()
            await run.book.all_left.wait()
        assert run.book.closed


async def test_a_detached_run_goes_on_without_its_client() -> None:
    """`on_exit="detach"` is the stream's own."""
    run = chain(words=["a", "b"])
    reached, gate, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(value: Any) -> str:
        await run.runnable.ainvoke(value)
        reached.set()
        await gate.wait()
        done.set()
        return "late"

    async with serving(sse_site(lambda _: EventStreamResponse(astream_call(work, run.value, on_exit="detach")))) as site:
        async with reading(site) as response:
            assert await anext(response.aiter_bytes())
            await reached.wait()
        gate.set()
        await done.wait()


async def test_a_run_that_cannot_be_cancelled_does_not_hold_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    """Sync code in a long call is left behind after a while, with a warning, and ends at its next callback."""
    caplog.set_level(logging.WARNING, "callbridge.web")
    entered, gate, ended = threading.Event(), threading.Event(), threading.Event()

    def block(_: Any) -> str:
        entered.set()
        gate.wait()
        ended.set()
        return "x"

    finished = asyncio.Event()

    class Noting(EventStreamResponse):
        async def __call__(self, *args: Any) -> None:
            try:
                await super().__call__(*args)
            finally:
                finished.set()

    def make(_: Any) -> Response:
        stream = astream_call(RunnableLambda(block).invoke, "x")
        return Noting(stream, limits=Limits(cancel_seconds=0.05))

    async with serving(sse_site(make)) as site:
        async with reading(site) as response:
            assert await anext(response.aiter_bytes())
            await asyncio.to_thread(entered.wait)
        await finished.wait()
        assert "left behind" in caplog.text
        assert not ended.is_set()
        gate.set()
        await asyncio.to_thread(ended.wait)
        for thread in threading.enumerate():
            if thread.name.startswith("callbridge"):
                await asyncio.to_thread(thread.join)


class Client:
    """The server's side of a connection, scripted: each body it is sent waits for leave."""

    def __init__(self, *, reads: bool = True) -> None:
        self.bodies: list[bytes] = []
        self.sent = asyncio.Event()
        self.gate = asyncio.Event()
        self.gone = asyncio.Event()
        if reads:
            self.gate.set()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if message.get("body"):
            self.bodies.append(message["body"])
            self.sent.set()
            await self.gate.wait()

    async def get(self, response: Response, method: str = "GET") -> bytes:
        await response({"type": "http", "method": method}, self.receive, self.send)  # type: ignore[arg-type]
        return b"".join(self.bodies)


async def test_a_client_that_does_not_read_stops_the_model() -> None:
    """The model has said no more than fits into the channel, and goes on when the client does."""
    run = chain(words=["x"] * 5_000)
    client = Client(reads=False)
    stream = astream_events(run.runnable, run.value, capacity=16)
    task = asyncio.create_task(client.get(EventStreamResponse(stream, "json")))
    await client.sent.wait()
    await anyio.wait_all_tasks_blocked()
    assert run.book.said <= 20
    client.gate.set()
    assert (await task).count(b'"token":"x"') == 5_000


async def test_a_client_that_does_not_read_is_left_in_the_end() -> None:
    """The time limit counts the waiting, and the last frames wait no longer than they may."""
    run = chain(words=["x"] * 5_000)
    client = Client(reads=False)
    stream = astream_events(run.runnable, run.value, capacity=16)
    await client.get(EventStreamResponse(stream, limits=Limits(max_seconds=0.05, farewell_seconds=0.05)))
    assert run.book.closed


async def test_silence_is_broken_by_comments() -> None:
    """A long tool call does not look like a dead connection, and clients see nothing of it."""
    release = asyncio.Event()

    async def long(q: str) -> str:
        await release.wait()
        return q

    client = Client()
    stream = astream_events(StructuredTool.from_function(coroutine=long, name="long", description="Take long."), {"q": "tea"})
    task = asyncio.create_task(client.get(EventStreamResponse(stream, heartbeat=0.001)))
    while b": heartbeat\r\n\r\n" not in client.bodies:
        client.sent.clear()
        await client.sent.wait()
    release.set()
    names = [name for name, _ in frames_of((await task).decode())]
    assert names == ["on_tool_start", "on_tool_end", "end"]


async def test_an_error_is_a_frame_that_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The headers are long gone. The log has it all."""
    caplog.set_level(logging.ERROR, "callbridge.web")

    def fail(_: Any) -> str:
        raise ValueError("password=hunter2")

    failing = chain().runnable | RunnableLambda(fail)
    for wire_format in ("v2", "json"):
        client = Client()
        stream = astream_events(failing, {"q": "tea"}, extended=True)
        body = await client.get(EventStreamResponse(stream, wire_format))
        assert frames_of(body.decode())[-2:] == [
            ("error", '{"status_code":500,"detail":"Internal Server Error"}'),
            ("end", ""),
        ]
        assert b"hunter2" not in body
        assert b"ValueError" not in body
    assert "hunter2" in caplog.text
    caplog.clear()


async def test_an_application_may_say_what_its_clients_are_told() -> None:
    """For errors that are the client's own."""

    def fail(_: Any) -> str:
        raise KeyError("city")

    def describe(error: Exception) -> Failure | None:
        return Failure(422, f"{error.args[0]} is missing") if isinstance(error, KeyError) else None

    stream = astream_events(RunnableLambda(fail), 1)
    body = await Client().get(EventStreamResponse(stream, "text", describe_error=describe, end_event=False))
    assert body == b'event: error\r\ndata: {"status_code":422,"detail":"city is missing"}\r\n\r\n'


@pytest.mark.parametrize(
    ("limits", "detail"),
    [(Limits(max_seconds=0.05), "Time limit exceeded"), (Limits(max_events=5), "Event limit exceeded")],
)
async def test_a_limit_ends_the_run_and_says_so(limits: Limits, detail: str) -> None:
    """After the run was cancelled and awaited."""
    run = chain(waits_at=1)
    body = await Client().get(respond(run, limits=limits))
    (error, told), (end, _) = frames_of(body.decode())[-2:]
    assert (error, end) == ("error", "end")
    assert detail in told
    assert run.book.closed


async def test_a_run_that_somebody_else_cancels_is_no_mystery() -> None:
    """The client is told, and the response ends well."""

    async def give_up(_: Any) -> str:
        raise asyncio.CancelledError

    body = await Client().get(EventStreamResponse(astream_call(give_up, 1), "json"))
    assert frames_of(body.decode()) == [("error", '{"status_code":499,"detail":"Cancelled"}'), ("end", "")]


async def test_head_starts_nothing() -> None:
    """The headers are those of GET."""
    run = chain()
    client = Client()
    assert await client.get(respond(run), "HEAD") == b""
    assert run.book.begun == 0


async def test_a_server_that_shuts_down_lets_answers_end() -> None:
    """Nothing new is accepted, and what is on its way arrives whole."""
    run = chain(words=["a", "b"])
    reached, gate = asyncio.Event(), asyncio.Event()

    async def work(value: Any) -> Any:
        reached.set()
        await gate.wait()
        return await run.runnable.ainvoke(value)

    async with serving(sse_site(lambda _: EventStreamResponse(astream_call(work, run.value), "text"))) as site:
        async with reading(site) as response:
            await reached.wait()
            site.begin_stop()
            gate.set()
            assert frames_of((await response.aread()).decode()) == [("completion", "a"), ("completion", "b"), ("end", "")]
        await site.stop()


async def test_a_server_that_waits_no_longer_cancels_what_is_left() -> None:
    """After uvicorn's own time for shutting down."""
    run = chain(waits_at=1)
    async with serving(sse_site(lambda _: respond(run)), grace=0) as site, reading(site) as response:
        assert await anext(response.aiter_bytes())
        await run.book.waits.wait()
        await site.stop()
        assert run.book.closed


async def test_two_requests_see_nothing_of_each_other() -> None:
    """One format object for all, as an application has it; each gets its own tokens."""
    shared = TokenFormat("text", documents=True)

    def answer(request: Any) -> Response:
        who = request.url.path.strip("/")
        return respond(chain(words=[f"{who}{number} " for number in range(20)]), shared)

    async def ask(site: Any, who: str) -> None:
        async with reading(site, f"/{who}") as response:
            frames = frames_of((await response.aread()).decode())
        assert frames == [*(("completion", f"{who}{number} ") for number in range(20)), ("end", "")]

    async with serving(sse_site(answer)) as site:
        await asyncio.gather(*(ask(site, f"client{number}-") for number in range(20)))


async def test_a_format_of_ones_own() -> None:
    """The protocol is three methods."""

    class Shouting:
        def begin(self) -> Shouting:
            return self

        def feed(self, event: Any) -> Iterator[Frame]:
            # Newer LangChains end with an empty chunk.
            if event["event"] == "on_chat_model_stream" and event["data"]["chunk"].content:
                yield Frame(event["data"]["chunk"].content.upper())

        def fail(self, failure: Failure) -> list[Frame]:
            return [Frame("OH NO")]

        def end(self) -> list[Frame]:
            return [Frame("BYE")]

    body = await Client().get(respond(chain(), Shouting()))
    assert frames_of(body.decode()) == [("message", "RED "), ("message", "GREEN "), ("message", "BYE")]


class Faulty:
    """A format that has a mistake in one of its methods."""

    def __init__(self, method: str, mistake: Any) -> None:
        self._method = method
        self._mistake = mistake

    def begin(self) -> Any:
        return self._made("begin", self)

    def feed(self, event: Any) -> Any:
        return self._made("feed", [Frame("fine")] if event["event"] == "on_chat_model_start" else [])

    def fail(self, failure: Failure) -> Any:
        return self._made("fail", [Frame("OH NO")])

    def end(self) -> Any:
        return self._made("end", [Frame("BYE")])

    def _made(self, method: str, value: Any) -> Any:
        if method != self._method:
            return value
        if isinstance(self._mistake, Exception):
            raise self._mistake
        return self._mistake


@pytest.mark.parametrize(
    ("method", "mistake", "logged"),
    [
        ("feed", [Frame({"a": 1}, "tok")], "data={'a': 1}: expected text"),  # type: ignore[arg-type]
        ("feed", ["hunter2"], "frame='hunter2': expected a callbridge.web.Frame"),
        ("feed", ValueError("hunter2"), "hunter2"),
        ("begin", ValueError("hunter2"), "hunter2"),
        ("begin", object(), "has no attribute 'feed'"),
        ("end", [Frame(5)], "data=5: expected text"),  # type: ignore[arg-type]
    ],
)
@pytest.mark.parametrize("heartbeat", [None, 15])
async def test_a_mistake_in_a_format_is_an_error_like_any_other(
    method: str, mistake: Any, logged: str, heartbeat: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The client is there and is told so, without a word of the inside; the run is cancelled, the log says what is wrong."""
    caplog.set_level(logging.ERROR, "callbridge.web")
    run = chain(waits_at=None if method == "end" else 1)
    frames = frames_of((await Client().get(respond(run, Faulty(method, mistake), heartbeat=heartbeat))).decode())
    if method == "feed":
        assert frames == [("message", "OH NO"), ("message", "BYE")]
    elif method == "begin":
        assert frames == [("error", '{"status_code":500,"detail":"Internal Server Error"}'), ("end", "")]
    else:
        assert frames == [("message", "fine"), ("end", "")]
    assert run.book.begun == 0 or run.book.closed
    assert logged in caplog.text
    caplog.clear()


async def test_an_error_that_is_made_for_clients_is_told_to_them() -> None:
    """Starlette's own, as before the headers; what FastAPI lets be any JSON is text here."""
    for detail, told in (("Only tea", "Only tea"), ({"field": "q"}, '{"field":"q"}')):

        def refuse(_: Any, detail: Any = detail) -> str:
            raise HTTPException(422, detail)

        body = await Client().get(EventStreamResponse(astream_events(RunnableLambda(refuse), 1), "text"))
        (event, data), _ = frames_of(body.decode())
        assert (event, json.loads(data)) == ("error", {"status_code": 422, "detail": told})


@pytest.mark.parametrize("describe", [lambda error: 1 / 0, lambda error: "Sorry"])
async def test_a_description_that_goes_wrong_tells_nothing(describe: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The client gets what it gets without one, and the log has both errors."""

    def fail(_: Any) -> str:
        raise ValueError("hunter2")

    stream = astream_events(RunnableLambda(fail), 1)
    body = await Client().get(EventStreamResponse(stream, "text", describe_error=describe))
    assert frames_of(body.decode())[0] == ("error", '{"status_code":500,"detail":"Internal Server Error"}')
    assert "describe_error" in caplog.text
    assert "hunter2" in caplog.text
    caplog.clear()


async def test_a_source_of_something_else_is_an_error_frame(caplog: pytest.LogCaptureFixture) -> None:
    """The log says what it was."""

    async def words() -> AsyncIterator[str]:
        yield "red"

    got = await get(lambda _: EventStreamResponse(words(), "text"))
    assert [event for event, _ in frames_of(got.text)] == ["error", "end"]
    assert "not a v2 event: str is not a mapping; got 'red'" in caplog.text


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("limits", 5),
        ("describe_error", 3),
        ("format", "xml"),
        ("format", object()),
        ("format", TokenFormat),
        ("stream", [1]),
        ("stream", astream_events(chain().runnable, {"q": "tea"}).text()),
        ("stream", callbridge.EventStreamHandler().text()),
        ("heartbeat", 0),
        ("heartbeat", "often"),
    ],
)
async def test_bad_arguments_are_named(argument: str, value: Any) -> None:
    """Before anything starts."""
    given = {"stream": astream_events(chain().runnable, {"q": "tea"}), argument: value}
    with pytest.raises(ArgumentError, match=f"^{argument}="):
        EventStreamResponse(**given)
    with pytest.raises(ArgumentError, match=r"^max_events=-1: expected a positive number"):
        Limits(max_events=-1)


@pytest.mark.parametrize("format_", ["json", "ai-sdk", "openai"])
async def test_a_generator_that_ends_before_its_run_is_an_error(format_: str) -> None:
    """What was recorded, or filtered by hand, may break off; a run that was rescued by another one has ended."""
    run = chain()
    events = [event async for event in astream_events(run.runnable, run.value)]

    async def played(*parts: list[Any]) -> AsyncIterator[Any]:
        for part in parts:
            for event in part:
                yield event

    cut = await get(lambda _: EventStreamResponse(played(events[:-1]), format_))
    assert "The run has not ended" in cut.text
    for parts in ((events,), (events[:-1], events), (events[1:-1],)):
        whole = await get(lambda _, parts=parts: EventStreamResponse(played(*parts), format_))  # type: ignore[misc]
        assert "The run has not ended" not in whole.text
