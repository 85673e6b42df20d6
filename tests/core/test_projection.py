"""What a page shows of a run: facts of events, sources and custom events included."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage

from callbridge.core.facts import (
    CallAnswered,
    CallArguments,
    CallBegan,
    CallBroken,
    CallFailed,
    CallWhole,
    CustomCame,
    Interrupted,
    ModelBegan,
    ModelEnded,
    PieceBegan,
    PieceCame,
    PieceEnded,
    SourceFound,
)
from callbridge.core.projection import Projection


def event(name: str, run_id: str = "m", parents: Any = (), shown: str = "model", tags: Any = (), **data: Any) -> Any:
    return {
        "event": name,
        "run_id": run_id,
        "parent_ids": list(parents),
        "name": shown,
        "tags": list(tags),
        "metadata": {},
        "data": data,
    }


def facts(*events: Any, close: bool = True, **options: Any) -> list[Any]:
    projection = Projection(**options)
    found = [fact for each in events for fact in projection.feed(each)]
    return found + projection.close() if close else found


def stream(content: Any, run_id: str = "m", parents: Any = (), **fields: Any) -> Any:
    return event("on_chat_model_stream", run_id, parents, chunk=AIMessageChunk(content=content, **fields))


def part(**fields: Any) -> Any:
    return {"type": "tool_call_chunk", "index": 0, "id": None, "name": None, "args": None, **fields}


def called(name: str = "t", args: Any = None, call_id: str | None = "c") -> dict[str, Any]:
    return {"name": name, "args": args or {}, "id": call_id, "type": "tool_call"}


BEGAN, ENDED = ModelBegan("m", first=True), ModelEnded("m", last=True, failed=False)


def test_text_is_told_as_it_comes_and_once() -> None:
    found = facts(
        event("on_chat_model_start"), stream("a"), stream(""), stream("b"), event("on_chat_model_end", output=AIMessage("ab"))
    )
    text = [PieceBegan("text", "text-1", "m"), PieceCame("text", "text-1", "a", "m"), PieceCame("text", "text-1", "b", "m")]
    assert found == [BEGAN, *text, PieceEnded("text", "text-1", "m"), ENDED]


def test_text_that_was_not_streamed_is_told_at_the_end() -> None:
    """Of chat models, of completion models, and of a model whose start was filtered out."""
    said = [
        BEGAN,
        PieceBegan("text", "text-1", "m"),
        PieceCame("text", "text-1", "ab", "m"),
        PieceEnded("text", "text-1", "m"),
        ENDED,
    ]
    assert facts(event("on_chat_model_start"), event("on_chat_model_end", output=AIMessage("ab"))) == said
    assert facts(event("on_chat_model_end", output=AIMessage("ab"))) == said
    assert facts(event("on_llm_start"), event("on_llm_end", output={"generations": [[{"text": "ab"}]]})) == said


def test_an_end_that_comes_twice_tells_nothing_twice() -> None:
    end = event("on_chat_model_end", parents=["r"], output=AIMessage("ab"))
    assert facts(end, end) == facts(end)


def test_reasoning_is_told_if_asked_for_in_pieces_of_its_own() -> None:
    """And splits the text, which goes on in another piece."""
    events = [stream("a"), stream([{"type": "reasoning", "reasoning": "why", "index": 1}]), stream("b")]
    shown = [fact[:3] for fact in facts(*events, reasoning=True) if isinstance(fact, PieceCame)]
    assert shown == [("text", "text-1", "a"), ("reasoning", "reasoning-2", "why"), ("text", "text-3", "b")]
    assert [fact[:3] for fact in facts(*events) if isinstance(fact, PieceCame)] == [
        ("text", "text-1", "a"),
        ("text", "text-1", "b"),
    ]


def test_a_model_that_nobody_ends_ends_with_the_run_around_it() -> None:
    """Steps count models that speak: the second one is not the first, and the last to end is the last."""
    found = facts(
        event("on_chain_start", "r"),
        event("on_chat_model_start", "a", ["r"]),
        event("on_chat_model_start", "b", ["r"]),
        event("on_chat_model_end", "b", ["r"], output=AIMessage("")),
        event("on_chain_end", "r", output="x"),
    )
    assert found == [
        ModelBegan("a", first=True),
        ModelBegan("b", first=False),
        ModelEnded("b", last=False, failed=False),
        ModelEnded("a", last=True, failed=False),
    ]


def test_models_in_tools_and_tagged_ones_say_nothing() -> None:
    inside = [event("on_chat_model_start", "x", ["r", "t1"]), stream("secret", "x", ["r", "t1"])]
    found = facts(event("on_tool_start", "t1", ["r"], "t", input={}), *inside, tools=False)
    assert found == []
    assert (
        facts(event("on_chat_model_start", tags=["nostream"]), event("on_chat_model_stream", tags=["nostream"], chunk="x"))
        == []
    )


def test_parallel_calls_are_told_apart_by_their_index() -> None:
    """And each run finds its call by its arguments, in whichever order they end."""
    found = facts(
        stream("", tool_call_chunks=[part(id="a", name="t", args=""), part(index=1, id="b", name="t", args="")]),
        stream("", tool_call_chunks=[part(index=1, args='{"n": 2}'), part(args='{"n": 1}')]),
        event(
            "on_chat_model_end",
            output=AIMessage("", tool_calls=[called(args={"n": 1}, call_id="a"), called(args={"n": 2}, call_id="b")]),
        ),
        event("on_tool_start", "t2", shown="t", input={"n": 2}),
        event("on_tool_start", "t1", shown="t", input={"n": 1, "filled_in": 3}),
        event("on_tool_end", "t2", shown="t", output="two"),
        event("on_tool_end", "t1", shown="t", output="one"),
    )
    assert found[1:] == [
        CallBegan("a", "t", "m"),
        CallBegan("b", "t", "m"),
        CallArguments("b", '{"n": 2}'),
        CallArguments("a", '{"n": 1}'),
        CallWhole("a", "t", {"n": 1}, streamed=True),
        CallWhole("b", "t", {"n": 2}, streamed=True),
        ENDED,
        CallAnswered("b", "t", "two"),
        CallAnswered("a", "t", "one"),
    ]


def test_a_provider_without_ids_gets_unique_ones() -> None:
    """And one that uses an id twice; the answers still find their calls."""
    twice = [
        event(
            "on_chat_model_end",
            run,
            output=AIMessage("", tool_calls=[called(args={"n": run}, call_id="same"), called("u", call_id=None)]),
        )
        for run in ("m1", "m2")
    ]
    found = facts(
        *twice,
        event("on_tool_start", "t2", shown="t", input={"n": "m2"}),
        event("on_tool_end", "t2", output=ToolMessage("x", tool_call_id="same")),
    )
    ids = [fact.id for fact in found if isinstance(fact, CallBegan)]
    assert len(set(ids)) == len(ids) == 4
    assert [fact.id for fact in found if isinstance(fact, CallAnswered)] == [ids[2]]


def test_arguments_that_are_no_json_are_no_call() -> None:
    found = facts(
        stream("", tool_call_chunks=[part(id="a", name="t", args='{"n')]), event("on_chat_model_end", output=AIMessage(""))
    )
    assert CallBroken("a", "t", '{"n') in found
    assert not [fact for fact in found if isinstance(fact, CallWhole)]


def test_a_failure_is_told_when_no_retry_can_follow() -> None:
    """A retry that succeeds is the answer; without one the failure is told when the run around it ends."""
    call = event("on_chat_model_end", parents=["r"], output=AIMessage("", tool_calls=[called(args={"n": 1})]))
    start = event("on_tool_start", "t1", ["r", "n"], "t", input={"n": 1})
    failed = event("on_tool_error", "t1", ["r", "n"], "t", error=ValueError("why"), tool_call_id="c")
    again = [
        event("on_tool_start", "t2", ["r", "n"], "t", input={"n": 1}),
        event("on_tool_end", "t2", ["r", "n"], "t", output="ok"),
    ]
    ended = event("on_chain_end", "n", ["r"], output={})
    assert facts(call, start, failed, close=False) == facts(call, start, close=False)
    assert facts(call, start, failed, ended, close=False)[-1] == CallFailed("c", "t", "why")
    rescued = facts(call, start, failed, *again, ended)
    assert rescued[-1] == CallAnswered("c", "t", "ok")
    assert not [fact for fact in rescued if isinstance(fact, CallFailed)]


def test_a_node_may_answer_for_a_tool() -> None:
    """Without a run of it: a tool that does not exist, or that a human has refused. What happened before is told once."""
    call = event("on_chat_model_end", parents=["r"], output=AIMessage("", tool_calls=[called()]))
    answer = ToolMessage("no such tool", tool_call_id="c", status="error")
    state = {"messages": [ToolMessage("of long ago", tool_call_id="old"), answer]}
    found = facts(call, event("on_chain_end", "n", ["r"], output=state), event("on_chain_end", "r", output=state))
    assert [fact for fact in found if isinstance(fact, CallFailed | CallAnswered)] == [CallFailed("c", "t", "no such tool")]


@pytest.mark.parametrize(
    ("said", "inputs", "shown"), [("", False, {}), ("use oolong", False, {"q": "oolong"}), ("", True, {"q": "oolong"})]
)
def test_what_code_gives_to_a_tool_is_shown_if_a_model_has_said_it(said: str, inputs: bool, shown: Any) -> None:
    """Or if it is asked for; a tool that code runs is a call of its own."""
    found = facts(
        event("on_chat_model_end", output=AIMessage(said)),
        event("on_tool_start", "t1", shown="t", input={"q": "oolong"}),
        event("on_tool_end", "t1", shown="t", output="leaf"),
        inputs=inputs,
    )
    assert found[-3:] == [
        CallBegan("t1", "t", None),
        CallWhole("t1", "t", shown, streamed=False),
        CallAnswered("t1", "t", "leaf"),
    ]


def test_a_call_of_a_silent_model_is_shown_when_it_is_made() -> None:
    end = event("on_chat_model_end", tags=["nostream"], output=AIMessage("secret", tool_calls=[called(args={"n": 1})]))
    found = facts(
        end, event("on_tool_start", "t1", shown="t", input={"n": 1}), event("on_tool_end", "t1", shown="t", output="x")
    )
    assert found == [CallBegan("c", "t", None), CallWhole("c", "t", {"n": 1}, streamed=False), CallAnswered("c", "t", "x")]


def test_only_the_tools_that_are_named_are_shown() -> None:
    end = event("on_chat_model_end", output=AIMessage("", tool_calls=[called(), called("u", call_id="d")]))
    assert [fact.id for fact in facts(end, tools=["u"]) if isinstance(fact, CallBegan)] == ["d"]


def test_sources_are_told_once_by_title_and_address() -> None:
    """Never by what they say, nor by the path of a file, nor by an address that a browser would run."""
    documents = [
        Document("secret", metadata={"title": "Tea", "source": "/srv/secret/tea.md"}, id="d1"),
        Document("secret", metadata={"source": "/srv/secret/leaf.md"}),
        Document("secret", metadata={"source": "https://example.org/tea", "url": "javascript:alert(1)"}),
        Document("other", metadata={}),
    ]
    found = facts(
        event("on_retriever_end", "q", ["r"], output=documents),
        event("on_chain_end", "r", output={"source_documents": documents, "answer": "x"}),
        stream(
            [
                {
                    "type": "text",
                    "text": "a",
                    "annotations": [{"type": "citation", "url": "https://example.org/web", "title": "Web"}],
                }
            ],
            "x",
        ),
    )
    assert [fact for fact in found if isinstance(fact, SourceFound)] == [
        SourceFound("d1", "Tea", None),
        SourceFound("source-2", "leaf.md", None),
        SourceFound("source-3", "https://example.org/tea", "https://example.org/tea"),
        SourceFound("source-4", "Source 4", None),
        SourceFound("source-5", "Web", "https://example.org/web"),
    ]
    assert "secret" not in repr(found)
    assert facts(event("on_retriever_end", "q", ["r"], output=documents), sources=False) == []


def test_custom_events_and_interrupts_are_told() -> None:
    """An interrupt once, however often a graph says it; a tool that waits for it has not failed."""

    class GraphInterrupt(Exception):  # noqa: N818 - as LangGraph calls it
        pass

    class Interrupt:
        id, value = "i1", {"ask": "sure?"}

    waits = {"__interrupt__": (Interrupt(),)}
    found = facts(
        event("on_chain_start", "r"),
        event("on_tool_start", "t1", ["r"], "t", input={}),
        event("on_custom_event", "r", shown="progress") | {"data": {"done": 3}},
        event("on_tool_error", "t1", ["r"], "t", error=GraphInterrupt()),
        event("on_chain_stream", "r", chunk=waits),
        event("on_chain_end", "r", output=waits),
    )
    assert found[2:] == [CustomCame("progress", {"done": 3}), Interrupted("i1", {"ask": "sure?"})]


def test_what_models_cost_and_why_the_last_one_ended_is_known() -> None:
    usage = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
    projection = Projection()
    for run, reason in (("a", "stop"), ("b", "MAX_TOKENS")):
        message = AIMessage("x", usage_metadata=usage, response_metadata={"finish_reason": reason})
        projection.feed(event("on_chat_model_end", run, output=message))
    assert (projection.usage.input_tokens, projection.usage.output_tokens, projection.usage.total_tokens) == (6, 10, 16)
    assert projection.usage.reason == "length"
