"""Models that an object keeps, and what prints besides their text: the edit is safe only if the file shows all of it."""

from __future__ import annotations

import pytest
from fixing import check_noop, check_rewritten

from callbridge.migrate.edits.rewriting import Options, rewrite

pytest.importorskip("libcst")

HEAD = """
from __future__ import annotations
from dataclasses import dataclass
import streamlit as st
from langchain_classic.chains import LLMChain, RetrievalQA
from langchain_core.callbacks import BaseCallbackHandler, StdOutCallbackHandler, StreamingStdOutCallbackHandler
from langchain_core.output_parsers import BaseOutputParser
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers import ConsoleCallbackHandler
from langchain_openai import ChatOpenAI
from .unseen import PROMPT, Base, Panel, serve

class Quiet(BaseCallbackHandler):
    def on_llm_end(self, response, **kwargs): self.response = response
"""
MODEL = "ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])"

BOT = f"""
class Bot:
    def __init__(self):
        self.chain = LLMChain(llm={MODEL}, prompt=PROMPT)

    def ask(self, q):
        return self.chain.invoke(q)

print(Bot().ask("tea"))
"""


def why(text: str) -> str:
    """Return why a module takes `--unsafe`; empty if the edit is safe."""
    before = HEAD + text
    assert rewrite(before, Options(unsafe=True)).changes, rewrite(before, Options(unsafe=True)).refusals
    safe = rewrite(before)
    return "" if safe.changes else "; ".join(each.reason for each in safe.refusals)


def test_a_chain_in_an_attribute_is_safe_if_the_file_shows_all_that_uses_it() -> None:
    assert why(BOT) == ""
    assert why(BOT + 'bot = Bot()\nprint(len([bot]), bot)\nprint(bot.ask("milk"))\n') == ""
    assert why(BOT.replace("class Bot:", "import cmd\n\nclass Bot(cmd.Cmd):")) == ""


# -- what prints besides


STEPS = """
def show(x):
    print(x)
    return x

class Parser(BaseOutputParser):
    def parse(self, text):
        print(text)
        return text

"""


@pytest.mark.parametrize(
    ("chain", "said"),
    [
        ("LLMChain(llm=MODEL, prompt=PROMPT, verbose=self.loud)", "`verbose=`"),
        ("LLMChain(llm=MODEL, prompt=PROMPT, **OPTIONS)", "`**OPTIONS`, if it has `verbose` or handlers,"),
        ("LLMChain(llm=MODEL, prompt=PROMPT, llm_kwargs={'verbose': True})", "`verbose=`"),
        ("LLMChain(llm=MODEL, prompt=PROMPT, callbacks=[StdOutCallbackHandler()])", "`StdOutCallbackHandler()`"),
        ("LLMChain(llm=MODEL, prompt=PROMPT, callbacks=[ConsoleCallbackHandler()])", "`ConsoleCallbackHandler()`"),
        ("LLMChain(llm=MODEL, prompt=PROMPT, callbacks=given)", "`given`"),
        ("(PROMPT | MODEL).with_config(callbacks=[StdOutCallbackHandler()])", "`StdOutCallbackHandler()`"),
        ("(PROMPT | MODEL).with_config({'callbacks': [StdOutCallbackHandler()]})", "`StdOutCallbackHandler()`"),
        ("(PROMPT | MODEL).with_listeners(on_end=told)", "a listener"),
        ("PROMPT | MODEL | show", "`show`"),
        ("PROMPT | MODEL | RunnableLambda(lambda x: print(x))", "`lambda`"),
        ("PROMPT | MODEL | Parser()", "`Parser`"),
    ],
)
def test_what_a_kept_chain_prints_besides_takes_unsafe(chain: str, said: str) -> None:
    text = BOT.replace(f"LLMChain(llm={MODEL}, prompt=PROMPT)", chain.replace("MODEL", MODEL))
    found = why(STEPS + text)
    assert f"what {said}" in found
    assert "prints may swap places with the text" in found


ASK = """
    def ask(self, q):
        return self.chain.invoke(q)
"""


@pytest.mark.parametrize(
    "kept",
    [
        f"class Bot:\n    def __init__(self):\n        self.chain = CHAIN\n{ASK}",
        f"class Bot:\n    chain = CHAIN\n{ASK}",
        f"class Bot:\n    @property\n    def chain(self):\n        return CHAIN\n{ASK}",
        f"class Bot:\n    def make(self):\n        return CHAIN\n{ASK.replace('chain', 'make()')}",
        f"class Bot:\n    def set(self):\n        made = CHAIN\n        self.chain = made\n{ASK}",
        "def make():\n    return CHAIN\ndef ask(q):\n    return make().invoke(q)\nBot = ask\n",
        "chain = CHAIN\ndef ask(q):\n    return chain.invoke(q)\nBot = ask\n",
        "kinds = {'tea': CHAIN}\ndef ask(q):\n    return kinds['tea'].invoke(q)\nBot = ask\n",
    ],
)
def test_wherever_a_chain_is_kept_it_is_seen_that_it_prints(kept: str) -> None:
    chain = f"LLMChain(llm={MODEL}, prompt=PROMPT, verbose=True)"
    assert "what `verbose=` prints may swap places" in why(kept.replace("CHAIN", chain) + "Bot()\n")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("        self.chain.verbose = True\n", "`self.chain.verbose`"),
        ("        self.chain.verbose = q\n", "`self.chain.verbose`"),
        ("        self.chain.llm.verbose = True\n", "`self.chain.llm.verbose`"),
        ("        self.chain.verbose = False\n        self.verbose = True\n", ""),
    ],
)
def test_a_chain_that_is_told_later_to_print_takes_unsafe(more: str, said: str) -> None:
    found = why(BOT.replace("        return", f"{more}        return"))
    assert (f"what {said} prints" in found) if said else not found


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("self.chain.invoke(q, config={'callbacks': [StdOutCallbackHandler()]})", "`StdOutCallbackHandler()`"),
        ("self.chain.invoke(q, {'callbacks': [StdOutCallbackHandler()]})", "`StdOutCallbackHandler()`"),
        ("self.chain.invoke(q, CONFIG)", "`StdOutCallbackHandler()`"),
        ("self.chain.invoke(q, config=given)", "`given`"),
        ("self.chain.run(q, callbacks=[StdOutCallbackHandler()])", "`StdOutCallbackHandler()`"),
        ("self.chain.invoke(q, {'callbacks': [Quiet()]})", ""),
        ("self.chain.invoke(q, {'tags': ['tea']})", ""),
        ("self.chain.invoke(q, QUIET)", ""),
    ],
)
def test_another_handler_of_the_call_that_may_print_takes_unsafe(call: str, said: str) -> None:
    before = "CONFIG = {'callbacks': [StdOutCallbackHandler()]}\nQUIET = dict(callbacks=[Quiet()])\n"
    text = BOT.replace("(self, q)", "(self, q, given=None)").replace("self.chain.invoke(q)", call)
    found = why(before + text)
    assert (f"what {said}, which is also attached, prints" in found) if said else not found


def test_a_kept_model_that_is_told_not_to_stream_takes_unsafe() -> None:
    text = BOT.replace("LLMChain(llm=", "").replace(", prompt=PROMPT)", ".bind(stream=False)")
    assert "`stream=False` may turn streaming off" in why(text)


# -- who else runs what an object keeps


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOT.replace("class Bot:", "class Bot(Base):"), "does not show what the bases or decorators of Bot do with it"),
        (BOT.replace("class Bot:", "@serve\nclass Bot:"), "does not show what the bases or decorators of Bot do with it"),
        (BOT.replace('print(Bot().ask("tea"))', ""), "if other files run it"),
        (BOT + '\n__all__ = ["Bot"]\n', "if other files run it"),
        (BOT + "\nserve(Bot())\n", "serve() gets the object"),
        (BOT + "\nbot = Bot()\nserve([bot])\n", "serve() gets the object"),
        (BOT + "\nwith Bot() as bot:\n    serve(bot=bot)\n", "serve() gets the object"),
        (BOT + "\ndef make():\n    return Bot()\n\nserve(make())\n", "serve() gets the object"),
        (
            BOT.replace("    def ask", "    def it(self):\n        return self\n\n    def ask") + "\nserve(Bot().it())\n",
            "serve()",
        ),
        (BOT + "\nst.session_state.bot = Bot()\n", "st.session_state.bot gets the object"),
        (
            BOT + "\nclass App:\n    def __init__(self):\n        self.bot = Bot()\n        serve(self.bot)\n",
            "serve() gets the object",
        ),
        (BOT.replace("    def ask", "    def show(self):\n        Panel(self)\n\n    def ask"), "Panel() gets the object"),
        (
            BOT.replace("    def ask", "    def tell(self, q):\n        return getattr(self, q)\n\n    def ask"),
            "by their names",
        ),
        (
            BOT.replace("    def ask", "    def tell(self, q):\n        return self.__dict__[q]\n\n    def ask"),
            "by their names",
        ),
    ],
)
def test_code_that_may_run_what_an_object_keeps_takes_unsafe(text: str, said: str) -> None:
    assert said in why(text)


def test_a_model_that_is_kept_and_run_in_one_method_may_be_run_by_others() -> None:
    text = f"""
class Bot:
    def ask(self, q):
        self.llm = {MODEL}
        return self.llm.invoke(q)
"""
    assert "if other files run it" in why(text)
    assert why(text.replace("self.llm", "llm")) == ""


@pytest.mark.parametrize("made", ["Bot()", "Bot(llm=ChatOpenAI())"])
@pytest.mark.parametrize("head", ["@dataclass\nclass Bot:", "class Bot(Base):"])
def test_a_field_may_be_given_another_model(head: str, made: str) -> None:
    text = f"{head}\n    llm: ChatOpenAI = {MODEL}\n{ASK.replace('chain', 'llm')}\n{made}.ask('q')\n"
    assert "does not show which models the call runs" in why(text)


FAMILY = """
class Above:
    def __init__(self):
        self.llm = ONE

    def tell(self, q):
        return self.llm.invoke(q)

class Bot(Above):
    def __init__(self):
        super().__init__()
        self.llm = TWO

    def ask(self, q):
        return self.llm.invoke(q)

Bot().ask("tea")
Bot().tell("tea")
"""


def test_a_base_that_runs_the_model_of_its_subclass_is_seen() -> None:
    """Its call printed, too: it must not go quiet."""
    for one, two in (("ChatOpenAI()", MODEL), (MODEL, "ChatOpenAI()")):
        check_noop(HEAD + FAMILY.replace("ONE", one).replace("TWO", two), "another model", rule="CB305")
    text = rewrite(HEAD + FAMILY.replace("ONE", "None").replace("TWO", MODEL)).text
    assert text.count("with stream_call(self.llm.invoke, q)") == 2


def test_a_class_that_is_no_relative_has_attributes_of_its_own() -> None:
    text = (
        FAMILY.replace("ONE", "ChatOpenAI()")
        .replace("TWO", MODEL)
        .replace("Bot(Above)", "Bot")
        .replace("Bot().tell", "Above().tell")
    )
    assert rewrite(HEAD + text.replace("        super().__init__()\n", "")).text.count("with stream_call(") == 1


def test_the_edit_with_a_review_is_the_same() -> None:
    check_rewritten(
        """
        from langchain_classic.chains import LLMChain
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_openai import ChatOpenAI

        class Bot:
            def __init__(self):
                self.chain = LLMChain(
                    llm=ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()]), prompt=P, verbose=True
                )

            def ask(self, q):
                return self.chain.invoke(q)
        """,
        """
        from callbridge import stream_call
        from langchain_classic.chains import LLMChain
        from langchain_openai import ChatOpenAI

        class Bot:
            def __init__(self):
                self.chain = LLMChain(
                    llm=ChatOpenAI(streaming=True), prompt=P, verbose=True
                )

            def ask(self, q):
                with stream_call(self.chain.invoke, q) as stream:
                    for token in stream.text():
                        print(token, end="", flush=True)
                return stream.result
        """,
        unsafe=True,
    )
