"""What a format may say of the way its frames are sent, and the numbers of frames."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, ClassVar

import httpx
import pytest

from callbridge import astream_events
from callbridge.errors import ArgumentError
from callbridge.web import BaseEncoder, BaseFormat, EventStreamResponse, Frame, TokenFormat, websocket_endpoint
from callbridge.web.wire import Framing, framing_of
from lives import chain, watched
from web.serving import serving, sse_site, ws_site

pytestmark = pytest.mark.anyio


class Lines(BaseFormat):
    """A protocol with headers, line ends and an end of its own."""

    headers: ClassVar[dict[str, str]] = {"X-Protocol": "7", "Cache-Control": "no-store"}
    line_end = "\n"
    always_ends = True
    bare = True

    def begin(self) -> Any:
        return LinesEncoder()


class LinesEncoder(BaseEncoder):
    def feed(self, event: Any) -> Iterable[Frame]:
        if event["event"] == "on_chat_model_stream" and event["data"]["chunk"].content:
            yield Frame(event["data"]["chunk"].content)
            yield Frame("and\nmore")

    def end(self) -> Iterable[Frame]:
        return [Frame("[DONE]")]


async def get(response: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    async with serving(sse_site(response)) as site, httpx.AsyncClient(trust_env=False, verify=False, timeout=60) as client:
        return await client.get(site.http, headers=headers)


async def test_a_format_brings_headers_line_ends_and_its_own_end() -> None:
    """Heartbeats end their lines as frames do; `end_event=False` is about our end alone."""
    run = chain(words=["a"])
    got = await get(lambda _: EventStreamResponse(astream_events(run.runnable, run.value), Lines(), end_event=False))
    assert got.content == b"data: a\n\ndata: and\ndata: more\n\ndata: [DONE]\n\n"
    assert got.headers["x-protocol"] == "7"
    assert got.headers.get_list("cache-control") == ["no-store"]
    own = {"x-PROTOCOL": "8"}
    got = await get(lambda _: EventStreamResponse(astream_events(run.runnable, run.value), Lines(), headers=own))
    assert got.headers.get_list("x-protocol") == ["8"]


async def test_heartbeats_have_the_line_end_of_the_format() -> None:
    """A parser that knows one line end alone reads no comment that ends in another."""
    run = chain(waits_at=1)
    async with (
        serving(
            sse_site(lambda _: EventStreamResponse(astream_events(run.runnable, run.value), Lines(), heartbeat=0.05))
        ) as site,
        httpx.AsyncClient(trust_env=False, verify=False, timeout=60) as client,
        client.stream("GET", site.http) as response,
    ):
        arrived = b""
        async for part in response.aiter_bytes():
            arrived += part
            if b": heartbeat" in arrived:
                break
    assert b"\r" not in arrived
    assert arrived.endswith(b": heartbeat\n\n")


async def test_over_a_websocket_a_bare_format_sends_its_data_alone() -> None:
    """What a client of that protocol reads; heartbeats, which it would not know, are not sent."""
    import websockets

    run = chain(words=["a"])

    def ask(_: Any, __: Any) -> Any:
        return astream_events(run.runnable, run.value)

    endpoint = websocket_endpoint(ask, Lines(), heartbeat=0.01)
    async with serving(ws_site(endpoint)) as site, websockets.connect(site.ws) as socket:
        await socket.send("{}")
        assert [await socket.recv() for _ in range(3)] == ["a", "and\nmore", "[DONE]"]


def test_a_format_that_says_nothing_of_itself_is_sent_as_always() -> None:
    class Plain:
        def begin(self) -> Any:
            return LinesEncoder()

    assert framing_of(Plain()) == Framing({}, "\r\n", always_ends=False, bare=False)


@pytest.mark.parametrize(
    ("name", "value"), [("line_end", "\r"), ("line_end", None), ("headers", {"a": 1}), ("headers", "a: b")]
)
def test_what_cannot_be_sent_is_refused_at_once(name: str, value: Any) -> None:
    wrong = type("Wrong", (Lines,), {name: value})()
    with pytest.raises(ArgumentError, match=name):
        EventStreamResponse(astream_events(chain().runnable, "tea"), wrong)


class Kept:
    """A source that can begin once more: it numbers the frames of its events."""

    def __init__(self, events: list[Any]) -> None:
        self._events = iter(enumerate(events, 1))
        self.position = 0

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        for position, event in self._events:
            self.position = position
            return event
        raise StopAsyncIteration

    def frame_id(self, made: int) -> str:
        return f"{self.position}.{made}"


@pytest.mark.parametrize("format_", ["json", "v2", Lines()], ids=["json", "v2", "own"])
async def test_a_client_that_comes_back_gets_the_rest(format_: Any) -> None:
    """At whichever frame it was interrupted: what it has and what it gets are the bytes of the whole."""
    run = chain(words=["a", "b"])
    events = [event async for event in astream_events(run.runnable, run.value)]
    with watched():
        async with (
            serving(sse_site(lambda _: EventStreamResponse(Kept(events), format_))) as site,
            httpx.AsyncClient(trust_env=False, verify=False, timeout=60) as client,
        ):
            whole = (await client.get(site.http)).content
            end = b"\n\n" if b"\r" not in whole else b"\r\n\r\n"
            frames = [frame + end for frame in whole.split(end)[:-1]]
            ids = [frame.split(b"id: ")[1].split(end[: len(end) // 2])[0].decode() for frame in frames]
            assert len(set(ids)) == len(ids)
            for count, last in enumerate(ids, 1):
                rest = (await client.get(site.http, headers={"Last-Event-ID": last})).content
                assert rest == b"".join(frames[count:])


async def test_a_source_without_numbers_ignores_what_the_client_had() -> None:
    """A run that begins anew is sent whole."""
    run = chain(words=["a"])
    got = await get(
        lambda _: EventStreamResponse(astream_events(run.runnable, run.value), TokenFormat("text")), {"Last-Event-ID": "0"}
    )
    assert b"data: a\r\n" in got.content


async def test_a_format_that_cannot_end_is_ended_by_a_new_encoder_of_it() -> None:
    """So the client reads the end in its own protocol; what went wrong is in the log."""

    class Stuck(Lines):
        made = 0

        def begin(self) -> Any:
            Stuck.made += 1
            return LinesEncoder() if Stuck.made > 1 else StuckEncoder()

    class StuckEncoder(LinesEncoder):
        def end(self) -> Iterable[Frame]:
            raise ValueError("stuck")

    run = chain(words=["a"])
    got = await get(lambda _: EventStreamResponse(astream_events(run.runnable, run.value), Stuck()))
    assert got.content.endswith(b'event: error\ndata: {"status_code":500,"detail":"Internal Server Error"}\n\ndata: [DONE]\n\n')
