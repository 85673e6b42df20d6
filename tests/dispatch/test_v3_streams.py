"""Old handlers driven by streams of version 3: live, in the form of the wire, and recorded."""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler

import callbridge as cb
from core.protocol.test_protocol_encode import agent, broken, graph, protocol_of
from scripted import SCRIPTS, model, needs_v3, quiet_beta

pytestmark = [needs_v3, quiet_beta]


class Hears(BaseCallbackHandler):
    """Notes what it hears of models, tools and chains."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **_: Any) -> None:
        self.heard.append("start")

    def on_llm_new_token(self, token: str, **_: Any) -> None:
        self.heard += [token] if token else []

    def on_llm_end(self, response: Any, **_: Any) -> None:
        self.heard.append(("end", response.generations[0][0].text))

    def on_llm_error(self, error: BaseException, **_: Any) -> None:
        self.heard.append(("error", str(error)))

    def on_tool_start(self, serialized: Any, input_str: str, *, inputs: Any = None, **_: Any) -> None:
        self.heard.append((serialized["name"], inputs))

    def on_tool_end(self, output: Any, **_: Any) -> None:
        self.heard.append(("returned", getattr(output, "content", output)))

    def on_tool_error(self, error: BaseException, **_: Any) -> None:
        self.heard.append(("tool error", str(error)))


class HearsAsync(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.heard: list[str] = []

    async def on_llm_new_token(self, token: str, **_: Any) -> None:
        self.heard += [token] if token else []


def attached(run: Any) -> list[Any]:
    """Return what a handler hears that is attached to the run."""
    handler = Hears()
    run({"callbacks": [handler]})
    return handler.heard


def test_a_model_stream_calls_handlers_as_stream_would() -> None:
    handler = Hears()
    output = cb.drive(model("usage").stream_events("hi", version="v3"), [handler])
    assert handler.heard == attached(lambda config: list(model("usage").stream("hi", config)))
    assert output.text == "Yes."


def test_a_graphs_run_calls_handlers_of_its_tools_and_models() -> None:
    handler = Hears()
    run = agent(reports="before").stream_events({"messages": ["hi"]}, version="v3")
    output = cb.drive(run, handler)
    config_heard = attached(
        lambda config: agent(reports="before").stream_events({"messages": ["hi"]}, config, version="v3").output
    )
    assert handler.heard == config_heard
    assert output["messages"][-1].text == "Let me see."


@pytest.mark.anyio
async def test_an_awaited_stream_is_one_and_is_driven() -> None:
    """It can be awaited as well as iterated, and was awaited already."""
    stream: Any = await model().astream_events("hi", version="v3")  # type: ignore[misc]
    handler = HearsAsync()
    output = await cb.adrive(stream, handler)
    assert handler.heard == ["Let", " me", " see."]
    assert output.text == "Let me see."


@pytest.mark.skipif(sys.version_info < (3, 11), reason="LangChain hands its config to coroutines by context from 3.11 on")
@pytest.mark.anyio
async def test_an_awaited_stream_of_a_graph_is_one_too() -> None:
    """Its model's tokens are heard."""
    handler = HearsAsync()
    run: Any = await graph().astream_events({"messages": ["hi"]}, version="v3")  # type: ignore[misc]
    passed = [event async for event in cb.adispatch_events(run, handler)]
    assert passed[0]["method"] == "values"
    assert handler.heard


@pytest.mark.anyio
async def test_one_that_was_not_awaited_is_told_to_be() -> None:
    coroutine: Any = model().astream_events("hi", version="v3")
    with pytest.raises(cb.ArgumentError, match="await it first"):
        await cb.adrive(coroutine, [])
    coroutine.close()


def test_a_recording_of_the_wire_calls_handlers_with_objects() -> None:
    from langchain_core.callbacks import UsageMetadataCallbackHandler

    lines = [json.dumps(one, default=str) for one in protocol_of(cb.stream_events(model("one tool call"), "hi"))]
    handler, usage = Hears(), UsageMetadataCallbackHandler()
    output = cb.drive(map(json.loads, lines), [handler, usage])
    assert handler.heard == ["start", "Let me ", "see.", ("end", "Let me see.")]
    assert output.tool_calls[0]["args"] == {"city": "Oslo"}
    assert usage.usage_metadata["scripted-1"]["total_tokens"] == 12


def test_an_error_of_a_run_reaches_its_handlers_and_the_reader() -> None:
    handler = Hears()
    with pytest.raises(ConnectionError):
        cb.drive(model("text", fails_after=2).stream_events("hi", version="v3"), handler)
    assert handler.heard == ["start", "Let", " me", ("error", "the provider has gone")]
    handler = Hears()
    with pytest.raises(ConnectionError):
        cb.drive(agent(broken).stream_events({"messages": ["hi"]}, version="v3"), handler)
    assert ("tool error", "no net") in handler.heard


def test_events_are_pushed_as_well() -> None:
    handler = Hears()
    with cb.CallbackDispatcher(handler) as dispatcher:
        for event in model().stream_events("hi", version="v3"):
            dispatcher.feed(event)
        assert dispatcher.statistics().open_runs == 0
    assert handler.heard == ["start", "Let", " me", " see.", ("end", "Let me see.")]


def test_bad_input_is_told_by_the_dispatcher() -> None:
    with cb.CallbackDispatcher([]) as dispatcher:
        with pytest.raises(cb.EventFormatError, match="not a protocol event"):
            dispatcher.feed({"method": "messages", "params": 7})
        with pytest.raises(cb.EventSequenceError):
            dispatcher.feed({"event": "message-finish"})


def wire(data: Any, **params: Any) -> dict[str, Any]:
    return {"type": "event", "seq": 1, "method": "messages", "params": {"namespace": [], "data": data, **params}}


START = {"event": "message-start", "role": "ai", "id": "lc_run--7"}
BEGUN = {"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}}
DELTA = {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": "x"}}
ENDED = {"event": "content-block-finish", "index": 0, "content": {"type": "text", "text": "x"}}
FINISH = {"event": "message-finish"}

BAD = {
    "a part of a block that never began": ([START, DELTA], cb.EventSequenceError, "block 0 has not begun"),
    "two starts of a block": ([START, BEGUN, BEGUN], cb.EventSequenceError, "block 0 has begun already"),
    "an end before the start": ([START, ENDED], cb.EventSequenceError, "block 0 has not begun"),
    "an end of no message": ([wire(FINISH)], cb.EventSequenceError, "no messages are open"),
    "no envelope": ([START, {"method": "messages", "params": 7}], cb.EventFormatError, "params is int"),
    "no event in it": ([START, wire(7)], cb.EventFormatError, "data is int"),
    "a number for an index": ([START, {**BEGUN, "index": "0"}], cb.EventFormatError, "index is '0'"),
}
ANSWER = {"type": "success", "id": 1, "result": {"subscription_id": "7", "replayed_events": 0}}
"""To a command: `langgraph-sdk` hands it out among the events where it reads a WebSocket."""

STRANGE = [ANSWER, START, {"event": "message-pause"}, BEGUN, {**DELTA, "delta": {"type": "smell-delta"}}, DELTA, ENDED, FINISH]


def pushed(events: Any, handler: Any) -> None:
    with cb.CallbackDispatcher(handler) as dispatcher:
        for event in events:
            dispatcher.feed(event)


async def pushed_async(events: Any, handler: Any) -> None:
    async with cb.CallbackDispatcher(handler) as dispatcher:
        for event in events:
            await dispatcher.afeed(event)


async def each(events: Any) -> Any:
    for event in events:
        yield event


async def passed_on(events: Any, handler: Any) -> None:
    async for _ in cb.adispatch_events(each(events), handler):
        pass


ROADS = {
    "drive": cb.drive,
    "dispatch_events": lambda events, handler: list(cb.dispatch_events(events, handler)),
    "feed": pushed,
    "adrive": lambda events, handler: cb.adrive(each(events), handler),
    "adispatch_events": passed_on,
    "afeed": pushed_async,
}


async def taken(road: str, events: Any, handler: Any) -> None:
    result = ROADS[road](events, handler)
    if inspect.isawaitable(result):
        await result


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("case", BAD)
@pytest.mark.anyio
async def test_bad_input_is_told_on_every_road(case: str, road: str) -> None:
    """What was heard until then is heard, and the model's run is closed."""
    events, error, problem = BAD[case]
    handler = Hears()
    with pytest.raises(error, match=problem):
        await taken(road, events, handler)
    assert handler.heard[:1] == (["start"] if events[0] is START else [])
    assert [kind for kind, _ in handler.heard[1:]] == (["error"] if events[0] is START else [])


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.anyio
async def test_what_is_unknown_is_passed_over_on_every_road(road: str) -> None:
    handler = Hears()
    await taken(road, STRANGE, handler)
    assert handler.heard == ["start", "x", ("end", "x")]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_content_can_be_dispatched(script: str) -> None:
    handler = Hears()
    cb.drive(model(script).stream_events("hi", version="v3"), handler)
    wanted = "".join(chunk.text for chunk in model(script).stream("hi"))
    assert "".join(one for one in handler.heard[1:] if isinstance(one, str)) == wanted


def test_langgraph_sdk_events_are_read() -> None:
    """The SDK hands out the envelopes of the wire: with an id, without the pair."""
    sdk = [
        {**one, "event_id": str(one["seq"])}
        for one in protocol_of(cb.stream_events(agent(), {"messages": ["hi"]}, extended=True))
    ]
    handler = Hears()
    cb.drive(sdk, handler)
    assert handler.heard == [
        "start",
        ("end", ""),
        ("weather", {"city": "Oslo"}),
        ("returned", "rain in Oslo"),
        "start",
        "Let",
        " me",
        " see.",
        ("end", "Let me see."),
    ]
