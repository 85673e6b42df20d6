"""CB605: token hooks that treat the token as a string."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.module import Function, dotted_text, walk
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule
from callbridge.migrate.words import words

__all__ = ["RULE"]

_STRING_METHODS = words(
    "strip lstrip rstrip replace split lower upper encode startswith endswith join isspace splitlines find count title"
)
_WRITERS = frozenset({"write", "insert", "send_str", "send_text"})


def _check(context: Context) -> Iterator[Finding]:
    for handler in context.handlers:
        hook = handler.own.get("on_llm_new_token")
        if hook is None or handler.token_hook is not hook:
            continue
        token = _token_name(hook)
        node = (
            next((each for each in walk(hook) if token and _assumes(each, token)), None) if not _checks(hook, token) else None
        )
        if node is not None:
            message = f"{handler.node.name} treats the token as a string; LangChain 1.x may pass a list of content blocks"
            reason = "decide what happens to content blocks that are not text"
            facts = {"handler": handler.dotted, "token": token}
            yield context.finding("CB605", node, message, "adapter", "warning", reason, facts)


def _token_name(hook: Function) -> str:
    names = [each.arg for each in [*hook.args.posonlyargs, *hook.args.args] if each.arg not in ("self", "cls")]
    return names[0] if names else ""


def _checks(hook: Function, token: str) -> bool:
    """Return whether the hook converts the token to a string itself, or checks its type."""
    found = False
    for node in walk(hook):
        if isinstance(node, ast.Call) and dotted_text(node.func) in ("str", "isinstance") and node.args[:1]:
            found = found or dotted_text(node.args[0]) == token
    return found


def _assumes(node: ast.AST, token: str) -> bool:
    def is_token(each: ast.AST) -> bool:
        return isinstance(each, ast.Name) and each.id == token

    if isinstance(node, ast.AugAssign):
        return isinstance(node.op, ast.Add) and is_token(node.value)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add) and (is_token(node.left) or is_token(node.right))
    if isinstance(node, ast.Compare):
        uses_in = any(isinstance(op, ast.In | ast.NotIn) for op in node.ops)
        return uses_in and any(is_token(each) for each in [node.left, *node.comparators])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if is_token(node.func.value) and node.func.attr in _STRING_METHODS:
            return True
        return node.func.attr in _WRITERS and bool(node.args) and is_token(node.args[0])
    return False


RULE = Rule(
    code="CB605",
    name="token-assumed-str",
    severity="warning",
    fix="adapter",
    summary="`+= token`, `.write(token)`, `token.strip()`, `token in ...` in a token hook",
    why=(
        "In LangChain 1.x, a token is `str | list[str | dict]`. If it is a list, the hook raises, LangChain logs one line, "
        "and the output is empty. callbridge hands out text."
    ),
    before=("def on_llm_new_token(self, token, **kwargs):\n    self.text += token"),
    after=(
        "def on_llm_new_token(self, token, *, chunk=None, **kwargs):\n"
        "    self.text += token if isinstance(token, str) else chunk.text"
    ),
    when_not="If the models that you use never return content blocks.",
    check=_check,
)
