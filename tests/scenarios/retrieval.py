"""Retrievers, chains around them, and message histories."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.runnables.history import RunnableWithMessageHistory

from .models import AsyncListRetriever, Flaw, ListRetriever, chat, quiet
from .registry import UNBATCHED, Made, scenario


@scenario("retriever", filtered=True)
def retriever_root() -> Made:
    return ListRetriever(), "tea"


@scenario("retriever")
def retriever_async_native() -> Made:
    return AsyncListRetriever(), "tea"


@scenario("retriever")
def retriever_tagged() -> Made:
    return ListRetriever(tags=["own"], metadata={"index": "t"}).with_config(run_name="search", tags=["call"]), "tea"


@scenario("retriever")
def retriever_empty() -> Made:
    return AsyncListRetriever(texts=[]) | RunnableLambda(len, name="count"), "tea"


@scenario("retriever", concurrent=True, filtered=True)
def retriever_in_rag_chain() -> Made:
    prompt = ChatPromptTemplate.from_template("{context}\n\n{question}")
    join = RunnableLambda(lambda docs: "; ".join(doc.page_content for doc in docs), name="join")
    inputs = RunnableParallel(context=AsyncListRetriever() | join, question=RunnablePassthrough())
    return inputs | prompt | chat("steep it") | StrOutputParser(), "how?"


@scenario("retriever", raises=Flaw, filtered=True)
def retriever_fails() -> Made:
    return ListRetriever(broken=True), "tea"


@scenario("retriever", raises=Flaw)
def retriever_fails_in_chain() -> Made:
    return RunnableLambda(str.upper, name="up") | AsyncListRetriever(broken=True) | RunnableLambda(len), "tea"


@scenario("retriever")
def retriever_fallback() -> Made:
    return AsyncListRetriever(broken=True).with_fallbacks([AsyncListRetriever()]) | RunnableLambda(len, name="count"), "tea"


# -- histories

IN_SESSION: Any = {"config": lambda: {"configurable": {"session_id": "s1"}}, "modes": UNBATCHED}


def with_history(runnable: Any, **keys: str) -> Any:
    # langchain-core 1.x deprecates both classes in favour of LangGraph's persistence; users of 1.x still have them.
    with quiet(r"(.|\n)*(RunnableWithMessageHistory|ChatMessageHistory)"):
        from langchain_core.chat_history import InMemoryChatMessageHistory

        history = InMemoryChatMessageHistory()
        history.add_messages([HumanMessage("I am Ann"), AIMessage("hello Ann")])
        return RunnableWithMessageHistory(runnable, lambda session_id: history, **keys)


@scenario("history", filtered=True, **IN_SESSION)
def history_of_messages() -> Made:
    return with_history(chat("you are Ann")), [HumanMessage("who am I?")]


@scenario("history", concurrent=True, **IN_SESSION)
def history_of_dicts() -> Made:
    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("past"), ("human", "{q}")])
    chain = with_history(prompt | chat("you are Ann"), input_messages_key="q", history_messages_key="past")
    return chain, {"q": "who am I?"}


@scenario("history", **IN_SESSION)
def history_inside_sequence() -> Made:
    chain = with_history(chat("you are Ann"))
    return RunnableLambda(lambda text: [HumanMessage(text)], name="wrap") | chain | StrOutputParser(), "who am I?"


@scenario("history", concurrent=True, **IN_SESSION)
def history_with_output_key() -> Made:
    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("past"), ("human", "{q}")])
    answer = RunnableParallel(answer=prompt | chat("you are Ann"), asked=itemgetter("q"))
    chain = with_history(answer, input_messages_key="q", history_messages_key="past", output_messages_key="answer")
    return chain, {"q": "who am I?"}
