"""The final answer: by the structure of a run, and by the text before it, however that is cut."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage

from callbridge.core.final import FinalAnswer, FinalText
from made_events import Run

CALL = [{"name": "weigh", "args": "{}", "id": "c1", "index": 0, "type": "tool_call_chunk"}]


def said(answer: FinalAnswer, *events: Any) -> str:
    view = FinalText(answer)
    return "".join(view.feed(event) for event in events)


def model_call(root: Run, *chunks: AIMessageChunk, asked: Any = (), **fields: Any) -> list[Any]:
    """The events of a chat model that streams."""
    model = Run("chat_model", "model", root, **fields)
    whole = chunks[0] if chunks else AIMessageChunk(content="")
    for chunk in chunks[1:]:
        whole = whole + chunk  # type: ignore[assignment]
    return [model.start(input={"messages": [list(asked)]}), *map(model.stream, chunks), model.end(whole)]


def text(*tokens: str) -> list[AIMessageChunk]:
    return [AIMessageChunk(content=token) for token in tokens]


def calling(*tokens: str) -> list[AIMessageChunk]:
    return [*text(*tokens), AIMessageChunk(content="", tool_call_chunks=CALL), *text("beside the call")]


def test_the_answer_of_a_tool_calling_agent_is_what_calls_no_tool() -> None:
    """Models inside tools are not the agent."""
    root = Run()
    tool = Run("tool", "weigh", root)
    events = [
        root.start(input="q"),
        *model_call(root, *calling()),
        tool.start(input={}),
        *model_call(tool, *text("inside")),
        *model_call(Run("chain", "inner", tool), *text("deeper inside")),
        tool.end("1 kg"),
        *model_call(root, *text("It ", "weighs ", "1 kg")),
        root.end(),
    ]
    assert said(FinalAnswer(), *events) == "It weighs 1 kg"


def test_what_is_said_before_a_tool_call_is_held_back_if_asked() -> None:
    """It cannot be taken back otherwise; then it is whole, and the answer does not stick to it."""
    root = Run()
    events = [*model_call(root, *calling("Let me ", "see")), *model_call(root, *text("1 ", "kg"))]
    assert said(FinalAnswer(), *events) == "Let me seebeside the call\n\n1 kg"
    assert said(FinalAnswer(hold=True), *events) == "1 kg"


def test_a_tool_call_that_comes_with_the_last_words_does_not_cut_them_off() -> None:
    """In one chunk, as some models send it."""
    last = AIMessageChunk(content="ok", tool_call_chunks=CALL)
    assert said(FinalAnswer(), *model_call(Run(), *text("let me lo"), last)) == "let me look\n\n"
    assert said(FinalAnswer(hold=True), *model_call(Run(), *text("let me lo"), last)) == ""


def test_text_is_held_back_only_from_models_that_may_call_a_tool() -> None:
    """What a model without tools says is the answer as it comes; unless its messages show that it has tools all the same."""
    node, used = {"langgraph_node": "agent"}, [ToolMessage(content="1", tool_call_id="c")]
    for has_tools, asked, at_once in ((False, [], True), (False, used, False), (None, [], False), (True, [], False)):
        answer = FinalAnswer(hold=True)
        answer.start_model(1, prompt=asked, metadata=node, has_tools=has_tools)
        assert (answer.token(1, "1 kg"), answer.reached(1), answer.end_model(1)) == (
            ("1 kg", True, "") if at_once else ("", False, "1 kg")
        )


def test_a_model_that_does_not_stream_gives_its_answer_at_its_end() -> None:
    """And nothing if it calls a tool."""
    root = Run()
    calls, answers = Run("chat_model", "model", root), Run("chat_model", "model", root)
    call = AIMessage(content="wait", tool_calls=[{"name": "weigh", "args": {}, "id": "c1", "type": "tool_call"}])
    asked = {"messages": [[]]}
    events = [calls.start(input=asked), calls.end(call), answers.start(input=asked), answers.end(AIMessage(content="1 kg"))]
    for hold in (False, True):
        assert said(FinalAnswer(hold=hold), *events) == "1 kg"


def test_models_that_are_not_to_be_seen_say_nothing() -> None:
    """Tagged `nostream`."""
    assert said(FinalAnswer(), *model_call(Run(), *text("secret"), tags=["nostream"])) == ""


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30))
def test_the_prefix_is_found_however_the_text_is_cut(cuts: list[int]) -> None:
    """Token by token, character by character, all at once."""
    whole = "I know it.\nFinal  Answer:\n 42, and Final Answer: is said again"
    tokens, rest = [], whole
    for cut in cuts:
        tokens.append(rest[:cut])
        rest = rest[cut:]
    tokens.append(rest)
    asked = [HumanMessage(content="End with Final Answer: ...")]
    for stream_prefix, answer in ((False, "\n 42"), (True, "Final  Answer:\n 42")):
        got = said(FinalAnswer(stream_prefix=stream_prefix), *model_call(Run(), *text(*tokens), asked=asked))
        want = f"{answer}, and Final Answer: is said again"
        # White space directly after the prefix is a part of it if a token ends there.
        assert got in (want, want.replace("\n 42", " 42"), want.replace("\n 42", "42"))


def test_a_prefix_that_must_be_exact() -> None:
    """`strip=False`: white space counts."""
    exact = FinalAnswer(["Final", " Answer", ":"], strip=False, always="prefix")
    assert said(exact, *model_call(Run(), *text("Final  Answer: no"))) == ""
    assert said(exact, *model_call(Run(), *text("Final Answer: yes"))) == " yes"


def test_which_rule_holds_is_seen_from_what_the_model_was_asked() -> None:
    """A prompt with the prefix, signs of tools, and the caller's choice where there are none."""
    words = text("Thought. Final Answer: 42")
    plain = [HumanMessage(content="q")]
    steered = [HumanMessage(content="Answer with\nFinal Answer: the answer")]
    tools = [HumanMessage(content="q"), ToolMessage(content="1", tool_call_id="c")]
    assert said(FinalAnswer(otherwise="prefix"), *model_call(Run(), *words, asked=plain)) == " 42"
    assert said(FinalAnswer(otherwise="structure"), *model_call(Run(), *words, asked=plain)) == "Thought. Final Answer: 42"
    assert said(FinalAnswer(otherwise="structure"), *model_call(Run(), *words, asked=steered)) == " 42"
    assert said(FinalAnswer(otherwise="prefix"), *model_call(Run(), *words, asked=tools)) == "Thought. Final Answer: 42"
    node = model_call(Run(), *words, asked=plain, metadata={"langgraph_node": "agent"})
    assert said(FinalAnswer(otherwise="prefix"), *node) == "Thought. Final Answer: 42"
    assert said(FinalAnswer(otherwise="prefix", always="structure"), *model_call(Run(), *words)) == "Thought. Final Answer: 42"


def test_text_before_the_prefix_is_not_kept() -> None:
    """A model that thinks for long takes no memory."""
    answer = FinalAnswer(always="prefix")
    answer.start_model(1, prompt=[])
    for _ in range(1000):
        assert answer.token(1, "thinking ") == ""
    assert len(answer._models[1].text) < 100
    assert answer.token(1, "Final Answer: x") == " x"
    answer.end_model(1)
    assert not answer._models


def test_string_models_have_answers_too() -> None:
    """Streaming or not."""
    model = Run("llm", "model")
    start = model.start(input={"prompts": ["say Final Answer: x"]})
    output = {"generations": [[{"text": "So. Final Answer: 42"}]]}
    assert said(FinalAnswer(), start, model.end(output)) == " 42"
    assert (
        said(FinalAnswer(), start, *(model.stream(token) for token in ("Final An", "swer: 4", "2")), model.end(output)) == " 42"
    )


def test_runs_that_never_end_are_forgotten_with_their_root() -> None:
    """v2 reports no end of a run that a fallback rescued."""
    root = Run()
    answer = FinalAnswer()
    tool, model = Run("tool", "t", root), Run("chat_model", "m", root)
    said(answer, root.start(input=1), tool.start(input={}), model.start(input={"messages": [[]]}), root.end())
    assert not answer._models
    assert not answer._in_tools
