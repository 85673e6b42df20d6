"""The reading style of version 3, for what LangChain refuses it for as well."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import anyio
import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

import callbridge as cb
from callbridge import compat
from core.protocol.test_protocol_encode import agent
from scripted import SCRIPTS, model, needs_v3, quiet_beta, turns

v3 = [needs_v3, quiet_beta]


def chain(one: Any) -> Any:
    return ChatPromptTemplate.from_messages([("human", "{q}")]) | one | StrOutputParser()


def words(count: int) -> list[Any]:
    return [chunk.model_copy(update={"content": f"{number} "}) for number in range(count) for chunk in SCRIPTS["text"][:1]]


class TestReading:
    pytestmark = v3

    def test_an_lcel_chain_is_read_as_a_model_is(self) -> None:
        with cb.stream_messages(chain(model("usage")), {"q": "hi"}) as messages:
            (message,) = [one for one in messages if list(one.text) == ["Yes", "."]]
        assert messages.result == "Yes."
        assert message.output.text == "Yes."
        assert message.output.usage_metadata["total_tokens"] == 5

    @pytest.mark.parametrize("script", [name for name in SCRIPTS if name != "image"])
    def test_a_message_is_what_langchains_own_would_be(self, script: str) -> None:
        if not compat.HAS_TOOL_CALL_DELTA and script == "one tool call":
            pytest.skip("langchain-core before 1.7 itself makes one block of the text and the call")
        own = model(script).stream_events("hi", version="v3")
        wanted = (list(own.text), list(own.reasoning), str(own.text), own.output)
        with cb.stream_messages(chain(model(script)), {"q": "hi"}) as messages:
            message = next(messages)
            found = (list(message.text), list(message.reasoning), str(message.text), message.output)
        assert found[:3] == wanted[:3]
        assert found[3].content == wanted[3].content
        assert found[3].tool_calls == wanted[3].tool_calls
        assert found[3].usage_metadata == wanted[3].usage_metadata

    @pytest.mark.parametrize("script", ["one tool call", "two tool calls", "interleaved tool calls"])
    def test_tool_calls_come_in_parts_and_whole(self, script: str) -> None:
        with cb.stream_messages(model(script).invoke, "hi") as messages:
            message = next(messages)
            parts: dict[str, str] = {}
            for part in message.tool_calls:
                parts[part["id"]] = parts.get(part["id"], "") + part["args"]
            assert len(parts) == len(message.tool_calls.get())
            assert message.output.tool_calls[0]["args"] == {"city": "Oslo"}

    def test_each_model_call_is_a_message(self) -> None:
        with cb.stream_messages(agent(), {"messages": ["hi"]}) as messages:
            heard = [str(message.text) for message in messages]
        assert heard == ["", "Let me see."]

    def test_a_message_need_not_be_read_before_the_next_is_asked_for(self) -> None:
        both = RunnableLambda(lambda q: [model("text").invoke(q), model("usage").invoke(q)])
        with cb.stream_messages(both, "hi") as messages:
            kept = list(messages)
        assert [str(message.text) for message in kept] == ["Let me see.", "Yes."]
        assert [list(message.text) for message in kept] == [["Let", " me", " see."], ["Yes", "."]]

    @pytest.mark.filterwarnings("ignore:The class `LLMChain` was deprecated")
    def test_a_legacy_chain_is_read(self) -> None:
        chains = pytest.importorskip("langchain_classic.chains")
        legacy = chains.LLMChain(llm=model(), prompt=ChatPromptTemplate.from_messages([("human", "{q}")]))
        with cb.stream_messages(legacy.invoke, {"q": "hi"}) as messages:
            assert [list(message.text) for message in messages] == [["Let", " me", " see."]]
        assert messages.result["text"] == "Let me see."

    def test_a_model_that_does_not_stream_gives_one_message(self) -> None:
        with cb.stream_messages(model().invoke, "hi", streaming=False) as messages:
            assert [list(message.text) for message in messages] == [["Let me see."]]

    def test_models_that_are_not_for_the_user_are_left_out(self) -> None:
        hidden = model().with_config(tags=["nostream"])
        with cb.stream_messages(hidden.invoke, "hi") as messages:
            assert list(messages) == []
        assert messages.result.text == "Let me see."


@pytest.mark.anyio
class TestAsync:
    pytestmark = v3

    async def test_an_lcel_chain_is_read_as_a_model_is(self) -> None:
        async with cb.astream_messages(chain(model("usage")), {"q": "hi"}) as messages:
            found = []
            async for message in messages:
                found.append([piece async for piece in message.text])
                output = await message
        assert found == [["Yes", "."]]
        assert output.usage_metadata["total_tokens"] == 5
        assert messages.result == "Yes."

    async def test_several_tasks_may_read_one_message(self) -> None:
        async with cb.astream_messages(model("one tool call").ainvoke, "hi") as messages:
            message = await anext(messages)

            async def pieces() -> list[str]:
                return [piece async for piece in message.text]

            async def parts() -> list[Any]:
                return [part["args"] async for part in message.tool_calls]

            text, args, output = await asyncio.gather(pieces(), parts(), message.output)
        assert text == ["Let me ", "see."]
        assert "".join(args) == '{"city": "Oslo"}' or not compat.HAS_TOOL_CALL_DELTA
        assert output.tool_calls[0]["name"] == "weather"

    async def test_leaving_stops_the_run(self) -> None:
        one = model(words(300), pause=0.001)
        async with cb.astream_messages(one.ainvoke, "hi") as messages:
            message = await anext(messages)
            async for _ in message.text:
                break
        assert one.closed
        made = len(one.made)
        await asyncio.sleep(0.02)
        assert len(one.made) == made < 300
        with pytest.raises(cb.RunUnfinishedError):
            await message.output

    async def test_a_cancelled_scope_stops_the_run(self) -> None:
        one = model(words(1000), pause=0.001)
        with anyio.move_on_after(0.1):
            async with cb.astream_messages(one.ainvoke, "hi") as messages:
                async for message in messages:
                    async for _ in message.text:
                        pass
        made = len(one.made)
        await asyncio.sleep(0.02)
        assert len(one.made) == made < 1000

    async def test_an_error_is_raised_by_whoever_reads(self) -> None:
        async with cb.astream_messages(chain(model(fails_after=2)), {"q": "hi"}) as messages:
            message = await anext(messages)
            with pytest.raises(ConnectionError):
                await message.output
            with pytest.raises(ConnectionError):
                await anext(messages)


class TestEnds:
    pytestmark = v3

    def test_the_error_comes_after_what_was_said(self) -> None:
        with cb.stream_messages(chain(model(fails_after=2)), {"q": "hi"}) as messages:
            message = next(messages)
            heard: list[str] = []
            with pytest.raises(ConnectionError):
                heard.extend(message.text)
            with pytest.raises(ConnectionError):
                next(messages)
            assert next(messages, None) is None
        assert list(heard) in ([], ["Let", " me"])

    def test_the_bound_holds(self) -> None:
        one = model(words(500))
        with cb.stream_messages(one.invoke, "hi", capacity=8) as messages:
            message = next(messages)
            next(iter(message.text))
            deadline = time.monotonic() + 20
            while len(one.made) < 8 and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(0.05)
            assert len(one.made) <= 8 + 4  # what was read, and as many as may wait
        assert len(one.made) <= 8 + 5
        assert one.closed

    def test_a_stream_that_was_not_started_leaves_nothing(self) -> None:
        one = model()
        with cb.stream_messages(one.invoke, "hi") as messages:
            pass
        assert not one.made
        with pytest.raises(cb.StreamConsumedError):
            iter(messages)
        assert "MessageStream" in repr(messages)

    def test_counters_are_those_of_its_channel(self) -> None:
        with cb.stream_messages(model().invoke, "hi", capacity=7) as messages:
            list(messages)
        assert messages.statistics().channel.capacity == 7
        assert messages.statistics().runs == 0


class Executor:
    """LangChain's old agent executor, and what its model and its tool have done.

    Args:
        words: How many its model says in the end.
        streams: Whether its runnable is given, not its method.
    """

    def __init__(self, words: int, streams: bool, **fields: Any) -> None:
        agents = pytest.importorskip("langchain_classic.agents")
        self.called: list[str] = []

        @tool
        def weather(city: str) -> str:
            """Tell the weather."""
            self.called.append(city)
            return f"rain in {city}"

        said = [AIMessageChunk(content=f"{number} ") for number in range(words)]
        self.model = turns("one tool call", said, **fields)
        given = [("human", "{input}"), ("placeholder", "{agent_scratchpad}")]
        made = agents.create_tool_calling_agent(self.model, [weather], ChatPromptTemplate.from_messages(given))
        self.runnable = agents.AgentExecutor(agent=made, tools=[weather])
        self.call = self.runnable if streams else self.runnable.invoke
        self.acall = self.runnable if streams else self.runnable.ainvoke


@pytest.mark.parametrize("streams", [True, False], ids=["runnable", "callable"])
class TestAgentExecutor:
    """Each call of the model is a message, and leaving in any of them stops the loop of calls."""

    pytestmark = v3

    def test_each_model_call_is_a_message(self, streams: bool) -> None:
        one = Executor(3, streams)
        with cb.stream_messages(one.call, {"input": "hi"}) as messages:
            heard = [(list(message.text), message.output.tool_calls) for message in messages]
        assert [text for text, _ in heard] == [["Let me ", "see."], ["0 ", "1 ", "2 "]]
        assert [[call["args"] for call in calls] for _, calls in heard] == [[{"city": "Oslo"}], []]
        assert one.called == ["Oslo"]
        assert messages.result["output"] == "0 1 2 "

    @pytest.mark.anyio
    async def test_each_model_call_is_a_message_async(self, streams: bool) -> None:
        one = Executor(3, streams)
        heard: list[Any] = []
        async with cb.astream_messages(one.acall, {"input": "hi"}) as messages:
            async for message in messages:
                heard.append([piece async for piece in message.text])
                assert (await message.output).id
        assert heard == [["Let me ", "see."], ["0 ", "1 ", "2 "]]
        assert one.called == ["Oslo"]
        assert messages.result["output"] == "0 1 2 "

    def test_leaving_in_the_first_message_calls_no_tool(self, streams: bool) -> None:
        one = Executor(3, streams)
        with cb.stream_messages(one.call, {"input": "hi"}, capacity=1) as messages:
            assert next(iter(next(messages).text)) == "Let me "
        assert one.called == []
        assert len(one.model.closed) == 1

    def test_leaving_in_the_last_message_stops_the_model(self, streams: bool) -> None:
        one = Executor(200, streams)
        with cb.stream_messages(one.call, {"input": "hi"}, capacity=4) as messages:
            next(messages)
            last = next(messages)
            assert next(iter(last.text)) == "0 "
        made = len(one.model.made)
        assert made < 100
        assert len(one.model.closed) == 2
        assert one.called == ["Oslo"]
        with pytest.raises(cb.RunUnfinishedError):
            last.output  # noqa: B018 - a property that raises
        assert messages.statistics().runs == 0

    @pytest.mark.anyio
    async def test_leaving_in_the_first_message_calls_no_tool_async(self, streams: bool) -> None:
        one = Executor(3, streams, pause=0.001)
        async with cb.astream_messages(one.acall, {"input": "hi"}, capacity=1) as messages:
            message = await anext(messages)
            async for piece in message.text:
                assert piece == "Let me "
                break
        assert one.called == []
        assert len(one.model.closed) == 1

    @pytest.mark.anyio
    async def test_leaving_in_the_last_message_stops_the_model_async(self, streams: bool) -> None:
        one = Executor(200, streams, pause=0.001)
        async with cb.astream_messages(one.acall, {"input": "hi"}, capacity=4) as messages:
            await anext(messages)
            last = await anext(messages)
            async for _ in last.text:
                break
        made = len(one.model.made)
        assert made < 200
        assert len(one.model.closed) == 2
        await asyncio.sleep(0.02)
        assert len(one.model.made) == made
        with pytest.raises(cb.RunUnfinishedError):
            await last.output
        assert messages.statistics().runs == 0


def test_nothing_of_the_preview_is_used(recwarn: pytest.WarningsRecorder) -> None:
    """LangChain warns of `version="v3"` being in beta; nothing here calls it."""
    if not compat.HAS_V3:
        pytest.skip("no version 3")
    with cb.stream_messages(chain(model()), {"q": "hi"}) as messages:
        list(messages)
    assert [str(one.message) for one in recwarn if "beta" in str(one.message)] == []


@pytest.mark.skipif(compat.HAS_V3, reason="this LangChain has what older ones lack")
def test_an_older_langchain_is_told_apart() -> None:
    for make in (cb.stream_messages, cb.astream_messages):
        with pytest.raises(cb.VersionError, match=r"1\.4\.0"):
            make(model().invoke, "hi")
