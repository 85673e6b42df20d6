"""CB204: callbacks that are given to `run`, `predict` and `acall` go into the config of the `invoke` that these make."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Any

import pytest
from fixing import check_noop, check_rewritten, code

from callbridge.migrate.edits.rewriting import Options, rewrite

pytest.importorskip("libcst")

HEAD = """
        from langchain_classic.agents import AgentExecutor, initialize_agent
        from langchain_classic.chains import LLMChain, RetrievalQA


"""


@pytest.mark.parametrize(
    ("made", "before", "after"),
    [
        (
            "initialize_agent(tools, llm)",
            "return chain.run(x, callbacks=[h])  # ask",
            'return chain.invoke(x, config={"callbacks": [h]})["output"]  # ask',
        ),
        (
            "RetrievalQA.from_chain_type(llm=llm, retriever=r)",
            "return chain.run(x, callbacks=[h])",
            'return chain.invoke(x, config={"callbacks": [h]})["result"]',
        ),
        (
            "LLMChain(llm=llm, prompt=p)",
            "y = await chain.arun(x, callbacks=[h])",
            'y = (await chain.ainvoke(x, config={"callbacks": [h]}))["text"]',
        ),
        (
            "LLMChain(llm=llm, prompt=p)",
            "return (await chain.arun(x, callbacks=[h])).strip()",
            'return (await chain.ainvoke(x, config={"callbacks": [h]}))["text"].strip()',
        ),
        (
            "LLMChain(llm=llm, prompt=p, output_key='answer')",
            "return chain.predict(topic=x, tone='dry', callbacks=[h])",
            'return chain.invoke({"topic": x, "tone": \'dry\'}, config={"callbacks": [h]})["answer"]',
        ),
        (
            "LLMChain(llm=llm, prompt=p)",
            "return await chain.acall({'topic': x}, callbacks=[h])",
            "return await chain.ainvoke({'topic': x}, config={\"callbacks\": [h]})",
        ),
        (
            "LLMChain(llm=llm, prompt=p)",
            "chain.run(\n                x,  # the topic\n                callbacks=[h],\n            )",
            'chain.invoke(\n                x,  # the topic\n                config={"callbacks": [h]},\n            )',
        ),
    ],
)
def test_what_run_does_is_written_out(made: str, before: str, after: str) -> None:
    kind = "async def" if "await" in before else "def"
    head = f"{HEAD}        {kind} ask(x, h, **others):\n            chain = {made}\n            "
    check_rewritten(f"{head}{before}\n", f"{head}{after}\n")


def test_a_chain_of_an_object_is_seen_where_it_is_stored() -> None:
    text = f"""{HEAD}
        class Bot:
            def __init__(self, llm, p):
                self.chain = LLMChain(llm=llm, prompt=p)

            def ask(self, x, h):
                return self.chain.run(x, callbacks=[h])
"""
    check_rewritten(text, text.replace("run(x, callbacks=[h])", 'invoke(x, config={"callbacks": [h]})["text"]'))


def test_an_agent_of_ones_own_takes_unsafe() -> None:
    text = f"{HEAD}        def ask(x, h, agent):\n            chain = AgentExecutor(agent=agent)\n            CALL\n"
    before = text.replace("CALL", "return chain.run(x, callbacks=[h])")
    check_noop(before, "needs --unsafe: the agent is your own", rule="CB204", unsafe=False)
    check_rewritten(before, text.replace("CALL", 'return chain.invoke(x, config={"callbacks": [h]})["output"]'), unsafe=True)


@pytest.mark.parametrize(
    ("made", "call", "reason"),
    [
        ("make()", "chain.run(x, callbacks=[h])", "`fix` cannot tell the key of what chain returns: write chain.invoke(…"),
        ("LLMChain(**options)", "chain.run(x, callbacks=[h])", "made with `*` or `**` arguments, which may name its output"),
        ("LLMChain(llm=llm, output_key=k)", "chain.run(x, callbacks=[h])", "depends on `output_key=k`"),
        (
            "RetrievalQA(return_source_documents=True)",
            "chain.run(x, callbacks=[h])",
            "depends on `return_source_documents=True`",
        ),
        ("LLMChain(llm=llm)", "chain.run(x, callbacks=[h], tags=['a'])", "more than its input and the callbacks"),
        ("LLMChain(llm=llm)", "chain.run(callbacks=[h], **x)", "has `**` arguments, other options than the callbacks"),
        ("LLMChain(llm=llm)", "chain.apply([x], callbacks=[h])", "apply() has no `config=`"),
        ("LLMChain(llm=llm)", "later(chain.arun(x, callbacks=[h]))", "the code does not await"),
        (
            "initialize_agent(tools, llm)",
            "chain.predict(input=x, callbacks=[h])",
            "`fix` cannot tell the key of what chain returns",
        ),
    ],
)
def test_what_cannot_be_seen_stays_and_says_what_to_write(made: str, call: str, reason: str) -> None:
    text = f"{HEAD}        def ask(x, h):\n            chain = {made}\n            return {call}\n"
    check_noop(text, reason, rule="CB204")


RUN = """
    from langchain_classic.chains import LLMChain
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.prompts import PromptTemplate
    from langchain_fakes import FakeChatModel


    class Heard(BaseCallbackHandler):
        def __init__(self, heard):
            self.heard = heard

        def on_chain_start(self, serialized, inputs, *, name=None, **kwargs):
            self.heard.append((name, inputs))

        def on_chain_end(self, outputs, **kwargs):
            self.heard.append(outputs)


    async def ask(x, heard):
        handler = Heard(heard)
        chain = LLMChain(llm=FakeChatModel(), prompt=PromptTemplate.from_template("about {topic}"))
        one = chain.run(x, callbacks=[handler])
        two = chain.predict(topic=x, callbacks=[handler])
        three = await chain.arun(x, callbacks=[handler])
        return [one, two, three, await chain.acall({"topic": x}, callbacks=[handler])]
"""


@pytest.mark.skipif(importlib.util.find_spec("langchain_classic") is None, reason="needs langchain-classic")
@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning")
def test_results_and_what_handlers_hear_are_the_same() -> None:
    before, told = code(RUN), list[object]()
    after = rewrite(before).text
    assert after.count("invoke(") == 4
    for text in (before, after):
        namespace: dict[str, Any] = {}
        exec(compile(text, "<module>", "exec"), namespace)
        heard: list[object] = []
        told.append((asyncio.run(namespace["ask"]("tea", heard)), heard))
    assert told[0] == told[1]
    assert len(heard) == 8


def test_a_call_whose_text_is_read_stays_the_call_that_it_is() -> None:
    """The wrapped call is read, whatever it is: nothing else is changed."""
    text = f"""{HEAD}
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_openai import ChatOpenAI


        def ask(x, p):
            chain = LLMChain(llm=ChatOpenAI(streaming=True), prompt=p)
            return chain.run(x, callbacks=[StreamingStdOutCallbackHandler()])
"""
    assert "stream_call(chain.run, x)" in rewrite(code(text), Options(unsafe=True)).text
