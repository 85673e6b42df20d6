"""Handlers that misbehave, in each direction and each kind of run: nobody else notices, and nothing is silent.

Beside our handler and wrapped by it, LangChain's rules hold: the run, the other handlers and the log are as they are without
us, and the reader gets whole runs. Dispatched to, the rules are those of `docs/guarantees.md`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda

import callbridge as cb
from made_events import Run
from oracle import AsyncRecorder, Recorder, arun_call, normalise, run_call
from scenarios import by_name
from scenarios.models import Flaw
from terminals import check_lives

Handlers = list[BaseCallbackHandler]
Act = Callable[[str, tuple[Any, ...], dict[str, Any]], None]


# -- what they do -----------------------------------------------------------------------------------------------------


def linger(method: str, args: Any, kwargs: Any) -> None:
    """Take a while for each call."""
    threading.Event().wait(0.001)


def fail(method: str, args: Any, kwargs: Any) -> None:
    if method == "on_llm_end":
        raise Flaw("the handler broke")


def cancel(method: str, args: Any, kwargs: Any) -> None:
    if method == "on_llm_end":
        raise asyncio.CancelledError("by a handler")


def run_a_chain(method: str, args: Any, kwargs: Any) -> None:
    """Run a chain inside the callback; not inside the callbacks of that chain."""
    if method == "on_llm_end":
        assert RunnableLambda(len, name="inside").invoke("abc") == 3


def scribble(method: str, args: Any, kwargs: Any) -> None:
    """Write into whatever can be written into."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, dict):
            value["scribble"] = method
        elif isinstance(value, list):
            value.append("scribble")


class Mischief(NamedTuple):
    """What a handler does in its calls."""

    act: Act
    raise_error: bool = False
    ends_the_run: bool = False
    is_logged: bool = False


MISCHIEF = {
    "slow": Mischief(linger),
    "raising": Mischief(fail, is_logged=True),
    "raise_error": Mischief(fail, raise_error=True, ends_the_run=True, is_logged=True),
    "cancelling": Mischief(cancel, ends_the_run=True),
    "re-entrant": Mischief(run_a_chain),
    "writing": Mischief(scribble),
}


def bad_handler(mischief: Mischief, base: Any) -> Any:
    class Bad(base):  # type: ignore[misc]
        def _note(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            super()._note(method, args, kwargs)
            mischief.act(method, args, kwargs)

    return Bad(raise_error=mischief.raise_error)


each_mischief = pytest.mark.parametrize("what", MISCHIEF)
each_base = pytest.mark.parametrize("base", [Recorder, AsyncRecorder], ids=["sync", "async"])
each_mode = pytest.mark.parametrize("mode", ["invoke", "ainvoke"])


def call(mode: str, handlers: Handlers) -> Any:
    """Run a prompt, a model and a parser; return what came of it, whatever it is."""
    runnable, value = by_name("chat_with_prompt_and_parser").make()
    config = {"callbacks": handlers}
    try:
        if mode == "invoke":
            return run_call("invoke", runnable, value, config)
        return asyncio.run(arun_call("ainvoke", runnable, value, config))
    except BaseException as error:
        return type(error), str(error)


def methods(recorder: Any) -> list[str]:
    return [method for method, *_ in recorder.calls]


def lives(recorder: Any) -> list[list[str]]:
    """Return the methods of each run in their order, the runs in no order of their own."""
    runs: dict[Any, list[str]] = {}
    for method, _, kwargs in recorder.calls:
        runs.setdefault(kwargs["run_id"], []).append(method)
    return sorted(runs.values())


def heard_by_the_good(mode: str, base: Any) -> Callable[[Any], list[Any]]:
    """Return what is to be compared: in an async run a sync handler is called in a thread, and what it runs there races."""
    return lives if mode == "ainvoke" and base is Recorder else methods


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.name.startswith(("langchain", "callbridge"))]
    caplog.clear()
    return found


# -- attached ---------------------------------------------------------------------------------------------------------


def whole_events(handler: Any) -> list[str]:
    """Read what is there to the end; every run in it is whole."""
    handler.finish()
    events = list(handler)
    check_lives(events)
    return [f"{event['event']} {event['name']}" for event in events]


@pytest.mark.blocks("linger", "run_a_chain")
@each_mischief
@each_base
@each_mode
def test_beside_ours(what: str, base: Any, mode: str, caplog: pytest.LogCaptureFixture) -> None:
    """All is as without us, and our reader gets what it gets without the bad one."""
    mischief = MISCHIEF[what]
    heard, seen, clean = heard_by_the_good(mode, base), [], cb.EventStreamHandler(roots=None, extended=True)
    call(mode, [clean])
    ours = cb.EventStreamHandler(roots=None, extended=True)
    for handlers in ([], [ours]):
        bad, good = bad_handler(mischief, base), AsyncRecorder() if mode == "ainvoke" else Recorder()
        outcome = call(mode, [bad, *handlers, good])
        seen.append((methods(bad), heard(good), normalise(outcome), messages(caplog)))
    without, beside = seen
    assert beside == without
    is_unharmed = beside[2] == normalise(call(mode, []))
    assert is_unharmed or mischief.ends_the_run
    assert bool(beside[3]) == mischief.is_logged
    events, expected = whole_events(ours), whole_events(clean)
    if is_unharmed:
        assert [event for event in events if "inside" not in event] == expected


@pytest.mark.blocks("linger", "run_a_chain")
@each_mischief
@each_base
@each_mode
def test_wrapped(what: str, base: Any, mode: str, caplog: pytest.LogCaptureFixture) -> None:
    """The same for a handler that we wrap: it, its neighbours, the run and the log are as if it were attached alone."""
    heard, seen = heard_by_the_good(mode, base), []
    for wrap in (lambda handler: handler, lambda handler: cb.wrap_handler(handler, roots=None, extended=True)):
        bad, good = bad_handler(MISCHIEF[what], base), AsyncRecorder() if mode == "ainvoke" else Recorder()
        attached: Any = wrap(bad)
        outcome = call(mode, [attached, good])
        seen.append((methods(bad), heard(good), normalise(outcome), messages(caplog)))
    alone, wrapped = seen
    assert wrapped == alone
    assert "on_chain_start RunnableSequence" in whole_events(attached)


@contextmanager
def in_thread(work: Callable[[], Any]) -> Iterator[None]:
    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.parametrize("wrap", [False, True])
def test_a_handler_that_blocks_holds_up_the_run_and_not_the_reader(wrap: bool) -> None:
    """What came before is read while it blocks; the rest comes when it lets go."""
    blocked, gate = threading.Event(), threading.Event()

    def block(method: str, args: Any, kwargs: Any) -> None:
        if method == "on_llm_end":
            blocked.set()
            assert gate.wait(30)

    bad = bad_handler(Mischief(block), Recorder)
    ours: Any = cb.wrap_handler(bad) if wrap else cb.EventStreamHandler()
    with in_thread(lambda: call("invoke", [ours] if wrap else [bad, ours])):
        names = []
        for event in ours:
            names.append(event["event"])
            if names[-1] == "on_chat_model_start":
                assert blocked.wait(30)
                gate.set()
    assert names[0] == "on_chain_start"
    assert names[-1] == "on_chain_end"


# -- dispatched to ----------------------------------------------------------------------------------------------------


def recorded() -> list[Any]:
    handler = cb.EventStreamHandler(extended=True, streaming=True)
    call("invoke", [handler])
    return list(handler)


def dispatch(mode: str, handlers: Handlers) -> BaseException | None:
    async def main() -> Any:
        return await cb.adrive(recorded(), handlers)

    try:
        cb.drive(recorded(), handlers) if mode == "invoke" else asyncio.run(main())
    except BaseException as error:
        return error
    return None


@pytest.mark.blocks("linger", "run_a_chain")
@each_mischief
@each_base
@each_mode
def test_dispatched_to(what: str, base: Any, mode: str, caplog: pytest.LogCaptureFixture) -> None:
    """All handlers hear every event, before and behind the bad one; only what is asked for ends the stream; the log tells."""
    mischief = MISCHIEF[what]
    before, bad, behind, alone = Recorder(), bad_handler(mischief, base), Recorder(), Recorder()
    dispatch(mode, [alone])
    assert messages(caplog) == []
    error = dispatch(mode, [before, bad, behind])
    logged = messages(caplog)
    assert any("Bad" in one and "on_llm_end" in one for one in logged) == mischief.is_logged
    if not mischief.ends_the_run:
        assert error is None
        assert methods(before) == methods(behind) == methods(bad) == methods(alone)
        return
    assert type(error) is (Flaw if mischief.is_logged else asyncio.CancelledError)
    # The runs that were open hear of the end, each once.
    for one in (before, behind):
        starts = [method for method in methods(one) if method.endswith("_start")]
        ends = [method for method in methods(one) if method.endswith(("_end", "_error"))]
        assert len(starts) == len(ends)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("at", ["on_chain_start", "on_chain_error"])
def test_one_that_raises_what_ends_a_loop_does_not_end_it(at: str, asynchronous: bool) -> None:
    """It becomes a `RuntimeError`, as in LangChain's own generators; also of a callback that the end of the source leads to."""
    stop = StopAsyncIteration if asynchronous else StopIteration

    def fail(*_: Any, **__: Any) -> None:
        raise stop

    bad = type("Stopping", (BaseCallbackHandler,), {"raise_error": True, at: fail})()
    source = [Run().start()]  # the run stays open
    with pytest.raises(RuntimeError, match=f"a handler raised {stop.__name__}") as raised:
        asyncio.run(cb.adrive(source, [bad])) if asynchronous else cb.drive(source, [bad])
    assert isinstance(raised.value.__cause__, stop)


def test_one_that_is_dispatched_to_may_write_to_what_is_made_for_it() -> None:
    """What events do not carry is filled in, afresh for each handler."""
    bad, behind = bad_handler(MISCHIEF["writing"], Recorder), Recorder()
    dispatch("invoke", [bad, behind])
    for method, args, kwargs in behind.calls:
        if method.endswith("_start") and isinstance(args[0], dict):
            assert "scribble" not in args[0]
            assert "scribble" not in kwargs.get("invocation_params", {})


def test_a_coroutine_that_a_sync_handler_drives_itself_may_feed() -> None:
    """An eager task does that. The event is delivered after the one being delivered, to all handlers."""
    log: list[tuple[str, Any]] = []

    class Drives(BaseCallbackHandler):
        def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            log.append(("drives", data))
            if data == 1:
                with pytest.raises(StopIteration):
                    dispatcher.afeed(Run().event("on_custom_event", 2)).send(None)

    class Listens(BaseCallbackHandler):
        def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            log.append(("listens", data))

    dispatcher = cb.CallbackDispatcher([Drives(), Listens()])
    asyncio.run(dispatcher.afeed(Run().event("on_custom_event", 1)))
    assert log == [("drives", 1), ("listens", 1), ("drives", 2), ("listens", 2)]
    assert dispatcher.statistics().waiting == 0
