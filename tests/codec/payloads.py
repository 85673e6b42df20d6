"""Hypothesis strategies: any payload that LangChain, or Python, has a form for in JSON."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

from hypothesis import strategies as st
from langchain_core.agents import AgentAction, AgentActionMessageLog, AgentFinish, AgentStep
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    ChatResult,
    Generation,
    GenerationChunk,
    LLMResult,
    RunInfo,
)
from langchain_core.prompt_values import ChatPromptValue, ImagePromptValue, StringPromptValue
from langchain_core.runnables.utils import AddableDict

__all__ = ["events", "payloads"]

texts = st.text(max_size=6)
keys = st.one_of(texts, st.sampled_from(["lc", "type", "id", "kwargs", "__lc_escaped__", "value", "repr"]))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    texts,
    st.binary(max_size=6),
    st.uuids(),
    st.datetimes(timezones=st.sampled_from([None, timezone.utc, timezone(timedelta(hours=-3, minutes=-30))])),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
)
hashables = st.one_of(scalars, st.lists(scalars, max_size=2).map(tuple), st.frozensets(scalars, max_size=2))


def _marks(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Dicts of the user's that look like marks."""
    return st.fixed_dictionaries(
        {"lc": st.one_of(st.just(1), inner)},
        optional={
            "type": st.sampled_from(["constructor", "secret", "not_implemented", "tuple", "dict", "callbridge"]),
            "id": st.one_of(inner, st.just(["langchain", "schema", "messages", "AIMessage"])),
            "kwargs": inner,
            "value": inner,
        },
    )


# Composite, because Hypothesis shows strategies by what they are built from, which is each of these many times over.
@st.composite
def _containers(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> Any:
    return draw(_container_of(inner))


def _container_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.sets(hashables, max_size=3),
        st.dictionaries(keys, inner, max_size=3),
        st.dictionaries(hashables, inner, max_size=3),
        st.dictionaries(texts, inner, max_size=3).map(AddableDict),
        st.builds(lambda value: {"__lc_escaped__": value}, inner),
        _marks(inner),
        _objects(inner),
    )


def _messages(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    data = st.dictionaries(keys, inner, max_size=2)
    blocks = st.lists(st.one_of(texts, st.builds(lambda text: {"type": "text", "text": text}, texts)), max_size=2)
    common: dict[str, Any] = {
        "content": st.one_of(texts, blocks),
        "additional_kwargs": data,
        "response_metadata": data,
        "id": st.one_of(st.none(), texts),
        "name": st.one_of(st.none(), texts),
    }
    names = st.sampled_from(["weigh", "übung"])
    calls = st.builds(lambda name, args: {"name": name, "args": args, "id": "c", "type": "tool_call"}, names, data)
    usage = st.builds(lambda n: {"input_tokens": n, "output_tokens": 1, "total_tokens": n + 1}, st.integers(0, 99))
    pieces = st.builds(
        lambda name, args, index: {"name": name, "args": args, "id": "c", "index": index, "type": "tool_call_chunk"},
        names,
        st.sampled_from(["", "{", '{"a": 1}']),
        st.sampled_from([0, 1]),
    )
    said = {"usage_metadata": st.one_of(st.none(), usage)}
    return st.one_of(
        st.builds(AIMessage, tool_calls=st.lists(calls, max_size=2), **said, **common),
        st.builds(AIMessageChunk, tool_call_chunks=st.lists(pieces, max_size=2), **said, **common),
        *(st.builds(kind, **common) for kind in (HumanMessage, HumanMessageChunk, SystemMessage)),
        *(st.builds(kind, role=texts, **common) for kind in (ChatMessage, ChatMessageChunk)),
        st.builds(FunctionMessage, **{**common, "name": texts}),
        st.builds(ToolMessage, tool_call_id=texts, artifact=inner, status=st.sampled_from(["success", "error"]), **common),
        st.builds(lambda message_id: RemoveMessage(id=message_id), texts),
    )


def _generations(message: st.SearchStrategy[Any], info: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    ai = message.filter(lambda made: type(made) is AIMessage)
    chunk = st.builds(AIMessageChunk, content=texts)
    return st.one_of(
        st.builds(Generation, text=texts, generation_info=info),
        st.builds(GenerationChunk, text=texts, generation_info=info),
        st.builds(ChatGeneration, message=ai, generation_info=info),
        st.builds(ChatGenerationChunk, message=chunk, generation_info=info),
    )


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    message = _messages(inner)
    data = st.dictionaries(keys, inner, max_size=2)
    info = st.one_of(st.none(), data)
    action = {"tool": texts, "tool_input": st.one_of(texts, data), "log": texts}
    return st.one_of(
        message,
        _generations(message, info),
        st.builds(Document, page_content=texts, metadata=data, id=st.one_of(st.none(), texts)),
        st.builds(StringPromptValue, text=texts),
        st.builds(ChatPromptValue, messages=st.lists(message, max_size=2)),
        st.builds(lambda url: ImagePromptValue(image_url={"url": url}), texts),
        st.builds(AgentAction, **action),
        st.builds(AgentActionMessageLog, message_log=st.lists(message, max_size=1), **action),
        st.builds(AgentFinish, return_values=data, log=texts),
        st.builds(AgentStep, action=st.builds(AgentAction, **action), observation=inner),
        st.builds(
            LLMResult,
            generations=st.lists(st.lists(st.builds(Generation, text=texts, generation_info=info), max_size=2), max_size=2),
            llm_output=info,
            run=st.one_of(st.none(), st.lists(st.builds(RunInfo, run_id=st.uuids()), max_size=1)),
        ),
        st.builds(ChatResult, generations=st.lists(st.builds(ChatGeneration, message=st.builds(AIMessage, content=texts)))),
    )


payloads = st.one_of(scalars, _containers(st.one_of(scalars, _containers(st.one_of(scalars, _containers(scalars))))))
events = st.fixed_dictionaries(
    {
        "event": st.sampled_from(["on_chain_start", "on_chain_end", "on_chat_model_stream"]),
        "name": texts,
        "run_id": st.uuids().map(str),
        "tags": st.lists(texts, max_size=2),
        "metadata": st.dictionaries(texts, payloads, max_size=2),
        "parent_ids": st.lists(st.uuids().map(str), max_size=2),
        "data": st.dictionaries(st.sampled_from(["input", "output", "chunk"]), payloads, max_size=2),
    }
)
