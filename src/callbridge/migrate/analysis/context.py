"""The input of a rule: one file in its project. Computes once what several rules need, and makes findings."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property

from callbridge.migrate.analysis.attach_sites import Attachment, Use, attachments, uses
from callbridge.migrate.analysis.handlers import HandlerClass, find_handler, handler_class
from callbridge.migrate.analysis.langchain_names import builtin_role
from callbridge.migrate.analysis.module import Module
from callbridge.migrate.analysis.project import Project
from callbridge.migrate.finding import Finding, Severity, Verdict
from callbridge.migrate.words import words

__all__ = ["Context"]

_SNIPPET = 200
_SERVERS = words(
    "fastapi starlette flask django aiohttp sanic quart tornado bottle socketio flask_socketio channels falcon litestar robyn "
    "streamlit gradio chainlit websockets uvicorn slack_bolt"
)


@dataclass(frozen=True, eq=False)
class Context:
    """One file in its project.

    Attributes:
        module: The file.
        project: Resolves imports.
        keep: Patterns of dotted class names that you declare observers.
    """

    module: Module
    project: Project
    keep: tuple[str, ...] = ()

    @cached_property
    def handlers(self) -> list[HandlerClass]:
        """The handler classes that the file defines."""
        found = (handler_class(node, self.module, self.project) for node in self.module.of(ast.ClassDef))
        return [each for each in found if each is not None]

    @cached_property
    def attachments(self) -> list[Attachment]:
        """The attach sites of the file, with kept handlers marked as observers."""
        return [
            replace(each, handlers=tuple(map(self._kept, each.handlers))) for each in attachments(self.module, self.project)
        ]

    @cached_property
    def made(self) -> list[tuple[ast.Call, Use]]:
        """Every call that makes a handler of a known class."""
        found = []
        classes: dict[str, HandlerClass | None] = {}
        for call, dotted in self.module.calls:
            role = builtin_role(dotted)
            if dotted not in classes:
                classes[dotted] = None if role else find_handler(dotted, self.module, self.project)
            known = classes[dotted]
            if role or known:
                use = Use(
                    call, call, known.dotted if known else dotted, role or (known.role if known else "unknown"), "here", known
                )
                found.append((call, self._kept(use)))
        return found

    @cached_property
    def is_server(self) -> bool:
        """Whether the file belongs to something that serves several users at once."""
        return bool(self.module.packages & _SERVERS)

    def is_kept(self, dotted: str) -> bool:
        """Return whether the configuration declares a class an observer."""
        return any(fnmatchcase(dotted, pattern) or dotted.endswith(f".{pattern}") for pattern in self.keep)

    def uses(self, value: ast.expr) -> tuple[Use, ...]:
        """Return the handlers that an expression holds."""
        return tuple(map(self._kept, uses(value, self.module, self.project)))

    def _kept(self, use: Use) -> Use:
        return replace(use, role="observer") if use.role != "observer" and self.is_kept(use.dotted) else use

    def finding(
        self,
        rule: str,
        node: ast.AST,
        message: str,
        verdict: Verdict,
        severity: Severity,
        reason: str = "",
        facts: Mapping[str, str] | None = None,
    ) -> Finding:
        """Return a finding at a node."""
        span = self.module.span(node)
        snippet = self.module.snippet(span)[:_SNIPPET]
        qualname = self.module.qualname(node)
        given = {name: value for name, value in (facts or {}).items() if value}
        return Finding(self.module.path, *span, rule, message, verdict, severity, qualname, snippet, reason, given)
