"""Parity: one run, two readers, and a report whose differences say what is behind them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool

from callbridge.errors import ArgumentError, HandlerTypeError, OptionError
from callbridge.testing import aparity, parity


class Scripted(BaseChatModel):
    """Streams chunks of any content; the last one is of nothing."""

    contents: list[Any]
    calls: list[int] = []  # noqa: RUF012 -- pydantic copies it

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        self.calls.append(1)
        for content in self.contents:
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=content))
            if run_manager:
                run_manager.on_llm_new_token(content, chunk=chunk)
            yield chunk


class Sender(BaseCallbackHandler):
    """Sends tokens as handlers of that kind do."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.sent.append(token)


class Accumulator(BaseCallbackHandler):
    """Takes tokens for strings."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.text = ""

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.text += token
        self.sent.append(token)


class UntilFirstEnd(Sender):
    """Takes the first model's end for the end of everything."""

    done = False

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        if not self.done:
            self.sent.append(token)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.done = True


def kinds(report: Any) -> list[str]:
    return [each.kind for each in report.differences]


def kinds_of_full(report: Any) -> list[str]:
    """Of tokens that are not empty: a newer LangChain ends a stream with an empty one."""
    return [kind for kind in kinds(report) if kind != "empty token"]


TEA = FakeListChatModel(responses=["tea"])


def twice(model: BaseChatModel) -> Any:
    return model | RunnableLambda(lambda message: str(message.content)) | model


# -- output -----------------------------------------------------------------------------------------------------------


def test_tokens_of_a_handler_and_the_text_of_events_are_identical() -> None:
    sender = Sender()
    report = parity(TEA.invoke, "x", handler=sender, old=sender.sent)
    assert report.identical
    assert report.ok
    assert report.old == report.new == ("t", "e", "a")
    assert report.result.content == "tea"
    assert str(report) == "parity of output: identical (3 old, 3 new items)"


def test_the_code_runs_once() -> None:
    model = Scripted(contents=["a", "b"])
    parity(model.invoke, "x", handler=Sender(), new=lambda events: events.text())
    assert len(model.calls) == 1


def test_without_a_list_the_tokens_that_the_handler_hears_are_its_output() -> None:
    report = parity(TEA.invoke, "x", handler=Sender(), new=lambda events: events.text())
    assert report.compared == "output"
    assert report.identical


def test_an_old_side_that_stops_at_the_first_model_end_is_a_legacy_bug() -> None:
    sender = UntilFirstEnd()
    report = parity(twice(TEA).invoke, "x", handler=sender, old=sender.sent)
    assert kinds(report) == ["truncated"]
    assert report.differences[0].new == ("t", "e", "a")
    assert report.differences[0].verdict == "legacy bug"
    assert report.ok
    assert not report.identical
    assert "first of 2 model calls" in str(report)


def test_a_new_loop_that_stops_at_the_first_model_end_is_a_regression() -> None:
    def loop(events: Any) -> Iterator[str]:
        for event in events:
            if event["event"] == "on_chat_model_stream":
                yield event["data"]["chunk"].content
            if event["event"] == "on_chat_model_end":
                return

    sender = Sender()
    report = parity(twice(TEA).invoke, "x", handler=sender, old=sender.sent, new=loop)
    assert kinds(report) == ["missing"]
    assert report.differences[0].old == ("t", "e", "a")
    assert not report.ok
    assert "DIFFERENT" in str(report)


def test_empty_tokens_are_harmless() -> None:
    report = parity(Scripted(contents=["", "a", "b", ""]).invoke, "x", handler=Sender(), new=lambda events: events.text())
    assert kinds(report) == ["empty token"]
    assert report.ok
    assert re.search(r"[23] empty tokens", str(report))


BLOCKS = [[{"type": "text", "text": "hot", "index": 0}], [{"type": "text", "text": "tea", "index": 0}]]


def test_a_handler_that_passes_lists_on_is_a_legacy_bug() -> None:
    sender = Sender()
    report = parity(Scripted(contents=BLOCKS).invoke, "x", handler=sender, old=sender.sent)
    assert kinds_of_full(report) == ["list token"]
    assert report.differences[-1].new == ("hot", "tea")
    assert report.ok


def test_a_handler_that_makes_strings_of_lists_is_a_legacy_bug() -> None:
    sender = Sender()
    report = parity(Scripted(contents=BLOCKS).invoke, "x", handler=sender, old=lambda _: [str(one) for one in sender.sent])
    assert kinds_of_full(report) == ["list token"]
    assert report.ok


def test_a_handler_that_fails_on_lists_is_a_legacy_bug(caplog: pytest.LogCaptureFixture) -> None:
    accumulator = Accumulator()
    report = parity(Scripted(contents=BLOCKS).invoke, "x", handler=accumulator, old=accumulator.sent)
    assert kinds_of_full(report) == ["list token"]
    assert report.differences[-1].old == ()
    assert report.ok
    assert "Accumulator" in caplog.text


def test_the_same_text_in_other_pieces_is_harmless() -> None:
    report = parity(TEA.invoke, "x", old=lambda message: [message.content])
    assert kinds(report) == ["split"]
    assert report.ok


def loop_of(change: Callable[[list[str]], list[str]]) -> Callable[[Any], list[str]]:
    return lambda events: change(list(events.text()))


@pytest.mark.parametrize(
    ("change", "kind", "position"),
    [
        (lambda items: [items[0], "X", items[2]], "changed", 1),
        (lambda items: [*items, "!"], "extra", 3),
        (lambda items: items[1:], "missing", 0),
        (lambda items: items[::-1], "order", 0),
    ],
)
def test_what_a_new_loop_does_differently_is_a_regression(change: Any, kind: str, position: int) -> None:
    report = parity(TEA.invoke, "x", handler=Sender(), new=loop_of(change))
    assert kinds(report) == [kind]
    assert report.differences[0].position == position
    assert report.differences[0].verdict == "regression"
    assert not report.ok


def test_a_difference_that_is_allowed_is_ok() -> None:
    report = parity(TEA.invoke, "x", handler=Sender(), new=loop_of(lambda items: items[::-1]), allow=["order"])
    assert report.ok
    assert not report.identical


def test_items_are_compared_by_a_key() -> None:
    report = parity(TEA.invoke, "x", handler=Sender(), new=loop_of(lambda items: [i.upper() for i in items]), key=str.lower)
    assert report.identical


def test_a_legacy_generator_is_the_old_side() -> None:
    def endpoint(question: str) -> Iterator[str]:
        sender = Sender()
        TEA.invoke(question, config={"callbacks": [sender]})
        for token in sender.sent:
            yield f"data: {token}\n\n"

    def loop(events: Any) -> Iterator[str]:
        for text in events.text():
            yield f"data: {text}\n\n"

    report = parity(endpoint, "x", new=loop)
    assert report.identical
    assert report.old[0] == "data: t\n\n"


def test_a_handler_that_the_code_attaches_itself_is_heard_and_not_attached_again() -> None:
    sender = Sender()
    model = FakeListChatModel(responses=["tea"], callbacks=[sender])
    report = parity(model.invoke, "x", handler=sender, new=lambda events: events.text(), attach=False)
    assert report.identical
    assert sender.sent == ["t", "e", "a"]


def test_the_handler_is_as_before_afterwards() -> None:
    sender = Sender()
    before = dict(vars(sender))
    parity(TEA.invoke, "x", handler=sender)
    assert vars(sender).keys() == before.keys()
    TEA.invoke("x", config={"callbacks": [sender]})


def test_a_method_that_was_set_on_the_handler_is_heard_and_stays() -> None:
    sender, sent = Sender(), []

    def send(token: str, **kwargs: Any) -> None:
        sent.append(token)

    sender.on_llm_new_token = send  # type: ignore[method-assign]
    assert parity(TEA.invoke, "x", handler=sender, old=sent).identical
    assert sender.on_llm_new_token is send


def test_an_error_of_the_call_is_raised_and_the_handler_put_back() -> None:
    def fail(_: Any) -> None:
        raise ValueError("no tea")

    sender = Sender()
    with pytest.raises(ValueError, match="no tea"):
        parity(RunnableLambda(fail).invoke, "x", handler=sender)
    assert set(vars(sender)) == {"sent"}


def test_wrong_arguments_say_what_is_expected() -> None:
    async def loop(events: Any) -> list[str]:
        return []

    with pytest.raises(ArgumentError, match="aparity"):
        parity(TEA.invoke, "x", handler=Sender(), new=loop)
    with pytest.raises(ArgumentError, match="handler"):
        parity(TEA.invoke, "x")
    with pytest.raises(OptionError, match=r"handlers=.*'handler'"):
        parity(TEA.invoke, "x", handlers=Sender())  # type: ignore[call-arg]
    with pytest.raises(HandlerTypeError):
        parity(TEA.invoke, "x", handler=Sender)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="new"):
        parity(TEA.invoke, "x", handler=Sender(), new=lambda events: None)  # type: ignore[arg-type,return-value]


# -- callbacks --------------------------------------------------------------------------------------------------------


class Everything(BaseCallbackHandler):
    """Listens to all that there is."""

    def on_llm_start(self, *args: Any, **kwargs: Any) -> None: ...
    def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None: ...
    def on_llm_end(self, *args: Any, **kwargs: Any) -> None: ...
    def on_llm_error(self, *args: Any, **kwargs: Any) -> None: ...
    def on_chain_start(self, *args: Any, **kwargs: Any) -> None: ...
    def on_chain_end(self, *args: Any, **kwargs: Any) -> None: ...
    def on_chain_error(self, *args: Any, **kwargs: Any) -> None: ...
    def on_tool_start(self, *args: Any, **kwargs: Any) -> None: ...
    def on_tool_end(self, *args: Any, **kwargs: Any) -> None: ...
    def on_text(self, *args: Any, **kwargs: Any) -> None: ...


@tool
def brew(leaf: str) -> str:
    """Brew tea."""
    return f"a cup of {leaf}"


CHAIN = RunnableLambda(lambda x: {"leaf": x}) | brew | RunnableParallel(one=TEA, two=FakeListChatModel(responses=["cup"]))


def test_a_handler_driven_from_events_would_hear_the_same() -> None:
    report = parity(CHAIN.invoke, "oolong", handler=Everything())
    assert report.compared == "callbacks"
    assert report.identical, report
    assert len(report.old) > 15


class Ignorant(Everything):
    """Wants nothing of models."""

    ignore_llm = True  # type: ignore[assignment]


def test_what_a_handler_ignores_is_expected_on_neither_side() -> None:
    report = parity(CHAIN.invoke, "oolong", handler=Ignorant())
    assert report.identical, report
    assert not [heard for heard in report.old if heard.method in ("on_llm_new_token", "on_llm_end")]


def test_list_tokens_are_told_as_such_between_callbacks_too() -> None:
    report = parity(Scripted(contents=BLOCKS).invoke, "x", handler=Everything())
    assert kinds(report) == ["list token"]
    assert report.ok


def test_a_run_that_a_fallback_rescues_is_the_same_for_both() -> None:
    def fail(_: Any) -> None:
        raise ValueError("no tea")

    chain = RunnableLambda(fail).with_fallbacks([TEA])
    report = parity(chain.invoke, "x", handler=Everything())
    assert report.identical, report


class Talkative(RunnableLambda):  # type: ignore[type-arg]
    """Reports a text, as legacy chains do."""

    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        def work(value: Any, run_manager: Any) -> Any:
            run_manager.on_text("Entering new chain")
            return value

        return self._call_with_config(work, input, config)


def test_what_v2_has_no_event_for_is_missing_and_the_extended_vocabulary_has_it() -> None:
    chain = Talkative(lambda value: value)
    report = parity(chain.invoke, "x", handler=Everything())
    assert kinds(report) == ["missing"]
    assert "on_text" in str(report)
    assert parity(chain.invoke, "x", handler=Everything(), extended=True).identical


# -- async ------------------------------------------------------------------------------------------------------------


class AsyncSender(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.sent: list[str] = []

    async def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.sent.append(token)


@pytest.mark.anyio
async def test_async_code_and_an_async_loop() -> None:
    async def loop(events: Any) -> AsyncIterator[str]:
        async for text in events.text():
            yield text

    sender = AsyncSender()
    report = await aparity(TEA.ainvoke, "x", handler=sender, old=sender.sent, new=loop)
    assert report.identical
    assert report.result.content == "tea"


@pytest.mark.anyio
async def test_an_async_loop_may_return_what_it_put_out() -> None:
    async def loop(events: Any) -> list[str]:
        return [text async for text in events.text()]

    assert (await aparity(TEA.ainvoke, "x", handler=Sender(), new=loop)).identical


@pytest.mark.anyio
async def test_an_async_endpoint_is_the_old_side() -> None:
    async def endpoint(question: str) -> AsyncIterator[str]:
        async for chunk in TEA.astream(question):
            if chunk.content:
                yield str(chunk.content)

    assert (await aparity(endpoint, "x")).identical


@pytest.mark.anyio
async def test_callbacks_of_an_async_run() -> None:
    report = await aparity(CHAIN.ainvoke, "oolong", handler=Everything())
    assert report.identical, report


def test_sync_parity_takes_async_code_too() -> None:
    assert parity(TEA.ainvoke, "x", handler=Sender(), new=lambda events: events.text()).identical
