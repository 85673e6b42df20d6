"""`parity`, `aparity`: old and new code read the same run, and a report says where they differ.

The code runs once: no second model call, no second bill, no difference by chance. The report compares one of these:

- **output**: the output of the old code (the items of its generator, what its handler put into a list, the tokens that its
  handler heard), and the output of the new loop.
- **callbacks**, without a new loop: what the handler heard, and what it would have heard if the events had driven it (`drive`,
  `CallbackDispatcher`). The report compares calls run by run, because concurrent runs have no order. See
  `callbridge.testing.hearing` for which parts of a call it compares.

A handler hears a token before the reader gets its event, so the report does not compare how the two sides interleave.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_core.callbacks import BaseCallbackHandler

from callbridge.core.decode import EventsToCalls
from callbridge.dispatch.receiving_handler import ReceivingHandler
from callbridge.errors import ArgumentError, HandlerTypeError
from callbridge.observe.observed_calls import astream_call, observing, stream_call
from callbridge.observe.options import HandlerOptions, check_option_names
from callbridge.observe.reading import AsyncTexts, Texts
from callbridge.testing.differences import Difference, Kind, compare, is_list_token
from callbridge.testing.following import Following
from callbridge.testing.hearing import Heard, by_run, hearing, told, with_text

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from callbridge.events import Event

__all__ = ["AsyncEvents", "Events", "Report", "Side", "aparity", "parity"]

Side: TypeAlias = "Sequence[Any] | Callable[[Any], Iterable[Any]]"
"""Where to find the output of the old code: a list that it fills, or a function of the call's result."""

_KEYWORDS = ("allow", "attach", "handler", "key", "new", "old")


@dataclass(frozen=True, slots=True)
class Report:
    """The result of comparing old and new code.

    Example:
        ```python
        report = parity(chain.invoke, {"drink": "tea"}, handler=PrintTokens())
        print(f": {report.identical}")
        #> With hot water.: True
        ```
    """

    compared: Literal["output", "callbacks"]
    """What was compared."""

    old: tuple[Any, ...]
    """The output of the old side, or what it heard."""

    new: tuple[Any, ...]
    """The output of the new side, or what it would have heard."""

    differences: tuple[Difference, ...]
    """The differences, by position."""

    result: Any = None
    """What the call returned."""

    allowed: frozenset[Kind] = frozenset()
    """The kinds of difference that you allowed."""

    @property
    def ok(self) -> bool:
        """Whether there is no regression: every difference is harmless, a bug of the legacy code, or allowed."""
        return not any(each.verdict == "regression" and each.kind not in self.allowed for each in self.differences)

    @property
    def identical(self) -> bool:
        """Whether there is no difference at all."""
        return not self.differences

    def __str__(self) -> str:
        verdict = "identical" if self.identical else "ok" if self.ok else "DIFFERENT"
        head = f"parity of {self.compared}: {verdict} ({len(self.old)} old, {len(self.new)} new items)"
        return "\n".join([head, *(f"  {each}" for each in self.differences)])


def parity(
    call: Callable[..., Any],
    /,
    *args: Any,
    handler: BaseCallbackHandler | None = None,
    new: Callable[[Events], Iterable[Any]] | None = None,
    old: Side | None = None,
    attach: bool = True,
    key: Callable[[Any], Any] | None = None,
    allow: Collection[Kind] = (),
    **options: Unpack[HandlerOptions],
) -> Report:
    """Run a call once, and compare the output of the old code with that of the new loop.

    Args:
        call: The old code: a callable, sync or async. A generator function is read to its end. It runs as in `stream_call`.
        *args: Its positional arguments.
        handler: The old handler. It is attached to everything that runs inside, as if given in `config["callbacks"]`.
        new: The new loop: a function of the events, which iterates them or reads their `text()`. It is a generator function, or
            returns its output. None: `text()` if the old side has output; else the report compares callbacks.
        old: The output of the old code: a list that it fills during the call, or a function of the call's result. None: the
            items if `call` is a generator function, else the tokens that `handler` hears.
        attach: False if `call` attaches the handler itself; the report hears it all the same.
        key: Applied to each item of both sides before the comparison.
        allow: Kinds of difference to allow.
        **options: As for `stream_call`. `streaming` is True by default, so that the run is that of the new code. With
            `extended=True` the report also compares the callbacks that v2 events lack.

    Returns:
        A report: `assert report.ok, report`.

    Raises:
        ArgumentError: There is nothing to compare, or `new` is async.
        HandlerTypeError: `handler` is not a handler.
        BaseException: Any error of the call or of the new loop.

    Example:
        ```python
        tokens = []
        report = parity(chain.invoke, {"drink": "tea"}, handler=Collect(tokens), old=tokens, new=lambda events: events.text())
        print(report.ok)
        #> True
        ```
    """
    if inspect.isasyncgenfunction(new) or inspect.iscoroutinefunction(new):
        raise ArgumentError("new", new, "a sync function of the events; for an async loop there is `aparity`")
    check_option_names(options, HandlerOptions, also=_KEYWORDS)
    watch = _Watch(call, args, handler, old, attach)
    with watch.handlers(), stream_call(watch.run, **options) as stream:
        events = Events(watch, stream)
        watch.collect(_output(events, new) if watch.compares_output(new) else ())
        for _ in events:  # read the events that the loop left
            pass
    return watch.report(stream.result, key, allow)


async def aparity(
    call: Callable[..., Any],
    /,
    *args: Any,
    handler: BaseCallbackHandler | None = None,
    new: Callable[[AsyncEvents], Any] | None = None,
    old: Side | None = None,
    attach: bool = True,
    key: Callable[[Any], Any] | None = None,
    allow: Collection[Kind] = (),
    **options: Unpack[HandlerOptions],
) -> Report:
    """Run a call once, from a task, and compare the output of the old code with that of the new loop.

    Args:
        call: The old code, as for `parity`; async generator functions too. It runs as in `astream_call`.
        *args: Its positional arguments.
        handler: The old handler, as for `parity`.
        new: The new loop: an async generator function, or a coroutine function that returns its output.
        old: The output of the old code, as for `parity`.
        attach: False if `call` attaches the handler itself.
        key: Applied to each item of both sides.
        allow: Kinds of difference to allow.
        **options: As for `astream_call`.

    Returns:
        A report: `assert report.ok, report`.

    Raises:
        ArgumentError: There is nothing to compare.
        HandlerTypeError: `handler` is not a handler.
        BaseException: Any error of the call or of the new loop.

    Example:
        ```python
        async def new(events):
            async for text in events.text():
                yield text


        tokens = []
        report = await aparity(chain.ainvoke, {"drink": "tea"}, handler=Collect(tokens), old=tokens, new=new)
        print(report.ok)
        #> True
        ```
    """
    check_option_names(options, HandlerOptions, also=_KEYWORDS)
    watch = _Watch(call, args, handler, old, attach)
    with watch.handlers():
        async with astream_call(watch.arun if watch.is_async else watch.run, **options) as stream:
            events = AsyncEvents(watch, stream)
            if watch.compares_output(new):
                output = events.text() if new is None else new(events)
                await watch.acollect(await output if inspect.isawaitable(output) else output)
            async for _ in events:
                pass
    return watch.report(stream.result, key, allow)


def _output(events: Events, new: Callable[[Events], Iterable[Any]] | None) -> Iterable[Any]:
    return events.text() if new is None else new(events)


class _Watch:
    """Both sides of one run, during the run."""

    def __init__(
        self,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        handler: BaseCallbackHandler | None,
        old: Side | None,
        attach: bool,
    ) -> None:
        if handler is not None and not isinstance(handler, BaseCallbackHandler):
            raise HandlerTypeError("handler", handler, "an instance of a BaseCallbackHandler")
        self._call = call
        self._args = args
        self._handler = handler
        self._old = old
        self._attached = handler if attach else None
        self._items: list[Any] | None = None  # the items of a generator call
        self._heard: list[Heard] = []
        self._translator = EventsToCalls()
        self._told: list[Heard] = []
        self._methods = frozenset[str]() if handler is None else ReceivingHandler(handler).methods
        self.new: list[Any] = []
        self.following = Following(self.new)
        self._compares_output = True
        self.is_async = inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)
        if handler is None and old is None and not (inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call)):
            raise ArgumentError("old", old, "the output of the old code, unless there is a `handler` or `call` is a generator")

    def compares_output(self, new: object) -> bool:
        """Decide whether to compare output or callbacks."""
        is_generator = inspect.isgeneratorfunction(self._call) or inspect.isasyncgenfunction(self._call)
        self._compares_output = new is not None or self._old is not None or is_generator
        return self._compares_output

    # -- the old side -------------------------------------------------------------------------------------------------

    def handlers(self) -> ExitStack:
        """Return a context manager that records what the old handler hears."""
        stack = ExitStack()
        if self._handler is not None:
            stack.enter_context(hearing(self._handler, self._heard))
        return stack

    def run(self) -> Any:
        """Make the call, in the run's context."""
        if self.is_async:
            return self.arun()
        with self._observing():
            result = self._call(*self._args)
            if inspect.isgenerator(result):
                self._items = result = list(result)
        return self._awaited(result) if inspect.isawaitable(result) else result

    async def arun(self) -> Any:
        """Make the call, which is async."""
        with self._observing():
            result = self._call(*self._args)
            if inspect.isasyncgen(result):
                self._items = [item async for item in result]
                return self._items
            return await result

    async def _awaited(self, result: Any) -> Any:
        with self._observing():
            return await result

    def _observing(self) -> ExitStack:
        stack = ExitStack()
        if self._attached is not None:
            stack.enter_context(observing(self._attached))
        return stack

    # -- the new side -------------------------------------------------------------------------------------------------

    def collect(self, output: Iterable[Any]) -> None:
        """Collect the output of the new loop, item by item.

        Raises:
            ArgumentError: The output cannot be iterated.
        """
        if not isinstance(output, Iterable):
            raise ArgumentError("new", output, "a generator function, or one that returns its output")
        for item in output:
            self.new.append(item)

    async def acollect(self, output: AsyncIterable[Any] | Iterable[Any]) -> None:
        """Do the same for an async loop."""
        if not isinstance(output, AsyncIterable):
            return self.collect(output)
        async for item in output:
            self.new.append(item)
        return None

    def note(self, event: Event) -> None:
        """Called with each event, before the loop gets it."""
        self.following.note(event)
        if self._handler is not None:
            self._told += told(self._translator.feed(event), self._handler, self._methods)

    # -- the report ---------------------------------------------------------------------------------------------------

    def report(self, result: Any, key: Callable[[Any], Any] | None, allow: Collection[Kind]) -> Report:
        """Compare the two sides. Called after the end."""
        if self._handler is not None:
            self._told += told(self._translator.close(), self._handler, self._methods)
        if not self._compares_output:
            return self._report_of_callbacks(result, frozenset(allow))
        old, new = list(self._old_items(result)), self.new
        if key is not None:
            old, new = [key(item) for item in old], [key(item) for item in new]
        return Report(
            "output", tuple(old), tuple(new), tuple(compare(old, new, self.following.run())), result, frozenset(allow)
        )

    def _old_items(self, result: Any) -> Iterable[Any]:
        if callable(self._old):
            return self._old(result)
        if self._old is not None:
            return self._old
        if self._items is not None:
            return self._items
        return [heard.about for heard in self._heard if heard.method == "on_llm_new_token"]

    def _report_of_callbacks(self, result: Any, allowed: frozenset[Kind]) -> Report:
        old, new = by_run(self._heard, self._heard), by_run(self._told, self._heard)
        lists = [(place, one) for place, one in enumerate(old) if one.method == "on_llm_new_token" and is_list_token(one.about)]
        found = compare([with_text(one) if one.method == "on_llm_new_token" else one for one in old], new)
        if lists:
            why = "the model's tokens are lists of content blocks; if events drive the handler, it gets their text"
            items = tuple(one for _, one in lists)
            found = [Difference("list token", lists[0][0], items, tuple(map(with_text, items)), why), *found]
        return Report("callbacks", tuple(old), tuple(new), tuple(found), result, allowed)


class Events:
    """The events of the run for the new loop: like `stream_call`, but leaving early does not end the run."""

    def __init__(self, watch: _Watch, stream: Iterator[Event]) -> None:
        self._watch = watch
        self._stream = stream

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        self._watch.following.before_next()
        event = next(self._stream)
        self._watch.note(event)
        return event

    def text(self) -> Texts:
        """Return the visible text of models, each piece once."""
        return Texts(self)


class AsyncEvents:
    """The same for an async loop: like `astream_call`."""

    def __init__(self, watch: _Watch, stream: AsyncIterator[Event]) -> None:
        self._watch = watch
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        self._watch.following.before_next()
        event = await anext(self._stream)
        self._watch.note(event)
        return event

    def text(self) -> AsyncTexts:
        """Return the visible text of models, each piece once."""
        return AsyncTexts(self)
