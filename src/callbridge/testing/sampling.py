"""`sampled`: parity of old and new on a share of the requests in production.

The old code serves the request. For a sampled request, callbridge keeps the events, and the new loop reads them when the old
code is done. The run does nothing that it would not do anyway (no streaming), nothing waits (a full buffer ends the sample),
and an error in any of this goes to the log and is never raised.
"""

from __future__ import annotations

import functools
import inspect
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from callbridge.errors import ArgumentError, CallableTypeError
from callbridge.observe.handler import EventStreamHandler
from callbridge.observe.observed_calls import observing
from callbridge.observe.reading import Texts
from callbridge.testing.comparing import Report
from callbridge.testing.differences import compare
from callbridge.testing.following import Following

if TYPE_CHECKING:
    from callbridge.events import Event

__all__ = ["SampledEvents", "sampled"]

F = TypeVar("F", bound=Callable[..., Any])

_logger: Final = logging.getLogger("callbridge.testing")


class SampledEvents:
    """The events of a finished request, for the new loop."""

    def __init__(self, events: Iterable[Event], made: list[Any]) -> None:
        self._events = iter(events)
        self.following = Following(made)

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        self.following.before_next()
        event = next(self._events)
        self.following.note(event)
        return event

    def text(self) -> Texts:
        """Return the visible text of models, each piece once."""
        return Texts(self)


def sampled(
    new: Callable[[SampledEvents], Iterable[Any]] | None = None,
    *,
    rate: float = 0.01,
    old: Callable[[Any], Iterable[Any]] | None = None,
    key: Callable[[Any], Any] | None = None,
    limit: int = 10_000,
    chance: Callable[[], float] = random.random,
    report: Callable[[Report], object] | None = None,
) -> Callable[[F], F]:
    """Compare the output of a function with that of the new loop, on a share of its calls.

    The function goes on as before: same results, errors, context, cancellation. It may be a function, a coroutine function, a
    generator function or an async generator function; the output of the last two is what they yield, of the first two what they
    return. The logger `callbridge.testing` logs differences: regressions as warnings, all others as information. A call that
    fails or that you leave early is not compared.

    Args:
        new: The new loop: a sync function of the events, as for `parity`. None: `text()`.
        rate: The share of calls to sample, from 0 to 1.
        old: Turns the result of a function or coroutine function into its output. None: the result is the one item.
        key: Applied to each item of both sides before the comparison.
        limit: How many events of one call to keep. Beyond that, tokens are dropped, but not starts and ends, and the call is
            not compared.
        chance: Returns numbers from 0 up to 1.
        report: Called with each report instead of the logger.

    Returns:
        A decorator.

    Raises:
        ArgumentError: `rate` or `limit` is out of range, or `new` is async.
        CallableTypeError: The decorated object is not callable.

    Threads: as the function. The comparison happens where the function ends, after its last item.

    Example:
        ```python
        @sampled(lambda events: events.text(), rate=0.01)
        def endpoint(drink: str) -> Iterator[str]:
            for chunk in chain.stream({"drink": drink}):
                yield chunk.content


        print("".join(endpoint("tea")))
        #> With hot water.
        ```
    """
    if not 0 <= rate <= 1:
        raise ArgumentError("rate", rate, "a share from 0 to 1")
    if limit < 1:
        raise ArgumentError("limit", limit, "a number of events from 1 up")
    if inspect.isasyncgenfunction(new) or inspect.iscoroutinefunction(new):
        raise ArgumentError("new", new, "a sync function: it reads the events when the request is over")

    def begin() -> _Sample | None:
        return _begun(_Sample, new, old, key, limit, report) if chance() < rate else None

    def decorate(function: F) -> F:
        if not callable(function):
            raise CallableTypeError("function", function, "a function, as in @sampled(new_loop)")
        return cast("F", functools.wraps(function)(_wrapper(function)(function, begin)))

    return decorate


def _begun(kind: type[_Sample], *arguments: Any) -> _Sample | None:
    try:
        return kind(*arguments)
    except Exception:  # the request comes first
        _logger.exception("a sample could not be started")
        return None


class _Sample:
    """One sampled call."""

    def __init__(
        self,
        new: Callable[[SampledEvents], Iterable[Any]] | None,
        old: Callable[[Any], Iterable[Any]] | None,
        key: Callable[[Any], Any] | None,
        limit: int,
        report: Callable[[Report], object] | None,
    ) -> None:
        self._new = new
        self._old = old
        self._key = key or (lambda item: item)
        self._report = report
        self._handler = EventStreamHandler(roots=None, capacity=limit, overflow="drop_newest")
        self.items: list[Any] = []

    def observing(self) -> Any:
        """Return a context manager that observes runs."""
        return observing(self._handler)

    def returned(self, result: Any) -> None:
        """Compare the result of a function."""
        try:
            self.items = [result] if self._old is None else list(self._old(result))
        except Exception:  # the request comes first
            _logger.exception("the output of a sampled call could not be read")
            self.drop()
        else:
            self.done()

    def done(self) -> None:
        """Compare the output, and report it. Raises nothing."""
        try:
            self._handler.finish()
            if self._handler.statistics().channel.dropped:
                _logger.info("a sampled call was not compared: it has more events than `limit`")
                return
            self._tell(self._compared())
        except Exception:  # the request comes first
            _logger.exception("a sampled call could not be compared")
        finally:
            self.drop()

    def drop(self) -> None:
        """Give the sample up."""
        self._handler.close()

    def _compared(self) -> Report:
        made: list[Any] = []
        events = SampledEvents(self._handler, made)
        for item in events.text() if self._new is None else self._new(events):
            made.append(item)  # one by one, because `made` is counted while the loop reads on
        for _ in events:
            pass
        old, new = [self._key(item) for item in self.items], [self._key(item) for item in made]
        return Report("output", tuple(old), tuple(new), tuple(compare(old, new, events.following.run())))

    def _tell(self, report: Report) -> None:
        if self._report is not None:
            self._report(report)
        elif not report.identical:
            _logger.log(logging.INFO if report.ok else logging.WARNING, "%s", report)


Begin = Callable[[], "_Sample | None"]


def _wrapper(function: Callable[..., Any]) -> Callable[[Any, Begin], Callable[..., Any]]:
    """Return the wrapper for this kind of function."""
    if inspect.isasyncgenfunction(function):
        return _of_async_generator
    if inspect.isgeneratorfunction(function):
        return _of_generator
    return _of_coroutine if inspect.iscoroutinefunction(function) else _of_function


def _of_function(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        sample = begin()
        if sample is None:
            return function(*args, **kwargs)
        try:
            with sample.observing():
                result = function(*args, **kwargs)
        except BaseException:
            sample.drop()
            raise
        sample.returned(result)
        return result

    return call


def _of_coroutine(function: Callable[..., Awaitable[Any]], begin: Begin) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        sample = begin()
        if sample is None:
            return await function(*args, **kwargs)
        try:
            with sample.observing():
                result = await function(*args, **kwargs)
        except BaseException:
            sample.drop()
            raise
        sample.returned(result)
        return result

    return call


def _of_generator(function: Callable[..., Generator[Any, Any, Any]], begin: Begin) -> Callable[..., Any]:
    def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        sample = begin()
        generator = function(*args, **kwargs)
        if sample is None:
            return (yield from generator)
        step: Callable[[], Any] = functools.partial(next, generator)
        try:
            while True:
                try:
                    with sample.observing():  # around each step: between them the context is the caller's
                        item = step()
                except StopIteration as stop:
                    sample.done()
                    return stop.value
                sample.items.append(item)
                try:
                    step = functools.partial(generator.send, (yield item))
                except GeneratorExit:
                    generator.close()
                    raise
                except BaseException as error:  # noqa: BLE001 -- thrown in, so the generator handles it
                    step = functools.partial(generator.throw, error)
        finally:
            sample.drop()

    return generate


def _of_async_generator(function: Callable[..., AsyncGenerator[Any, Any]], begin: Begin) -> Callable[..., Any]:
    async def generate(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        sample = begin()
        generator = function(*args, **kwargs)
        step: Callable[[], Awaitable[Any]] = generator.__anext__
        try:
            while True:
                try:
                    item = await _step(step, sample)
                except StopAsyncIteration:
                    if sample is not None:
                        sample.done()
                    return
                if sample is not None:
                    sample.items.append(item)
                try:
                    step = functools.partial(generator.asend, (yield item))
                except GeneratorExit:
                    await generator.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 -- thrown in, so the generator handles it
                    step = functools.partial(generator.athrow, error)
        finally:
            if sample is not None:
                sample.drop()

    return generate


async def _step(step: Callable[[], Awaitable[Any]], sample: _Sample | None) -> Any:
    if sample is None:
        return await step()
    with sample.observing():  # around each step: between them the context is the caller's
        return await step()
