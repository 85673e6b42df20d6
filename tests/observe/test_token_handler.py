"""Old handlers on v3 call sites: they hear what they would hear of `stream`, and elsewhere nothing else than before."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler, StreamingStdOutCallbackHandler

import callbridge as cb
from scripted import MIXES, SCRIPTS, model, needs_v3, quiet_beta

v3 = [needs_v3, quiet_beta]


class Hears(BaseCallbackHandler):
    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.ended: list[Any] = []

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
        self.heard += [token] if token else []

    def on_llm_end(self, response: Any, **_: Any) -> None:
        self.ended.append(response)

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.ended.append(kwargs.get("response"))


class HearsAsync(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def on_llm_new_token(self, token: Any, **_: Any) -> None:
        await asyncio.sleep(0)
        self.heard += [token] if token else []


class HearsBoth(Hears):
    def on_stream_event(self, event: Any, **_: Any) -> None:
        self.heard.append(event["event"])


def by_v3(one: Any, handler: Any) -> None:
    one.stream_events("hi", config={"callbacks": [handler]}, version="v3").output  # noqa: B018 - reads it


def by_stream(one: Any, handler: Any) -> None:
    for _ in one.stream("hi", config={"callbacks": [handler]}):
        pass


def by_invoke(one: Any, handler: Any) -> None:
    one.invoke("hi", config={"callbacks": [handler]})


def heard_of(way: Callable[[Any, Any], None], script: str, reports: str = "", **options: Any) -> Hears:
    handler = Hears()
    way(model(script, reports=reports), cb.with_tokens(handler, **options))
    return handler


class TestTokens:
    pytestmark = v3

    @pytest.mark.parametrize("reports", ["", "before", "after"])
    @pytest.mark.parametrize("script", SCRIPTS)
    def test_a_handler_hears_the_tokens_of_stream(self, script: str, reports: str) -> None:
        wanted = "".join(chunk.text for chunk in model(script).stream("hi"))
        heard = heard_of(by_v3, script, reports).heard
        assert "".join(heard) == wanted
        assert all(isinstance(token, str) for token in heard)

    def test_without_it_a_silent_model_is_not_heard(self) -> None:
        handler = Hears()
        by_v3(model(), handler)
        assert handler.heard == []

    @pytest.mark.anyio
    @pytest.mark.parametrize("kind", [Hears, HearsAsync])
    async def test_async_runs_and_handlers_are_heard_as_well(self, kind: Any) -> None:
        handler = kind()
        stream: Any = await model().astream_events("hi", config={"callbacks": [cb.with_tokens(handler)]}, version="v3")  # type: ignore[misc]
        await stream
        assert handler.heard == ["Let", " me", " see."]

    def test_an_async_handler_hears_a_sync_run(self) -> None:
        handler = HearsAsync()
        by_v3(model(), cb.with_tokens(handler))
        assert handler.heard == ["Let", " me", " see."]

    def test_tokens_may_be_lists_of_blocks(self) -> None:
        heard = heard_of(by_v3, "reasoning", list_tokens=True).heard
        assert heard[0] == [{"type": "reasoning", "reasoning": "Hm", "index": 0}]
        assert [token for token in heard if isinstance(token, str)] == ["Yes", "."]

    def test_protocol_events_are_heard_after_their_tokens(self) -> None:
        handler = HearsBoth()
        by_v3(model([SCRIPTS["text"][0]]), cb.with_tokens(handler))
        assert handler.heard == [
            "message-start",
            "content-block-start",
            "Let",
            "content-block-delta",
            "content-block-finish",
            "message-finish",
        ]

    def test_a_graph_is_heard(self) -> None:
        graphs = pytest.importorskip("langgraph.graph")
        handler = Hears()

        def talk(state: Any) -> Any:
            return {"messages": [model().invoke(state["messages"])]}

        graph = graphs.StateGraph(graphs.MessagesState).add_node("talk", talk).add_edge("__start__", "talk").compile()
        graph.stream_events({"messages": ["hi"]}, {"callbacks": [cb.with_tokens(handler)]}, version="v3").output  # noqa: B018
        assert handler.heard == ["Let", " me", " see."]

    def test_it_is_an_iterator_as_well_if_it_is_wrapped(self) -> None:
        inside = Hears()
        handler = cb.wrap_handler(cb.with_tokens(inside))
        by_v3(model(), handler)
        assert list(handler.text()) == inside.heard == ["Let", " me", " see."]

    def test_nothing_is_remembered_of_a_run_that_is_over(self) -> None:
        handler = cb.with_tokens(Hears())
        for reports in ("", "before"):
            by_v3(model(reports=reports), handler)
        with pytest.raises(ConnectionError):
            by_v3(model(fails_after=1), handler)
        assert not handler._runs

    def test_runs_that_never_end_are_forgotten_in_the_end(self) -> None:
        handler = cb.with_tokens(Hears())
        for _ in range(1100):
            handler.on_stream_event({"event": "message-start"}, run_id=uuid4())
        assert len(handler._runs) <= 1024


class TestEnds:
    pytestmark = v3

    def test_the_end_is_langchains_unless_asked_otherwise(self) -> None:
        message = heard_of(by_v3, "usage").ended[0].generations[0][0].message
        assert isinstance(message.content, list)

    @pytest.mark.parametrize("script", ["usage", "one tool call", "interleaved tool calls", "text"])
    def test_the_end_has_its_text_as_stream_has(self, script: str) -> None:
        if MIXES and script == "one tool call":
            pytest.skip("LangChain itself loses the text")
        found = heard_of(by_v3, script, text_end=True).ended[0].generations[0][0]
        wanted = heard_of(by_stream, script).ended[0].generations[0][0]
        assert found.message.content == wanted.message.content
        assert found.text == wanted.text
        assert found.message.tool_calls == wanted.message.tool_calls
        assert found.message.usage_metadata == wanted.message.usage_metadata

    def test_an_end_that_is_more_than_text_is_left_as_it_is(self) -> None:
        message = heard_of(by_v3, "reasoning", text_end=True).ended[0].generations[0][0].message
        assert message.content[0]["type"] == "reasoning"

    def test_an_error_comes_with_the_text_so_far(self) -> None:
        handler = Hears()
        with pytest.raises(ConnectionError):
            by_v3(model(fails_after=2), cb.with_tokens(handler, text_end=True))
        assert handler.ended[0].generations[0][0].text == "Let me"

    def test_what_others_hear_is_not_changed(self) -> None:
        beside = Hears()
        one = model("usage")
        config = {"callbacks": [cb.with_tokens(Hears(), text_end=True), beside]}
        output = one.stream_events("hi", config=config, version="v3").output
        assert beside.ended[0].generations[0][0].message == output


class TestElsewhere:
    @pytest.mark.parametrize("options", [{}, {"text_end": True, "list_tokens": True}], ids=["plain", "options"])
    @pytest.mark.parametrize("way", [by_stream, by_invoke])
    def test_nothing_changes(self, way: Any, options: Any) -> None:
        alone = Hears()
        way(model("usage"), alone)
        found = heard_of(way, "usage", **options)
        assert found.heard == alone.heard
        wanted, told = (one.ended[0].generations[0][0].message for one in (alone, found))
        assert told.model_dump(exclude={"id"}) == wanted.model_dump(exclude={"id"})

    def test_it_stands_for_the_handler(self) -> None:
        inside = Hears()
        handler = cb.with_tokens(inside)
        assert isinstance(handler, Hears)
        assert handler.wrapped is inside
        assert handler.heard is inside.heard
        handler.raise_error = True
        assert inside.raise_error
        assert handler.raise_error
        assert not handler.run_inline
        assert "Hears" in repr(handler)

    @pytest.mark.parametrize("value", [Hears, "handler", None])
    def test_what_is_no_handler_is_refused(self, value: Any) -> None:
        with pytest.raises(cb.HandlerTypeError):
            cb.with_tokens(value)

    @pytest.mark.parametrize("option", ["list_tokens", "text_end"])
    def test_an_option_is_true_or_false(self, option: str) -> None:
        with pytest.raises(cb.ArgumentError, match=option):
            cb.with_tokens(Hears(), **{option: "yes"})

    def test_a_handler_that_fails_is_treated_as_langchain_treats_it(self, caplog: pytest.LogCaptureFixture) -> None:
        class Fails(Hears):
            def on_llm_new_token(self, token: Any, **_: Any) -> None:
                raise ValueError("no ink")

        by_stream(model(), cb.with_tokens(Fails()))
        assert "no ink" in caplog.text
        handler = cb.with_tokens(Fails())
        handler.raise_error = True
        with pytest.raises(ValueError, match="no ink"):
            by_stream(model(), handler)


class TestRealHandlers:
    pytestmark = v3

    def test_streaming_to_standard_output(self) -> None:
        written = io.StringIO()
        with redirect_stdout(written):
            by_v3(model(), cb.with_tokens(StreamingStdOutCallbackHandler()))
        assert written.getvalue() == "Let me see."

    @pytest.mark.anyio
    async def test_the_async_iterator(self) -> None:
        old = pytest.importorskip("langchain_classic.callbacks.streaming_aiter")
        handler = old.AsyncIteratorCallbackHandler()
        config = {"callbacks": [cb.with_tokens(handler)]}

        async def ask() -> None:
            stream: Any = await model().astream_events("hi", config=config, version="v3")  # type: ignore[misc]
            await stream

        task = asyncio.create_task(ask())
        heard = [token async for token in handler.aiter()]
        await task
        assert "".join(heard) == "Let me see."

    def test_only_the_final_answer(self) -> None:
        old = pytest.importorskip("langchain_classic.callbacks.streaming_stdout_final_only")
        handler = old.FinalStreamingStdOutCallbackHandler(answer_prefix_tokens=["Let"])
        written = io.StringIO()
        with redirect_stdout(written):
            by_v3(model(), cb.with_tokens(handler))
        assert written.getvalue() == " me see."

    def test_counting_costs(self) -> None:
        from langchain_core.callbacks import UsageMetadataCallbackHandler

        handler = UsageMetadataCallbackHandler()
        by_v3(model("usage"), cb.with_tokens(handler, text_end=True))
        assert handler.usage_metadata["scripted-1"]["total_tokens"] == 5

    def test_the_tracer_of_langsmith_knows_when_the_first_token_came(self) -> None:
        from langchain_core.tracers import LangChainTracer
        from langsmith import Client

        ended: list[Any] = []

        class Keeps(LangChainTracer):
            """Sends nothing anywhere."""

            def _persist_run_single(self, run: Any) -> None:
                pass

            def _update_run_single(self, run: Any) -> None:
                ended.append(run)

        client = Client(api_url="http://127.0.0.1:9", api_key="none", auto_batch_tracing=False)
        by_v3(model(), cb.with_tokens(Keeps(client=client)))
        (run,) = ended
        assert "new_token" in [event["name"] for event in run.events]

    def test_langfuse_knows_when_the_first_token_came(self) -> None:
        langfuse = pytest.importorskip("langfuse.langchain")
        handler = langfuse.CallbackHandler(public_key="pk-test")
        started: list[Any] = []
        inner = handler.on_llm_new_token
        handler.on_llm_new_token = lambda *args, **kwargs: (started.append(kwargs["run_id"]), inner(*args, **kwargs))
        by_v3(model(), cb.with_tokens(handler))
        assert len(started) >= 3


@needs_v3
@quiet_beta
@pytest.mark.anyio
async def test_a_context_of_langchains_is_the_handlers_own() -> None:
    """Sync methods run where LangChain runs them: in a thread of the loop's pool, unless they are inline."""
    import threading

    threads: list[int] = []

    class Notes(BaseCallbackHandler):
        def on_llm_new_token(self, token: str, **_: Any) -> None:
            threads.append(threading.get_ident())

    class Inline(Notes):
        run_inline = True

    for kind, here in ((Notes, False), (Inline, True)):
        threads.clear()
        one = model()
        stream: Any = await one.astream_events("hi", config={"callbacks": [cb.with_tokens(kind())]}, version="v3")  # type: ignore[misc]
        await stream
        assert {thread == threading.get_ident() for thread in threads} == {here}
