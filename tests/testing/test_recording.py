"""Recordings: what is written can be read and replayed, and what is damaged says so."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda

import callbridge
from callbridge.__main__ import main
from callbridge.errors import ArgumentError, RecordingError, VersionError
from callbridge.testing import areplay, read_recording, record, replay
from callbridge.testing import recording as recordings
from callbridge.testing.showing import shown

MODEL = FakeListChatModel(responses=["tea"])


class Listener(BaseCallbackHandler):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.heard.append(token)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.heard.append(response.generations[0][0].text)

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.heard.append(repr(error))

    def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
        self.heard.append(repr(error))


class AsyncListener(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.heard.append(token)


class Time:
    """A clock that goes on by a tick with each look, and by what is slept."""

    def __init__(self, tick: float = 0.0) -> None:
        self.now = 100.0
        self.tick = tick
        self.slept: list[float] = []

    def __call__(self) -> float:
        self.now += self.tick
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


@pytest.fixture
def recorded(path: Path) -> Path:
    """A recording of start, three tokens and end, whose events are a second apart."""
    with callbridge.stream_events(MODEL, "x") as stream:
        for _ in record(stream, path, clock=Time(1.0)):
            pass
    return path


def test_a_sync_stream_passes_through_and_can_be_read_again(path: Path) -> None:
    with callbridge.stream_events(MODEL, "x") as stream:
        events = list(record(stream, path))
    recording = read_recording(path)
    assert [event["event"] for event in recording.events] == [event["event"] for event in events]
    assert recording.events[-1]["data"]["output"].content == "tea"
    assert recording.end == "ended"
    assert recording.versions["callbridge"] == callbridge.__version__


@pytest.mark.anyio
async def test_an_async_stream_passes_through_and_can_be_read_again(path: Path) -> None:
    async with callbridge.astream_events(MODEL, "x") as stream:
        events = [event async for event in record(stream, path)]
    assert list(await anyio.to_thread.run_sync(read_recording, path)) == json_round_trip(events)


def json_round_trip(events: list[Any]) -> list[Any]:
    return [callbridge.loads(callbridge.dumps(event)) for event in events]


@pytest.mark.anyio
async def test_langchains_own_stream_can_be_recorded(path: Path) -> None:
    async for _ in record(MODEL.astream_events("x", version="v2"), path):
        pass
    listener = Listener()
    output = await anyio.to_thread.run_sync(replay, path, listener)
    assert isinstance(output, AIMessage)
    assert listener.heard == ["t", "e", "a", "tea"]


def test_the_file_has_a_header_a_line_for_each_event_and_an_end(recorded: Path) -> None:
    lines = [json.loads(line) for line in recorded.read_text().splitlines()]
    assert lines[0]["callbridge_recording"] == 1
    assert set(lines[0]) == {"callbridge_recording", "callbridge", "langchain_core"}
    offsets = [line["seconds"] for line in lines[1:]]
    assert offsets == sorted(offsets)
    assert all("event" in line for line in lines[1:-1])
    assert lines[-1]["end"] == "ended"


def test_a_failing_run_is_recorded_with_its_error_and_replays_as_failing(path: Path) -> None:
    def fail(_: Any) -> None:
        raise ValueError("no tea")

    with pytest.raises(ValueError, match="no tea"), callbridge.stream_events(RunnableLambda(fail), "x") as stream:
        list(record(stream, path))
    recording = read_recording(path)
    assert recording.end == "failed"
    listener = Listener()
    with pytest.raises(ValueError, match="no tea"):
        replay(recording, listener)
    assert listener.heard == ["ValueError('no tea')"]


def test_leaving_early_is_recorded(path: Path) -> None:
    with callbridge.stream_events(MODEL, "x") as stream, record(stream, path) as events:
        next(events)
    assert read_recording(path).end == "left"
    assert len(read_recording(path).events) == 1


@pytest.mark.anyio
async def test_leaving_an_async_recording_closes_the_stream(path: Path) -> None:
    stream = callbridge.astream_events(MODEL, "x")
    async with record(stream, path) as events:
        async for _ in events:
            break
    assert [event async for event in _rest(stream)] == []
    assert (await anyio.to_thread.run_sync(read_recording, path)).end == "left"


async def _rest(stream: Any) -> Any:
    while True:
        try:
            yield await anext(stream)
        except StopAsyncIteration:
            return


@pytest.mark.anyio
async def test_a_read_that_is_cancelled_can_be_repeated_and_nothing_is_missing(path: Path) -> None:
    wait, reading = anyio.Event(), anyio.Event()

    async def answer(value: str) -> str:
        reading.set()
        await wait.wait()
        return value

    async with callbridge.astream_call(RunnableLambda(answer).ainvoke, "x") as stream, record(stream, path) as events:
        first = await anext(events)
        async with anyio.create_task_group() as group:
            group.start_soon(anext, events)
            await reading.wait()
            group.cancel_scope.cancel()
        wait.set()
        rest = [event async for event in events]
    assert [event["event"] for event in (first, *rest)] == ["on_chain_start", "on_chain_end"]
    recording = await anyio.to_thread.run_sync(read_recording, path)
    assert (len(recording.events), recording.end) == (2, "ended")


@pytest.mark.anyio
async def test_an_event_whose_writing_is_cancelled_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written it is once."""
    written, gate, write = threading.Event(), threading.Event(), recordings._File._write

    def slow_write(*args: Any, **kwargs: Any) -> None:
        write(*args, **kwargs)
        written.set()
        gate.wait()

    async def source() -> AsyncIterator[Any]:
        for number in range(2):
            yield {"event": "on_custom_event", "data": number}

    monkeypatch.setattr(recordings._File, "_write", slow_write)
    stream = record(source(), path)
    reading = asyncio.ensure_future(anext(stream))
    await anyio.to_thread.run_sync(written.wait)
    reading.cancel()
    await asyncio.wait([reading])
    assert reading.cancelled()
    gate.set()
    assert [event["data"] async for event in stream] == [0, 1]
    assert [event["data"] for event in await anyio.to_thread.run_sync(read_recording, path)] == [0, 1]


def test_nothing_is_written_before_the_first_read(path: Path) -> None:
    recording = record([], path)
    assert not path.exists()
    assert list(recording) == []
    assert read_recording(path).events == ()


def test_what_cannot_be_iterated_is_refused(path: Path) -> None:
    with pytest.raises(ArgumentError, match="stream"):
        record(3, path)  # type: ignore[type-var]


# -- damage -----------------------------------------------------------------------------------------------------------


def test_a_recording_of_another_version_says_which_version_can_be_read(recorded: Path) -> None:
    header, events = recorded.read_text().split("\n", 1)
    recorded.write_text(json.dumps({**json.loads(header), "callbridge_recording": 99}) + "\n" + events)
    with pytest.raises(VersionError, match="99") as caught:
        read_recording(recorded)
    assert "1" in str(caught.value)
    assert str(recorded) in str(caught.value)


def test_a_file_cut_off_in_a_line_is_an_error_or_read_in_part(recorded: Path) -> None:
    content = recorded.read_bytes()
    for end in range(1, len(content)):
        recorded.write_bytes(content[:end])
        with pytest.raises(RecordingError) as caught:
            read_recording(recorded)
        assert caught.value.line == content[:end].count(b"\n") + 1
    recorded.write_bytes(content[: content.rindex(b'"end"')])
    partial = read_recording(recorded, partial=True)
    assert partial.end == "cut off"
    assert len(partial.events) == 5


@pytest.mark.parametrize(
    "broken",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"seconds": "x", "event": {}}',
        b"\xff",
        b'{"seconds": 1, "event": 3}',
        b'{"seconds": 1, "event": "text"}',
        b'{"seconds": 1, "end": "bogus"}',
        b'{"seconds": 1, "end": "cut off"}',
        b'{"seconds": 1, "event": {}, "end": "ended"}',
    ],
)
def test_a_broken_line_is_named(recorded: Path, broken: bytes) -> None:
    lines = recorded.read_bytes().splitlines(keepends=True)
    lines[2] = broken + b"\n"
    recorded.write_bytes(b"".join(lines))
    with pytest.raises(RecordingError, match="broken") as caught:
        read_recording(recorded, partial=True)
    assert caught.value.line == 3
    assert caught.value.path == str(recorded)


@pytest.mark.parametrize("content", [b"", b"hello\n", b"{}\n", b"[1]\n", b"\x00\xff\n"])
def test_what_is_no_recording_says_so(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="not a recording"):
        read_recording(path)


def test_two_recordings_in_one_file_are_refused(recorded: Path) -> None:
    recorded.write_bytes(recorded.read_bytes() * 2)
    with pytest.raises(RecordingError, match="more after the end"):
        read_recording(recorded)


# -- replay -----------------------------------------------------------------------------------------------------------


def test_replay_without_a_speed_does_not_wait(recorded: Path) -> None:
    time = Time()
    listener = Listener()
    replay(recorded, listener, clock=time, sleep=time.sleep)
    assert listener.heard == ["t", "e", "a", "tea"]
    assert time.slept == []


@pytest.mark.parametrize(("speed", "pause"), [(1, 1.0), (2, 0.5)])
def test_replay_keeps_the_original_timing(recorded: Path, speed: float, pause: float) -> None:
    time = Time()
    replay(recorded, Listener(), speed=speed, clock=time, sleep=time.sleep)
    assert time.slept == [pause] * 5


def test_time_that_handlers_take_is_not_waited_again(recorded: Path) -> None:
    time = Time()

    class Slow(BaseCallbackHandler):
        def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            time.now += 0.75

    replay(recorded, Slow(), speed=1, clock=time, sleep=time.sleep)
    assert time.slept == [1.0, 1.0, 0.25, 0.25, 0.25]


@pytest.mark.anyio
async def test_async_replay_awaits_handlers_and_keeps_the_timing(recorded: Path) -> None:
    time = Time()
    listener = AsyncListener()
    await areplay(recorded, listener, speed=1, clock=time, sleep=time.asleep)
    assert listener.heard == ["t", "e", "a"]
    assert time.slept == [1.0] * 5


@pytest.mark.parametrize("speed", [0, -1, float("nan"), "fast"])
def test_a_speed_that_leads_nowhere_is_refused(recorded: Path, speed: Any) -> None:
    with pytest.raises(ArgumentError, match="speed"):
        replay(recorded, Listener(), speed=speed)


def test_recorded_events_are_a_source_like_any_other(recorded: Path) -> None:
    events: Iterator[Any] = iter(callbridge.dispatch_events(read_recording(recorded), [Listener()]))
    assert sum(event["event"] == "on_chat_model_stream" for event in events) == 3


# -- the command line -------------------------------------------------------------------------------------------------


def test_the_command_line_shows_a_line_for_each_event(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(recorded)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["2.000", "on_chat_model_stream", "FakeListChatModel", "'t'"]
    assert lines[-1].startswith("ended (5 events, recorded with callbridge ")


def test_the_lines_come_with_their_timing(recorded: Path) -> None:
    time = Time()
    assert len(list(shown(read_recording(recorded), speed=2, clock=time, sleep=time.sleep))) == 6
    assert time.slept == [0.5] * 5


def test_the_command_line_tells_of_a_recorded_error(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: Any) -> None:
        raise ValueError("no tea")

    with pytest.raises(ValueError, match="no tea"), callbridge.stream_events(RunnableLambda(fail), "x") as stream:
        list(record(stream, path))
    assert main(["replay", str(path)]) == 0
    assert "failed: ValueError: no tea" in capsys.readouterr().out


def test_the_command_line_says_what_is_wrong_with_a_file(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded.write_bytes(recorded.read_bytes()[:-5])
    assert main(["replay", str(recorded)]) == 2
    assert "line 7" in capsys.readouterr().err
    assert main(["replay", str(recorded), "--partial"]) == 0
    assert main(["replay", str(recorded) + ".none"]) == 2
    with pytest.raises(SystemExit):
        main(["replay", str(recorded), "--speed", "0"])
