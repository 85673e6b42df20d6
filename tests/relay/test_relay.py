"""What a relay does, on every engine: the same code, another URL."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from failure_table import Seen
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from made import Gated, events, read, until

import callbridge
from callbridge.relay import connect

pytestmark = pytest.mark.anyio


def chain(answer: str = "Tea is made of leaves.", **options: Any) -> Any:
    return ChatPromptTemplate.from_template("{q}") | FakeListChatModel(responses=[answer], **options)


# -- publishing and following -----------------------------------------------------------------------------------------


async def test_a_reader_elsewhere_gets_the_very_events_and_the_publisher_the_result(url: str) -> None:
    published: list[Any] = []
    async with connect(url) as web, connect(url) as worker:
        run = await web.announce()
        stream = callbridge.astream_events(chain(), {"q": "tea"})
        original = stream.__class__.__anext__

        async def noted(self: Any) -> Any:
            event = await original(self)
            published.append(event)
            return event

        class Noting(stream.__class__):  # type: ignore[misc, name-defined]
            __anext__ = noted

        stream.__class__ = Noting
        result = await worker.publish(run, stream)
        assert result.content == "Tea is made of leaves."
        found, how = await read(web, run)
        assert how == "ended"
        assert found == [callbridge.loads(callbridge.dumps(event)) for event in published]
        assert await web.status(run) == "ended"


async def test_a_reader_that_came_first_gets_everything_live(url: str) -> None:
    made = events(30)
    gated = Gated(made)
    async with connect(url) as web, connect(url) as worker:
        run = await web.announce()
        assert await web.status(run) == "queued"
        follower = web.follow(run)
        async with anyio.create_task_group() as group:
            group.start_soon(worker.publish, run, gated.stream())
            for number in range(30):
                gated.let()
                event = await anext(follower)
                assert event == made[number]
                assert follower.position is not None
                assert follower.position.startswith(f"1-{number + 1}~")
            with pytest.raises(StopAsyncIteration):
                await anext(follower)


async def test_any_number_of_readers_from_any_position_get_the_rest_once(url: str) -> None:
    made = events(40)
    gated = Gated(made)
    found: dict[int, list[Any]] = {}
    async with connect(url) as relay:
        run = await relay.announce()

        async def follow(number: int, after: str | None) -> None:
            found[number] = [event async for event in relay.follow(run, after=after)]

        async with anyio.create_task_group() as group:
            group.start_soon(relay.publish, run, gated.stream())
            first = relay.follow(run)
            positions: list[str | None] = [None]
            gated.let(20)
            for _ in range(20):
                await anext(first)
                positions.append(first.position)
            for number, position in enumerate(positions):
                group.start_soon(follow, number, position)
            gated.let(20)
        for number in range(21):
            assert found[number] == made[number:]
        assert [event async for event in first] == made[20:]


async def test_sync_code_publishes_and_follows(url: str) -> None:
    made = events(25)

    def work() -> None:
        with connect(url) as relay:
            run = relay.announce_sync()
            assert relay.publish_sync(run, iter(made)) == "done"
            follower = relay.follow(run)
            with follower:
                assert list(follower) == made
            assert relay.status_sync(run) == "ended"
            relay.forget_sync(run)
            with pytest.raises(callbridge.UnknownRunError):
                relay.status_sync(run)

    await anyio.to_thread.run_sync(work)


async def test_unchanged_code_publishes_by_an_attached_handler(url: str) -> None:
    async with connect(url) as relay:
        run = await relay.announce()
        handler = callbridge.EventStreamHandler()
        async with anyio.create_task_group() as group:
            call: Any = chain().ainvoke
            group.start_soon(lambda: call({"q": "tea"}, config={"callbacks": [handler]}))
            assert (await relay.publish(run, handler)).content == "Tea is made of leaves."
        found, how = await read(relay, run)
        assert how == "ended"
        assert [event["event"] for event in found][-1] == "on_chain_end"


async def test_an_old_handler_hears_a_run_of_another_process(url: str) -> None:
    class Old(BaseCallbackHandler):
        def __init__(self) -> None:
            self.tokens: list[str] = []
            self.outputs: list[Any] = []

        def on_llm_new_token(self, token: str, **_: Any) -> None:
            self.tokens.append(token)

        def on_chain_end(self, outputs: Any, **_: Any) -> None:
            self.outputs.append(outputs)

    old, older = Old(), Old()
    async with connect(url) as relay:
        run = await relay.announce()
        await relay.publish(run, callbridge.astream_events(chain("abc"), {"q": "tea"}))
        output = await callbridge.adrive(relay.follow(run), [old])
        await anyio.to_thread.run_sync(lambda: callbridge.drive(relay.follow(run), [older]))
    assert "".join(old.tokens) == "".join(older.tokens) == "abc"
    assert output.content == "abc"


async def test_a_reader_that_leaves_stops_nothing_and_leaves_nothing(url: str) -> None:
    gated = Gated(events(10))
    async with connect(url) as relay:
        run = await relay.announce()
        async with anyio.create_task_group() as group:
            group.start_soon(relay.publish, run, gated.stream())
            gated.let(3)
            async with relay.follow(run) as follower:
                async for _ in follower:
                    break
            dropped = relay.follow(run)
            await anext(dropped)
            gated.let(1)
            for _ in range(3):
                await anext(dropped)
            del dropped
            gc.collect()
            assert relay._tools is not None
            assert relay._tools.hub.listeners() == 0
            gated.let(6)
        assert await relay.status(run) == "ended"
        assert not gated.begun or gated.left


async def test_a_read_that_is_cancelled_has_lost_nothing(url: str) -> None:
    made = events(12)
    gated = Gated(made)
    found: list[Any] = []
    async with connect(url) as relay:
        run = await relay.announce()
        follower = relay.follow(run)
        async with anyio.create_task_group() as group:
            group.start_soon(relay.publish, run, gated.stream())
            while len(found) < len(made):
                with anyio.move_on_after(0.004):
                    found.append(await anext(follower))
                gated.let()
    assert found == made


@pytest.mark.failure(
    "a reader sleeps while thousands of events pass", "{}: all of them, later; its process holds at most 16 batches"
)
async def test_a_follower_that_sleeps_catches_up_and_holds_a_bounded_amount(url: str, seen: Seen) -> None:
    made = events(6000)
    async with connect(url) as relay:
        run = await relay.announce()
        gated = Gated(made)
        follower = relay.follow(run)
        async with anyio.create_task_group() as group:
            group.start_soon(relay.publish, run, gated.stream())
            gated.let(1)
            await anext(follower)
            gated.let(1)
            await anext(follower)  # live by now
            listener = follower._listener
            gated.let(len(made))
            await until(lambda: _has(relay, run, "ended"))
            assert listener is not None
            assert listener._offered - listener._taken <= 16
            assert [event async for event in follower] == made[2:]
        seen.readers("ended")
        seen.worker("done")


async def _has(relay: Any, run: str, status: str) -> bool:
    return bool(await relay.status(run) == status)


# -- stopping ---------------------------------------------------------------------------------------------------------


async def test_a_run_that_was_stopped_before_it_began_never_begins(url: str) -> None:
    async with connect(url) as relay:
        run = await relay.announce()
        await relay.stop(run)
        await relay.stop(run)
        gated = Gated(events(5))
        for restart in (False, True):
            with pytest.raises(callbridge.RunStoppedError):
                await relay.publish(run, gated.stream(), restart=restart)
        assert not gated.begun
        assert await relay.status(run) == "stopped"
        assert await read(relay, run) == ([], "RunStoppedError")


async def test_stopping_cancels_and_awaits_the_run_from_elsewhere(url: str) -> None:
    gated = Gated(events(50))
    async with connect(url) as web, connect(url) as worker:
        run = await web.announce()
        outcome: list[BaseException] = []

        async def publish() -> None:
            try:
                await worker.publish(run, gated.stream())
            except callbridge.RunStoppedError as error:
                assert gated.left
                outcome.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(publish)
            gated.let(7)
            follower = web.follow(run)
            found = [await anext(follower) for _ in range(7)]
            await web.stop(run)
            with pytest.raises(callbridge.RunStoppedError):
                await anext(follower)
        assert len(outcome) == 1
        assert (await read(web, run)) == (found, "RunStoppedError")
        await web.stop(run)  # after the end
        assert await web.status(run) == "stopped"


@pytest.mark.parametrize("kind", ["stream", "generator", "handler"])
async def test_stopping_reaches_sync_code(url: str, kind: str) -> None:
    entered, go_on = threading.Event(), threading.Event()
    gated = Gated(events(1000))
    gated.let(2)
    streams: list[Any] = []

    def slow(_: Any) -> str:
        entered.set()
        go_on.wait(60)
        return "x"

    def work(relay: Any, run: str) -> None:
        if kind == "generator":
            entered.set()
            relay.publish_sync(run, gated.stream_sync())
        elif kind == "handler":
            handler = callbridge.EventStreamHandler()
            thread = threading.Thread(
                target=lambda: chain().invoke({"q": "x"}, config={"callbacks": [handler]}) if slow(None) else None, daemon=True
            )
            thread.start()
            try:
                relay.publish_sync(run, handler)
            finally:
                go_on.set()
                thread.join()
        else:
            streams.append(callbridge.stream_call((RunnableLambda(slow) | str).invoke, "q"))
            relay.publish_sync(run, streams[0])

    async with connect(url) as relay:
        run = await relay.announce()
        raised: list[BaseException] = []

        def publish() -> None:
            try:
                work(relay, run)
            except callbridge.RunStoppedError as error:
                raised.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, publish)
            await until(entered.is_set)
            await until(lambda: _has(relay, run, "running"))
            await relay.stop(run)
            if kind == "stream":  # it is closed, which waits for the thread
                await until(lambda: not streams[0].statistics().runs)
                go_on.set()
            for _ in range(998):
                if kind != "generator" or raised:
                    break
                gated.let(1)  # it is closed at one of the next events
                await anyio.sleep(0.05)
        assert len(raised) == 1
        assert await relay.status(run) == "stopped"


async def test_a_stream_that_ends_just_when_it_is_stopped_ends_like_any_other(
    url_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    over, publisher = threading.Event(), threading.Thread()
    start = threading.Thread.start

    def start_late(thread: threading.Thread) -> None:
        if thread.name == "callbridge-relay-leaving":
            over.set()  # the publisher sees the end, and waits for this thread
            publisher.join(0.2)
        start(thread)

    def endless() -> Iterator[Any]:
        yield events(9)[0]
        over.wait(60)

    monkeypatch.setattr(threading.Thread, "start", start_late)
    raised: list[BaseException] = []
    async with connect(url_of("memory")) as relay:
        run = await relay.announce()

        def publish() -> None:
            try:
                relay.publish_sync(run, endless())
            except BaseException as error:
                raised.append(error)

        publisher = threading.Thread(target=publish, daemon=True)
        publisher.start()
        await until(lambda: _has(relay, run, "running"))
        await relay.stop(run)
        await anyio.to_thread.run_sync(publisher.join)
    assert [type(error) for error in raised] == [callbridge.RunStoppedError]


async def test_a_publisher_that_is_cancelled_says_so(url: str) -> None:
    gated = Gated(events(9))
    async with connect(url) as relay:
        run = await relay.announce()
        task = asyncio.create_task(relay.publish(run, gated.stream()))
        gated.let(3)
        follower = relay.follow(run)
        for _ in range(3):
            await anext(follower)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert gated.left
        with pytest.raises(callbridge.RunStoppedError):
            await anext(follower)
        assert relay._tools is not None
        assert not relay._tools.keeper._kept
        assert not relay._tools.hub._published


# -- errors of runs ---------------------------------------------------------------------------------------------------


@pytest.mark.failure("the run raises", worker="its own error")
@pytest.mark.parametrize("show_errors", [False, True])
async def test_a_run_that_fails_tells_its_readers_as_much_as_they_may_know(url: str, show_errors: bool, seen: Seen) -> None:
    error = ValueError("the password is tea")

    async def failing() -> Any:
        for event in events(5)[:4]:
            yield event
        raise error

    async with connect(url) as relay:
        run = await relay.announce()
        with pytest.raises(ValueError, match="tea") as raised:
            await relay.publish(run, failing(), show_errors=show_errors)
        assert raised.value is error
        found = []
        with pytest.raises(callbridge.RunFailedError) as failed:
            async for event in relay.follow(run):
                found.append(event)
        assert isinstance(failed.value, callbridge.RemoteError)
        assert len(found) == 4
        assert "ValueError" in str(failed.value)
        assert ("password" in str(failed.value)) is show_errors
        assert await relay.status(run) == "failed"
        seen.readers(type(failed.value).__name__)


async def test_an_event_that_is_none_ends_the_run_with_an_error_that_shows_it(url: str) -> None:
    async with connect(url) as relay:
        run = await relay.announce()
        with pytest.raises(callbridge.EventFormatError, match="no event at all"):
            await relay.publish(run, [*events(3)[:2], "no event at all"])
        assert (await read(relay, run))[1] == "RunFailedError"


# -- one publisher ----------------------------------------------------------------------------------------------------


async def test_a_run_is_published_by_one_attempt_at_a_time(url: str) -> None:
    gated = Gated(events(6))
    async with connect(url, lease_seconds=2) as relay, connect(url) as other:
        run = await relay.announce()
        async with anyio.create_task_group() as group:
            group.start_soon(relay.publish, run, gated.stream())
            await until(lambda: gated.begun)
            for restart in (False, True):
                late = Gated(events(3))
                with pytest.raises(callbridge.RunTakenError, match="running") as taken:
                    await other.publish(run, late.stream(), restart=restart)
                assert taken.value.state == "running"
                assert not late.begun
            gated.let(6)
        with pytest.raises(callbridge.RunTakenError, match="restart=True"):
            await other.publish(run, events(3))
        assert len((await read(relay, run))[0]) == 6


async def test_a_second_attempt_is_whole_and_a_reader_belongs_to_one(url: str) -> None:
    async with connect(url) as relay:
        run = await relay.announce()
        follower = relay.follow(run)
        first, second = events(9), events(4)

        async def failing() -> Any:
            for event in first[:7]:
                yield event
            raise OSError

        with pytest.raises(OSError):  # noqa: PT011
            await relay.publish(run, failing())
        await anext(follower)
        await relay.publish(run, second, restart=True)
        rest = []
        with pytest.raises(callbridge.RunFailedError):
            async for event in follower:
                rest.append(event)
        assert rest == first[1:7]
        assert await read(relay, run) == (second, "ended")


async def test_two_runs_of_one_id_are_refused(url: str) -> None:
    async with connect(url) as relay:
        run = await relay.announce("chat:7")
        try:
            with pytest.raises(callbridge.RunTakenError, match="announced before"):
                await relay.announce(run)
        finally:
            await relay.forget(run)


# -- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "kept"), [({"max_events": 10}, 10), ({"max_bytes": 3000}, None)])
async def test_a_run_that_is_too_long_ends_at_the_limit(url: str, limit: dict[str, Any], kept: int | None) -> None:
    gated = Gated(events(50))
    gated.let(50)
    async with connect(url, **limit) as relay:
        run = await relay.announce()
        with pytest.raises(callbridge.RunLimitError):
            await relay.publish(run, gated.stream())
        assert gated.left
        found, how = await read(relay, run)
        assert how == "RunLimitError"
        assert kept is None or len(found) == kept
        assert 0 < sum(len(callbridge.dumps(event)) for event in found) <= limit.get("max_bytes", 10**6)
        assert await relay.status(run) == "limited"


@pytest.mark.parametrize("limit", [{"max_events": 10}, {"max_bytes": 3000}])
async def test_trimming_is_never_silent(url: str, limit: dict[str, Any]) -> None:
    made = events(50)
    async with connect(url, on_limit="trim", **limit) as relay:
        run = await relay.announce()
        assert await relay.publish(run, made) == "done"
        with pytest.raises(callbridge.RelayGapError, match="no longer there") as gap:
            await anext(relay.follow(run))
        assert gap.value.position is not None
        found, how = await read(relay, run, gap.value.position)
        assert how == "ended"
        assert found == made[-len(found) :]
        assert len(found) <= limit.get("max_events", 50)
        assert sum(len(callbridge.dumps(event)) for event in found) <= limit.get("max_bytes", 10**6)


async def test_a_run_is_kept_for_a_while_and_then_unknown(url: str) -> None:
    async with connect(url, keep_seconds=0.05) as relay:
        run = await relay.announce()
        await relay.publish(run, events(3))

        async def is_gone() -> bool:
            try:
                await relay.status(run)
            except callbridge.UnknownRunError:
                return True
            return False

        await until(is_gone)
        with pytest.raises(callbridge.UnknownRunError):
            await anext(relay.follow(run))
        assert run not in [each.run for each in await relay.runs()]


@pytest.mark.thorough
async def test_a_quiet_run_outlives_the_time_for_which_orphans_are_kept(url: str) -> None:
    gated = Gated(events(4))
    async with connect(url, lease_seconds=0.6, orphan_seconds=0.5) as relay:
        run = await relay.announce()
        async with anyio.create_task_group() as group:
            group.start_soon(relay.publish, run, gated.stream())
            gated.let(2)
            follower = relay.follow(run)
            await anext(follower)
            await anyio.sleep(2.5)
            gated.let(2)
            assert len([event async for event in follower]) == 3
        assert len((await read(relay, run))[0]) == 4


@pytest.mark.thorough
@pytest.mark.failure("nobody takes the job within `start_seconds` (600)", worker="{}: too late")
async def test_a_run_that_nobody_begins_is_lost_to_all(url: str, seen: Seen) -> None:
    async with connect(url) as relay:
        run = await relay.announce(start_seconds=0.1)
        other = await relay.announce(start_seconds=0.1)
        assert await read(relay, run) == ([], "RunLostError")
        assert await relay.status(run) == "lost"
        await until(lambda: _has(relay, other, "lost"))
        with pytest.raises(callbridge.RunLostError):
            await relay.publish(other, events(3))
        seen.readers("RunLostError")
        seen.worker("RunLostError")
        await relay.publish(run, events(3), restart=True)
        assert (await read(relay, run))[1] == "ended"


@pytest.mark.thorough
@pytest.mark.failure("the run is forgotten, or has expired", "{}; new ones `UnknownRunError`")
async def test_a_run_that_is_forgotten_ends_for_its_readers_and_its_publisher(url: str, seen: Seen) -> None:
    gated = Gated(events(8))
    async with connect(url, lease_seconds=0.6) as relay:
        run = await relay.announce()
        raised: list[BaseException] = []

        async def publish() -> None:
            try:
                await relay.publish(run, gated.stream())
            except callbridge.LeaseLostError as error:
                raised.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(publish)
            gated.let(2)
            follower = relay.follow(run)
            await anext(follower)
            await anext(follower)
            await relay.forget(run)
            with pytest.raises(callbridge.RelayGapError, match="gone"):
                await anext(follower)
        assert len(raised) == 1
        assert (await read(relay, run))[1] == "UnknownRunError"
        seen.readers("RelayGapError")
        seen.worker(*(type(each).__name__ for each in raised))
        assert gated.left


@pytest.mark.parametrize("answered_first", ["the renewal", "the end"])
async def test_a_renewal_that_reaches_the_log_after_the_end_is_no_lost_lease(
    url: str, answered_first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server stood still, both were on their way, and the end was served first."""
    async with connect(url) as relay:
        run = await relay.announce()
        assert relay._tools is not None
        log, keeper = relay._tools.log, relay._tools.keeper
        finish, let_go = log.finish, keeper.let_go
        refused: list[Any] = []

        def renew() -> None:
            for kept in [*keeper._kept.values()]:
                refused.append(log.beat(kept.run, kept.attempt))
                keeper._renew(kept)

        def finish_first(*args: Any) -> Any:
            answer = finish(*args)
            if answered_first == "the renewal":
                renew()
            return answer

        def renew_first(run: str, attempt: int) -> None:
            if answered_first == "the end" and not refused:
                renew()
            let_go(run, attempt)

        monkeypatch.setattr(log, "finish", finish_first)
        monkeypatch.setattr(keeper, "let_go", renew_first)
        assert await relay.publish(run, events(3)) == "done"
        assert refused == ["fenced"]
        assert await relay.status(run) == "ended"


async def test_closing_a_relay_ends_what_it_publishes_and_follows(url: str) -> None:
    gated = Gated(events(8))
    async with connect(url, lease_seconds=1) as relay, connect(url) as other:
        run = await relay.announce()
        publishing = asyncio.create_task(relay.publish(run, gated.stream()))
        following = asyncio.create_task(read(relay, run))
        gated.let(2)
        await until(lambda: _events(other, run, 2))
        await relay.aclose()
        assert (await following)[1] in ("RelayClosedError", "RunFailedError")  # whichever comes first
        with pytest.raises(callbridge.RelayClosedError):
            await publishing
        assert gated.left
        with pytest.raises(callbridge.RelayClosedError):
            await relay.announce()
        assert (await read(other, run))[1] in ("RunStoppedError", "RunFailedError", "RunLostError")


async def _events(relay: Any, run: str, count: int) -> bool:
    return any(each.run == run and each.events >= count for each in await relay.runs())


# -- trio -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio_publishes_and_follows(url: str, anyio_backend: str) -> None:
    made = events(20)
    async with connect(url) as relay:
        run = await relay.announce()
        found: list[Any] = []

        async def follow() -> None:
            found.extend([event async for event in relay.follow(run)])

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await relay.publish(run, made)
    assert found == made


def test_the_readers_of_many_loops_share_one_thread(url_of: Callable[[str], str]) -> None:
    url = url_of("sqlite")
    made = events(20)
    counts: list[int] = []
    with connect(url) as relay:
        run = relay.announce_sync()

        def follow() -> None:
            async def count() -> None:
                counts.append(len([event async for event in relay.follow(run)]))

            asyncio.run(count())

        threads = [threading.Thread(target=follow) for _ in range(4)]
        for thread in threads:
            thread.start()
        relay.publish_sync(run, made)
        for thread in threads:
            thread.join()
        hubs = [thread for thread in threading.enumerate() if thread.name == "callbridge-relay-hub"]
        assert len(hubs) == 1
    assert counts == [20] * 4
