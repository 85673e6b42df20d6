"""CB101 to CB104, CB201, CB202, CB204, CB701, CB901: edits of one expression or one statement."""

from __future__ import annotations

from functools import partial

import pytest
from fixing import check_noop, check_rewritten, code

from callbridge.migrate.analysis.moved_names import Home
from callbridge.migrate.commands.scan import scan_source
from callbridge.migrate.edits.rewriting import Options, rewrite

pytest.importorskip("libcst")


# -- CB101, CB102, CB103: imports


@pytest.mark.parametrize(
    "snippet",
    [
        "from langchain_core.callbacks import BaseCallbackHandler\n",
        "from callbacks import BaseCallbackHandler\n",
        "from .callbacks import BaseCallbackHandler\n",
        "from llama_index.callbacks import CallbackManager\nx = f(callback_manager=CallbackManager([h]))\n",
        "from keras import Model\nModel().fit(x, callbacks=[EarlyStopping()])\n",
        "from lightning import Trainer\nTrainer(callbacks=[Checkpoint()])\n",
        "print('from langchain.callbacks.base import BaseCallbackHandler')\n",
        "",
        "\n\n",
        "# only a comment",
    ],
)
def test_what_is_none_of_our_business_stays(snippet: str) -> None:
    check_noop(snippet)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("langchain.callbacks.base import BaseCallbackHandler", "langchain_core.callbacks import BaseCallbackHandler"),
        (
            "langchain.callbacks.base import BaseCallbackHandler as B",
            "langchain_core.callbacks import BaseCallbackHandler as B",
        ),
        (
            "langchain.callbacks.manager import CallbackManagerForLLMRun",
            "langchain_core.callbacks import CallbackManagerForLLMRun",
        ),
        ("langchain.callbacks.tracers import ConsoleCallbackHandler", "langchain_core.tracers import ConsoleCallbackHandler"),
        ("langchain.callbacks import tracing_v2_enabled", "langchain_core.tracers.context import tracing_v2_enabled"),
        (
            "langchain.callbacks.manager import trace_as_chain_group",
            "langchain_core.callbacks.manager import trace_as_chain_group",
        ),
        ("langchain.callbacks.manager import env_var_is_set", "langchain_core.utils.env import env_var_is_set"),
    ],
)
def test_names_are_imported_from_where_they_live(before: str, after: str) -> None:
    check_rewritten(f"from {before}  # noqa\n", f"from {after}  # noqa\n")


def test_the_layout_of_a_statement_stays() -> None:
    check_rewritten(
        """
        # -*- coding: utf-8 -*-
        from langchain.callbacks.base import (  # the old place
            AsyncCallbackHandler,  # for the server
            BaseCallbackHandler,
        )
        x  =  1
        """,
        """
        # -*- coding: utf-8 -*-
        from langchain_core.callbacks import (  # the old place
            AsyncCallbackHandler,  # for the server
            BaseCallbackHandler,
        )
        x  =  1
        """,
    )


def test_a_statement_is_divided_by_where_its_names_live() -> None:
    check_rewritten(
        """
        def f():
            from langchain.callbacks import StdOutCallbackHandler, get_openai_callback, tracing_v2_enabled

            return StdOutCallbackHandler
        """,
        """
        def f():
            from langchain.callbacks import get_openai_callback
            from langchain_core.callbacks import StdOutCallbackHandler
            from langchain_core.tracers.context import tracing_v2_enabled

            return StdOutCallbackHandler
        """,
    )


def test_imports_that_add_a_dependency_take_unsafe() -> None:
    before = (
        "from langchain.callbacks import get_openai_callback\nfrom langchain.callbacks import AsyncIteratorCallbackHandler\n"
    )
    check_noop(before, "add langchain-community to the dependencies", rule="CB103", unsafe=False)
    after = rewrite(before, Options(unsafe=True)).text
    assert "from langchain_community.callbacks import get_openai_callback\n" in after
    assert "from langchain_classic.callbacks import AsyncIteratorCallbackHandler\n" in after


@pytest.mark.parametrize(
    ("snippet", "reason"),
    [
        ("from langchain.callbacks import *\n", "import *"),
        ("from langchain.callbacks import set_handler\n", "no successor"),
        ("import langchain.callbacks.base\n", "the import binds the module"),
        ("from langchain import callbacks\n", "the import binds the module"),
        ("from langchain.callbacks import base\n", "callbridge does not know where base lives now"),
        ("from langchain.callbacks.base import BaseCallbackHandler; x = 1\n", "shares its line"),
        (
            "try:\n    from langchain_core.callbacks import Callbacks\n"
            "except ImportError:\n    from langchain.callbacks.base import Callbacks\n",
            "fallback",
        ),
        (
            "from langchain.callbacks import (\n    StdOutCallbackHandler,  # here\n    get_openai_callback,\n)\n",
            "the statement has a comment inside",
        ),
    ],
)
def test_imports_that_cannot_be_moved_say_why(snippet: str, reason: str) -> None:
    check_noop(snippet, reason, rule="CB10")


def test_an_import_in_a_try_without_another_import_is_moved() -> None:
    """What is caught there is an error of the code below, or the lack of the package: the name lives elsewhere all the same."""
    for handler in ("except ImportError:\n    StdOutCallbackHandler = None\n", "finally:\n    done()\n"):
        before = f"try:\n    from langchain.callbacks import StdOutCallbackHandler\n{handler}"
        check_rewritten(before, before.replace("langchain.callbacks", "langchain_core.callbacks"))


# -- CB201, CB202: managers


def test_managers_become_lists_and_their_import_goes() -> None:
    check_rewritten(
        """
        from langchain.callbacks.base import CallbackManager
        from langchain_openai import ChatOpenAI

        h = object()
        llm = ChatOpenAI(
            temperature=0,
            callback_manager=CallbackManager([h]),  # all of them
            verbose=True,
        )
        """,
        """
        from langchain_openai import ChatOpenAI

        h = object()
        llm = ChatOpenAI(
            temperature=0,
            callbacks=[h],  # all of them
            verbose=True,
        )
        """,
    )


def test_a_manager_in_a_variable_becomes_a_list_in_it() -> None:
    check_rewritten(
        """
        from langchain_core.callbacks import CallbackManager
        from langchain_openai import ChatOpenAI, OpenAI
        def build(h):
            manager = CallbackManager(handlers=[h])
            return ChatOpenAI(callbacks=manager), OpenAI(callback_manager=manager)
        """,
        """
        from langchain_openai import ChatOpenAI, OpenAI
        def build(h):
            manager = [h]
            return ChatOpenAI(callbacks=manager), OpenAI(callbacks=manager)
        """,
    )


def test_the_import_of_a_manager_stays_where_somebody_needs_it() -> None:
    for rest in ("__all__ = ['CallbackManager']\n", "def f(m: 'CallbackManager'): ...\n", "x = CallbackManager\n"):
        before = (
            "from langchain_core.callbacks import CallbackManager\nfrom langchain_openai import OpenAI\n"
            f"OpenAI(callbacks=CallbackManager([1]))\n{rest}"
        )
        assert "import CallbackManager" in rewrite(before).text, rest
    before = "from langchain_core.callbacks import CallbackManager\nfrom langchain_openai import OpenAI\n"
    before += "OpenAI(callbacks=CallbackManager([1]))\n"
    assert "import CallbackManager" in rewrite(before, foreign_uses=frozenset({"CallbackManager"})).text
    assert "import CallbackManager" in rewrite(before, is_package=True).text
    assert "import CallbackManager" not in rewrite(before).text


@pytest.mark.parametrize(
    ("snippet", "reason"),
    [
        ("OpenAI(callback_manager=m, callbacks=[h])\n", "the call also has `callbacks=`"),
        ("OpenAI(callback_manager=m, **options)\n", "`**` arguments"),
        ("initialize_agent(tools, llm, callback_manager=m)\n", "is a function"),
        ("make_llm(callback_manager=CallbackManager([h]))\n", "not of a LangChain class"),
        ("OpenAI(callbacks=CallbackManager(handlers, parent_run_id=x))\n", "more than a list"),
        ("OpenAI(callbacks=CallbackManager(handlers))\n", "does not show the list"),
        ("m = CallbackManager([h])\nm.add_handler(x)\nOpenAI(callbacks=m)\n", "for more than an argument"),
    ],
)
def test_managers_that_do_more_stay(snippet: str, reason: str) -> None:
    imports = (
        "from langchain_classic.agents import initialize_agent\nfrom langchain_core.callbacks import CallbackManager\n"
        "from langchain_openai import OpenAI\n"
    )
    check_noop(imports + snippet, reason, rule="CB20")


def test_a_manager_that_is_passed_to_a_call_takes_unsafe() -> None:
    before = """
        from langchain_core.callbacks import CallbackManager
        def f(chain, h):
            return chain.run(1, callbacks=CallbackManager([h]))
        """
    check_noop(before, "hear only the run that gets them", rule="CB202", unsafe=False)
    check_rewritten(before, "def f(chain, h):\n    return chain.run(1, callbacks=[h])\n", unsafe=True)


# -- CB204: callbacks of calls


def test_callbacks_of_a_call_go_into_its_config() -> None:
    check_rewritten(
        """
        import langchain_openai
        def f(chain, x, h):
            chain.invoke(x, callbacks=[h])
            return chain.stream(
                x,
                callbacks=[h],  # here
            )
        """,
        """
        import langchain_openai
        def f(chain, x, h):
            chain.invoke(x, config={"callbacks": [h]})
            return chain.stream(
                x,
                config={"callbacks": [h]},  # here
            )
        """,
    )


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("chain.invoke(x, config=c, callbacks=[h])", "already has a config"),
        ("chain.invoke(x, c, callbacks=[h])", "already has a config"),
        ("chain.invoke(x, callbacks=[h], **options)", "`*` or `**`"),
        ("chain.run(x, callbacks=[h])", "run() has no `config=`"),
        ("chain.invoke(FunctionName=1, callbacks=[h])", "no input"),
    ],
)
def test_calls_with_a_config_of_their_own_stay(call: str, reason: str) -> None:
    check_noop(f"import langchain_openai\n{call}\n", reason, rule="CB204")


def test_what_a_tool_passes_on_stays() -> None:
    check_noop("import langchain_core\nself.llm.invoke(x, callbacks=run_manager.get_child())\n")


# -- CB701: versions


def test_the_version_of_events_is_said() -> None:
    check_rewritten(
        """
        import langchain_core
        async def f(chain, x):
            async for event in chain.astream_events(x):
                yield event
            async for event in chain.astream_events(
                x,
                include_names=["y"],
            ):
                yield event
        """,
        """
        import langchain_core
        async def f(chain, x):
            async for event in chain.astream_events(x, version="v2"):
                yield event
            async for event in chain.astream_events(
                x,
                include_names=["y"],
                version="v2",
            ):
                yield event
        """,
    )


def test_other_versions_are_left_to_people() -> None:
    check_noop("import langchain_core\nc.astream_events(x, version='v2')\n")
    check_noop("import langchain_core\nc.astream_events(x, **options)\n", "`**` arguments", rule="CB701")
    check_noop("import langchain_core\nc.astream_log(x)\n", "JSON patches", rule="CB701")
    check_noop("import langchain_core\nc.astream_events(x, version='v1')\n", "v1 events", rule="CB701", unsafe=False)
    assert 'version="v2"' in rewrite("import langchain_core\nc.astream_events(x, version='v1')\n", Options(unsafe=True)).text


# -- suppressions


def test_a_suppressed_place_stays() -> None:
    before = (
        "from langchain.callbacks.base import Callbacks  # callbridge: ignore[CB101] pinned\n"
        "from langchain.callbacks.base import BaseCallbackHandler\n"
    )
    first, second = before.splitlines(True)
    assert rewrite(before).text == first + second.replace("langchain.callbacks.base", "langchain_core.callbacks")


def test_a_suppression_of_nothing_goes() -> None:
    before = code("""
        # callbridge: ignore[CB301] it was here once
        x = 1
        from langchain.callbacks.base import BaseCallbackHandler  # callbridge: ignore[CB101, CB305] pinned
        y = 2  # callbridge: ignore[CB101] nothing to see
        """)
    after = code("""
        x = 1
        from langchain.callbacks.base import BaseCallbackHandler  # callbridge: ignore[CB101] pinned
        y = 2
        """)
    options = Options(scan=partial(scan_source, path="x.py"))
    assert rewrite(before, options).text == after
    assert rewrite(after, options).text == after


def test_only_what_is_found_is_edited() -> None:
    """An import of a producer's types is no finding, so it stays; an editor that is not asked for findings moves it."""
    before = code("""
        from langchain.callbacks.manager import CallbackManagerForLLMRun
        from langchain_core.language_models import LLM

        class Canned(LLM):
            def _call(self, prompt, stop=None, run_manager: CallbackManagerForLLMRun = None, **kwargs):
                return "canned"
        """)
    assert rewrite(before, Options(scan=partial(scan_source, path="x.py"))).text == before
    assert "langchain_core.callbacks" in rewrite(before).text
    mixed = before.replace("import CallbackManagerForLLMRun", "import CallbackManager, CallbackManagerForLLMRun")
    mixed += "\nmanager = CallbackManager([])\n"
    expected = mixed.replace("langchain.callbacks.manager", "langchain_core.callbacks")
    assert rewrite(mixed, Options(scan=partial(scan_source, path="x.py"))).text == expected


# -- what is installed


def test_a_name_that_the_installed_package_does_not_have_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home("langchain_core.callbacks", "langchain-core")
    monkeypatch.setattr("callbridge.migrate.edits.imports.home_of", lambda *_: home)
    check_noop("from langchain.callbacks import NoSuchHandler\n", "has no NoSuchHandler", rule="CB101")
