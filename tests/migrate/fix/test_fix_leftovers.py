"""What a scan calls automatic is rewritten, or said to be left and why."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fixing import code

from callbridge.migrate.analysis.project import Project
from callbridge.migrate.commands.scan import scan_source
from callbridge.migrate.edits.rewriting import Options, Rewritten, rewrite
from callbridge.migrate.edits.verdicts import REWRITTEN_BY
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.table import RULES

pytest.importorskip("libcst")

HEAD = """
    import asyncio
    import queue
    from threading import Thread

    from langchain_classic.callbacks import AsyncIteratorCallbackHandler
    from langchain_core.callbacks import BaseCallbackHandler, CallbackManager, StreamingStdOutCallbackHandler
    from langchain_openai import ChatOpenAI
"""
CLASSES = """
    class Printer(BaseCallbackHandler):
        def on_llm_new_token(self, token, **kwargs):
            print(token)

    class Filler(BaseCallbackHandler):
        def __init__(self, q):
            self.q = q

        def on_llm_new_token(self, token, **kwargs):
            self.q.put(token)

        def on_llm_end(self, response, **kwargs):
            self.q.put(None)
"""
ITERATION = """
    async def ask(x):
        cb = AsyncIteratorCallbackHandler()
        chat = ChatOpenAI(streaming=True, callbacks=[cb])
        task = asyncio.create_task(chat.ainvoke(x))
        async for token in cb.aiter():
            yield token
        await task
"""
QUEUE = """
    def ask(x):
        q = queue.Queue()

        def run():
            ChatOpenAI(streaming=True, callbacks=[Filler(q)]).invoke(x)

        Thread(target=run).start()
        for token in iter(q.get, None):
            yield token
"""
PRINTING = """
    def ask(x):
        chat = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
        return chat.invoke(x)
"""
SHOWN = CLASSES + PRINTING.replace("StreamingStdOutCallbackHandler()", "Shown(box)").replace("ask(x)", "ask(x, box)")
SHOWING = """
    class Shown(BaseCallbackHandler):
        def __init__(self, place):
            self.place = place

        def on_llm_new_token(self, token, **kwargs):
            SHOW
"""
ENDPOINT = """
    class Putting(BaseCallbackHandler):
        def __init__(self, queue):
            self.queue = queue

        async def on_llm_new_token(self, token, **kwargs):
            await self.queue.put(token)

        async def on_llm_end(self, response, **kwargs):
            await self.queue.put(None)

    async def ask(x):
        queue = asyncio.Queue()
        chat = ChatOpenAI(streaming=True, callbacks=[Putting(queue)])
        task = asyncio.create_task(chat.ainvoke(x))
        while (token := await queue.get()) is not None:
            yield token
        await task
"""
EDITS = {
    "CB101": "from langchain.callbacks.base import BaseCallbackHandler\n",
    "CB102": "from langchain.callbacks import AsyncIteratorCallbackHandler\n",
    "CB103": "from langchain.callbacks import get_openai_callback\n",
    "CB201": HEAD + "    chat = ChatOpenAI(callback_manager=managers)\n",
    "CB202": HEAD + "    chat = ChatOpenAI(callbacks=CallbackManager([handler]))\n",
    "CB203": HEAD + PRINTING,
    "CB204": HEAD + "    chat = ChatOpenAI()\n    chat.invoke(1, callbacks=[handler])\n",
    "CB205": HEAD + "    def ask(chat):\n        chat.invoke(1, config={'callbacks': [StreamingStdOutCallbackHandler()]})\n",
    "CB301": HEAD + ITERATION,
    "CB302": HEAD + CLASSES + QUEUE,
    "CB303": HEAD + ENDPOINT,
    "CB305": HEAD + PRINTING,
    "CB306": HEAD + CLASSES + PRINTING.replace("StreamingStdOutCallbackHandler", "Printer"),
    "CB304": HEAD + SHOWING.replace("SHOW", "self.place.send_text(token)") + SHOWN,
    "CB307": HEAD + SHOWING.replace("SHOW", "self.place.markdown(token)").replace("place", "container") + SHOWN,
    "CB310": HEAD + SHOWING.replace("SHOW", "self.place.speak(token)") + SHOWN,
    "CB401": HEAD + CLASSES + PRINTING.replace("StreamingStdOutCallbackHandler", "Printer"),
    "CB701": HEAD + "    async def ask(chain):\n        async for event in chain.astream_events(1): ...\n",
    "CB703": HEAD + "    async def ask(chat):\n        async for event in chat.astream_events(1, version='v3'): ...\n",
    "CB704": HEAD + "    async def ask(chat):\n        async for event in await chat.astream_events(1, version='v3'): ...\n",
    "CB705": HEAD
    + "    def ask(chat):\n"
    + "        show(chat.stream_events(1, {'callbacks': [StreamingStdOutCallbackHandler()]}, version='v3'))\n",
    "CB707": HEAD
    + "    async def ask(chat, config):\n        message = await chat.astream_events(1, config, version='v3')\n"
    + "        return [text async for text in message.text]\n",
    "CB708": HEAD + "    def ask(chat):\n        return chat.stream_events(1, version='v3').output.content.strip()\n",
}


def scan(text: str) -> Sequence[Finding]:
    """Return what the rules find in a file."""
    return scan_source(text, "app.py", Project.build([("app.py", text)]))


def run(text: str, **options: bool) -> Rewritten:
    """Rewrite a file as `callbridge fix` does."""
    return rewrite(code(text), Options(scan=scan, **options))


def automatic(text: str) -> list[tuple[str, int]]:
    """Return rule and line of what a scan calls automatic."""
    return [(finding.rule, finding.line) for finding in scan(text) if finding.automatic]


def test_each_rule_that_promises_an_edit_has_one() -> None:
    promised = {rule.code for rule in RULES.values() if "auto-" in rule.fix}
    assert set(REWRITTEN_BY) == promised == set(EDITS)


@pytest.mark.parametrize("rule", EDITS)
def test_what_a_scan_promises_is_done(rule: str) -> None:
    """A safe verdict by `fix` alone, the other with `--unsafe`."""
    text = code(EDITS[rule])
    found = [finding for finding in scan(text) if finding.rule == rule and finding.automatic]
    assert found
    rewritten = run(text, unsafe=any(finding.verdict == "auto-review" for finding in found))
    assert {change.rule for change in rewritten.changes} & set(REWRITTEN_BY[rule])
    assert rule not in [finding.rule for finding in scan(rewritten.text) if finding.automatic]


@pytest.mark.parametrize(
    ("text", "rule", "reason"),
    [
        (
            PRINTING.replace("return chat.invoke(x)", "use(chat); chat.invoke(x)"),
            "CB203",
            "it changes together with CB305 in line 10, which stays: the model is passed to use()",
        ),
        (
            CLASSES + QUEUE.replace("Thread(target", "pool.submit(target"),
            "CB302",
            "uses run for more than the target of a thread",
        ),
        (CLASSES + "    def ask(x):\n        return Filler(x)\n", "CB302", "x is not a queue that an enclosing function makes"),
        (CLASSES, "CB302", "this file makes no Filler"),
        (CLASSES, "CB306", "this file makes no Printer"),
        (
            "    def ask(f):\n        f(1, config={'callbacks': [Other(), StreamingStdOutCallbackHandler()]})\n",
            "CB305",
            "needs",
        ),
        ("    def ask(f):\n        f(1, callbacks=[StreamingStdOutCallbackHandler()])\n", "CB305", "needs --unsafe"),
    ],
)
def test_what_is_left_says_why(text: str, rule: str, reason: str) -> None:
    before = code(HEAD + text)
    rewritten = run(before)
    assert rewritten.text == before
    said = [(each.rule, each.place.line) for each in rewritten.refusals if each.reason]
    assert set(automatic(before)) <= set(said)
    assert any(each.rule == rule and reason in each.reason for each in rewritten.refusals), rewritten.refusals


def test_lines_are_those_of_the_file_before_and_suppressed_places_are_not_named() -> None:
    before = code(f"""
    from langchain.callbacks.base import BaseCallbackHandler
    {HEAD}{CLASSES}
    """)
    assert before.count("\n") > 10
    rewritten = run(before)
    assert rewritten.changes
    assert not automatic(rewritten.text)
    lines = before.splitlines()
    named = {(each.rule, lines[each.place.line - 1].split("(")[0].strip()) for each in rewritten.refusals}
    assert named == {
        ("CB306", "def on_llm_new_token"),
        ("CB302", "def on_llm_new_token"),
        ("CB401", "class Printer"),
        ("CB401", "class Filler"),
    }
    hidden = before.replace("(self, token, **kwargs):", "(self, token, **kwargs):  # callbridge: ignore[CB302, CB306] old page")
    assert not [each for each in run(hidden).refusals if each.rule in ("CB302", "CB306")]


def test_places_in_lines_that_have_changed_are_those_of_the_lines() -> None:
    text = code(f"""{HEAD}
    manager = CallbackManager([StreamingStdOutCallbackHandler()])
    one = ChatOpenAI(callback_manager=manager)
    two = ChatOpenAI(callback_manager=manager)
    print(one.invoke(1), two.invoke(2))
    """)
    lines = text.splitlines()
    rewritten = run(text)
    assert rewritten.changes
    left = [lines[each.place.line - 1].split()[0] for each in rewritten.refusals if each.rule == "CB203"]
    assert left == ["one", "two"]


def test_a_selection_names_what_is_selected() -> None:
    text = code(HEAD + PRINTING)
    only = rewrite(text, Options(scan=scan, select=("CB203",)))
    assert [(each.rule, each.reason) for each in only.refusals] == [
        ("CB203", "it changes together with its handler: select the rules for that, too")
    ]
    assert not rewrite(text, Options(scan=scan, select=("CB1",))).refusals
