"""CB304, CB306, CB307, CB310, CB401: what a handler does with tokens stands in a loop, and does the same there."""

from __future__ import annotations

import asyncio
import textwrap
from typing import Any

import pytest
from fixing import check_noop, check_rewritten, code
from langchain_fakes import invoke_streams

from callbridge.migrate.analysis.project import Project
from callbridge.migrate.commands.scan import find_all, scan_source
from callbridge.migrate.edits.rewriting import Options, Rewritten, rewrite

pytest.importorskip("libcst")

HEAD = """
    from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
    from langchain_fakes import FakeChatModel
"""
SHOW = """
    class Show(BaseCallbackHandler):
        def __init__(self, box, start=""):
            self.box = box
            self.text = start

        def on_llm_new_token(self, token, **kwargs):
            # what has come so far
            self.text += token
            self.box.markdown(self.text)
"""
PRINT = """
    class Print(BaseCallbackHandler):
        def on_llm_new_token(self, token: str, **kwargs) -> None:
            print(token, end="", flush=True)
"""


class Box:
    """A container of a page, which remembers what it was told to show."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def markdown(self, text: str) -> None:
        """Show a text."""
        self.shown.append(text)

    async def send_text(self, text: str) -> None:
        """Send a text, as a websocket does."""
        self.shown.append(text)


def ran(text: str, *arguments: object) -> object:
    """Run a module's `ask`, to its end if it is a coroutine function."""
    if not invoke_streams():
        pytest.skip("`invoke` of this LangChain does not ask models to stream that are told to")
    namespace: dict[str, Any] = {}
    exec(compile(text, "<module>", "exec"), namespace)
    result = namespace["ask"](*arguments)
    return asyncio.run(result) if asyncio.iscoroutine(result) else result


def check_same(before: str, after: str | None = None, *, unsafe: bool = False) -> str:
    """Check that a module shows the same, and returns the same, when it has been rewritten; return what it is then."""
    before = code(before)
    text = (
        check_rewritten(before, after, unsafe=unsafe).text
        if after is not None
        else rewrite(before, Options(unsafe=unsafe)).text
    )
    assert "stream_call" in text
    boxes = Box(), Box()
    results = [ran(each, box, "tea") for each, box in zip((before, text), boxes, strict=True)]
    assert boxes[0].shown == boxes[1].shown
    assert boxes[0].shown
    assert [getattr(each, "content", each) for each in results] == [getattr(results[0], "content", results[0])] * 2
    return text


# -- shapes


def test_a_container_and_a_text_become_variables() -> None:
    check_same(
        f"""{HEAD}{SHOW}
    def ask(box, x):
        handler = Show(box)
        chat = FakeChatModel(streaming=True, callbacks=[handler])
        answer = chat.invoke(x)
        return answer
        """,
        """
    from callbridge import stream_call
    from langchain_core.callbacks import AsyncCallbackHandler
    from langchain_fakes import FakeChatModel

    def ask(box, x):
        text = ""
        chat = FakeChatModel(streaming=True)
        with stream_call(chat.invoke, x) as stream:
            for token in stream.text():
                # what has come so far
                text += token
                box.markdown(text)
        answer = stream.result
        return answer
        """,
    )


def test_a_handler_made_in_the_call_has_its_variables_in_front_of_it() -> None:
    text = check_same(f"""{HEAD}{SHOW}
    def place(box):
        return box

    def ask(box, x):
        chat = FakeChatModel(streaming=True)
        return chat.invoke(x, config={{"callbacks": [Show(place(box), "> ")]}})
    """)
    assert '    text = "> "\n' in text
    assert "    streamed_box = place(box)\n" in text
    assert "class Show" not in text


def test_names_that_are_taken_are_others_then() -> None:
    text = check_same(f"""{HEAD}{SHOW}
    def ask(box, x):
        token = text = "mine"
        chat = FakeChatModel(streaming=True, callbacks=[Show(box)])
        answer = chat.invoke(x)
        return token + text + answer.content
    """)
    assert "streamed_text += piece" in text


def test_what_is_read_of_the_handler_afterwards_is_the_variable() -> None:
    text = check_same(f"""{HEAD}{SHOW}
    def ask(box, x):
        handler = Show(box)
        FakeChatModel(streaming=True, callbacks=[handler]).invoke(x)
        return handler.text
    """)
    assert "return text" in text


def test_a_coroutine_function_awaits_in_the_loop() -> None:
    """An error of the socket was logged, and is raised now: that takes `--unsafe`."""
    before = f"""{HEAD}
    class Push(AsyncCallbackHandler):
        def __init__(self, websocket):
            self.websocket = websocket

        async def on_llm_new_token(self, token, **kwargs):
            await self.websocket.send_text(token)

    async def ask(websocket, x):
        chat = FakeChatModel(streaming=True)
        answer = await chat.ainvoke(x, config={{"callbacks": [Push(websocket)]}})
        return answer.content
    """
    check_noop(before, "an error in handling a token was only logged", rule="CB304", unsafe=False)
    assert "await websocket.send_text(token)" in check_same(before, unsafe=True)


def test_what_is_done_when_a_model_starts_and_ends_is_done_around_the_loop() -> None:
    text = check_same(
        f"""{HEAD}
    class Page(BaseCallbackHandler):
        message = ""

        def __init__(self, box):
            self.box = box

        def on_llm_start(self, *args, **kwargs):
            self.place = self.box

        def on_llm_end(self, *args, **kwargs):
            self.box.markdown("= " + self.message)

        def on_llm_new_token(self, token, *args, **kwargs):
            self.message += token
            self.place.markdown(self.message)

    def ask(box, x):
        return FakeChatModel(streaming=True, callbacks=[Page(box)]).invoke(x)
    """,
        unsafe=True,
    )
    assert text.index("place = box") < text.index("stream_call(") < text.index('"= " + message') < text.index("stream.result")


def test_a_printing_handler_at_module_level_is_that_of_the_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    """The name of its token is its own, and no name of the module."""
    before = code(f"""{HEAD}{PRINT}
    chat = FakeChatModel(streaming=True, callbacks=[Print()])
    chat.invoke("tea")
    """)
    text = check_rewritten(
        before,
        """
    from callbridge import stream_call
    from langchain_core.callbacks import AsyncCallbackHandler
    from langchain_fakes import FakeChatModel

    chat = FakeChatModel(streaming=True)
    with stream_call(chat.invoke, "tea") as stream:
        for token in stream.text():
            print(token, end="", flush=True)
    """,
    ).text
    if not invoke_streams():
        pytest.skip("`invoke` of this LangChain does not ask models to stream that are told to")
    exec(compile(before, "<module>", "exec"), {})
    first = capsys.readouterr().out
    exec(compile(text, "<module>", "exec"), {})
    assert capsys.readouterr().out == first == "tea"


# -- where it stands


def in_project(main: str, others: dict[str, str], *, unsafe: bool = False) -> Rewritten:
    """Rewrite a file of a project as `callbridge fix` does."""

    def project(text: str) -> Project:
        return Project.build([("app/main.py", text), *others.items()])

    def scan(text: str) -> Any:
        return find_all(text, "app/main.py", project(text))

    return rewrite(main, Options(unsafe=unsafe, scan=scan, path="app/main.py", project=project(main)))


def test_a_class_of_another_file_is_read_there() -> None:
    main = code("""
    from app.handlers import Show
    from langchain_fakes import FakeChatModel

    def ask(box, x):
        return FakeChatModel(streaming=True, callbacks=[Show(box)]).invoke(x)
    """)
    handlers = f"from langchain_core.callbacks import BaseCallbackHandler\n{textwrap.dedent(SHOW)}"
    after = in_project(main, {"app/handlers.py": handlers}).text
    assert "from app.handlers" not in after
    assert "            text += token\n            box.markdown(text)\n" in after
    found = scan_source(main, "app/main.py", Project.build([("app/main.py", main), ("app/handlers.py", handlers)]))
    assert {(each.rule, each.verdict) for each in found} == {("CB203", "auto-safe")}


def test_names_of_the_other_file_are_imported_or_keep_the_handler() -> None:
    main = code("""
    from app.handlers import Show
    from langchain_fakes import FakeChatModel

    def ask(box, x):
        return FakeChatModel(streaming=True, callbacks=[Show(box)]).invoke(x)
    """)
    head = "from langchain_core.callbacks import BaseCallbackHandler\nfrom html import escape\n"
    named = textwrap.dedent(SHOW).replace("(self.text)", "(escape(self.text))")
    assert "from html import escape\n" in in_project(main, {"app/handlers.py": head + named}).text
    local = "from langchain_core.callbacks import BaseCallbackHandler\ndef escape(text): return text\n" + named
    left = in_project(main, {"app/handlers.py": local})
    assert left.text == main
    assert "the handler uses escape of its own file" in str(left.refusals)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ("return FakeChatModel(streaming=True, callbacks=[Show(box)])", "no call that runs the FakeChatModel"),
        ("handlers = [Show(box)]\n        use(handlers)", "for more than `callbacks`"),
        ("chat = FakeChatModel(streaming=True, callbacks=[Show(*box)])\n        chat.invoke(x)", "`*` or `**` arguments"),
        (
            "chat = FakeChatModel(streaming=True, callbacks=[Show()])\n        chat.invoke(x)",
            "this file does not show the handler's box",
        ),
        (
            "chat = FakeChatModel(streaming=True, callbacks=[Show(box)])\n        def late(box):\n            chat.invoke(x)",
            "its arguments may be different at the call",
        ),
    ],
)
def test_what_stands_in_the_way_is_named(made: str, reason: str) -> None:
    check_noop(f"{HEAD}{SHOW}\n    def ask(box, x):\n        {made}\n", reason)


@pytest.mark.parametrize(
    ("header", "body", "reason"),
    [
        ("Show(Mine)", "", "what its base Mine does"),
        ("Show(BaseCallbackHandler)", "tokens = []", "does not show where self.tokens comes from"),
        (
            "Show(BaseCallbackHandler)",
            "def __init__(self):\n            self.tokens = []\n            register(self)",
            "does more than",
        ),
        ("Show(BaseCallbackHandler)", "def tokens(self):\n            return []", "its hook calls another method"),
    ],
)
def test_a_class_that_does_more_than_can_be_seen_stays(header: str, body: str, reason: str) -> None:
    """A base may open something when a handler is made, and a list of the class is shared by all handlers."""
    check_noop(
        f"""{HEAD}
    class Mine(BaseCallbackHandler):
        def __init__(self):
            register(self)

    class {header}:
        {body or "pass"}

        def on_llm_new_token(self, token, **kwargs):
            self.tokens.append(token)

    def ask(x):
        return FakeChatModel(streaming=True, callbacks=[Show()]).invoke(x)
    """,
        reason,
    )


def test_a_sync_hook_that_waits_is_not_put_into_the_event_loop_unseen() -> None:
    before = f"""{HEAD}
    import time

    class Slow(BaseCallbackHandler):
        def on_llm_new_token(self, token, **kwargs):
            time.sleep(0.1)
            print(token, end="")

    async def ask(x):
        return await FakeChatModel(streaming=True, callbacks=[Slow()]).ainvoke(x)
    """
    check_noop(before, "its hook ran in a thread before, and runs in the event loop now", unsafe=False)


# -- models that are followed


def test_models_are_followed_through_a_factory_and_an_attribute(capsys: pytest.CaptureFixture[str]) -> None:
    before = code(f"""{HEAD}{PRINT}
    def make():
        return FakeChatModel(streaming=True, callbacks=[Print()])

    class Service:
        def __init__(self):
            self.chat = FakeChatModel(streaming=True, callbacks=[Print()])

        def ask(self, x):
            return self.chat.invoke(x)

    def ask(x):
        first = make().invoke(x)
        return [first.content, Service().ask(x).content]
    """)
    safe = rewrite(before, Options(), foreign_uses=frozenset({"ask"}))
    assert "with stream_call(make().invoke, x)" in safe.text
    assert "an object holds the model" in str(safe.refusals)
    after = rewrite(before, Options(unsafe=True)).text
    assert "with stream_call(self.chat.invoke, x)" in after
    assert "class Print" not in after
    assert ran(before, "tea") == ran(after, "tea") == ["tea", "tea"]
    assert capsys.readouterr().out == "tea" * 4


def test_a_factory_that_other_files_use_keeps_its_handler() -> None:
    text = code(f"{HEAD}{PRINT}\n    def make():\n        return FakeChatModel(callbacks=[Print()])\n\n    make().invoke(1)\n")
    left = rewrite(text, Options(unsafe=True), foreign_uses=frozenset({"make"}))
    assert left.text == text
    assert "other files may use it" in str(left.refusals)


@pytest.mark.parametrize(
    "config",
    [
        'config = {"callbacks": [handler], "recursion_limit": 20}\n        answer = chat.invoke(x, config)',
        'config = {"callbacks": [handler]}\n        answer = chat.invoke(x, config=config)',
        'config = {"callbacks": [handler]}\n        answer = chat.invoke(x, config)',
        "config = RunnableConfig(callbacks=[handler], tags=['a'])\n        answer = chat.invoke(x, config)",
        'config = {"callbacks": [handler], "tags": 0}\n        config["tags"] = ["b"]\n        answer = chat.invoke(x, config)',
    ],
)
def test_a_config_in_a_variable_loses_the_handler(config: str) -> None:
    """The shape of 2025: of what else the config holds nothing is lost."""
    text = check_same(f"""{HEAD}
    from langchain_core.runnables import RunnableConfig
{SHOW}
    def ask(box, x):
        handler = Show(box)
        chat = FakeChatModel(streaming=True)
        {config}
        return answer
    """)
    assert "callbacks" not in text.split("def ask")[1]
    assert ("config" in text.split("def ask")[1]) == any(each in config for each in ("recursion_limit", "tags"))


def test_a_string_that_an_f_string_reads_becomes_a_variable() -> None:
    """Before CPython 3.12, an f-string cannot hold a string with its own quotes."""
    check_rewritten(
        """
        from langchain_core.callbacks import BaseCallbackHandler
        from langchain_openai import ChatOpenAI


        class Show(BaseCallbackHandler):
            def __init__(self, prefix):
                self.prefix = prefix

            def on_llm_new_token(self, token, **kwargs):
                print(f"{self.prefix}: {token}")


        def ask(q):
            llm = ChatOpenAI(streaming=True, callbacks=[Show(prefix="tea")])
            return llm.invoke(q)
        """,
        """
        from callbridge import stream_call
        from langchain_openai import ChatOpenAI


        def ask(q):
            prefix = "tea"
            llm = ChatOpenAI(streaming=True)
            with stream_call(llm.invoke, q) as stream:
                for token in stream.text():
                    print(f"{prefix}: {token}")
            return stream.result
        """,
        unsafe=True,
    )
