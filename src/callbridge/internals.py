"""All access to internals of CPython, LangChain and other libraries: names that nobody promised.

`NAMES` lists these names. callbridge looks up each name when it uses it. If a name is missing, nothing breaks: the function
that needs it answers as if it knew nothing, and you lose what the list says. `tests/test_internals.py` shows this for each.

Unless `seen` says otherwise, a name exists in all versions that callbridge supports: CPython 3.10 to 3.15 and langchain-core
0.3.0 to 1.8.1. uvloop brings its own loop, but uses asyncio's tasks and futures in C. nest_asyncio uses their Python versions.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import gc
import inspect
import selectors
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, ContextVar
from importlib import import_module
from queue import SimpleQueue
from types import CodeType, FrameType, MappingProxyType, SimpleNamespace
from typing import Any, Final, NamedTuple, TypeAlias, TypeGuard, TypeVar

__all__ = [
    "NAMES",
    "Task",
    "Unpromised",
    "abort_transports",
    "awaiter_of",
    "before_threads_are_joined",
    "calling_frame",
    "children_of",
    "codes_of_langchain",
    "context_of",
    "elsewhere",
    "has_ended",
    "held_by_callbacks",
    "is_closing",
    "is_free_threaded",
    "is_future",
    "is_handed_over",
    "is_job",
    "is_langchains",
    "is_main",
    "is_task",
    "is_unread_v3_stream",
    "is_v3_stream",
    "langchain",
    "merged_config",
    "module_of",
    "name_of",
    "new_event_loop",
    "pool_queues",
    "run_on_new_loop",
    "run_to_end",
    "running_loop",
    "task_of",
    "used_elsewhere",
    "waiter_of",
    "without_running_loop",
]

T = TypeVar("T")

Task: TypeAlias = "asyncio.Task[Any]"
Future: TypeAlias = "asyncio.Future[Any]"


class Unpromised(NamedTuple):
    """A name that nobody promised."""

    name: str
    """The name. For LangChain's, `module:path`."""

    purpose: str
    """What callbridge uses it for."""

    lost: str
    """What you lose if it is missing."""

    seen: str = "all versions"
    """Where it was seen."""


NAMES: Final = (
    # -- asyncio
    Unpromised(
        "asyncio.Task._fut_waiter",
        "what a task waits for; AnyIO's cancellation relies on it, too",
        "leaving does not wait for jobs in threads (`asyncio.to_thread`), nor for the cleanup of what the run waits for",
    ),
    Unpromised(
        "asyncio.gather()._children",
        "which tasks `asyncio.gather` waits for",
        "leaving does not wait for the cleanup of what the run waits for by `asyncio.gather`",
    ),
    Unpromised(
        "asyncio.Future._callbacks",
        "which job in a thread a future stands for, who calls `asyncio.wait`, and who awaits a task",
        "leaving does not wait for jobs in threads; it cancels what your code awaits by `asyncio.wait`; if sync code runs its "
        "own loop, leaving does not cancel it while it waits there",
    ),
    Unpromised(
        "gc.get_referents(task), asyncio.Task._context",
        "the context of a task, in C and in Python; public, as `Task.get_context`, since CPython 3.12",
        "tasks that a cancelled run has left on its loop go on",
        "CPython 3.10, 3.11",
    ),
    Unpromised(
        "gc.get_referents(frame)",
        "whether a frame's code has ended; since CPython 3.13 `frame.clear` itself refuses if it has not",
        "leaving closes a coroutine that awaits a callback while it handles an error",
        "CPython 3.10 to 3.12",
    ),
    Unpromised(
        "async_generator_athrow",
        "the type of the coroutine with which a loop closes an async generator that nobody holds any more",
        "leaving does not wait for the cleanup of generators that the run has dropped",
    ),
    Unpromised(
        "asyncio._get_running_loop",
        "the running loop, without an error if there is none",
        "time: each callback of a sync run raises and catches one more error",
    ),
    Unpromised(
        "asyncio.base_events._run_until_complete_cb",
        "until the end of which task a loop runs; uvloop's function is named after `run_until_complete`, too",
        "if sync code runs its own loop, leaving does not cancel it while it waits there",
    ),
    Unpromised(
        "anyio.from_thread.BlockingPortal._call_func",
        "which task sync code has handed to a loop by a portal of AnyIO",
        "leaving does not cancel sync code while it waits for such a task",
    ),
    Unpromised(
        "asyncio.BaseSelectorEventLoop._transports",
        "at exit, the connections that clients have kept on the loop of async calls from sync code",
        "a `ResourceWarning` at exit, if you show these",
    ),
    Unpromised(
        "asyncio._set_running_loop",
        "telling asyncio that a loop waits, where threads are greenlets, and that it calls sync code in a separate thread; "
        "asyncio's code documents it for authors of loops",
        "under gevent and eventlet, a loop seems to run in every greenlet after the first async call from sync code; handlers "
        "that are called in a separate thread cannot use `asyncio.run`, nor block where nothing may block a loop",
    ),
    # -- threads
    Unpromised(
        "threading._register_atexit",
        "leaving before the interpreter joins the threads of pools; `concurrent.futures` relies on it, too",
        "a program never exits if it ends while a run in a pool waits for its reader",
    ),
    Unpromised(
        "concurrent.futures.thread._threads_queues",
        "whether a thread is one of a pool, and whether a job waits for it",
        "if a loop needs a thread of a pool, and the thread waits for the loop's reader, the loop is blocked for ever",
    ),
    Unpromised(
        "sys._is_gil_enabled",
        "whether the interpreter runs without its global lock",
        "the warning that the channel is not made for that",
        "CPython 3.13 and later",
    ),
    # -- frames
    Unpromised(
        "sys._getframe",
        "who calls a callback; documented as specific to CPython",
        "everything that depends on who calls a callback; see the names of LangChain below",
    ),
    Unpromised(
        "current_async_library_cvar",
        "sniffio's variable in a context, which says what loop it was made in",
        "if observed sync code runs its own loop, AnyIO in it takes that loop for the reader's",
        "sniffio 1.2 to 1.3",
    ),
    # -- LangChain
    Unpromised(
        "langchain_core.callbacks.manager:handle_event",
        "whether a sync run calls a callback",
        "time: each sync callback asks whether it is awaited",
    ),
    Unpromised(
        "langchain_core.callbacks.manager:ahandle_event",
        "whether an async run asks if a handler is inline",
        "time: a task for each callback",
    ),
    Unpromised(
        "langchain_core.callbacks.manager:_ahandle_event_for_handler",
        "whether an async run calls a callback and awaits it",
        "the order of parallel branches, and time",
    ),
    Unpromised(
        "langchain_core.callbacks.manager:_run_coros",
        "whether a callback is awaited on a loop that LangChain made for it, in a thread that waits for it",
        "nothing as long as `handle_event` is known; without both, a sync call on the reader's own loop waits for itself",
    ),
    Unpromised(
        "langchain_core.runnables.base:Runnable._transform_stream_with_config",
        "whether LangChain lets only the first of several streaming handlers see the chunks of a sync run",
        "a second handler beside callbridge's, such as LangGraph's, gets no chunks",
    ),
    Unpromised(
        "langchain_core.runnables.base:Runnable._atransform_stream_with_config",
        "the same for an async run, and its handlers, from its variable `run_manager`",
        "a second handler beside callbridge's, such as LangGraph's, gets no chunks",
    ),
    Unpromised(
        "langchain_core.runnables.base:RunnableParallel._atransform",
        "which branch a step belongs to that has ended without anybody asking for its result",
        "asyncio logs `StopAsyncIteration` when the reader leaves a `RunnableParallel`",
    ),
    Unpromised(
        "langchain_core.runnables.base:RunnableBindingBase._merge_configs",
        "the config of a bound runnable",
        "`astream_events` does not call the listeners of a bound runnable (`with_listeners`)",
    ),
    Unpromised(
        "langchain_core.tracers._streaming:_StreamingCallbackHandler",
        "the class by which LangChain recognises a handler that should see chunks",
        "chunks of chains, if a stream of LangChain or LangGraph runs beside callbridge's: one of the two gets none",
    ),
    Unpromised(
        "ChatModelStream, AsyncChatModelStream, GraphRunStream, AsyncGraphRunStream; _events, _exhausted, _latest",
        "whether a call returns a stream of version 3 that nobody has begun to read",
        "the hint that you have to read such a stream inside the call: it passes for the call's result, and nothing runs",
        "langchain-core 1.4.0 to 1.8.3, langgraph 1.2.0 to 1.2.24",
    ),
    Unpromised(
        "modules of langchain_core, langchain, langchain_classic, langgraph",
        "whose code made a task, by the module and name of its coroutine",
        "if a run fails or its reader leaves, tasks that LangChain has forgotten go on",
        "langchain-core 0.3.0 to 1.8.1, langgraph 0.2.40 to 1.1",
    ),
)

# -- asyncio ----------------------------------------------------------------------------------------------------------


def _ask_for_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


running_loop: Final[Callable[[], asyncio.AbstractEventLoop | None]] = getattr(asyncio, "_get_running_loop", _ask_for_loop)
"""Returns the asyncio loop that runs in this thread, or None."""


def task_of(frame: FrameType) -> Task | None:
    """Return the current task if it runs nothing but the coroutine of this frame, and so ends when that returns."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return task if getattr(task and task.get_coro(), "cr_frame", None) is frame else None


def waiter_of(task: Task) -> Future | None:
    """Return the future that a task waits for. None if the task is about to go on."""
    waiter: Future | None = getattr(task, "_fut_waiter", None)
    return waiter


def children_of(future: Future | None) -> list[Future]:
    """Return the futures that `asyncio.gather` waits for, if it has made this future."""
    return list(getattr(future, "_children", ()))


def is_future(value: object) -> TypeGuard[Future]:
    """Return whether a value is a future. asyncio has two kinds, and nest_asyncio replaces one by the other."""
    return asyncio.isfuture(value)


def is_task(value: object) -> TypeGuard[Task]:
    """Return whether a value is a task, of either kind."""
    return asyncio.isfuture(value) and hasattr(value, "get_coro")


def is_job(value: object) -> TypeGuard[concurrent.futures.Future[Any]]:
    """Return whether a value stands for a job in a thread."""
    return isinstance(value, concurrent.futures.Future)


def held_by_callbacks(future: Future, is_kind: Callable[[object], TypeGuard[T]]) -> Iterator[T]:
    """Yield the values of a kind in the closures of a future's callbacks.

    `asyncio.wrap_future` connects a future and a job in a thread by a callback, and nothing else knows both. The closure of the
    callback of `asyncio.wait` has the future that `wait` itself waits for.
    """
    for callback, _ in getattr(future, "_callbacks", None) or ():
        for cell in getattr(callback, "__closure__", None) or ():
            held = cell.cell_contents
            if is_kind(held):
                yield held


def is_main(task: Task) -> bool:
    """Return whether a loop runs until this task has ended: then the task has a callback of `run_until_complete`."""
    callbacks = getattr(task, "_callbacks", None) or ()
    return any("run_until_complete" in getattr(callback, "__qualname__", "") for callback, _ in callbacks)


def is_handed_over(task: Task) -> bool:
    """Return whether sync code has handed a task to a loop, by `run_coroutine_threadsafe` or a portal of AnyIO.

    The former connects the task with a job. The latter is known by its coroutine, which newer versions of AnyIO wrap in another
    one; so the task must not be the one that runs at the moment.
    """
    coroutine = task.get_coro()
    names = (getattr(each, "__qualname__", "") for each in (coroutine, getattr(coroutine, "cr_await", None)))
    return next(held_by_callbacks(task, is_job), None) is not None or any(name.startswith("BlockingPortal.") for name in names)


def context_of(task: Task) -> Context | None:
    """Return the context that a task runs in."""
    get_context: Callable[[], Context] | None = getattr(task, "get_context", None)
    if get_context is not None:
        return get_context()
    context = getattr(task, "_context", None)  # nest_asyncio makes tasks in Python
    if isinstance(context, Context):
        return context
    # For a task in C, the garbage collector lists the task's own context first.
    return next((found for found in gc.get_referents(task) if isinstance(found, Context)), None)


def _ask_of_waiting() -> tuple[bool, bool]:
    """Find out two things about the frame of a suspended generator.

    Returns:
        Whether clearing the frame closes the generator, and whether the garbage collector sees into the frame.
    """
    waiting: Any = (each for each in "ab")
    next(waiting)
    frame = waiting.gi_frame
    held = gc.get_referents(frame)
    try:
        frame.clear()
    except RuntimeError:
        return False, bool(held)
    return True, bool(held)


_CLOSES_WAITING, _SEES_WAITING = _ask_of_waiting()
_MAY_WAIT: Final = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def has_ended(frame: FrameType) -> bool:
    """Return whether a frame's code has ended. Also True if `frame.clear` itself refuses to clear code that goes on.

    If the code has ended, the garbage collector sees the code object and the variables in the frame. Before CPython 3.11 it
    always does, so the other objects tell: the first is the caller's frame if the coroutine runs, and the last is what the
    coroutine awaits if it is suspended. A generator suspended at a `yield` counts as ended there.
    """
    if not _CLOSES_WAITING or not frame.f_code.co_flags & _MAY_WAIT:
        return True
    held = gc.get_referents(frame)
    if not _SEES_WAITING:
        return any(each is frame.f_code for each in held)
    return not isinstance(held[0], FrameType) and not hasattr(held[-1], "throw")


_CLOSING: Final = "async_generator_athrow"


def is_closing(task: Task) -> bool:
    """Return whether a task closes an async generator that was dropped."""
    return type(task.get_coro()).__name__ == _CLOSING


def name_of(task: Task) -> list[str]:
    """Return the qualified name of a task's coroutine, split at its dots."""
    return str(getattr(task.get_coro(), "__qualname__", "")).split(".")


def module_of(task: Task) -> str:
    """Return the module of a task's coroutine."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


def awaiter_of(future: Future) -> Task | None:
    """Return a task that waits for a future by `await`, `gather`, `wait`, `wait_for` or `shield`.

    Only the callbacks of the future know the task. A callback is a bound method of the task, or a function that holds another
    future.
    """
    seen: set[Future] = set()
    left = [future]
    while left:
        held_by = left.pop()
        seen.add(held_by)
        for callback, _ in getattr(held_by, "_callbacks", None) or ():
            owner = getattr(callback, "__self__", None)
            if is_task(owner):
                return owner
            cells = (cell.cell_contents for cell in getattr(callback, "__closure__", None) or ())
            left += (held for held in (*getattr(callback, "args", ()), *cells) if is_future(held) and held not in seen)
    return None


def abort_transports(loop: asyncio.AbstractEventLoop) -> None:
    """Close the open connections of a loop. Only asyncio's own loop knows them."""
    for transport in list(getattr(loop, "_transports", {}).values()):
        transport.abort()


def _set_running_loop() -> Callable[[asyncio.AbstractEventLoop | None], object]:
    return getattr(asyncio, "_set_running_loop", lambda _: None)


@contextmanager
def without_running_loop() -> Iterator[None]:
    """Tell asyncio that no loop runs in this thread, so that sync code may block and run loops. Used in callbacks of a loop.

    It does not work in a task: since CPython 3.14, a thread has one current task for all loops, and a second loop would hang.
    """
    set_running, loop = _set_running_loop(), running_loop()
    set_running(None)
    try:
        yield
    finally:
        set_running(loop)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a loop for one of callbridge's own threads, also if threads are greenlets (gevent, eventlet).

    Greenlets share one thread of the system, and asyncio notes which loop runs in that thread. So while the loop waits, other
    greenlets would find it running.
    """
    if not _has_green_threads():
        return asyncio.new_event_loop()

    set_running = _set_running_loop()

    class GreenSelector(selectors.DefaultSelector):  # gevent and eventlet have replaced this class
        outer: asyncio.AbstractEventLoop | None = None
        outer_hooks: tuple[Any, Any] = (None, None)

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """Wait. Other greenlets run meanwhile, so tell asyncio that no loop of ours runs.

            Async generators that begin meanwhile are theirs as well: our loop must not close them.
            """
            mine, hooks = running_loop(), sys.get_asyncgen_hooks()
            set_running(self.outer)
            sys.set_asyncgen_hooks(*self.outer_hooks)
            try:
                return super().select(timeout)
            finally:
                self.outer, self.outer_hooks = running_loop(), sys.get_asyncgen_hooks()
                set_running(mine)
                sys.set_asyncgen_hooks(*hooks)

    return asyncio.SelectorEventLoop(GreenSelector())


def run_on_new_loop(main: Coroutine[Any, Any, T]) -> T:
    """Do what `asyncio.run` does, on a loop that `new_event_loop` makes. In one of callbridge's own threads."""
    return run_to_end(new_event_loop(), main) if _has_green_threads() else asyncio.run(main)


def run_to_end(loop: asyncio.AbstractEventLoop, main: Awaitable[T]) -> T:
    """Do what `asyncio.run` does, on an unused loop that `new_event_loop` has made."""
    try:
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def _has_green_threads() -> bool:
    gevent, eventlet = (sys.modules.get(name) for name in ("gevent.monkey", "eventlet.patcher"))
    is_gevents = gevent is not None and gevent.is_module_patched("threading")
    return is_gevents or (eventlet is not None and eventlet.is_monkey_patched("thread"))


# -- threads ----------------------------------------------------------------------------------------------------------


def before_threads_are_joined(function: Callable[..., object], *args: object) -> None:
    """Register a function that is called when the interpreter exits, before it joins the threads of pools."""
    register: Callable[..., object] | None = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(function, *args)


def pool_queues() -> Mapping[threading.Thread, SimpleQueue[object]]:
    """Return the queue of jobs of each worker of a `ThreadPoolExecutor`."""
    queues: Mapping[threading.Thread, SimpleQueue[object]] = getattr(concurrent.futures.thread, "_threads_queues", {})
    return queues


def is_free_threaded() -> bool:
    """Return whether the interpreter runs without its global lock."""
    is_locked: Callable[[], bool] | None = getattr(sys, "_is_gil_enabled", None)
    return is_locked is not None and not is_locked()


def elsewhere(context: Context) -> Context:
    """Return a copy of a context for another thread, in which the context's loop does not run."""
    copy = context.copy()
    for variable in _libraries(copy):
        copy.run(variable.set, None)
    return copy


@contextmanager
def used_elsewhere(context: Context) -> Iterator[None]:
    """Use a context itself for a while in another thread, in which the context's loop does not run."""
    tokens = [(variable, context.run(variable.set, None)) for variable in _libraries(context)]
    try:
        yield
    finally:
        for variable, token in tokens:
            context.run(variable.reset, token)


def _libraries(context: Context) -> list[ContextVar[Any]]:
    return [variable for variable in context if variable.name == "current_async_library_cvar"]


# -- LangChain --------------------------------------------------------------------------------------------------------

_NOBODY: Final = SimpleNamespace(f_code=None, f_back=None, f_locals=MappingProxyType({}))


def _no_frame(_: int) -> Any:
    return _NOBODY


calling_frame: Final[Callable[[int], FrameType]] = getattr(sys, "_getframe", _no_frame)
"""Returns a frame: with 1, that of the function that has called this function's caller."""

_RUNNING: Final = (
    "langchain_core.",
    "langchain.",
    "langchain_classic.",
    "langgraph.pregel.",
    "langgraph.prebuilt.",
    "langgraph.graph.",
    "langgraph.utils.",
    "langgraph._internal.",
)
"""Beginnings of the names of modules that run runs. Other modules start tasks that serve many runs, for example
`langgraph.store.base.batch`."""

_ENTRIES: Final = (
    "abatch", "acall", "ainvoke", "agenerate", "agenerate_prompt", "aget_relevant_documents", "apredict", "arun",
)  # fmt: skip
"""Methods of whose coroutines the user's code makes tasks. LangChain makes tasks of them only if it awaits the tasks."""


def is_langchains(task: Task) -> bool:
    """Return whether LangChain has made a task: the task runs a run, or closes a generator.

    The closing of a generator does not tell whose it is. In a run, most of the dropped generators are those that LangChain has
    not closed.
    """
    if is_closing(task):
        return True
    *outer, name = name_of(task)
    is_entry = name in _ENTRIES and "<locals>" not in outer
    return f"{module_of(task)}.".startswith(_RUNNING) and not is_entry


def langchain(name: str, missing: T) -> T:
    """Return what LangChain has under a name of `NAMES`, or `missing` if it has nothing."""
    module, _, path = name.partition(":")
    try:
        found: Any = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return missing
    known: T = found
    return known


def codes_of_langchain(name: str) -> tuple[CodeType, ...]:
    """Return the code objects of a function of LangChain and of the comprehensions in it, which have frames before 3.12.

    This is a tuple, because a tuple is searched by identity first, while a set would hash all that is in a code object. The
    comprehensions come first, because `ahandle_event` asks in them.
    """
    code = getattr(langchain(name, None), "__code__", None)
    if code is None:
        return ()
    return (*(const for const in code.co_consts if isinstance(const, CodeType)), code)


def merged_config(binding: Any, config: Any) -> Any:
    """Return the config with which a bound runnable calls what it is bound to."""
    merge = getattr(binding, "_merge_configs", None)
    if merge is not None:
        return merge(config)
    from langchain_core.runnables.config import merge_configs  # imported only here: the channel alone does not need it

    return merge_configs(binding.config, config)


_MODEL_STREAMS: Final = frozenset({"ChatModelStream", "AsyncChatModelStream"})

_RUN_STREAMS: Final = frozenset({"GraphRunStream", "AsyncGraphRunStream"})
"""Streams of version 3, by name: LangChain may not have them, and LangGraph may not be installed."""


def _names(value: object) -> set[str]:
    """Return the names of those classes of a value that LangChain or LangGraph define."""
    return {
        kind.__name__ for kind in type(value).__mro__ if kind.__module__.partition(".")[0] in ("langchain_core", "langgraph")
    }


def is_v3_stream(value: object) -> bool:
    """Return whether a value is a stream of version 3, of a model or of a graph."""
    return not _names(value).isdisjoint(_MODEL_STREAMS | _RUN_STREAMS)


def is_unread_v3_stream(value: object) -> bool:
    """Return whether a value is a stream of version 3 that nobody has begun to read. Then its run has not begun either.

    Source: `langchain_core/language_models/chat_model_stream.py` (1.4.0 to 1.8.3), `langgraph/stream/run_stream.py` (1.2.0 to
    1.2.24). If these names are gone, such a stream counts as an ordinary result.
    """
    names = _names(value)
    if not names.isdisjoint(_MODEL_STREAMS):
        return not getattr(value, "done", True) and not getattr(value, "has_events", getattr(value, "_events", True))
    if not names.isdisjoint(_RUN_STREAMS):
        return getattr(value, "_exhausted", None) is False and getattr(value, "_latest", None) is None
    return False
