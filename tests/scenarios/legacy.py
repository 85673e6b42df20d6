"""The chains of before LCEL, from `langchain_classic`, or from `langchain` on the lowest versions."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from langchain_core._api import LangChainDeprecationWarning
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models import FakeListLLM
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableLambda

from .models import AsyncListRetriever, Flaw, ListRetriever, ScriptedChatModel, StreamingLLM, chat, quiet, text_chunks
from .registry import ALL, LEGACY, UNBATCHED, Made, scenario


def old(module: str, name: str) -> Any:
    """A name from the old package, wherever it lives: `old("chains", "LLMChain")`."""
    package = "langchain_classic" if find_spec("langchain_classic") else "langchain"
    # All of it is deprecated, and what it imports too: that is what these scenarios are about.
    with quiet(category=DeprecationWarning):
        return getattr(import_module(f"{package}.{module}"), name)


def build(module: str, name: str, *constructor: str, **arguments: Any) -> Any:
    """An object of an old class, or what its class method `constructor` makes."""
    factory = old(module, name)
    for attribute in constructor:
        factory = getattr(factory, attribute)
    with quiet(category=LangChainDeprecationWarning):
        return factory(**arguments)


def llm_chain(model: Any, template: str = "About {topic}", **arguments: Any) -> Any:
    return build("chains", "LLMChain", llm=model, prompt=PromptTemplate.from_template(template), **arguments)


DOCS = [Document(page_content="tea is brewed"), Document(page_content="water boils")]


@scenario("legacy", needs=LEGACY, filtered=True)
def legacy_llm_chain() -> Made:
    return llm_chain(FakeListLLM(responses=["tea", "water"])), {"topic": "tea"}


@scenario("legacy", needs=LEGACY)
def legacy_llm_chain_streaming_llm() -> Made:
    return llm_chain(StreamingLLM(tokens=["green", " ", "tea"])), {"topic": "tea"}


@scenario("legacy", needs=LEGACY, filtered=True)
def legacy_llm_chain_chat() -> Made:
    return llm_chain(chat("tea for two", "water")), {"topic": "tea"}


@scenario("legacy", needs=LEGACY)
def legacy_llm_chain_tags() -> Made:
    chain = llm_chain(FakeListLLM(responses=["tea"]), tags=["chain"], metadata={"own": 1})
    return chain.with_config(tags=["call"], run_name="renamed"), {"topic": "tea"}


@scenario("legacy", needs=LEGACY)
def legacy_llm_chain_bare_input() -> Made:
    return llm_chain(FakeListLLM(responses=["tea"])), "a bare string"


@scenario("legacy", needs=LEGACY)
def legacy_llm_chain_in_sequence() -> Made:
    take = RunnableLambda(lambda d: d["text"], name="take")
    return RunnableLambda(lambda t: {"topic": t}, name="wrap") | llm_chain(chat("tea it is")) | take, "tea"


@scenario("legacy", needs=LEGACY)
def legacy_llm_chain_inside_lambda() -> Made:
    chain = llm_chain(chat("tea it is"))

    def outer(topic: str, config: RunnableConfig) -> str:
        return str(chain.invoke({"topic": topic}, config)["text"])

    return RunnableLambda(outer), "tea"


@scenario("legacy", needs=LEGACY, modes=UNBATCHED)
def legacy_conversation() -> Made:
    memory = build("memory", "ConversationBufferMemory")
    memory.save_context({"input": "I am Ann"}, {"output": "hello Ann"})
    return build("chains", "ConversationChain", llm=FakeListLLM(responses=["you are Ann"]), memory=memory), {
        "input": "who am I?"
    }


@scenario("legacy", needs=LEGACY, modes=UNBATCHED)
def legacy_conversation_chat() -> Made:
    return build("chains", "ConversationChain", llm=chat("hello to you")), {"input": "hello"}


@scenario("legacy", needs=LEGACY, filtered=True)
def legacy_sequential() -> Made:
    first = llm_chain(FakeListLLM(responses=["a title"]), output_key="title")
    second = llm_chain(FakeListLLM(responses=["a text"]), "Write {title}", output_key="text")
    chain = build(
        "chains", "SequentialChain", chains=[first, second], input_variables=["topic"], output_variables=["title", "text"]
    )
    return chain, {"topic": "tea"}


@scenario("legacy", needs=LEGACY)
def legacy_simple_sequential() -> Made:
    # Reports every step's text through `on_text`.
    chains = [llm_chain(FakeListLLM(responses=["a title"])), llm_chain(chat("a long text"))]
    return build("chains", "SimpleSequentialChain", chains=chains), {"input": "tea"}


@scenario("legacy", needs=LEGACY)
def legacy_transform() -> Made:
    def shout(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"loud": inputs["text"].upper()}

    async def ashout(inputs: dict[str, Any]) -> dict[str, Any]:
        return shout(inputs)

    chain = build(
        "chains",
        "TransformChain",
        input_variables=["text"],
        output_variables=["loud"],
        transform=shout,
        atransform=ashout,
    )
    return chain, {"text": "tea"}


@scenario("legacy", needs=LEGACY, filtered=True)
def legacy_retrieval_qa() -> Made:
    chain = build(
        "chains",
        "RetrievalQA",
        "from_chain_type",
        llm=FakeListLLM(responses=["steep it"]),
        retriever=AsyncListRetriever(),
        return_source_documents=True,
    )
    return chain, {"query": "how?"}


@scenario("legacy", needs=LEGACY)
def legacy_retrieval_qa_chat() -> Made:
    return build("chains", "RetrievalQA", "from_chain_type", llm=chat("steep it"), retriever=AsyncListRetriever()), {
        "query": "how?"
    }


@scenario("legacy", needs=LEGACY)
def legacy_stuff_documents() -> Made:
    chain = build(
        "chains",
        "StuffDocumentsChain",
        llm_chain=llm_chain(chat("a short summary"), "Sum up {text}"),
        document_variable_name="text",
    )
    return chain, {"input_documents": DOCS}


@scenario("legacy", needs=LEGACY)
def legacy_refine_documents() -> Made:
    chain = build(
        "chains",
        "RefineDocumentsChain",
        initial_llm_chain=llm_chain(FakeListLLM(responses=["first"]), "Sum up {text}"),
        refine_llm_chain=llm_chain(FakeListLLM(responses=["second"]), "Refine {so_far} by {text}"),
        document_prompt=PromptTemplate.from_template("{page_content}"),
        document_variable_name="text",
        initial_response_name="so_far",
    )
    return chain, {"input_documents": DOCS}


@scenario("legacy", needs=LEGACY, concurrent=True)
def legacy_map_reduce_documents() -> Made:
    def words(text: str) -> list[int]:
        return [len(word) for word in text.split()]

    # It counts tokens; without a counter of its own the model would load one over the network.
    each = llm_chain(FakeListLLM(responses=["short"], custom_get_token_ids=words), "Sum up {text}")
    combine = build(
        "chains",
        "StuffDocumentsChain",
        llm_chain=llm_chain(FakeListLLM(responses=["all"], custom_get_token_ids=words), "Join {text}"),
        document_variable_name="text",
    )
    chain = build(
        "chains",
        "MapReduceDocumentsChain",
        llm_chain=each,
        reduce_documents_chain=build("chains", "ReduceDocumentsChain", combine_documents_chain=combine),
        document_variable_name="text",
    )
    return chain, {"input_documents": DOCS}


@scenario("legacy", needs=LEGACY)
def legacy_conversational_retrieval() -> Made:
    chain = build(
        "chains",
        "ConversationalRetrievalChain",
        "from_llm",
        llm=FakeListLLM(responses=["a question", "an answer"]),
        retriever=AsyncListRetriever(),
    )
    return chain, {"question": "and tea?", "chat_history": [("hi", "hello")]}


@scenario("legacy", needs=LEGACY)
def legacy_router() -> Made:
    model = FakeListLLM(responses=['```json\n{"destination": "tea", "next_inputs": "green tea"}\n```', "from the tea chain"])
    infos = [{"name": "tea", "description": "for tea", "prompt_template": "Tea: {input}"}]
    return build("chains.router", "MultiPromptChain", "from_prompts", llm=model, prompt_infos=infos), {"input": "tea?"}


@scenario("legacy", needs=LEGACY)
def legacy_constructor_callbacks() -> Made:
    return llm_chain(FakeListLLM(responses=["tea"]), callbacks=[BaseCallbackHandler()]), {"topic": "tea"}


@scenario("legacy", needs=LEGACY, modes=UNBATCHED, raises=Flaw, filtered=True)
def legacy_llm_chain_fails() -> Made:
    return llm_chain(StreamingLLM(tokens=["a", "b"], fail_at=1)), {"topic": "tea"}


@scenario("legacy", needs=LEGACY, raises=ValueError)
def legacy_missing_input() -> Made:
    return llm_chain(FakeListLLM(responses=["tea"])), {"wrong": "key"}


@scenario("legacy", needs=LEGACY, raises=Flaw)
def legacy_retriever_fails() -> Made:
    broken = ListRetriever(broken=True)
    return build("chains", "RetrievalQA", "from_chain_type", llm=chat("never"), retriever=broken), {"query": "how?"}


@scenario("legacy", needs=LEGACY, raises=Flaw)
def legacy_second_of_two_fails() -> Made:
    first = llm_chain(FakeListLLM(responses=["a title"]), output_key="title")
    second = llm_chain(ScriptedChatModel(scripts=[text_chunks("a ", "b")], fail_at=1), "Write {title}")
    return build("chains", "SequentialChain", chains=[first, second], input_variables=["topic"]), {"topic": "tea"}


@scenario("legacy", needs=LEGACY)
def legacy_fallback() -> Made:
    broken = llm_chain(StreamingLLM(tokens=["a"], fail_at=0))
    return broken.with_fallbacks([llm_chain(FakeListLLM(responses=["second choice"]))]), {"topic": "tea"}


# -- what replaced them in the same package: runnables with those names


@scenario("legacy", needs=LEGACY, concurrent=True)
def legacy_create_retrieval_chain() -> Made:
    prompt = ChatPromptTemplate.from_template("{context}: {input}")
    documents = old("chains.combine_documents", "create_stuff_documents_chain")(chat("steep it"), prompt)
    return old("chains", "create_retrieval_chain")(AsyncListRetriever(), documents), {"input": "how?"}


@scenario("legacy", needs=LEGACY, modes=tuple(mode for mode in ALL if "batch" not in mode))
def legacy_history_aware_retriever() -> Made:
    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("chat_history"), ("human", "{input}")])
    create = old("chains", "create_history_aware_retriever")
    return create(chat("a question"), AsyncListRetriever(), prompt), {"input": "and?", "chat_history": [("human", "hi")]}
