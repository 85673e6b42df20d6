"""CB601: one stateful handler for all users of a server."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.attach_sites import Attachment, Use
from callbridge.migrate.analysis.context import Context
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_REASON = "make a handler for each request, or read the run as a stream"


def _check(context: Context) -> Iterator[Finding]:
    if not context.is_server:
        return
    module = context.module
    for call, use in context.made:
        if _is_stateful(use) and module.scope_of(call) is module.tree and "streamlit" not in module.packages:
            name = use.dotted.rpartition(".")[2]
            message = f"the module makes {name} once: concurrent requests mix their tokens"
            yield context.finding("CB601", call, message, "adapter", "error", _REASON, {"handler": use.dotted})
    for each in context.attachments:
        if each.style == "attribute" and any(map(_is_stateful, each.handlers)) and _reaches_module(each, context):
            message = f"`{each.callee}` belongs to the module: concurrent requests take each other's handlers"
            facts = {"handler": " ".join(use.dotted for use in each.handlers), "target": each.callee}
            yield context.finding("CB601", each.place, message, "adapter", "error", _REASON, facts)


def _is_stateful(use: Use) -> bool:
    return use.role in ("aiter", "streamlit-agent") or (
        use.role in ("token", "final")
        and (use.known is None or bool(use.known.sinks and set(use.known.sinks) != {"print"}) or _keeps(use))
    )


def _keeps(use: Use) -> bool:
    """Return whether a token hook changes the handler."""
    hook = use.known.token_hook if use.known else None
    nodes = [] if hook is None else [node for node in ast.walk(hook) if isinstance(node, ast.Assign | ast.AugAssign)]
    targets = [target for node in nodes for target in (node.targets if isinstance(node, ast.Assign) else [node.target])]
    return any(isinstance(target, ast.Attribute) for target in targets)


def _reaches_module(each: Attachment, context: Context) -> bool:
    """Return whether a function assigns an attribute of a module-level object."""
    module = context.module
    if module.function_of(each.place) is None or not isinstance(each.place, ast.Assign):
        return False
    root: ast.AST = each.place.targets[0]
    while isinstance(root, ast.Attribute | ast.Subscript):
        root = root.value
    if not isinstance(root, ast.Name):
        return False
    if root.id in ("self", "cls"):
        return True
    found = module.binding(root.id, module.scope_of(each.place))
    return (found is None and root.id in module.imports) or (found is not None and found[0] is module.tree)


RULE = Rule(
    code="CB601",
    name="shared-handler",
    severity="error",
    fix="adapter",
    summary="a stateful handler at module level, or assigned to an object at module level, in a server",
    why=(
        "Two requests at the same time write into one handler, so each user sees tokens of the other. A test with one user "
        "does not show it."
    ),
    before=("handler = QueueHandler(queue)\nllm = ChatOpenAI(streaming=True, callbacks=[handler])"),
    after=(
        "llm = ChatOpenAI()\n"
        "\n"
        "def view(q):\n"
        "    with callbridge.stream_call(chain_of(llm).run, q) as stream:\n"
        "        yield from stream.text()"
    ),
    when_not="If the process serves one user at a time.",
    check=_check,
)
