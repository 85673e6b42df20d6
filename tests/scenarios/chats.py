"""Chat models and string LLMs: at the root, in chains, streaming and not, cached, reporting tokens themselves."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from langchain_core.caches import InMemoryCache
from langchain_core.language_models import FakeListChatModel, FakeListLLM, FakeStreamingListLLM, ParrotFakeChatModel
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputToolsParser
from langchain_core.prompt_values import ChatPromptValue
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnableParallel
from langchain_core.tools import tool

from .models import (
    ScriptedChatModel,
    SelfReportingChatModel,
    SelfReportingLLM,
    StreamingLLM,
    chat,
    text_chunks,
    tool_call_chunks,
)
from .registry import ALL, UNBATCHED, Made, scenario


@tool
def weigh(item: str) -> str:
    """Weigh an item."""
    return f"{item}: 3 g"


USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


# -- chat models


@scenario("chat_model", filtered=True)
def chat_root_text() -> Made:
    return chat("hello there friend"), "hi"


@scenario("chat_model")
def chat_root_messages() -> Made:
    return chat("hello there"), [SystemMessage("Be kind."), HumanMessage("hi")]


@scenario("chat_model")
def chat_root_prompt_value() -> Made:
    return chat("hello there"), ChatPromptValue(messages=[HumanMessage("hi")])


@scenario("chat_model", filtered=True)
def chat_with_prompt_and_parser() -> Made:
    prompt = ChatPromptTemplate.from_messages([("system", "You are {who}."), ("human", "{q}")])
    return prompt | chat("tea it is", "coffee it is") | StrOutputParser(), {"who": "a host", "q": "what to drink?"}


@scenario("chat_model")
def chat_explicit_message_id() -> Made:
    return ScriptedChatModel(scripts=[[AIMessageChunk(content="a", id="m1"), AIMessageChunk(content="b", id="m1")]]), "hi"


@scenario("chat_model")
def chat_list_content() -> Made:
    blocks = [
        AIMessageChunk(content=[{"type": "text", "text": "green ", "index": 0}]),
        AIMessageChunk(content=[{"type": "text", "text": "tea", "index": 0}]),
        AIMessageChunk(content=[{"type": "thinking", "thinking": "hm", "index": 1}]),
    ]
    return ScriptedChatModel(scripts=[blocks]), "hi"


@scenario("chat_model")
def chat_list_content_in_chain() -> Made:
    blocks = [AIMessageChunk(content=[{"type": "text", "text": text, "index": 0}]) for text in ("green ", "tea")]
    return ChatPromptTemplate.from_template("{q}") | ScriptedChatModel(scripts=[blocks]), {"q": "hi"}


@scenario("chat_model")
def chat_tool_call_pieces() -> Made:
    script = tool_call_chunks("weigh", '{"it', 'em": "tea"}')
    return ScriptedChatModel(scripts=[script]).bind_tools([weigh]), "weigh the tea"


@scenario("chat_model")
def chat_tool_call_parsed() -> Made:
    script = tool_call_chunks("weigh", '{"it', 'em": "te', 'a"}')
    return ScriptedChatModel(scripts=[script]).bind_tools([weigh]) | JsonOutputToolsParser(), "weigh the tea"


@scenario("chat_model")
def chat_usage() -> Made:
    script = [*text_chunks("two ", "cups"), AIMessageChunk(content="", usage_metadata=USAGE)]
    return ScriptedChatModel(scripts=[script]) | StrOutputParser(), "how much?"


@scenario("chat_model")
def chat_response_metadata() -> Made:
    script = [*text_chunks("a", "b"), AIMessageChunk(content="", response_metadata={"finish_reason": "stop"})]
    return ScriptedChatModel(scripts=[script]), "go"


@scenario("chat_model")
def chat_additional_kwargs() -> Made:
    message = AIMessage(content="", additional_kwargs={"function_call": {"name": "f", "arguments": '{"a": 1, "b": 2}'}})
    model = chat("unused")
    return model.model_copy(update={"messages": iter([message] * 9)}), "call f"


@scenario("chat_model")
def chat_letter_by_letter() -> Made:
    return FakeListChatModel(responses=["tea", "mate"]), "hi"


@scenario("chat_model", filtered=True)
def chat_without_streaming() -> Made:
    return FakeMessagesListChatModel(responses=[AIMessage("whole"), AIMessage("again")]), "hi"


@scenario("chat_model")
def chat_without_streaming_in_chain() -> Made:
    parrot = ParrotFakeChatModel()
    return ChatPromptTemplate.from_template("say {q}") | parrot | StrOutputParser(), {"q": "tea"}


@scenario("chat_model")
def chat_disable_streaming() -> Made:
    return chat("all at once", disable_streaming=True) | StrOutputParser(), "hi"


@scenario("chat_model")
def chat_disable_streaming_for_tools() -> Made:
    script = tool_call_chunks("weigh", '{"item": "tea"}')
    return ScriptedChatModel(scripts=[script], disable_streaming="tool_calling").bind_tools([weigh]), "weigh"


@scenario("chat_model", self_reporting=True)
def chat_reports_tokens_itself() -> Made:
    return SelfReportingChatModel(tokens=["a ", "b ", "c"]), "hi"


@scenario("chat_model")
def chat_reports_tokens_itself_in_chain() -> Made:
    return SelfReportingChatModel(tokens=["a ", "b"], with_chunks=True) | StrOutputParser(), "hi"


@scenario("chat_model")
def chat_empty_answer() -> Made:
    return FakeMessagesListChatModel(responses=[AIMessage("")]) | StrOutputParser(), "hi"


@scenario("chat_model", modes=UNBATCHED)
def chat_cached() -> Made:
    model = FakeListChatModel(responses=["tea"], cache=InMemoryCache())
    model.invoke("hi")
    return model, "hi"


@scenario("chat_model", modes=UNBATCHED)
def chat_cache_filled_by_the_run() -> Made:
    model = FakeListChatModel(responses=["tea"], cache=InMemoryCache())

    def twice(text: str, config: RunnableConfig) -> str:
        return str(model.invoke(text, config).content) + str(model.invoke(text, config).content)

    return RunnableLambda(twice), "hi"


@scenario("chat_model", filtered=True)
def chat_nostream_tags() -> Made:
    hidden = chat("not shown").with_config(tags=["nostream"])
    smith = chat("not traced").with_config(tags=["langsmith:nostream"])
    return hidden | StrOutputParser() | smith | StrOutputParser() | chat("the answer"), "hi"


@scenario("chat_model")
def chat_tags_and_metadata_of_its_own() -> Made:
    return chat("hello you", tags=["mine"], metadata={"model": "fake"}, name="my model"), "hi"


@scenario("chat_model")
def chat_bound_stop() -> Made:
    return chat("one two").bind(stop=["three"]) | StrOutputParser(), "count"


@scenario("chat_model", concurrent=True)
def chat_two_in_parallel() -> Made:
    return RunnableParallel(joke=chat("ha ha"), poem=chat("roses are red") | StrOutputParser()), "both"


@scenario("chat_model")
def chat_two_in_sequence() -> Made:
    again = RunnableLambda(lambda text: f"again: {text}", name="again")
    return chat("first answer") | StrOutputParser() | again | chat("second answer"), "x"


@scenario("chat_model", concurrent=True)
def chat_generate_two_prompts() -> Made:
    model = FakeListChatModel(responses=["one", "two"])

    def generate(texts: list[str], config: RunnableConfig) -> list[str]:
        result = model.generate([[HumanMessage(text)] for text in texts], callbacks=config.get("callbacks"))
        return [row[0].text for row in result.generations]

    return RunnableLambda(generate), ["a", "b"]


@scenario("chat_model", concurrent=True, modes=tuple(mode for mode in ALL if mode not in ("invoke", "stream", "batch")))
def chat_agenerate_two_prompts() -> Made:
    model = FakeListChatModel(responses=["tea", "tea"])

    async def generate(texts: list[str], config: RunnableConfig) -> list[str]:
        result = await model.agenerate([[HumanMessage(text)] for text in texts], callbacks=config.get("callbacks"))
        return [row[0].text for row in result.generations]

    return RunnableLambda(generate), ["a", "b"]


@scenario("chat_model")
def chat_structured_output() -> Made:
    schema = {"title": "weigh", "description": "d", "type": "object", "properties": {"item": {"type": "string"}}}
    model = ScriptedChatModel(scripts=[tool_call_chunks("weigh", '{"item": ', '"tea"}')])
    return model.with_structured_output(schema), "weigh"


@scenario("chat_model", config=lambda: {"run_id": UUID("00000000-0000-4000-8000-000000000001")}, modes=UNBATCHED)
def chat_fixed_run_id() -> Made:
    return chat("known id") | StrOutputParser(), "hi"


# -- string LLMs


@scenario("llm", filtered=True)
def llm_list_root() -> Made:
    return FakeListLLM(responses=["tea", "water"]), "hi"


@scenario("llm")
def llm_list_in_chain() -> Made:
    return PromptTemplate.from_template("Q: {q}") | FakeListLLM(responses=["tea"]) | StrOutputParser(), {"q": "what?"}


@scenario("llm")
def llm_fake_streaming_root() -> Made:
    # Overrides `stream` itself: pieces are yielded after the run has ended.
    return FakeStreamingListLLM(responses=["tea"]), "hi"


@scenario("llm")
def llm_fake_streaming_in_chain() -> Made:
    return FakeStreamingListLLM(responses=["tea"]) | StrOutputParser(), "hi"


@scenario("llm", filtered=True)
def llm_streaming_root() -> Made:
    return StreamingLLM(tokens=["green", " ", "tea"]), "hi"


@scenario("llm", self_reporting=True)
def llm_streaming_without_reports() -> Made:
    return StreamingLLM(tokens=["green", " ", "tea"], silent=True), "hi"


@scenario("llm")
def llm_streaming_without_reports_in_chain() -> Made:
    return StreamingLLM(tokens=["green", " ", "tea"], silent=True) | StrOutputParser(), "hi"


@scenario("llm")
def llm_streaming_in_chain() -> Made:
    return PromptTemplate.from_template("Q: {q}") | StreamingLLM(tokens=["green", " ", "tea"]) | StrOutputParser(), {"q": "x"}


@scenario("llm")
def llm_streaming_with_info() -> Made:
    return StreamingLLM(tokens=["a", "b"], info=True) | StrOutputParser(), "hi"


@scenario("llm")
def llm_streaming_json() -> Made:
    return StreamingLLM(tokens=['{"a"', ": [1, ", "2]}"]) | JsonOutputParser(), "hi"


@scenario("llm", self_reporting=True)
def llm_reports_tokens_itself() -> Made:
    return SelfReportingLLM(tokens=["a ", "b ", "c"]), "hi"


@scenario("llm")
def llm_reports_tokens_itself_in_chain() -> Made:
    return PromptTemplate.from_template("Q: {q}") | SelfReportingLLM(tokens=["a ", "b"]) | StrOutputParser(), {"q": "x"}


@scenario("llm", modes=UNBATCHED)
def llm_cached_in_chain() -> Made:
    model = FakeListLLM(responses=["tea"], cache=InMemoryCache())
    model.invoke("hi")
    # A cached string LLM reports nothing at all.
    return RunnableLambda(lambda text: text, name="same") | model | StrOutputParser(), "hi"


@scenario("llm", concurrent=True)
def llm_generate_two_prompts() -> Made:
    model = FakeListLLM(responses=["one", "two"])

    def generate(texts: list[str], config: RunnableConfig) -> Any:
        return [row[0].text for row in model.generate(texts, callbacks=config.get("callbacks")).generations]

    return RunnableLambda(generate), ["a", "b"]


@scenario("llm")
def llm_name_and_tags() -> Made:
    return FakeListLLM(responses=["tea"], name="writer", tags=["w"], metadata={"k": 1}).with_config(run_name="run"), "hi"
