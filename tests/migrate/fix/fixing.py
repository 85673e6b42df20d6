"""What every rewrite must be: what was asked for, stable, parseable, and importing only what is there."""

from __future__ import annotations

import ast
import difflib
import importlib
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_fakes import invoke_streams

from callbridge.migrate.edits.rewriting import Options, Rewritten, rewrite

__all__ = ["ask", "both", "changed_lines", "check_noop", "check_rewritten", "code", "imports_of"]


def code(text: str) -> str:
    """Return a snippet without the indentation of the test that it stands in."""
    return textwrap.dedent(text).lstrip("\n")


def check_rewritten(before: str, after: str, *, unsafe: bool = False, level: int = 1) -> Rewritten:
    """Rewrite a snippet, and compare; the result is stable, parses, and imports what exists."""
    before, after = code(before), code(after)
    options = Options(unsafe=unsafe, level=level)
    rewritten = rewrite(before, options)
    assert rewritten.text == after, "".join(
        difflib.unified_diff(after.splitlines(True), rewritten.text.splitlines(True), "expected", "rewritten")
    )
    again = rewrite(rewritten.text, options)
    assert again.text == rewritten.text
    assert not again.changes
    for module, name in imports_of(rewritten.text) - imports_of(before):
        assert hasattr(importlib.import_module(module), name), f"{module} has no {name}"
    return rewritten


def check_noop(
    before: str, reason: str = "", *, rule: str = "", unsafe: bool = True, level: int = 1, foreign: str = ""
) -> None:
    """A snippet stays as it is, for a reason that is given; without a reason there is nothing to say about it."""
    uses = frozenset({foreign} - {""})
    rewritten = rewrite(code(before), Options(unsafe=unsafe, level=level), foreign_uses=uses)
    assert rewritten.text == code(before)
    assert not rewritten.changes
    reasons = [(refusal.rule, refusal.reason) for refusal in rewritten.refusals]
    if reason:
        assert any(reason in given and found.startswith(rule) for found, given in reasons), reasons
    else:
        assert not reasons


def imports_of(text: str) -> set[tuple[str, str]]:
    """Return module and name of what a text imports from LangChain's packages and from this one."""
    return {
        (node.module, alias.name)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(("langchain_core", "callbridge"))
        for alias in node.names
    }


def changed_lines(before: str, after: str) -> tuple[Sequence[str], Sequence[str]]:
    """Return the lines that are only in the one, and only in the other."""
    matcher = difflib.SequenceMatcher(None, before.splitlines(True), after.splitlines(True), autojunk=False)
    old, new = before.splitlines(True), after.splitlines(True)
    codes = [each for each in matcher.get_opcodes() if each[0] != "equal"]
    return [line for _, i, j, _, _ in codes for line in old[i:j]], [line for _, _, _, i, j in codes for line in new[i:j]]


def ask(text: str) -> Callable[..., Any]:
    """Run a module and return its `ask`."""
    if not invoke_streams():
        pytest.skip("`invoke` of this LangChain does not ask models to stream that are told to")
    namespace: dict[str, Any] = {}
    exec(compile(text, "<module>", "exec"), namespace)
    found: Callable[..., Any] = namespace["ask"]
    return found


def both(text: str, *, unsafe: bool = False) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return `ask` of a module before and after; that the handler is gone is checked."""
    before = code(text)
    rewritten = rewrite(before, Options(unsafe=unsafe))
    assert not re.search(r"CallbackHandler[()]", rewritten.text), rewritten.refusals
    assert not rewrite(rewritten.text, Options(unsafe=unsafe)).changes
    return ask(before), ask(rewritten.text)
