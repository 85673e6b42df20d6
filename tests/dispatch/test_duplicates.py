"""Which handlers hear of a live run by themselves."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackHandler, BaseCallbackManager, CallbackManager
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableBranch, RunnableLambda, RunnableParallel
from langchain_core.tracers.context import collect_runs

from callbridge import DuplicateHandlerWarning, adrive, astream_events, wrap_handler
from callbridge.dispatch.duplicates import attached_handlers, is_same
from oracle import Recorder

MARK = BaseCallbackHandler()
"""The handler that is looked for."""


def same(value: Any) -> Any:
    return value


def model(**options: Any) -> Any:
    return FakeListChatModel(responses=["tea"], **options)


def plain() -> Runnable[Any, Any]:
    return model() | StrOutputParser()


def stream_of(runnable: Runnable[Any, Any], config: Any = None) -> Any:
    return runnable.astream_events("hi", config, version="v2")


def is_found(source: object) -> bool:
    return any(handler is MARK for handler in attached_handlers(source))


@pytest.mark.anyio
@pytest.mark.parametrize(
    "callbacks", [[MARK], CallbackManager([MARK]), AsyncCallbackManager([], inheritable_handlers=[MARK], parent_run_id=None)]
)
async def test_handlers_in_the_config_are_found(callbacks: Any) -> None:
    """In a list or a manager; looking does not start the run."""
    if not getattr(callbacks, "handlers", callbacks):
        callbacks.add_handler(MARK)
    source = stream_of(plain(), {"callbacks": callbacks})
    assert is_found(source)
    assert await anext(source)


@pytest.mark.parametrize(
    "make",
    [
        lambda: plain().with_config(callbacks=[MARK]),
        lambda: model(callbacks=[MARK]),
        lambda: model(callbacks=[MARK]) | StrOutputParser(),
        lambda: RunnableLambda(same) | model(callbacks=CallbackManager([MARK])) | StrOutputParser() | same,
        lambda: RunnableParallel(a=plain(), b=RunnableLambda(same).with_config(callbacks=[MARK])),
        lambda: RunnableBranch((bool, model(callbacks=[MARK])), plain()),
        lambda: plain().with_fallbacks([model(callbacks=[MARK])]),
        lambda: plain().bind(stop=["x"]).with_config(callbacks=[MARK]).with_retry(),
    ],
)
def test_handlers_of_the_runnable_or_its_parts_are_found(make: Any) -> None:
    """`with_config`, constructors, and whatever the runnable is put together from."""
    assert is_found(stream_of(make()))
    assert not is_found(stream_of(plain()))


@pytest.mark.anyio
@pytest.mark.parametrize("attach", ["the handler", "the wrapper"])
@pytest.mark.parametrize("stream", [astream_events, Runnable.astream_events])
async def test_a_handler_and_its_wrapper_count_as_one(attach: str, stream: Any) -> None:
    """Attached by way of `wrap_handler` and dispatched to as it is, or the other way round: called once for each callback."""
    legacy, alone = Recorder(), Recorder()
    wrapper = wrap_handler(wrap_handler(legacy))
    attached, given = (wrapper, legacy) if attach == "the wrapper" else (legacy, wrapper)
    await adrive(stream_of(plain()), [alone])
    with pytest.warns(DuplicateHandlerWarning, match="Recorder"):
        await adrive(stream(plain(), "hi", {"callbacks": [attached]}, version="v2"), [given])
    assert [method for method, *_ in legacy.calls] == [method for method, *_ in alone.calls]


def test_handlers_that_only_look_alike_do_not_count_as_one() -> None:
    """An attribute of the same name on somebody else's handlers means nothing."""

    class Holding(BaseCallbackHandler):
        wrapped = None

    assert not is_same(Holding(), Holding())
    assert not is_same(wrap_handler(Recorder()), wrap_handler(Recorder()))


def test_generators_around_the_stream_are_looked_into() -> None:
    """Users write them to filter or rename events."""

    async def renamed(runnable: Runnable[Any, Any], config: Any) -> AsyncIterator[Any]:
        async for event in stream_of(runnable, config):
            yield event

    async def filtered(events: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for event in events:
            yield event

    assert is_found(renamed(plain(), {"callbacks": [MARK]}))
    assert is_found(renamed(model(callbacks=[MARK]), None))
    assert is_found(filtered(stream_of(plain(), {"callbacks": [MARK]})))
    assert not is_found(renamed(plain(), {}))


def test_handlers_of_the_surrounding_code_are_found() -> None:
    """Configure hooks: any run that starts here has them."""
    with collect_runs() as collector:
        assert any(handler is collector for handler in attached_handlers(stream_of(plain())))
    assert not any(handler is collector for handler in attached_handlers(stream_of(plain())))


@pytest.mark.anyio
@pytest.mark.skipif(sys.version_info < (3, 11), reason="LangChain hands its config to coroutines by context from 3.11 on")
async def test_handlers_of_the_run_around_are_found() -> None:
    """A runnable that is streamed inside another one inherits its callbacks."""
    found: list[bool] = []

    async def inside(value: Any) -> Any:
        found.append(is_found(stream_of(plain())))
        return value

    await RunnableLambda(inside).ainvoke(1, {"callbacks": [MARK]})
    assert found == [True]


def test_handlers_that_are_in_every_manager_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenInference wraps the constructor of all managers of the process."""
    original = BaseCallbackManager.__init__

    def instrumented(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.add_handler(MARK)

    monkeypatch.setattr(BaseCallbackManager, "__init__", instrumented)
    assert is_found(stream_of(plain()))
    assert not is_found([])


def test_streams_that_know_their_handlers_are_asked() -> None:
    """As those of this library do."""

    class Stream:
        def attached_handlers(self) -> Sequence[BaseCallbackHandler]:
            return (MARK,)

    assert is_found(Stream())


def test_recordings_have_no_handlers() -> None:
    """Lists and sync generators: a counter around them is meant to count what is in them."""
    events = [{"event": "on_chain_start"}]

    async def from_elsewhere(lines: list[Any]) -> AsyncIterator[Any]:
        for line in lines:
            yield line

    with collect_runs():
        for source in (events, iter(events), (event for event in events), from_elsewhere(events), None, 5):
            assert attached_handlers(source) == []


def test_looking_has_a_bound() -> None:
    """A runnable may hold more than anybody wants to look through, and itself."""

    class Holding(RunnableLambda[Any, Any]):
        pass

    holding = Holding(same)
    holding.documents = [Document(page_content=str(number)) for number in range(5000)]  # type: ignore[attr-defined]
    holding.itself = holding  # type: ignore[attr-defined]
    holding.last = [MARK]  # type: ignore[attr-defined]
    assert not is_found(stream_of(holding))
