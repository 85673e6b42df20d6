"""Each run's callbacks are called in the run's own context: what they set there reaches nobody but the runs below."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from contextvars import Context, ContextVar, Token, copy_context
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler

import callbridge as cb
from callbridge.core.calls import Scope
from callbridge.dispatch.contexts import WithinContext, begun, context_of, renew_context
from callbridge.internals import elsewhere, used_elsewhere
from made_events import Run, chat_run

Events = Iterable[dict[str, Any]]
Way = Callable[[Any, Events], None]

path: ContextVar[tuple[str, ...]] = ContextVar("path", default=())
"""What the callbacks of a run and of those above it have left in their context."""


class Trail(BaseCallbackHandler):
    """Notes at each callback what it finds in its context, and leaves its own name there."""

    def __init__(self) -> None:
        self.found: dict[str, list[tuple[str, ...]]] = {}
        self.tokens: dict[Any, Token[tuple[str, ...]]] = {}

    def note(self, run_id: Any, name: str | None) -> None:
        self.found.setdefault(str(run_id), []).append(path.get())
        if name is not None:
            token = path.set((*path.get(), name))
            self.tokens.setdefault(run_id, token)

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: Any, name: str, **_: Any) -> Any:
        self.note(run_id, name)

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: Any, **_: Any) -> Any:
        self.note(run_id, serialized["name"])

    def on_llm_new_token(self, token: str, *, run_id: Any, **_: Any) -> Any:
        self.note(run_id, "token")

    def on_custom_event(self, name: str, data: Any, *, run_id: Any, **_: Any) -> Any:
        self.note(run_id, name)

    def on_chain_end(self, outputs: Any, *, run_id: Any, **_: Any) -> Any:
        self.end(run_id)

    def on_llm_end(self, response: Any, *, run_id: Any, **_: Any) -> Any:
        self.end(run_id)

    def on_chain_error(self, error: Any, *, run_id: Any, **_: Any) -> Any:
        self.end(run_id)

    def on_llm_error(self, error: Any, *, run_id: Any, **_: Any) -> Any:
        self.end(run_id)

    def end(self, run_id: Any) -> None:
        self.note(run_id, None)
        path.reset(self.tokens.pop(run_id))  # raises in any other context than that of the start

    def __getitem__(self, run: Run) -> list[tuple[str, ...]]:
        return self.found[run.id]


class AsyncTrail(AsyncCallbackHandler, Trail):
    """The same with coroutine methods, each of which waits in the middle."""


def _asynchronous(name: str) -> Any:
    async def method(self: AsyncTrail, *args: Any, **kwargs: Any) -> None:
        before = path.get()
        await anyio.lowlevel.checkpoint()
        assert path.get() == before
        getattr(Trail, name)(self, *args, **kwargs)
        after = path.get()
        await anyio.lowlevel.checkpoint()
        assert path.get() == after

    return method


for _name in [name for name in vars(Trail) if name.startswith("on_")]:
    setattr(AsyncTrail, _name, _asynchronous(_name))


def push(handler: Any, events: Events, **options: Any) -> None:
    with cb.CallbackDispatcher(handler, **options) as dispatcher:
        for event in events:
            dispatcher.feed(event)


def push_in_task(run: Any, handler: Any, events: Events, **options: Any) -> None:
    async def go() -> None:
        async with cb.CallbackDispatcher(handler, **options) as dispatcher:
            for event in events:
                await dispatcher.afeed(event)
        assert path.get() == ()

    run(go)


def pull(handler: Any, events: Events, **options: Any) -> None:
    cb.drive(events, handler, **options)


def pull_in_task(handler: Any, events: Events, **options: Any) -> None:
    async def go() -> None:
        await cb.adrive(events, handler, **options)
        assert path.get() == ()

    asyncio.run(go())


WAYS: dict[str, Any] = {
    "feed": push,
    "afeed": partial(push_in_task, anyio.run),
    "afeed in trio": partial(push_in_task, trio.run),
    "drive": pull,
    "adrive": pull_in_task,
    "feed, thread": partial(push, sync_handlers="thread"),
    "afeed, thread": partial(push_in_task, anyio.run, sync_handlers="thread"),
    "afeed in trio, thread": partial(push_in_task, trio.run, sync_handlers="thread"),
}

each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
each_trail = pytest.mark.parametrize("trail", [Trail, AsyncTrail])


@pytest.fixture(autouse=True)
def everything_is_reset(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What a start has set its end can reset: contexts refuse that to each other."""
    yield
    assert "different Context" not in caplog.text


# -- what a callback finds --------------------------------------------------------------------------------------------


@each_way
@each_trail
def test_a_run_sees_what_is_above_it_and_nothing_beside_it(way: Way, trail: type[Trail]) -> None:
    """Start, tokens and end of a run share a context, a copy of its parent's at the start; the reader sees nothing."""
    root = Run(name="root")
    one, two, three = (Run("chat_model", name, root) for name in ("one", "two", "three"))
    heard = trail()
    events = [
        root.start(input="x"),
        one.start(input="x"),
        two.start(input="x"),
        one.stream("a"),
        two.stream("b"),
        one.stream("c"),
        {**root.event("on_custom_event", 1), "name": "note"},
        three.start(input="x"),
        one.end("ac"),
        two.end("b"),
        three.end("d"),
        root.end("x"),
    ]
    way(heard, events)
    assert path.get() == ()
    assert heard[one] == [("root",), ("root", "one"), ("root", "one", "token"), ("root", "one", "token", "token")]
    assert heard[two] == [("root",), ("root", "two"), ("root", "two", "token")]
    assert heard[three] == [("root", "note"), ("root", "note", "three")]
    assert heard[root] == [(), ("root",), ("root", "note")]


@each_way
@each_trail
def test_roots_that_overlap_see_nothing_of_each_other(way: Way, trail: type[Trail]) -> None:
    """Also one that starts when another one is open, and one that comes after."""
    first, second, third = (Run(name=name) for name in ("first", "second", "third"))
    heard = trail()
    way(heard, [first.start(), second.start(), first.end(1), third.start(), second.end(2), third.end(3)])
    assert [heard[run] for run in (first, second, third)] == [[(), ("first",)], [(), ("second",)], [(), ("third",)]]


@each_way
@each_trail
def test_a_parent_that_filters_hide_is_passed_over(way: Way, trail: type[Trail]) -> None:
    """The nearest run above that is shown counts; without one the run is a root."""
    root, orphan = Run(name="root"), Run(name="orphan", parent=Run(name="hidden"))
    hidden = Run(name="hidden", parent=root)
    child = Run(name="child", parent=hidden)
    heard = trail()
    notes = [{**hidden.event("on_custom_event", number), "name": "note"} for number in range(2)]
    way(heard, [root.start(), child.start(), *notes, child.end(1), root.end(1), orphan.start(), orphan.end(1)])
    assert heard[child] == [("root",), ("root", "child")]
    assert heard[hidden] == [("root",), ("root",)]
    assert heard[orphan] == [(), ("orphan",)]


@each_way
@each_trail
def test_runs_that_are_closed_for_want_of_an_end_are_closed_in_their_context(way: Way, trail: type[Trail]) -> None:
    """Those that a retry or a fallback rescued, at their parent's end; those that are open at the end of all."""
    root, cut = Run(name="root"), Run(name="cut")
    attempts = [Run("chat_model", name, root) for name in ("one", "two")]
    heard = trail()
    way(heard, [root.start(), attempts[0].start(), attempts[1].start(), attempts[1].end("x"), root.end("x"), cut.start()])
    assert heard[attempts[0]] == [("root",), ("root", "one")]
    assert heard[attempts[1]] == [("root",), ("root", "two")]
    assert heard[root] == [(), ("root",)]
    assert heard[cut] == [(), ("cut",)]


@each_way
@each_trail
def test_what_begins_below_a_run_that_has_ended_belongs_to_what_is_still_open(way: Way, trail: type[Trail]) -> None:
    """LangChain may start a child late, and an event of a run's own may come after its end."""
    root = Run(name="root")
    over = Run(name="over", parent=root)
    child = Run(name="child", parent=over)
    heard = trail()
    note = {**over.event("on_custom_event", 1), "name": "note"}
    way(heard, [root.start(), over.start(), over.end(1), child.start(), note, child.end(1), root.end(1)])
    assert heard[child] == [("root",), ("root", "child")]
    assert heard[over] == [("root",), ("root", "over"), ("root",)]


@pytest.mark.parametrize("wanted", ["on_llm_end", "on_llm_new_token"])
@each_way
def test_a_run_begins_where_it_begins_although_no_handler_hears_of_it(way: Way, wanted: str) -> None:
    """What its parent sets later is not there."""
    heard: list[tuple[str, ...]] = []

    class Few(BaseCallbackHandler):
        def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
            path.set((*path.get(), name))

    def hear(*_: Any, **__: Any) -> None:
        heard.append(path.get())

    handler = Few()
    setattr(handler, wanted, hear)
    root = Run(name="root")
    one, two = Run("chat_model", parent=root), Run("chat_model", parent=root)
    note = {**root.event("on_custom_event", 1), "name": "note"}
    events = [root.start(), one.start(), note, two.start()]
    way(handler, [*events, *(event for run in (one, two) for event in (run.stream("a"), run.end("a"))), root.end(1)])
    assert heard == [(), ("note",)]


# -- whose context a root has -----------------------------------------------------------------------------------------


@each_trail
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_root_begins_with_the_context_of_whoever_feeds_its_start(trail: type[Trail], asynchronous: bool) -> None:
    """A dispatcher that lives as long as a server serves each request in its own context, whichever task feeds the rest."""
    heard, runs = trail(), {name: Run(name=name) for name in ("alice", "bob")}
    dispatcher = cb.CallbackDispatcher(heard)

    def feed(name: str, event: dict[str, Any]) -> None:
        def request() -> None:
            path.set((f"request of {name}",))
            if asynchronous:
                asyncio.run(dispatcher.afeed(event))
            else:
                dispatcher.feed(event)

        copy_context().run(request)

    for name, run in runs.items():
        feed(name, run.start())
    for name, run in runs.items():
        child = Run(name="child", parent=run)
        feed("somebody", child.start())
        assert heard[child] == [(f"request of {name}", name)]
        feed("somebody", run.end(1))
    dispatcher.close()
    assert heard[runs["bob"]] == [("request of bob",), ("request of bob", "bob")]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_root_that_a_handler_feeds_begins_with_the_context_of_that_handler(asynchronous: bool) -> None:
    """Although it is delivered later, when the handler has returned."""
    heard, outer, inner = Trail(), Run(name="outer"), Run(name="inner")

    class Feeds(BaseCallbackHandler):
        def on_chain_start(self, *_: Any, name: str, **__: Any) -> None:
            if name == "outer":
                path.set(("handler",))
                dispatcher.feed(inner.start())
                path.set(("later",))

    dispatcher = cb.CallbackDispatcher([Feeds(), heard])
    if asynchronous:
        asyncio.run(dispatcher.afeed(outer.start()))
    else:
        dispatcher.feed(outer.start())
    dispatcher.close()
    assert heard[inner][0] == ("handler",)
    assert path.get() == ()


@pytest.mark.anyio
async def test_a_root_whose_delivery_is_put_off_keeps_its_feeders_context() -> None:
    """It waits behind the rest of a cancelled delivery, whichever task delivers it in the end."""
    heard, runs = Trail(), [Run(name=name) for name in ("one", "two", "three")]
    stuck = True

    class Stuck(AsyncCallbackHandler):
        async def on_chain_start(self, *_: Any, **__: Any) -> None:
            if stuck:
                await asyncio.sleep(3600)

    dispatcher = cb.CallbackDispatcher([Stuck(), heard])
    for run in runs:
        stuck = run is not runs[-1]

        async def feed(run: Run = run) -> None:
            path.set((run.fields["name"],))
            await dispatcher.afeed(run.start())

        task = asyncio.create_task(feed())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if stuck:
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [heard[run][0] for run in runs] == [("one",), ("two",), ("three",)]
    await dispatcher.aclose()


# -- what does not hinder it ------------------------------------------------------------------------------------------


@each_way
@each_trail
def test_a_handler_that_raises_leaves_its_run_as_it_is(way: Way, trail: type[Trail]) -> None:
    """The next callback finds what it has set; the error reaches the reader, and nothing else does."""

    class Raises(trail):  # type: ignore[misc, valid-type]
        raise_error = True

        def note(self, run_id: Any, name: str | None) -> None:
            super().note(run_id, name)
            if name == "token":
                raise LookupError("of a handler")

    heard, root = Raises(), Run(name="root")
    model = Run("chat_model", "model", root)
    with pytest.raises(LookupError, match="of a handler"):
        way(heard, [root.start(), model.start(), model.stream("a"), model.end("a"), root.end("a")])
    assert path.get() == ()
    assert heard[model] == [("root",), ("root", "model"), ("root", "model", "token")]
    assert heard[root] == [(), ("root",)]


@pytest.mark.parametrize("ending", ["fail", "leave", "drop"])
@each_trail
def test_however_it_ends_the_runs_are_closed_in_their_contexts(trail: type[Trail], ending: str) -> None:
    """The source fails, the reader leaves, the iterator is dropped."""
    heard, root = trail(), Run(name="root")
    model = Run("chat_model", "model", root)

    async def source() -> Any:
        yield root.start()
        yield model.start()
        if ending == "fail":
            raise OSError("gone")
        await anyio.sleep_forever()

    async def read() -> None:
        stream = cb.adispatch_events(source(), heard)
        await anext(stream)
        await anext(stream)
        if ending == "fail":
            with pytest.raises(OSError, match="gone"):
                await anext(stream)
        elif ending == "leave":
            await stream.aclose()
        else:
            del stream
            gc.collect()
            for _ in range(20):
                await asyncio.sleep(0)
        assert path.get() == ()

    asyncio.run(read())
    assert heard[model] == [("root",), ("root", "model")]
    assert heard[root] == [(), ("root",)]


@each_way
@each_trail
def test_a_context_is_released_with_its_run(way: Way, trail: type[Trail]) -> None:
    """What a handler has left in it goes, also while the root is still open."""
    held: ContextVar[Any] = ContextVar("held")
    left: dict[str, weakref.ref[Any]] = {}

    class Keepsake:
        pass

    class Keeps(trail):  # type: ignore[misc, valid-type]
        def note(self, run_id: Any, name: str | None) -> None:
            if str(run_id) == child.id and name is not None:
                keepsake = Keepsake()
                held.set(keepsake)
                left["child"] = weakref.ref(keepsake)
            super().note(run_id, name)

    root = Run(name="root")
    child = Run(name="child", parent=root)

    def events() -> Any:
        yield root.start()
        yield child.start()
        yield child.end(1)
        yield {**root.event("on_custom_event", 1), "name": "note"}
        gc.collect()
        assert left["child"]() is None
        yield root.end(1)

    way(Keeps(), events())


@pytest.mark.parametrize("run", [anyio.run, trio.run], ids=["asyncio", "trio"])
def test_coroutines_stay_in_the_task_that_feeds(run: Any) -> None:
    """So that timeouts and cancel scopes of a handler end what they are around, and its tasks see its variables."""
    log: list[Any] = []

    class Careful(AsyncCallbackHandler):
        async def on_chain_start(self, *_: Any, **__: Any) -> None:
            path.set(("mine",))
            with anyio.move_on_after(0) as scope:
                await anyio.sleep_forever()
            log.append((anyio.get_current_task().id, scope.cancelled_caught, path.get()))
            async with anyio.create_task_group() as group:
                group.start_soon(self.child)
            with pytest.raises(TimeoutError), anyio.fail_after(0):
                await anyio.sleep_forever()

        async def child(self) -> None:
            await anyio.lowlevel.checkpoint()
            log.append(path.get())
            path.set(("child",))

        async def on_chain_end(self, *_: Any, **__: Any) -> None:
            log.append(path.get())

    async def go() -> None:
        here = Run()
        async with cb.CallbackDispatcher(Careful()) as dispatcher:
            await dispatcher.afeed(here.start())
            await dispatcher.afeed(here.end(1))
        log.append(anyio.get_current_task().id)
        await anyio.lowlevel.checkpoint()  # nothing of the handler's timeouts is left for the reader

    run(go)
    assert log[0] == (log[-1], True, ("mine",))
    assert log[1:3] == [("mine",), ("mine",)]


@pytest.mark.anyio
async def test_a_cancelled_handler_cleans_up_in_its_context() -> None:
    """And its next callback is made there, too."""
    log: list[Any] = []
    waits = asyncio.Event()

    class Slow(AsyncCallbackHandler):
        async def on_chain_start(self, *_: Any, **__: Any) -> None:
            path.set(("mine",))
            waits.set()
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0)
                log.append(path.get())

        async def on_chain_error(self, error: Any, **__: Any) -> None:
            log.append((type(error), path.get()))

    async def read() -> None:
        async with cb.adispatch_events([Run().start()], Slow()) as stream:
            await anext(stream)

    task = asyncio.create_task(read())
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == [("mine",), (asyncio.CancelledError, ("mine",))]


@pytest.mark.anyio
async def test_a_callback_that_is_left_behind_in_a_thread_does_not_keep_its_context_from_the_next() -> None:
    """A sync method in the dispatcher's thread cannot be stopped; what comes next is made in a copy of the context."""
    entered, go_on, log = threading.Event(), threading.Event(), []

    class Blocks(BaseCallbackHandler):
        def on_chain_start(self, *_: Any, **__: Any) -> None:
            path.set(("mine",))
            entered.set()
            go_on.wait(60)

    class Hears(AsyncCallbackHandler):
        async def on_chain_error(self, *_: Any, **__: Any) -> None:
            log.append(path.get())
            go_on.set()

    dispatcher = cb.CallbackDispatcher([Hears(), Blocks()], sync_handlers="thread")
    task = asyncio.create_task(dispatcher.afeed(Run().start()))
    await asyncio.to_thread(entered.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await dispatcher.aclose()
    assert log == [("mine",)]


def test_late_reports_that_nobody_can_await_are_given_up_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The loop in which the events were read is over."""

    async def read() -> Any:
        stream = cb.adispatch_events([Run().start()], AsyncTrail())
        await anext(stream)
        return stream

    kept = [asyncio.run(read())]
    kept.clear()
    gc.collect()
    assert "1 callbacks of async handlers were not made" in caplog.text


# -- the pieces -------------------------------------------------------------------------------------------------------


def test_a_scope_without_a_context_gets_a_copy_of_the_one_above() -> None:
    """Once, as it is then."""
    above = Scope(None)
    context_of(above).run(path.set, ("above",))
    below = Scope(above)
    context = context_of(below)
    context_of(above).run(path.set, ("later",))
    assert context[path] == ("above",)
    assert context_of(below) is context
    assert below.above is None
    renew_context(below)
    assert context_of(below) is not context
    assert context_of(below)[path] == ("above",)


class _Plain:
    """Awaitable, and no coroutine."""

    def __await__(self) -> Generator[Any, Any, str]:
        path.set((*path.get(), "first"))
        yield from asyncio.sleep(0).__await__()
        path.set((*path.get(), "second"))
        return "value"


async def _coroutine() -> str:
    return await _Plain()


@pytest.mark.anyio
@pytest.mark.parametrize("make", [_Plain, _coroutine])
async def test_each_step_is_made_in_the_context(make: Callable[[], Awaitable[Any]]) -> None:
    """Of a coroutine, and of anything else that can be awaited."""
    context = copy_context()
    rest = begun(context, make())
    assert rest is not None
    assert (context[path], path.get()) == (("first",), ())
    await rest
    assert (context[path], path.get()) == (("first", "second"), ())
    await WithinContext(context, make())
    assert context[path] == ("first", "second") * 2


@pytest.mark.anyio
async def test_what_never_waits_is_done_with_the_first_step() -> None:
    """Nothing is left to await; an error comes out at once."""

    async def at_once() -> None:
        path.set(("done",))

    async def fails() -> None:
        raise LookupError

    context = copy_context()
    assert begun(context, at_once()) is None
    assert context[path] == ("done",)
    with pytest.raises(LookupError):
        begun(context, fails())


def test_closing_what_waits_closes_the_coroutine_in_its_context() -> None:
    """A reader's coroutine that is destroyed takes the handler's with it."""
    log: list[Any] = []

    async def waits() -> None:
        path.set(("mine",))
        try:
            await asyncio.sleep(3600)
        finally:
            log.append(path.get())

    class Yields:
        def __await__(self) -> Generator[Any, Any, None]:
            yield

    async def outer() -> None:
        await WithinContext(copy_context(), stuck())

    async def stuck() -> None:
        path.set(("mine",))
        try:
            await Yields()
        finally:
            log.append(path.get())

    running: Coroutine[Any, Any, None] = outer()
    running.send(None)
    running.close()
    assert log == [("mine",)]
    WithinContext(copy_context(), waits()).close()


def test_other_threads_are_not_told_of_the_readers_loop() -> None:
    """Sniffio's variable says so in a context that was made in a loop; it is put back when the context comes home."""
    variable: ContextVar[str | None] = ContextVar("current_async_library_cvar", default=None)
    context: Context = copy_context()
    context.run(variable.set, "trio")
    assert elsewhere(context)[variable] is None
    with used_elsewhere(context):
        assert context[variable] is None
    assert context[variable] == "trio"


def test_events_of_the_usual_kind_are_heard_in_order() -> None:
    """Contexts change nothing else."""
    heard = Trail()
    events = chat_run("green ", "tea")
    cb.drive(events, heard)
    assert [len(found) for found in heard.found.values()] == [2, 4]
