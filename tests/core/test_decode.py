"""Events in, calls out: arguments, ids, tokens, results, errors, and the life of runs."""

from __future__ import annotations

import copy
import json
from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.documents import Document
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk, LLMResult

from callbridge.core.calls import Call
from callbridge.core.decode import EventsToCalls
from callbridge.core.runs import MISSING
from callbridge.errors import EventFormatError, EventSequenceError, RemoteError, RunUnfinishedError
from made_events import Run, chat_run


def decoded(*events: dict[str, Any], **options: Any) -> list[Call]:
    """All calls that a fresh translator makes of these events."""
    decode = EventsToCalls(**options)
    return [call for event in events for call in decode.feed(event)]


def methods(calls: list[Call]) -> list[str]:
    return [call.method for call in calls]


def only(calls: list[Call]) -> Call:
    assert len(calls) == 1
    return calls[0]


def ids(run: Run) -> dict[str, Any]:
    parents = run.fields["parent_ids"]
    return {"run_id": UUID(run.id), "parent_run_id": UUID(parents[-1]) if parents else None, "tags": ["seq:step:1"]}


def begun(run: Run) -> dict[str, Any]:
    return {**ids(run), "metadata": {"user": "u"}, "name": run.fields["name"]}


THING = {"name": "thing", "id": ["thing"]}
UNNAMED = {"name": None}
MODEL = {"invocation_params": {}, "options": {}, "batch_size": 1, **UNNAMED}

# -- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run_type", "data", "method", "subject", "more"),
    [
        ("chain", {"input": {"q": 1}}, "on_chain_start", {"q": 1}, {}),
        ("chain", {"input": None}, "on_chain_start", None, {}),
        ("chain", {}, "on_chain_start", {"input": ""}, {}),
        ("prompt", {"input": {"q": 1}}, "on_chain_start", {"q": 1}, {"run_type": "prompt"}),
        ("parser", {}, "on_chain_start", {"input": ""}, {"run_type": "parser"}),
        ("my_type", {"input": 1}, "on_chain_start", 1, {"run_type": "my_type"}),
        ("chat_model", {"input": {"messages": [[HumanMessage("hi")]]}}, "on_chat_model_start", [[HumanMessage("hi")]], MODEL),
        ("chat_model", {"input": "hi"}, "on_chat_model_start", [[HumanMessage("hi")]], MODEL),
        ("chat_model", {}, "on_chat_model_start", [[]], MODEL),
        ("llm", {"input": {"prompts": ["hi"]}}, "on_llm_start", ["hi"], MODEL),
        ("tool", {"input": {"a": 1}}, "on_tool_start", "{'a': 1}", {"inputs": {"a": 1}, "color": "green", **UNNAMED}),
        (
            "tool",
            {"input": {"name": "t", "args": {"a": 1}, "id": "c1", "type": "tool_call"}},
            "on_tool_start",
            "{'a': 1}",
            {"inputs": {"a": 1}, "color": "green", "tool_call_id": "c1", **UNNAMED},
        ),
        (
            "tool",
            {"input": {"a": 1}, "tool_call_id": "c2"},
            "on_tool_start",
            "{'a': 1}",
            {"inputs": {"a": 1}, "color": "green", "tool_call_id": "c2", **UNNAMED},
        ),
        ("retriever", {"input": {"query": "tea"}}, "on_retriever_start", "tea", {}),
        ("retriever", {"input": "tea"}, "on_retriever_start", "tea", {}),
    ],
)
def test_starts_have_the_arguments_that_langchain_passes(
    run_type: str, data: dict[str, Any], method: str, subject: Any, more: dict[str, Any]
) -> None:
    """Two positional arguments, of which the first is never None; the rest by keyword."""
    run = Run(run_type)
    assert decoded(run.start(**data)) == [Call(method, (THING, subject), {**begun(run), **more})]


@pytest.mark.parametrize(
    ("run_type", "output", "method", "more"),
    [
        ("chain", 5, "on_chain_end", {}),
        ("parser", "5", "on_chain_end", {}),
        ("tool", "4", "on_tool_end", {"color": "green", "name": "thing"}),
        ("retriever", [Document(page_content="d")], "on_retriever_end", {}),
    ],
)
def test_ends_have_the_arguments_that_langchain_passes(run_type: str, output: Any, method: str, more: dict[str, Any]) -> None:
    """The very output, and no inputs where the start had them."""
    run = Run(run_type)
    call = decoded(run.start(input={"q": 1}), run.end(output, input={"q": 1}))[-1]
    assert call == Call(method, (output,), {**ids(run), **more})
    assert call.args[0] is output


@pytest.mark.parametrize("inputs", [{"q": 1}, "tea", {}])
def test_inputs_of_a_streaming_chain_come_with_its_end(inputs: Any) -> None:
    """Its start says `{"input": ""}`, as in LangChain."""
    run = Run()
    start, end = decoded(run.start(), run.end(5, input=inputs))
    assert start.args[1] == {"input": ""}
    assert end.kwargs["inputs"] == inputs


def test_parents_are_the_last_of_the_parent_ids() -> None:
    """Ids are UUIDs; a root has no parent."""
    root = Run()
    middle = Run(parent=root)
    leaf = Run(parent=middle)
    calls = decoded(root.start(), middle.start(), leaf.start())
    assert [call.kwargs["parent_run_id"] for call in calls] == [None, UUID(root.id), UUID(middle.id)]
    assert [call.run_id for call in calls] == [UUID(root.id), UUID(middle.id), UUID(leaf.id)]


def test_ids_that_are_no_uuids_get_one_that_is_always_the_same() -> None:
    """Two recordings of one server give the same calls, and equal ids stay equal."""
    parent = Run(run_id="run-1")
    child = Run(parent=parent, run_id="run-2")
    first, second = (decoded(parent.start(), child.start(), child.end(), parent.end()) for _ in range(2))
    assert first == second
    assert first[1].kwargs["parent_run_id"] == first[0].run_id == first[-1].run_id != first[1].run_id
    assert isinstance(first[0].run_id, UUID)


def test_each_run_has_its_own_tags_and_metadata() -> None:
    """A handler that writes to them writes neither to the event nor to another run's."""
    run, other = Run(), Run()
    event = run.start()
    one, two = decoded(event, other.start())
    one.kwargs["tags"].append("x")
    one.kwargs["metadata"]["x"] = 1
    assert event["tags"] == ["seq:step:1"] == two.kwargs["tags"]
    assert event["metadata"] == {"user": "u"} == two.kwargs["metadata"]


# -- tokens -----------------------------------------------------------------------------------------------------------


def token_call(chunk: Any, run_type: str = "chat_model", **options: Any) -> Call | None:
    run = Run(run_type)
    calls = decoded(run.start(input={}), run.stream(chunk), **options)
    return calls[1] if len(calls) > 1 else None


def test_chat_tokens_carry_their_chunk() -> None:
    """The text by position, the message in a `ChatGenerationChunk`."""
    message = AIMessageChunk(content="tea")
    call = token_call(message)
    assert call is not None
    assert call.args == ("tea",)
    assert type(call.kwargs["chunk"]) is ChatGenerationChunk
    assert call.kwargs["chunk"].message is message
    assert call.kwargs.keys() == {"chunk", "run_id", "parent_run_id", "tags"}


BLOCKS: list[Any] = [{"type": "text", "text": "green ", "index": 0}, {"type": "reasoning", "reasoning": "hm"}, "tea"]


def test_list_tokens_are_handed_out_as_text() -> None:
    """Old handlers expect a string; the blocks are in the chunk."""
    call = token_call(AIMessageChunk(content=BLOCKS))
    assert call is not None
    assert call.args == ("green tea",)
    assert call.kwargs["chunk"].message.content == BLOCKS


def test_list_tokens_are_left_as_they_are_on_request() -> None:
    """As LangChain hands them out."""
    call = token_call(AIMessageChunk(content=BLOCKS), list_tokens=True)
    assert call is not None
    assert call.args == (BLOCKS,)


def test_a_whole_message_is_no_token() -> None:
    """A root model that does not stream: handlers attached to it get no token either."""
    assert token_call(AIMessage(content="tea")) is None


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (json.loads(json.dumps(AIMessageChunk(content="tea").model_dump())), "tea"),
        (dumpd(AIMessageChunk(content="tea")), "tea"),
        ("tea", "tea"),
    ],
)
def test_chat_chunks_out_of_json(payload: Any, text: str) -> None:
    """Either dump of a chunk, or just its text."""
    call = token_call(payload)
    assert call is not None
    assert call.args == (text,)
    assert isinstance(call.kwargs["chunk"].message, AIMessageChunk)


@pytest.mark.parametrize("payload", ["tea", GenerationChunk(text="tea"), GenerationChunk(text="tea").model_dump()])
def test_text_chunks(payload: Any) -> None:
    """A root completion model streams strings, any other chunks."""
    call = token_call(payload, "llm")
    assert call is not None
    assert call.args == ("tea",)
    assert call.kwargs["chunk"] == GenerationChunk(text="tea")


@pytest.mark.parametrize("run_type", ["chain", "prompt", "parser", "tool", "retriever", "my_type"])
def test_chunks_of_other_runs_make_no_calls(run_type: str) -> None:
    """There is no callback for them."""
    run = Run(run_type)
    assert len(decoded(run.start(input="x"), run.stream("chunk"))) == 1


# -- results ----------------------------------------------------------------------------------------------------------


def result(output: Any, run_type: str = "chat_model") -> LLMResult:
    run = Run(run_type)
    end = decoded(run.start(input="hi"), run.end(output))[-1]
    assert end.method == "on_llm_end"
    found = end.args[0]
    assert isinstance(found, LLMResult)
    return found


@pytest.mark.parametrize(
    ("message", "generation"),
    [(AIMessage(content="tea"), ChatGeneration), (AIMessageChunk(content="tea"), ChatGenerationChunk)],
)
def test_a_chat_result_holds_the_message(message: Any, generation: type) -> None:
    """One generation, chunk or whole as the message is."""
    found = result(message)
    assert [[type(one) for one in group] for group in found.generations] == [[generation]]
    assert found.generations[0][0].message is message  # type: ignore[union-attr]
    assert found.llm_output is None


USAGE: Any = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


def test_chat_results_out_of_json() -> None:
    """A dumped message, an older server's dict of generations, bare text, and none at all."""
    message = AIMessage(content="tea", usage_metadata=USAGE)
    assert result(message.model_dump()).generations == [[ChatGeneration(message=message)]]
    assert result({"generations": [[{"message": dumpd(message)}]]}).generations == [[ChatGeneration(message=message)]]
    assert result("tea").generations == [[ChatGeneration(message=AIMessage(content="tea"))]]
    assert result({}).generations == [[]]


def test_a_text_result_holds_all_generations() -> None:
    """With their information, and what the provider says beside."""
    dumped = {"text": "tea", "generation_info": {"finish_reason": "stop"}, "type": "Generation"}
    found = result({"generations": [[dumped, dumped]], "llm_output": {"tokens": 1}}, "llm")
    assert found.generations == [[Generation(text="tea", generation_info={"finish_reason": "stop"})] * 2]
    assert found.llm_output == {"tokens": 1}
    assert result("tea", "llm").generations == [[Generation(text="tea")]]
    assert result(found, "llm") is found


def test_documents_and_tool_messages_out_of_json() -> None:
    """Handlers get objects with attributes."""
    document, message = Document(page_content="d"), ToolMessage(content="4", tool_call_id="c1")
    retriever, tool = Run("retriever"), Run("tool")
    calls = decoded(
        retriever.start(input="q"), retriever.end([document.model_dump()]), tool.start(input={}), tool.end(message.model_dump())
    )
    assert calls[1].args == ([document],)
    assert calls[3].args == (message,)


# -- errors and notes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run_type", "method"),
    [
        ("chain", "on_chain_error"),
        ("prompt", "on_chain_error"),
        ("my_type", "on_chain_error"),
        ("tool", "on_tool_error"),
        ("retriever", "on_retriever_error"),
    ],
)
def test_error_events_give_the_very_error(run_type: str, method: str) -> None:
    """By position, with the run's ids."""
    run, error = Run(run_type), ValueError("no tea")
    call = decoded(run.start(input="x"), run.error(error, input="x"))[-1]
    assert call == Call(method, (error,), ids(run))
    assert call.args[0] is error


def test_errors_of_tools_carry_the_id_of_the_call() -> None:
    """Told by the error itself, or by the start."""
    told, known = Run("tool"), Run("tool")
    assert decoded(told.start(input={}), told.error(ValueError(), tool_call_id="c1"))[-1].kwargs["tool_call_id"] == "c1"
    events = known.start(input={}, tool_call_id="c2"), known.error(ValueError(), tool_call_id=None)
    assert decoded(*events)[-1].kwargs["tool_call_id"] == "c2"


def test_inputs_of_a_failed_streaming_chain_come_with_its_error() -> None:
    """As far as they are known."""
    run, other = Run(), Run()
    assert decoded(run.start(), run.error(ValueError(), input="tea"))[-1].kwargs["inputs"] == "tea"
    assert "inputs" not in decoded(other.start(), other.error(ValueError(), input=None))[-1].kwargs


def test_errors_out_of_json_are_exceptions() -> None:
    """Handlers format and raise them."""
    run = Run()
    error = decoded(run.start(), run.error({"type": "ValueError", "message": "no tea"}))[-1].args[0]
    assert isinstance(error, RemoteError)


ACTION = AgentAction(tool="t", tool_input="i", log="l")
FINISH = AgentFinish(return_values={"output": 1}, log="l")


@pytest.mark.parametrize(
    ("name", "data", "told", "more"),
    [
        ("on_agent_action", {"action": ACTION, "color": "green"}, ACTION, {"color": "green"}),
        ("on_agent_action", {"action": ACTION.model_dump()}, ACTION, {}),
        ("on_agent_finish", {"finish": FINISH}, FINISH, {}),
        ("on_text", {"text": "t", "end": "\n"}, "t", {"end": "\n"}),
        ("on_retry", {"retry_state": 1}, 1, {}),
    ],
)
def test_extended_events_that_neither_begin_nor_end_a_run(name: str, data: Any, told: Any, more: Any) -> None:
    """One positional argument; the rest of the data by keyword."""
    run = Run()
    assert decoded(run.start(), run.event(name, data))[-1] == Call(name, (told,), {**ids(run), **more})


def test_custom_events_need_no_run() -> None:
    """Filters may hide the run that dispatched it; there is no parent, as in LangChain."""
    run, data = Run(name="progress"), {"percent": 3}
    call = only(decoded(run.event("on_custom_event", data)))
    assert call == Call(
        "on_custom_event", ("progress", data), {"run_id": UUID(run.id), "tags": ["seq:step:1"], "metadata": {"user": "u"}}
    )
    assert call.args[1] is data


# -- the life of runs -------------------------------------------------------------------------------------------------


def test_runs_open_at_their_parents_end_are_closed_innermost_first() -> None:
    """A run that a fallback rescued has no end of its own; its late events are ignored."""
    root = Run()
    rescued = Run(parent=root, name="rescued")
    model = Run("chat_model", parent=rescued)
    decode = EventsToCalls()
    for event in (root.start(), rescued.start(), model.start(input="x")):
        decode.feed(event)
    calls = decode.feed(root.end(1))
    assert [(call.method, call.run_id) for call in calls] == [
        ("on_llm_error", UUID(model.id)),
        ("on_chain_error", UUID(rescued.id)),
        ("on_chain_end", UUID(root.id)),
    ]
    error = calls[1].args[0]
    assert isinstance(error, RunUnfinishedError)
    assert (error.run_id, error.name) == (rescued.id, "rescued")
    assert [decode.feed(event) for event in (model.stream("late"), model.end("late"), rescued.end(1), root.end(1))] == [[]] * 4
    assert decode.open_runs == 0


def test_late_events_are_ignored_as_long_as_the_root_is_open() -> None:
    """The run was closed when its parent ended; a second end would confuse handlers."""
    root = Run()
    parent = Run(parent=root)
    child = Run("chat_model", parent=parent)
    decode = EventsToCalls()
    for event in (root.start(), parent.start(), child.start(input="x"), parent.end(1)):
        decode.feed(event)
    assert decode.feed(child.stream("late")) == []
    assert decode.feed(child.event("on_text", {"text": "late"})) == []
    assert decode.feed(child.end("late")) == []
    assert decode.feed(parent.error(ValueError())) == []
    assert methods(decode.feed(root.end(1))) == ["on_chain_end"]


def test_a_failing_parent_gives_its_error_to_what_is_open_below() -> None:
    """In place of an error that says nothing."""
    root = Run()
    child = Run("retriever", parent=root)
    error = ValueError("no tea")
    calls = decoded(root.start(), child.start(input="q"), root.error(error))
    assert methods(calls)[2:] == ["on_retriever_error", "on_chain_error"]
    assert calls[2].args[0] is calls[3].args[0] is error


def test_of_two_open_neighbours_the_elder_is_closed_first() -> None:
    """In a stream the elder is upstream: LangChain reports the model that failed before the parser that read it."""
    root = Run()
    model, parser = Run("chat_model", parent=root), Run("parser", parent=root)
    decode = EventsToCalls()
    for event in (root.start(), model.start(input="x"), parser.start()):
        decode.feed(event)
    assert [call.run_id for call in decode.close(ValueError())] == [UUID(run.id) for run in (model, parser, root)]


def test_closing_closes_every_open_run_once() -> None:
    """With the error given; a second close finds nothing."""
    one, other = Run(), Run()
    child = Run("tool", parent=one)
    decode = EventsToCalls()
    for event in (one.start(), other.start(), child.start(input={}, tool_call_id="c1")):
        decode.feed(event)
    assert decode.open_runs == 3
    error = ValueError("gone")
    calls = decode.close(error)
    assert [(call.method, call.run_id) for call in calls] == [
        ("on_tool_error", UUID(child.id)),
        ("on_chain_error", UUID(one.id)),
        ("on_chain_error", UUID(other.id)),
    ]
    assert all(call.args[0] is error for call in calls)
    assert calls[0].kwargs["tool_call_id"] == "c1"
    assert (decode.close(), decode.open_runs) == ([], 0)


def test_closing_without_an_error_says_which_run_was_not_finished() -> None:
    """Each with an error of its own."""
    run = Run()
    decode = EventsToCalls()
    decode.feed(run.start())
    error = only(decode.close()).args[0]
    assert isinstance(error, RunUnfinishedError)
    assert error.run_id == run.id


def test_runs_whose_parent_is_hidden_keep_its_id() -> None:
    """Filters drop whole runs; what is left still says who its parent was."""
    hidden = Run()
    child = Run(parent=hidden)
    calls = decoded(child.start(), child.end(1))
    assert [call.kwargs["parent_run_id"] for call in calls] == [UUID(hidden.id)] * 2


def test_a_run_below_a_hidden_parent_is_closed_with_its_grandparent() -> None:
    """The nearest ancestor that is shown ends it."""
    root = Run()
    hidden = Run(parent=root)
    child = Run("chat_model", parent=hidden)
    calls = decoded(root.start(), child.start(input="x"), root.end(1))
    assert methods(calls) == ["on_chain_start", "on_chat_model_start", "on_llm_error", "on_chain_end"]
    assert calls[2].kwargs["parent_run_id"] == UUID(hidden.id)


def test_root_output_is_that_of_the_last_root() -> None:
    """Of runs without parents, that is; a failed one has none."""
    one, other, failed = Run(), Run(), Run()
    child = Run(parent=one)
    decode = EventsToCalls()
    assert decode.root_output is MISSING
    for event in (one.start(), child.start(), child.end("child")):
        decode.feed(event)
    assert decode.root_output is MISSING
    for event in (one.end(None), failed.start(), failed.error(ValueError())):
        decode.feed(event)
    assert decode.root_output is None
    for event in (other.start(), other.end("other")):
        decode.feed(event)
    assert decode.root_output == "other"


@pytest.mark.parametrize(
    ("run_type", "output"),
    [
        ("chat_model", AIMessage(content="tea")),
        ("tool", ToolMessage(content="tea", tool_call_id="1")),
        ("retriever", [Document(page_content="tea")]),
    ],
)
def test_root_output_is_an_object_also_out_of_json(run_type: str, output: Any) -> None:
    """The caller gets what the root's caller got, as the handlers do, whether or not a handler wants its end."""
    root = Run(run_type)
    decode = EventsToCalls(methods=[])
    for event in (root.start(), root.end(json.loads(json.dumps(output, default=dumpd)))):
        decode.feed(event)
    assert decode.root_output == output


def test_a_recording_can_be_fed_again() -> None:
    """The ids are known from before, but the runs have ended."""
    decode = EventsToCalls()
    events = chat_run("a", "b")
    first, second = ([call for event in events for call in decode.feed(event)] for _ in range(2))
    assert first == second


def test_nothing_is_remembered_of_runs_but_that_they_are_over() -> None:
    """A translator that lives as long as a server holds the runs in flight, and a bounded number of ids."""
    decode = EventsToCalls()
    for _ in range(3000):
        run = Run()
        decode.feed(run.start())
        decode.feed(run.end())
    assert len(decode._runs) == len(decode._tree) == 0
    assert len(decode._finished) <= 1024


# -- what is not wanted -----------------------------------------------------------------------------------------------


def test_unwanted_calls_are_not_made_but_runs_are_followed() -> None:
    """The life of runs does not depend on which handlers listen."""
    root = Run()
    model = Run("chat_model", parent=root)
    calls = decoded(root.start(), model.start(input="x"), model.stream("a"), root.end(1), methods=["on_llm_error"])
    assert methods(calls) == ["on_llm_error"]


def test_a_chat_models_start_is_made_for_who_wants_that_of_a_completion_model() -> None:
    """LangChain sends it on to `on_llm_start` with the messages as text."""
    assert methods(decoded(Run("chat_model").start(input="x"), methods=["on_llm_start"])) == ["on_chat_model_start"]


# -- bad input --------------------------------------------------------------------------------------------------------

RUN = Run("chat_model")


@pytest.mark.parametrize(
    ("before", "bad", "error"),
    [
        ([], 5, EventFormatError),
        ([], {}, EventFormatError),
        ([], RUN.event("on_tea", {}), EventFormatError),
        ([], RUN.event("on_chain_stream", {}), EventFormatError),
        ([], RUN.stream("a"), EventSequenceError),
        ([], RUN.end("a"), EventSequenceError),
        ([], RUN.error(ValueError()), EventSequenceError),
        ([], Run("chain").stream("a"), EventSequenceError),
        ([RUN.start(input="x")], RUN.start(input="x"), EventSequenceError),
        ([RUN.start(input="x")], RUN.stream({"no": "message"}), EventFormatError),
        ([RUN.start(input="x")], RUN.end(7), EventFormatError),
        ([RUN.start(input="x")], RUN.end({"generations": [[7]]}), EventFormatError),
        ([Run("llm", run_id=RUN.id).start(input="x")], Run("llm", run_id=RUN.id).stream(7), EventFormatError),
        ([Run("llm", run_id=RUN.id).start(input="x")], Run("llm", run_id=RUN.id).end(7), EventFormatError),
    ],
)
def test_bad_input_is_named_and_changes_nothing(before: list[Any], bad: Any, error: type[Exception]) -> None:
    """The error says what came; the runs are as open as they were."""
    decode, untouched = EventsToCalls(), EventsToCalls()
    for event in before:
        decode.feed(event)
        untouched.feed(event)
    with pytest.raises(error) as raised:
        decode.feed(bad)
    if isinstance(raised.value, EventSequenceError):
        assert raised.value.run_id == bad["run_id"]
        assert bad["run_id"] in str(raised.value)
    else:
        assert isinstance(raised.value, EventFormatError)
        assert raised.value.value == bad
    last = ValueError()
    assert decode.close(last) == untouched.close(last)


# -- properties -------------------------------------------------------------------------------------------------------

steps = st.lists(st.tuples(st.sampled_from(["start", "stream", "end", "error"]), st.integers(0, 5)), max_size=30)
kinds = st.sampled_from(["chain", "chat_model", "llm", "tool", "retriever", "parser"])
PAYLOADS = {
    "chat_model": (AIMessageChunk(content="a"), AIMessage(content="a")),
    "llm": ("a", {"generations": [[{"text": "a"}]], "llm_output": None}),
}


def story(program: list[tuple[str, int]], choose: Any) -> list[dict[str, Any]]:
    """A stream in which runs end in any order, or not at all, and report late."""
    events: list[dict[str, Any]] = []
    runs: list[Run] = []
    for what, which in program:
        if what == "start" or not runs:
            parent = runs[which % len(runs)] if runs and which else None
            run = Run(choose(), parent=parent)
            runs.append(run)
            events.append(run.start(input="x"))
            continue
        run = runs[which % len(runs)]
        chunk, output = PAYLOADS.get(run.run_type, ("a", "a"))
        events.append({"stream": run.stream(chunk), "end": run.end(output), "error": run.error(ValueError("v"))}[what])
    return events


@given(st.data(), steps)
def test_every_start_has_one_terminal_call_and_none_comes_before_its_children(data: st.DataObject, program: Any) -> None:
    """Whatever the events say: one start and one end or error for each run, a child's before its parent's."""
    decode = EventsToCalls()
    events = story(program, lambda: data.draw(kinds))
    before = copy.deepcopy(events)
    calls: list[Call] = []
    for event in events:
        calls += decode.feed(event)
    calls += decode.close()
    assert repr(events) == repr(before)
    assert decode.open_runs == 0
    terminals = [call.run_id for call in calls if call.method.endswith(("_end", "_error"))]
    assert Counter(terminals) == Counter(call.run_id for call in calls if call.method.endswith("_start"))
    started_under = {call.run_id: call.kwargs["parent_run_id"] for call in calls if call.method.endswith("_start")}
    alive: set[Any] = set()
    for call in calls:
        if call.method.endswith("_start"):
            alive.add(call.run_id)
        elif call.method.endswith(("_end", "_error")):
            # What was open below it was closed before; children that start later are another matter.
            assert not [run for run in alive if started_under[run] == call.run_id]
            alive.remove(call.run_id)
        else:
            assert call.run_id in alive


@given(st.data(), steps, steps)
def test_interleaved_streams_do_not_change_each_other(data: st.DataObject, one: Any, other: Any) -> None:
    """The calls of each are those that it makes alone."""
    first, second = (story(program, lambda: data.draw(kinds)) for program in (one, other))
    together = EventsToCalls()
    calls: list[Call] = []
    queues = [list(first), list(second)]
    while any(queues):
        queue = data.draw(st.sampled_from([queue for queue in queues if queue]))
        calls += together.feed(queue.pop(0))
    mine = {UUID(event["run_id"]) for event in first}

    def shown(some: list[Call]) -> list[str]:
        return [repr((call.method, call.args, call.kwargs)) for call in some]

    assert shown([call for call in calls if call.run_id in mine]) == shown(decoded(*first))
    assert shown([call for call in calls if call.run_id not in mine]) == shown(decoded(*second))
