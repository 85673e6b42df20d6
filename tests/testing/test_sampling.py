"""Sampling: the request is served as before, and what differs is logged."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterator, Generator, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda

from callbridge.errors import ArgumentError, CallableTypeError
from callbridge.testing import sampled

TEA = FakeListChatModel(responses=["tea"])
MODE: ContextVar[str] = ContextVar("MODE", default="")


class Reports(list[Any]):
    """What the sampler reported."""

    def sample(self, new: Any = None, **options: Any) -> Any:
        return sampled(new, **{"rate": 1, "report": self.append, **options})


@pytest.fixture
def reports() -> Reports:
    return Reports()


def shorter(events: Any) -> Iterator[str]:
    yield from list(events.text())[:-1]


def broken(events: Any) -> Iterator[str]:
    raise RuntimeError("the new loop is broken")
    yield


def test_a_generator_is_compared_by_what_it_yields(reports: Reports) -> None:
    @reports.sample()
    def endpoint() -> Iterator[str]:
        for chunk in TEA.stream("x"):
            if chunk.content:
                yield str(chunk.content)

    assert inspect.isgeneratorfunction(endpoint)
    assert list(endpoint()) == ["t", "e", "a"]
    assert reports[-1].identical


@pytest.mark.anyio
async def test_an_async_generator_is_compared_by_what_it_yields(reports: Reports) -> None:
    @reports.sample()
    async def endpoint() -> AsyncIterator[str]:
        async for chunk in TEA.astream("x"):
            if chunk.content:
                yield str(chunk.content)

    assert [item async for item in endpoint()] == ["t", "e", "a"]
    assert [report.identical for report in reports] == [True]


def test_a_function_is_compared_by_what_it_returns(reports: Reports) -> None:
    @reports.sample(old=lambda message: [message.content])
    def answer(question: str) -> Any:
        return TEA.invoke(question)

    assert answer("x").content == "tea"
    assert [report.ok for report in reports] == [True]


@pytest.mark.anyio
async def test_a_coroutine_function_is_compared_by_what_it_returns(reports: Reports) -> None:
    @reports.sample()
    async def answer(*, question: str) -> str:
        return str((await TEA.ainvoke(question)).content)

    assert await answer(question="x") == "tea"
    assert [report.ok for report in reports] == [True]


def test_the_model_is_not_switched_to_streaming(reports: Reports) -> None:
    heard = []

    class Listener(BaseCallbackHandler):
        def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            heard.append(token)

    @reports.sample()
    def answer() -> str:
        return str(TEA.invoke("x", config={"callbacks": [Listener()]}).content)

    assert answer() == "tea"
    assert heard == []
    assert reports[0].new == ("tea",)


def test_differences_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    @sampled(shorter, rate=1)
    def endpoint() -> Iterator[str]:
        yield from (str(chunk.content) for chunk in TEA.stream("x") if chunk.content)

    with caplog.at_level(logging.INFO, "callbridge.testing"):
        assert list(endpoint()) == ["t", "e", "a"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "missing at 2" in record.getMessage()


def test_what_is_harmless_is_information_and_what_is_identical_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    @sampled(rate=1)
    def answer(pieces: int) -> Iterator[str]:
        text = "".join(str(chunk.content) for chunk in TEA.stream("x"))
        yield from [text] if pieces == 1 else text

    with caplog.at_level(logging.INFO, "callbridge.testing"):
        list(answer(3))
        assert not caplog.records
        list(answer(1))
    assert [record.levelno for record in caplog.records] == [logging.INFO]


def test_errors_of_the_new_loop_are_logged_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    @sampled(broken, rate=1)
    def endpoint() -> Iterator[str]:
        yield from (str(chunk.content) for chunk in TEA.stream("x") if chunk.content)

    assert list(endpoint()) == ["t", "e", "a"]
    assert "the new loop is broken" in caplog.text


def test_errors_of_the_other_hooks_are_logged_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("a hook is broken")

    for options in ({"old": fail}, {"key": fail}, {"report": fail}):
        caplog.clear()
        assert sampled(rate=1, **options)(lambda: TEA.invoke("x").content)() == "tea"
        assert "a hook is broken" in caplog.text


def test_errors_of_the_request_are_raised_and_not_compared(reports: Reports) -> None:
    def fail(_: Any) -> None:
        raise ValueError("no tea")

    with pytest.raises(ValueError, match="no tea"):
        reports.sample()(lambda: RunnableLambda(fail).invoke("x"))()
    assert not reports


def test_a_request_that_is_left_early_is_closed_and_not_compared(reports: Reports) -> None:
    closed = []

    @reports.sample()
    def endpoint() -> Iterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            closed.append(True)

    items = endpoint()
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert closed == [True]
    assert not reports


@pytest.mark.anyio
async def test_an_async_request_that_is_left_early_is_closed_and_not_compared(reports: Reports) -> None:
    closed = []

    @reports.sample()
    async def endpoint() -> AsyncIterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            closed.append(True)

    items: Any = endpoint()
    await anext(items)
    await items.aclose()
    assert closed == [True]
    assert not reports


def test_the_generator_protocol_is_kept(reports: Reports) -> None:
    @reports.sample(lambda events: [])
    def talk() -> Generator[str, str, str]:
        try:
            got = yield "a"
        except KeyError:
            got = "error"
        yield got
        return "end"

    talking = talk()
    assert next(talking) == "a"
    assert talking.send("sent") == "sent"
    with pytest.raises(StopIteration) as end:
        next(talking)
    assert end.value.value == "end"
    talking = talk()
    next(talking)
    assert talking.throw(KeyError()) == "error"
    talking.close()


@pytest.mark.anyio
async def test_context_variables_go_both_ways(reports: Reports) -> None:
    @reports.sample()
    async def endpoint() -> AsyncIterator[str]:
        MODE.set(MODE.get() + "b")
        yield "x"

    MODE.set("a")
    assert [item async for item in endpoint()] == ["x"]
    assert MODE.get() == "ab"


def test_runs_of_others_are_not_heard(reports: Reports) -> None:
    @reports.sample()
    def endpoint() -> Iterator[str]:
        for chunk in TEA.stream("x"):
            if chunk.content:
                yield str(chunk.content)

    for _ in endpoint():
        TEA.invoke("the caller's own run, between two items")
    assert reports[0].identical, reports[0]


def test_the_rate_decides_how_many_are_sampled(reports: Reports) -> None:
    chances = iter([0.0, 0.5, 0.24, 0.25, 0.9])
    answer = reports.sample(rate=0.25, chance=lambda: next(chances))(lambda: TEA.invoke("x").content)
    assert [answer() for _ in range(5)] == ["tea"] * 5
    assert len(reports) == 2


def test_a_call_with_too_many_events_is_not_compared(reports: Reports, caplog: pytest.LogCaptureFixture) -> None:
    @reports.sample(limit=3)
    def endpoint() -> Iterator[str]:
        yield from (str(chunk.content) for chunk in FakeListChatModel(responses=["many tokens"]).stream("x"))

    with caplog.at_level(logging.INFO, "callbridge.testing"):
        assert "".join(endpoint()) == "many tokens"
    assert not reports
    assert "more events than `limit`" in caplog.text


@pytest.mark.parametrize("options", [{"rate": -0.1}, {"rate": 1.1}, {"limit": 0}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        sampled(**options)


def test_an_async_loop_and_a_function_that_is_none_are_refused() -> None:
    async def loop(events: Any) -> list[str]:
        return []

    with pytest.raises(ArgumentError, match="sync"):
        sampled(loop)  # type: ignore[arg-type]
    with pytest.raises(CallableTypeError):
        sampled()(3)  # type: ignore[type-var]
