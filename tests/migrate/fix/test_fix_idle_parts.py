"""Parts of a chain, and objects beside it, that have a model or look as if: what they do with it decides about the wrap."""

from __future__ import annotations

import pytest
from fixing import check_noop, code

from callbridge.migrate.edits.rewriting import Options, rewrite

pytest.importorskip("libcst")

HEAD = """
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_core.prompts import PromptTemplate
        from langchain_community.vectorstores import FAISS
        from langchain_openai import ChatOpenAI, OpenAIEmbeddings
        from langchain_classic.memory import {memory}

        llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
        prompt = PromptTemplate.from_template("{{x}}")
"""


def is_wrapped(text: str, *, unsafe: bool = False) -> bool:
    """Return whether a rewrite wraps the call of a module, and leaves no handler."""
    rewritten = rewrite(code(text), Options(unsafe=unsafe))
    return "stream_call(" in rewritten.text and "CallbackHandler()" not in rewritten.text


# -- memories


@pytest.mark.parametrize(
    "memory", ["ConversationBufferMemory", "ConversationBufferWindowMemory", "ConversationTokenBufferMemory"]
)
def test_a_memory_that_never_runs_its_model_does_not_keep_the_handler(memory: str) -> None:
    assert is_wrapped(f"""{HEAD.format(memory=memory)}
        memory = {memory}(llm=llm, return_messages=True)

        def ask(x):
            chain = prompt | llm
            answer = chain.invoke({{"x": memory.load_memory_variables({{}})}})
            memory.save_context({{"input": x}}, {{"output": answer.content}})
            return answer
    """)


def test_a_memory_of_another_model_that_it_never_runs_is_no_other_model() -> None:
    memory = "ConversationBufferMemory"
    assert is_wrapped(f"""{HEAD.format(memory=memory)}
        from langchain_classic.chains import LLMChain

        def ask(x):
            chain = LLMChain(llm=llm, prompt=prompt, memory={memory}(llm=ChatOpenAI()))
            return chain.invoke({{"x": x}})
    """)


def test_a_memory_that_makes_a_summary_with_the_model_keeps_the_handler() -> None:
    memory = "ConversationSummaryBufferMemory"
    check_noop(
        f"""{HEAD.format(memory=memory)}
        memory = {memory}(llm=llm)

        def ask(x):
            answer = (prompt | llm).invoke(x)
            memory.save_context({{"input": x}}, {{"output": answer.content}})
            return answer
        """,
        "memory.save_context() runs the model, and the handler hears its summary",
    )


# -- searches


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        ("retriever = store.as_retriever()", "retriever.get_relevant_documents(x)"),
        ("retriever = store.as_retriever()", "retriever.invoke(x)"),
        ("", "store.similarity_search(x, k=3)"),
        ("", "store.as_retriever().invoke(x)"),
    ],
)
@pytest.mark.parametrize("step", ["lambda x: {}", "search"])
def test_a_step_that_searches_runs_no_model(made: str, asked: str, step: str) -> None:
    assert is_wrapped(f"""{HEAD.format(memory="ConversationBufferMemory")}
        store = FAISS.load_local("index", OpenAIEmbeddings())
        {made}

        def search(x):
            return "; ".join(each.page_content for each in {asked})

        def ask(x):
            chain = {{"x": {step.format(asked)}}} | prompt | llm
            return chain.invoke(x)
    """)


@pytest.mark.parametrize(
    "search",
    [
        "other.invoke(x)",
        "(prompt | other).invoke(x)",
        "unknown.invoke(x)",
        "search(x)",
        "recursive.invoke(x)",
    ],
)
def test_a_step_that_may_run_a_model_takes_unsafe(search: str) -> None:
    text = f"""{HEAD.format(memory="ConversationBufferMemory")}
        from langchain_core.runnables import RunnableLambda
        from somewhere import search, unknown

        other = ChatOpenAI()

        def step(x):
            return {search}

        recursive = RunnableLambda(step) | prompt

        def ask(x):
            chain = {{"x": step}} | prompt | llm
            return chain.invoke(x)
    """
    assert not is_wrapped(text)
    assert is_wrapped(text, unsafe=True)


# -- names that an `if` binds again


def test_a_name_that_the_test_of_a_later_if_binds_again_is_traced() -> None:
    text = code("""
        import streamlit as st
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_core.prompts import PromptTemplate
        from langchain_openai import ChatOpenAI

        llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
        prompt = PromptTemplate.from_template("{x}")
        chain = prompt | llm

        if prompt := st.chat_input():
            chain.invoke(prompt)
    """)
    assert is_wrapped(text)
    again = text.replace("chain = prompt | llm\n", "").replace("    chain.", "    chain = prompt | llm\n    chain.")
    assert not is_wrapped(again)


def test_a_name_that_an_if_may_leave_alone_is_not_traced() -> None:
    assert not is_wrapped("""
        import streamlit as st
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_core.prompts import PromptTemplate
        from langchain_openai import ChatOpenAI

        llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
        prompt = PromptTemplate.from_template("{x}")

        if st.button("new") and (prompt := st.chat_input()):
            pass
        chain = prompt | llm
        chain.invoke("tea")
    """)


# -- modules of the project whose names begin like a partner's


@pytest.mark.parametrize("module", ["langchain_utils", "langchain_helper", "app.langchain_tools"])
def test_a_function_of_a_project_that_gets_the_model_is_not_one_of_langchain(module: str) -> None:
    check_noop(
        f"""
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_openai import ChatOpenAI
        from {module} import load_qa_chain

        def ask(x):
            llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
            return load_qa_chain(llm).invoke(x)
        """,
        "the model is passed to load_qa_chain()",
    )
