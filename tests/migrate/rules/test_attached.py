"""The reasons that a scan gives for handlers that stay where they are attached."""

from __future__ import annotations

from textwrap import dedent

import pytest

from callbridge.migrate.analysis.project import Project
from callbridge.migrate.commands.scan import scan_source

CASES = {
    "the steps of an agent, in a config": (
        """
        import streamlit as st
        from langchain_community.callbacks import StreamlitCallbackHandler
        shown = StreamlitCallbackHandler(st.container())
        answer = agent.invoke({"input": "q"}, config={"callbacks": [shown]})
        """,
        "CB205",
        "an agent's steps: `callbridge explain CB308`",
    ),
    "the steps of an agent, in a class of one's own": (
        """
        from langchain_core.callbacks import AsyncCallbackHandler
        class Steps(AsyncCallbackHandler):
            def __init__(self, queue):
                self.queue = queue
            async def on_tool_start(self, serialized, input_str, **kwargs):
                await self.queue.put(input_str)
        async def run(agent, queue):
            return await agent.ainvoke("q", config={"callbacks": [Steps(queue)]})
        """,
        "CB205",
        "an agent's steps: read them with `stream_events",
    ),
    "a final answer": (
        """
        from langchain_classic.callbacks import FinalStreamingStdOutCallbackHandler
        from langchain_openai import ChatOpenAI
        model = ChatOpenAI(streaming=True, callbacks=[FinalStreamingStdOutCallbackHandler()])
        model.invoke("q")
        """,
        "CB203",
        "`callbridge explain CB309`",
    ),
    "an iterator whose loop stays": (
        """
        import asyncio
        from langchain_classic.callbacks import AsyncIteratorCallbackHandler
        from langchain_openai import ChatOpenAI
        async def answer(question, watch):
            handler = AsyncIteratorCallbackHandler()
            model = ChatOpenAI(streaming=True, callbacks=[handler])
            task = asyncio.create_task(model.ainvoke(question))
            watch(task)
            async for token in handler.aiter():
                yield token
        """,
        "CB203",
        None,
    ),
    "a hook that raises": (
        """
        import streamlit as st
        from langchain_core.callbacks import BaseCallbackHandler
        from langchain_openai import ChatOpenAI
        class Shown(BaseCallbackHandler):
            def __init__(self, box):
                self.box = box
            def on_llm_new_token(self, token, **kwargs):
                for part in token.split():
                    yield part
        shown = Shown(st.empty())
        model = ChatOpenAI(streaming=True, callbacks=[shown])
        model.invoke("q")
        """,
        "CB203",
        None,
    ),
}


@pytest.mark.parametrize(("source", "rule", "words"), CASES.values(), ids=CASES)
def test_the_reason_speaks_of_what_keeps_the_handler(source: str, rule: str, words: str | None) -> None:
    """A reason names what stands in the way; without words, the one of the finding about the handler itself."""
    text = dedent(source).lstrip("\n")
    found = scan_source(text, "app.py", Project.build([("app.py", text)]))
    reason = next(each.reason for each in found if each.rule == rule)
    if words is None:
        assert reason in {each.reason for each in found if each.rule in ("CB301", "CB401")}
    else:
        assert words in reason


def reasons(source: str, rule: str) -> list[str]:
    text = dedent(source).lstrip("\n")
    found = scan_source(text, "app.py", Project.build([("app.py", text)]))
    return [each.reason for each in found if each.rule == rule]


def test_the_reason_names_the_class_of_the_handler_not_the_one_around_it() -> None:
    (reason,) = reasons(
        """
        from langchain_core.callbacks import BaseCallbackHandler
        class Teller:
            def tell(self, q, queue):
                class Filling(BaseCallbackHandler):
                    def on_llm_new_token(self, token, **kwargs):
                        queue.put(token)
                self.model.generate([q], callbacks=[Filling()])
        """,
        "CB401",
    )
    assert reason.startswith("Filling is defined in a function")


def test_a_class_that_is_only_made_is_not_said_to_be_used_otherwise() -> None:
    (reason,) = reasons(
        """
        from langchain_classic.callbacks import FinalStreamingStdOutCallbackHandler
        from langchain_openai import ChatOpenAI
        class Answer(FinalStreamingStdOutCallbackHandler):
            def on_llm_new_token(self, token, **kwargs):
                self.lines.append(token)
        model = ChatOpenAI(streaming=True, callbacks=[Answer()])
        """,
        "CB401",
    )
    assert reason
    assert "more than making a handler" not in reason
