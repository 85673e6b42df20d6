"""A reason for leaving a place is true of that place: each case is one in which an earlier wording was not."""

from __future__ import annotations

import pytest
from fixing import both, check_noop, code
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_core.prompts import PromptTemplate
from langchain_fakes import FakeChatModel, invoke_streams

from callbridge.migrate.edits.rewriting import Options, rewrite

pytest.importorskip("libcst")

HEAD = """
import asyncio
import queue
from threading import Thread
from langchain.chat_models import init_chat_model
from langchain_classic.callbacks import AsyncIteratorCallbackHandler
from langchain_classic.agents import initialize_agent
from langchain_classic.chains import ConversationalRetrievalChain, LLMChain, RetrievalQA
from langchain_community.llms import HuggingFaceTextGenInference
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager, StreamingStdOutCallbackHandler
from langchain_openai import ChatOpenAI
from .project import TOOLS, make, prompt, retriever, run_later

class Show(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        print(token, end="")
"""
STDOUT = "callbacks=[StreamingStdOutCallbackHandler()]"
MODEL = f"ChatOpenAI(streaming=True, {STDOUT})"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # one of two models runs, and not several
        (
            f"def ask(q, fast):\n    llm = {MODEL}\n    if fast:\n        llm = ChatOpenAI()\n    return llm.invoke(q)\n",
            "the call may run another model, the ChatOpenAI of line",
        ),
        # one model, and the chain's handler hears none of its tokens
        (f"LLMChain(llm=ChatOpenAI(), prompt=prompt, {STDOUT}).invoke('q')\n", "LLMChain() gets the handler"),
        (f"initialize_agent([], ChatOpenAI(), {STDOUT}).invoke('q')\n", "chains, agents and tools hand theirs no tokens"),
        # the other model is run
        (f"one = {MODEL}\ntwo = ChatOpenAI()\ntwo.invoke('q')\n", "no call that runs the ChatOpenAI of line 17"),
        # the function is in the file
        (
            f"def ask(q):\n    llm = {MODEL}\n    def run(model):\n        return model.invoke(q)\n    return run(llm)\n",
            "the model is passed to run(), and `fix` cannot follow it there",
        ),
        (f"async def load():\n    return {MODEL}\n", "only out of plain functions at module level"),
        (f"def build(x, {STDOUT[:9]}=None):\n    pass\nbuild(1, {STDOUT})\nbuild(2)\n", "`fix` cannot tell whether build()"),
        # an imported function may well make a model
        (
            "async def ask(q):\n    cb = AsyncIteratorCallbackHandler()\n    llm = make(callbacks=[cb])\n"
            "    task = asyncio.create_task(run_later(q))\n    async for t in cb.aiter():\n        yield t\n    await task\n",
            "the handler is passed to make(), and `fix` cannot tell what that makes",
        ),
        # what holds the handler is no attribute
        ("box = {}\nbox['h'] = [StreamingStdOutCallbackHandler()]\n", "box['h'] holds the handler"),
        # deleted, not assigned again
        (f"def ask(q):\n    llm = {MODEL}\n    llm.invoke(q)\n    del llm\n", "the code deletes llm again"),
        # the other class has an attribute of the same name
        (
            f"class Bot:\n    def __init__(self):\n        self.llm = {MODEL}\n"
            "    def ask(self, q):\n        return self.llm.invoke(q)\n"
            "def tell(other, q):\n    return other.llm.invoke(q)\n",
            "uses `.llm` of an object, which may be the same model",
        ),
        # two models, one statement
        (
            "h = [StreamingStdOutCallbackHandler()]\none = ChatOpenAI(streaming=True, callbacks=h)\n"
            "two = ChatOpenAI(streaming=True, callbacks=h)\nprint(one.invoke('q'), two.invoke('q'))\n",
            "one statement makes two of the calls",
        ),
        ("ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler(1)]).invoke('q')\n", "the handler is made with arguments"),
    ],
)
def test_the_reason_says_what_is_so(text: str, said: str) -> None:
    refusals = rewrite(HEAD + text, Options(unsafe=True)).refusals
    assert any(said in each.reason for each in refusals), refusals


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_chain_hands_its_own_handlers_no_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    """The fact that a reason rests on; a handler of the model hears them."""
    chains = pytest.importorskip("langchain_classic.chains")
    handlers = [StreamingStdOutCallbackHandler()]
    prompt = PromptTemplate.from_template("{q}")
    chains.LLMChain(llm=FakeChatModel(streaming=True), prompt=prompt, callbacks=handlers).invoke({"q": "tea"})
    assert capsys.readouterr().out == ""
    if invoke_streams():
        chains.LLMChain(llm=FakeChatModel(streaming=True, callbacks=handlers), prompt=prompt).invoke({"q": "tea"})
        assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("use", "said"),
    [
        ("", "this file does not use m: remove it"),
        ("m.add_handler(Show())", "line 17 uses m for more than an argument `callbacks=`"),
        ("m = None", "m is assigned more than once"),
        ("__all__ = ['m']", "other files may use m, too"),
    ],
)
def test_why_a_manager_stays(use: str, said: str) -> None:
    check_noop(f"{HEAD}m = CallbackManager([Show()])\n{use}\n", said, rule="CB202")


def test_a_class_method_passes_a_manager_on_in_its_own_way() -> None:
    text = f"{HEAD}RetrievalQA.from_chain_type(llm=ChatOpenAI(), callback_manager=CallbackManager([Show()]))\n"
    check_noop(text, "from_chain_type() is a function, which may pass `callbacks=` to other objects", rule="CB201")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("agent.predict(q, callbacks=[Show()])", "`fix` cannot tell the key of what agent returns"),
        ("chain.acall(inputs=q, callbacks=[Show()])", "acall() gets its input by name"),
        ("chain.run(*q, callbacks=[Show()], tags=[])", "`*` arguments, or more than its input"),
    ],
)
def test_why_a_legacy_call_stays(call: str, said: str) -> None:
    text = f"""{HEAD}
async def ask(q):
    agent = initialize_agent(TOOLS, ChatOpenAI())
    chain = LLMChain(llm=ChatOpenAI(), prompt=prompt)
    return {"await " if "acall" in call else ""}{call}
"""
    refusals = rewrite(text).refusals
    assert any(said in each.reason for each in refusals), refusals


def test_why_an_iterator_stays_that_an_attribute_holds() -> None:
    text = f"""{HEAD}
class Bot:
    async def ask(self, q):
        cb = AsyncIteratorCallbackHandler()
        self.callbacks = [cb]
        task = asyncio.create_task(self.run(q))
        async for token in cb.aiter():
            yield token
        await task
"""
    check_noop(text, "self.callbacks holds the handler", rule="CB301")
    loop = "        async for token in cb.aiter():\n            yield token\n"
    text = text.replace(loop, "        yield [token async for token in cb.aiter()]\n")
    check_noop(text, "has 0 `async for` statements over cb.aiter()", rule="CB301")


# -- what is followed now, and was said not to be shown


def test_an_attribute_that_is_called_is_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    before, after = both(
        """
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_fakes import FakeChatModel

        FakeChatModel.__call__ = lambda self, x: self.invoke(x)

        class Bot:
            def __init__(self):
                self.chat = FakeChatModel(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])

            def ask(self, x):
                return self.chat(x).content

        def ask(x):
            return Bot().ask(x)
        """
    )
    assert before("tea") == after("tea")
    out = capsys.readouterr().out
    assert out[: len(out) // 2] == out[len(out) // 2 :] != ""


@pytest.mark.parametrize(
    "made", ["HuggingFaceTextGenInference(streaming=True, {0})", "init_chat_model('gpt', streaming=True, {0})"]
)
def test_a_model_is_known_by_its_module_or_its_factory(made: str) -> None:
    text = f"{HEAD}\ndef ask(q):\n    llm = {made.format(STDOUT)}\n    return llm.invoke(q)\n"
    assert "stream_call(llm.invoke, q)" in rewrite(code(text), Options(unsafe=True)).text


def test_a_reranker_is_no_second_model() -> None:
    text = f"""{HEAD}
from langchain_cohere import CohereRerank

def ask(q):
    chain = ConversationalRetrievalChain.from_llm(llm={MODEL}, retriever=CohereRerank(top_n=3))
    return chain.invoke(q)
"""
    assert "stream_call(chain.invoke, q)" in rewrite(text, Options(unsafe=True)).text


def test_why_a_queue_stays_that_no_loop_statement_reads() -> None:
    text = f"""{HEAD}
class Put(BaseCallbackHandler):
    def __init__(self, tokens):
        self.tokens = tokens

    def on_llm_new_token(self, token, **kwargs):
        self.tokens.put(token)

def ask(q):
    tokens = queue.Queue()
    llm = ChatOpenAI(streaming=True, callbacks=[Put(tokens)])

    def work():
        llm.invoke(q)
        tokens.put(None)

    Thread(target=work).start()
    return [token for token in iter(tokens.get, None)]
"""
    check_noop(text, "0 `for` or `while` loops read tokens", rule="CB302")
