"""Hypothesis strategies: transcripts of callback calls, any runs in any interleaving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk, LLMResult

from callbridge.core.calls import Call

__all__ = ["transcripts"]

names = st.sampled_from(["RunnableSequence", "model", "tool", "übung", "Unnamed", ""])
texts = st.text(max_size=8)
tags = st.lists(st.sampled_from(["seq:step:1", "shared", "hidden"]), max_size=3)
payloads = st.one_of(
    st.integers(), texts, st.none(), st.lists(st.integers(), max_size=2), st.dictionaries(texts, st.integers())
)
inputs = payloads.filter(lambda value: value != {"input": ""})
errors = st.sampled_from([ValueError, RuntimeError, KeyboardInterrupt]).flatmap(lambda kind: texts.map(kind))

said = st.sampled_from([None, {"finish_reason": "stop"}, {"model_name": "m"}, {"model_name": "m", "odd": 1}])
"""What providers say beside an answer."""

tool_extras = st.sampled_from([{}, {"color": "blue"}, {"color": None}, {"llm_prefix": "Thought:"}])
"""What an agent executor passes to the callbacks of its tools."""

TYPES = ("chain", "prompt", "parser", "chat_model", "llm", "tool", "retriever")


@dataclass
class Open:
    """A run that the transcript has started and not ended."""

    run_id: UUID
    run_type: str
    parent: Open | None
    tags: list[str]
    name: str
    own_name: str | None = None
    placeholder: bool = False
    tool_call_id: str | None = None
    children: int = 0
    ids: dict[str, Any] = field(default_factory=dict)


def _start(draw: st.DrawFn, run: Open) -> Call:
    own = draw(names) if run.run_type in ("chat_model", "llm", "tool") else None  # models and tools have a name of their own
    called = run.name if own is None or draw(st.booleans()) else None
    run.name = run.own_name = called if own is None else own
    serialized = {} if run.name == "Unnamed" else {"name": run.name, "id": [run.name]}
    if own is not None and called is not None:
        run.name = called
    kwargs: dict[str, Any] = {**run.ids, "metadata": draw(st.dictionaries(texts, st.integers(), max_size=2)), "name": called}
    if own is None and called == "Unnamed":
        kwargs["name"] = None  # what v2 makes of that
    model = {"invocation_params": {}, "options": {}, "batch_size": 1}
    if run.run_type == "chat_model":
        messages = [[HumanMessage(content=text) for text in draw(st.lists(texts, min_size=1, max_size=2))]]
        return Call("on_chat_model_start", (serialized, messages), kwargs | model)
    if run.run_type == "llm":
        return Call("on_llm_start", (serialized, [draw(texts)]), kwargs | model)
    if run.run_type == "tool":
        arguments = draw(st.one_of(st.none(), st.dictionaries(texts, st.integers(), max_size=2)))
        text = draw(texts) if arguments is None else str(arguments)
        run.tool_call_id = draw(st.one_of(st.none(), st.just("call_1")))
        kwargs |= {"inputs": arguments, "color": "green"} | draw(tool_extras)
        return Call(
            "on_tool_start", (serialized, text), kwargs | ({} if run.tool_call_id is None else {"tool_call_id": "call_1"})
        )
    if run.run_type == "retriever":
        return Call("on_retriever_start", (serialized, draw(texts)), kwargs)
    if run.run_type != "chain":
        kwargs["run_type"] = run.run_type
    run.placeholder = draw(st.booleans())
    return Call("on_chain_start", (serialized, {"input": ""} if run.placeholder else draw(inputs)), kwargs)


def _token(draw: st.DrawFn, run: Open) -> Call:
    text = draw(texts)
    chunk = (
        ChatGenerationChunk(
            message=AIMessageChunk(content=text, response_metadata=draw(said) or {}), generation_info=draw(said)
        )
        if run.run_type == "chat_model"
        else GenerationChunk(text=text)
    )
    return Call("on_llm_new_token", (text,), {"chunk": chunk, **run.ids})


def _chat_result(draw: st.DrawFn) -> LLMResult:
    """A result with all that one may have, in any combination."""
    generations = [
        ChatGeneration(message=AIMessage(content=text, response_metadata=draw(said) or {}), generation_info=draw(said))
        for text in draw(st.lists(texts, min_size=1, max_size=2))
    ]
    return LLMResult(generations=[generations], llm_output=draw(said))


def _end(draw: st.DrawFn, run: Open) -> Call:
    if run.run_type == "chat_model":
        return Call("on_llm_end", (_chat_result(draw),), run.ids)
    if run.run_type == "llm":
        generations = [[Generation(text=draw(texts), generation_info=draw(st.sampled_from([None, {"stop": 1}])))]]
        return Call(
            "on_llm_end", (LLMResult(generations=generations, llm_output=draw(st.sampled_from([None, {"a": 1}]))),), run.ids
        )
    if run.run_type == "tool":
        return Call("on_tool_end", (draw(texts),), {**run.ids, "color": "green", "name": run.own_name} | draw(tool_extras))
    if run.run_type == "retriever":
        return Call("on_retriever_end", ([Document(page_content=draw(texts))],), run.ids)
    late = {"inputs": draw(st.dictionaries(texts, st.integers(), max_size=1))} if run.placeholder else {}
    return Call("on_chain_end", (draw(payloads),), run.ids | late)


def _error(draw: st.DrawFn, run: Open) -> Call:
    kind = {"chat_model": "llm", "llm": "llm", "tool": "tool", "retriever": "retriever"}.get(run.run_type, "chain")
    more: dict[str, Any] = {"tool_call_id": run.tool_call_id} if run.run_type == "tool" and run.tool_call_id else {}
    if kind == "llm":
        more["response"] = _chat_result(draw)
    elif run.placeholder and draw(st.booleans()):
        more["inputs"] = draw(st.dictionaries(texts, st.integers(), max_size=1))
    return Call(f"on_{kind}_error", (draw(errors),), run.ids | more)


def _note(draw: st.DrawFn, run: Open) -> Call:
    subject: dict[str, Callable[[], tuple[Any, ...]]] = {
        "on_text": lambda: (draw(texts),),
        "on_agent_action": lambda: (AgentAction(tool="t", tool_input=draw(texts), log=""),),
        "on_agent_finish": lambda: (AgentFinish(return_values={"output": draw(texts)}, log=""),),
        "on_retry": lambda: (object(),),
    }
    method = draw(st.sampled_from([*subject, "on_custom_event"]))
    if method == "on_custom_event":
        kwargs = {"run_id": run.run_id, "tags": draw(tags), "metadata": {}}
        return Call(method, (draw(texts), draw(payloads)), kwargs)
    colour = {"color": "blue", "verbose": True} if method != "on_retry" and draw(st.booleans()) else {}
    return Call(method, subject[method](), run.ids | colour)


@st.composite
def transcripts(draw: st.DrawFn, *, finished: bool = True) -> list[Call]:
    """Draw the calls of some runs, in the form in which they come back from events.

    Any run may report while others do; a parent ends after its children.

    Args:
        draw: Hypothesis' own.
        finished: Whether every run ends.
    """
    calls: list[Call] = []
    running: list[Open] = []
    numbers = iter(range(1, 1000))

    def begin() -> None:
        parent = draw(st.sampled_from([None, *running]))
        run_id = UUID(int=next(numbers))
        run = Open(run_id, draw(st.sampled_from(TYPES)), parent, draw(tags), draw(names))
        run.ids = {"run_id": run_id, "parent_run_id": parent.run_id if parent else None, "tags": run.tags}
        if parent:
            parent.children += 1
        calls.append(_start(draw, run))
        running.append(run)

    def leave(run: Open) -> None:
        calls.append(draw(st.sampled_from([_end, _end, _error]))(draw, run))
        running.remove(run)
        if run.parent:
            run.parent.children -= 1

    for _ in range(draw(st.integers(1, 25))):
        step = draw(st.sampled_from(["start", "token", "note", "end"])) if running else "start"
        run = draw(st.sampled_from(running)) if running else None
        if step == "start" or run is None:
            begin()
        elif step == "note":
            calls.append(_note(draw, run))
        elif step == "token" and run.run_type in ("chat_model", "llm"):
            calls.append(_token(draw, run))
        elif step == "end" and not run.children:
            leave(run)
    while finished and running:
        leave(draw(st.sampled_from([run for run in running if not run.children])))
    return calls
