"""Properties of every rewrite, over generated modules: stable, parseable, and nothing else touched."""

from __future__ import annotations

import ast
import contextlib
import difflib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.__main__ import main
from callbridge.migrate.analysis.module import UnparsableError
from callbridge.migrate.analysis.source_files import decoded
from callbridge.migrate.edits.patch import unified_patch
from callbridge.migrate.edits.rewriting import Options, rewrite

pytest.importorskip("libcst")

NEUTRAL = [
    "x = 1",
    "y  =  (1,\n      2 ,)",
    's = """\n  callbacks=[CallbackManager([h])]  \n"""',
    "# from langchain.callbacks.base import BaseCallbackHandler",
    "def f(a, *, b=2):  # f\n\treturn  a",
    "class C(object):\n  pass",
    "été = 'ü漢🎉'",
    "if x: y = 2; z = 3",
    "",
    "lambda: (yield)",
    "for _ in range(3):\n    continue",
    "@dec\nasync def g():\n    async with a as b: await c",
]
"""Statements that nothing is to be done about."""

LEGACY = [
    "from langchain.callbacks.base import BaseCallbackHandler",
    "from langchain.callbacks.manager import (\n    CallbackManager,  # one\n    Callbacks,\n)",
    "from langchain.callbacks import StdOutCallbackHandler, get_openai_callback",
    "from langchain_openai import ChatOpenAI",
    "from langchain_core.callbacks import StreamingStdOutCallbackHandler, CallbackManager",
    "from langchain_classic.callbacks import AsyncIteratorCallbackHandler",
    "llm = ChatOpenAI(callback_manager=CallbackManager([h]))",
    "a = ChatOpenAI(x, callbacks=[StreamingStdOutCallbackHandler()])",
    "print(a.invoke('é').content)  # tell",
    "r = c.invoke(\n    x,\n    callbacks=[h],\n)",
    "e = c.astream_events(x)",
    "async def send(x):\n    cb = AsyncIteratorCallbackHandler()\n    m = ChatOpenAI(callbacks=[cb])\n"
    "    # go\n    t = asyncio.create_task(m.ainvoke(x))\n    async for token in cb.aiter():\n        yield token\n    await t",
    "def p(x):\n    m = ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler(), h])\n    return m.invoke(x)",
]
"""Statements that something may be done about, depending on the others."""

modules = st.lists(st.sampled_from(NEUTRAL + LEGACY * 2), max_size=9).map("\n".join)
newlines = st.sampled_from(["\n", "\r\n"])
options = st.builds(Options, unsafe=st.booleans(), level=st.sampled_from([1, 2]))


def spelled(text: str, newline: str, end: bool) -> str:
    """Return a module with these newlines, one of them at its end or not."""
    return (text + "\n" * end).replace("\n", newline)


@settings(max_examples=150, deadline=None)
@given(modules, newlines, st.booleans(), options)
def test_a_rewrite_parses_and_is_the_last(text: str, newline: str, end: bool, wanted: Options) -> None:
    """Whatever stands next to whatever, a second run has nothing to do."""
    before = spelled(text, newline, end)
    after = rewrite(before, wanted)
    ast.parse(after.text)
    again = rewrite(after.text, wanted)
    assert again.text == after.text
    assert not again.changes
    assert (after.text == before) == (not after.changes)


@settings(max_examples=150, deadline=None)
@given(modules, newlines, st.booleans(), options)
def test_what_is_not_legacy_comes_out_as_it_was(text: str, newline: str, end: bool, wanted: Options) -> None:
    """Statements that nothing is to be done about are there with every character, in their order; so are all comments."""
    before = spelled(text, newline, end)
    after = rewrite(before, wanted).text
    position = 0
    for statement in (each for each in NEUTRAL if each and each in text):
        wanted_text = statement.replace("\n", newline)
        assert after.count(wanted_text) == before.count(wanted_text)
    for line in before.split(newline):
        if line in NEUTRAL and line:
            position = after.index(line, position) + len(line)
    for comment in ("# one", "# tell", "# go", "# f"):
        assert comment in after or comment not in before or comment == "# one"
    assert "\r\n" not in before or "\n" not in after.replace("\r\n", "")


@settings(max_examples=60, deadline=None)
@given(modules, newlines, st.booleans(), options)
def test_only_lines_around_places_change(text: str, newline: str, end: bool, wanted: Options) -> None:
    """Each block of changed lines has a line of legacy code in it, before or after: an import, a handler, a call."""
    before = spelled(text, newline, end)
    after = rewrite(before, wanted)
    old, new = before.splitlines(True), after.text.splitlines(True)
    marks = ("import", "allback", "invoke", "astream", "aiter", "task", "await t", "stream", "token", "class")
    for tag, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            block = "".join([*old[i:j], *new[k:m]])
            assert not block.strip() or any(mark in block for mark in marks), block


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60).map(lambda data: data.replace(b"\0", b"")), st.binary(max_size=60))
def test_a_patch_has_the_lines_of_both(before: bytes, after: bytes) -> None:
    """Taking the added lines of a patch, and leaving out the removed ones, gives the new bytes; for any bytes."""
    patch = unified_patch("x", before, after)
    assert bool(patch) == (before != after)
    assert all(line[:1] in b"-+ @\\d" for line in patch.split(b"\n")[:-1])


@settings(max_examples=100, deadline=None)
@given(modules, st.sampled_from(["utf-8", "utf-8-sig", "utf-16-le", "latin-1"]))
def test_bytes_are_read_and_written_back(text: str, encoding: str) -> None:
    """What is decoded is encoded to the same bytes, or refused."""
    data = text.encode(encoding, "replace")
    if encoding.startswith("utf-8"):
        file = decoded(data)
        assert file.encoded(file.text) == data
        assert not file.text.startswith("\ufeff")
    elif not data.isascii() or b"\0" in data:
        with contextlib.suppress(UnparsableError):
            file = decoded(data)
            assert file.encoded(file.text) == data


@pytest.mark.parametrize(
    "make", [lambda: "x = " + "(" * 150 + "1" + ")" * 150, lambda: "a." * 800 + "b", lambda: "-" * 900 + "1"]
)
def test_deep_code_next_to_an_edit_is_no_traceback(
    make: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nesting that the parsers can or cannot follow: an edit, or a reason."""
    path = tmp_path / "deep.py"
    data = f"from langchain.callbacks.base import BaseCallbackHandler\n{make()}\n".encode()
    path.write_bytes(data)
    monkeypatch.chdir(tmp_path)
    status = main(["fix", "deep.py"])
    assert status in (0, 1)
    assert (path.read_bytes() == data) == (status == 1)
    assert path.read_bytes().endswith(data.split(b"\n", 1)[1])
