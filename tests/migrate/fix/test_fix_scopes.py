"""Names mean what they mean in their scope: another function's variable of the same name stands in nobody's way."""

from __future__ import annotations

import ast
import symtable
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator

import pytest
from fixing import check_noop, check_rewritten

from callbridge.migrate.edits.source import Source

pytest.importorskip("libcst")

HEAD = """
        import asyncio

        from langchain_classic.callbacks import AsyncIteratorCallbackHandler
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_openai import ChatOpenAI
"""

SAMPLE = """
import os.path, sys as system
a = 1
class C(B):
    a = a
    @property
    def b(self, c=a, *d, e: int = f, **g):
        global h
        h = a = [i for i in a if (j := i)]
        def k():
            nonlocal a
            a, *m = l
            return lambda n, o=p: {n: q for n in a for q in n}
        try:
            import r
        except E as s:
            pass
        for t in m:
            with m as (u, v.w):
                del u
        match m:
            case [x, *y, {"a": z, **aa}]:
                return {bb for bb in bb}
async def dd(ee):
    async for ff in gg:
        yield ff
"""


def tables(table: symtable.SymbolTable) -> Iterator[tuple[int, frozenset[str]]]:
    """Return the line and the local names of each scope, the module's left out."""
    for child in table.get_children():
        names = {symbol.get_name() for symbol in child.get_symbols() if symbol.is_local()} - {".0"}
        yield child.get_lineno(), frozenset(name for name in names if not name.startswith("."))
        yield from tables(child)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the table of a function has the names of its comprehensions, too")
def test_scopes_bind_what_python_says_they_bind() -> None:
    source = Source(SAMPLE)
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp
    ours = [(node.lineno, source.scopes.bound(node)) for node in source.nodes if isinstance(node, kinds)]
    assert Counter(ours) == Counter(tables(symtable.symtable(SAMPLE, "sample", "exec")))


@pytest.mark.parametrize(
    ("text", "home"),
    [
        ("def f():\n    x = 1\n    def g(x=HERE): ...\n", "f"),
        ("class C:\n    x = 1\n    def g(self): HERE\n", ""),
        ("class C:\n    x = 1\n    y = HERE\n", "C"),
        ("def f(x):\n    [HERE for y in x]\n", "f"),
        ("def f(x):\n    [x for x in HERE]\n", "f"),
        ("def f(x):\n    [HERE for x in y]\n", "ListComp"),
        ("def f(x):\n    [x for y in x for x in HERE]\n", "ListComp"),
        ("def f(x):\n    lambda x: HERE\n", "Lambda"),
        ("def f(x):\n    def g():\n        nonlocal x\n        HERE\n", "f"),
    ],
)
def test_a_name_belongs_to_the_scope_that_binds_it(text: str, home: str) -> None:
    source = Source(text.replace("HERE", "x  "))
    line = text[: text.index("HERE")].count("\n") + 1
    column = text.split("\n")[line - 1].index("HERE")
    name = next(use for use in source.uses("x") if (use.lineno, use.col_offset) == (line, column))
    found = source.scopes.home(name)
    assert getattr(found, "name", "" if isinstance(found, ast.Module) else type(found).__name__) == home


@pytest.mark.parametrize(
    "other",
    [
        "def other(q):\n            chat = ChatOpenAI()\n            return chat.invoke(q)",
        "def other(chat):\n            return chat.stream(q)",
        "several = [chat.stream(q) for chat in chats]",
        "class Other:\n            chat = 1",
        "show = lambda chat: chat.stream(q)",
    ],
)
def test_another_scope_may_use_the_same_name(other: str) -> None:
    check_rewritten(
        f"""{HEAD}
        {other}

        if __name__ == "__main__":
            chat = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
            chat.invoke("tea")
        """,
        f"""
        import asyncio

        from callbridge import stream_call
        from langchain_classic.callbacks import AsyncIteratorCallbackHandler
        from langchain_openai import ChatOpenAI

        {other}

        if __name__ == "__main__":
            chat = ChatOpenAI(streaming=True)
            with stream_call(chat.invoke, "tea") as stream:
                for token in stream.text():
                    print(token, end="", flush=True)
        """,
    )


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("class C:\n    chat = MODEL\n    chat.invoke(1)", "an attribute of a class"),
        ("def f(chat):\n    chat = MODEL\n    chat.invoke(1)", "a parameter"),
        (
            "def f():\n    global chat\n    chat = MODEL\ndef g():\n    chat.invoke(1)",
            "belongs to another function or the module",
        ),
        ("def f():\n    chat = MODEL\n    for chat in chats:\n        chat.invoke(1)", "assigned more than once"),
        (
            "def f():\n    def g():\n        nonlocal chat\n        chat = 1\n    chat = MODEL\n    chat.invoke(1)",
            "belongs to another",
        ),
    ],
)
def test_a_name_that_means_several_things_says_why(lines: str, reason: str) -> None:
    model = "ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])"
    check_noop(textwrap.dedent(HEAD) + lines.replace("MODEL", model) + "\n", reason, rule="CB305")


def test_a_task_that_is_made_in_the_generator_that_reads_it_is_found() -> None:
    check_rewritten(
        f"""{HEAD}
        async def endpoint(x):
            cb = AsyncIteratorCallbackHandler()
            chat = ChatOpenAI(streaming=True, callbacks=[cb])

            async def events():
                task = asyncio.create_task(chat.ainvoke(x))
                async for token in cb.aiter():
                    yield token
                await task

            return StreamingResponse(events())
        """,
        """
        from callbridge import astream_call
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_openai import ChatOpenAI

        async def endpoint(x):
            chat = ChatOpenAI(streaming=True)

            async def events():
                async with astream_call(chat.ainvoke, x) as stream:
                    async for token in stream.text():
                        yield token

            return StreamingResponse(events())
        """,
    )
