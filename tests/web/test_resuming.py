"""A client that was interrupted gets the rest of a run that is kept, whatever the format and wherever it was interrupted."""

from __future__ import annotations

import importlib.util
import json
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from starlette.websockets import WebSocket

import callbridge
from callbridge.relay import Relay, connect
from callbridge.web import EventStreamResponse, websocket_endpoint
from callbridge.web.named import FORMATS

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "relay"))

from made import Gated, events, until

pytestmark = pytest.mark.anyio


def has_package(name: str) -> bool:
    return name != "ag-ui" or importlib.util.find_spec("ag_ui") is not None


EVERY_FORMAT = sorted(name for name in FORMATS if has_package(name))


async def respond(response: Any, **headers: str) -> tuple[int, bytes, dict[bytes, bytes]]:
    """Return what a response sends, to a client that stays."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await response({"type": "http", "method": "GET", "headers": raw}, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], body, dict(sent[0]["headers"])


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


async def some_events() -> list[Any]:
    """Return the events of a run with a prompt, a model, a tool and a chain."""
    model = FakeListChatModel(responses=["Tea and more."])
    chain = ChatPromptTemplate.from_template("{q}") | model | RunnableLambda(lambda message: {"city": "Paris"}) | weather
    return [event async for event in callbridge.astream_events(chain, {"q": "tea"})]


def frames_of(body: bytes) -> list[bytes]:
    """Return the frames of a body, each with its end."""
    end = b"\r\n\r\n" if b"\r\n" in body else b"\n\n"
    return [frame + end for frame in body.split(end)[:-1]]


def id_of(frame: bytes) -> str:
    return next(line[4:].decode() for line in frame.splitlines() if line.startswith(b"id: "))


async def publish(relay: Relay, made: list[Any], *, fails: bool = False) -> str:
    run = await relay.announce()

    async def stream() -> Any:
        for event in made:
            yield event
        if fails:
            raise ValueError

    with suppress(ValueError):
        await relay.publish(run, stream())
    return run


@pytest.mark.parametrize("format_", EVERY_FORMAT)
@pytest.mark.parametrize("fails", [False, True], ids=["ended", "failed"])
async def test_every_format_resumes_at_every_frame_to_equal_bytes(format_: str, fails: bool) -> None:
    async with connect(f"memory:{uuid.uuid4().hex}") as relay:
        run = await publish(relay, await some_events(), fails=fails)
        status, whole, _ = await respond(EventStreamResponse(relay.follow(run), format_))
        assert status == 200
        assert (await respond(EventStreamResponse(relay.follow(run), format_)))[1] == whole
        frames = frames_of(whole)
        ids = [id_of(frame) for frame in frames]
        assert len(set(ids)) == len(ids) > 0
        for count, last in enumerate(ids, 1):
            status, rest, _ = await respond(EventStreamResponse(relay.follow(run), format_), last_event_id=last)
            assert rest == b"".join(frames[count:])
            assert status == (200 if count < len(ids) else 204)


async def test_a_client_that_comes_back_in_mid_run_gets_the_rest_live() -> None:
    made = events(12)
    gated = Gated(made)
    async with connect(f"memory:{uuid.uuid4().hex}") as relay:
        run = await relay.announce()
        async with anyio.create_task_group() as group:
            group.start_soon(relay.publish, run, gated.stream())
            gated.let(6)
            first = relay.follow(run)
            for _ in range(6):
                await anext(first)
            assert first.position is not None
            got: list[bytes] = []

            async def come_back() -> None:
                last = f"{first.position}.0"
                got.append((await respond(EventStreamResponse(relay.follow(run), "v2"), last_event_id=last))[1])

            group.start_soon(come_back)
            gated.let(6)
        names = [frame.splitlines()[1] for frame in frames_of(got[0])]
        assert [name.split(b": ")[1].decode() for name in names] == [*(event["event"] for event in made[6:]), "end"]


async def test_a_stopped_and_a_lost_run_say_so_to_the_page() -> None:
    async with connect(f"memory:{uuid.uuid4().hex}") as relay:
        stopped, lost = await relay.announce(), await relay.announce(start_seconds=0.05)
        await relay.stop(stopped)
        assert b'"status_code":499' in (await respond(EventStreamResponse(relay.follow(stopped), "json")))[1]
        assert b'"status_code":502' in (await respond(EventStreamResponse(relay.follow(lost), "json")))[1]


async def test_what_is_unknown_is_404_and_204_for_who_was_here_before() -> None:
    async with connect(f"memory:{uuid.uuid4().hex}") as relay:
        status, body, _ = await respond(EventStreamResponse(relay.follow("nothing")))
        assert (status, body) == (404, b"There is no such run")
        known = relay.follow("nothing").frame_id(0)
        status, body, _ = await respond(EventStreamResponse(relay.follow("nothing")), last_event_id=known)
        assert (status, body) == (204, b"")


async def test_a_number_of_another_run_is_refused() -> None:
    async with connect(f"memory:{uuid.uuid4().hex}") as relay:
        run, other = await publish(relay, events(4)), await publish(relay, events(4))
        for last in ("junk", "1-2", relay.follow(other).frame_id(0), relay.follow(run).frame_id(0).replace("0-0", "1-99")):
            status, body, _ = await respond(EventStreamResponse(relay.follow(run)), last_event_id=last)
            assert (status, body) == (400, b"Last-Event-ID does not belong to this run"), last


async def test_a_page_that_asks_what_is_on_gets_204_when_nothing_is() -> None:
    """The `resume` of `useChat`."""
    gated = Gated(events(4))
    async with connect(f"memory:{uuid.uuid4().hex}") as relay:
        assert (await respond(EventStreamResponse(relay.follow("nothing"), only_live=True)))[0] == 204
        over = await publish(relay, events(4))
        assert (await respond(EventStreamResponse(relay.follow(over), only_live=True)))[0] == 204
        run = await relay.announce()
        async with anyio.create_task_group() as group:
            group.start_soon(relay.publish, run, gated.stream())
            gated.let(2)
            got: list[Any] = []

            async def ask() -> None:
                got.append(await respond(EventStreamResponse(relay.follow(run), "text", only_live=True)))

            group.start_soon(ask)
            await until(lambda: relay._tools is not None and relay._tools.hub.listeners())
            gated.let(2)
        assert got[0][0] == 200
        assert got[0][1].endswith(b"event: end\r\ndata: \r\n\r\n")


async def test_the_client_is_told_when_to_ask_again() -> None:
    async with connect(f"memory:{uuid.uuid4().hex}") as relay:
        run = await publish(relay, events(4))
        body = (await respond(EventStreamResponse(relay.follow(run), "text", retry=1.5)))[1]
        assert body.startswith(b"retry: 1500\r\n\r\n")
        for wrong in (0, "soon"):
            with pytest.raises(callbridge.ArgumentError, match="retry"):
                EventStreamResponse(relay.follow(run), retry=wrong)  # type: ignore[arg-type]


async def converse(endpoint: Callable[[WebSocket], Any], messages: list[Any], answers: int) -> list[Any]:
    """Return what a WebSocket endpoint answers."""
    got: list[Any] = []
    waiting = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": json.dumps(each)} for each in messages)]
    enough = anyio.Event()

    async def receive() -> Any:
        if waiting:
            return waiting.pop(0)
        await enough.wait()
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message: Any) -> None:
        if message["type"] == "websocket.send":
            got.append(json.loads(message["text"]))
            if [each["event"] for each in got].count("end") >= answers:
                enough.set()

    await endpoint(WebSocket({"type": "websocket", "headers": []}, receive, send))
    return got


@pytest.mark.parametrize("format_", ["v2", "json"])
async def test_a_websocket_resumes_at_every_message(format_: str) -> None:
    async with connect(f"memory:{uuid.uuid4().hex}") as relay:
        run = await publish(relay, await some_events())
        endpoint = websocket_endpoint(lambda _, message: relay.follow(message["run"]), format_)
        whole = await converse(endpoint, [{"run": run}], 1)
        for count, last in enumerate(whole[:-1], 1):
            assert await converse(endpoint, [{"run": run, "lastEventId": last["id"]}], 1) == whole[count:]
        unknown = await converse(endpoint, [{"run": "nothing"}], 1)
        assert [each["event"] for each in unknown] == ["error", "end"]
        assert json.loads(unknown[0]["data"])["status_code"] == 404
