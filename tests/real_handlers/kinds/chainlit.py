"""Chainlit's handler, its steps sent to a page that keeps them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from tempfile import TemporaryDirectory
from typing import Any

from real_handlers.subject import Entries, Subject, tree
from real_handlers.ways import LOOP

__all__ = ["chainlit"]

_TOLD = ("type", "input", "output", "isError", "tags", "metadata", "language", "showInput")
_TIMES = ("duration", "ttFirstToken", "tokenThroughputInSeconds")


@cache
def _files() -> TemporaryDirectory[str]:
    """Where Chainlit writes its configuration when it is first imported: not into the repository."""
    folder: TemporaryDirectory[str] = TemporaryDirectory()
    os.environ["CHAINLIT_APP_ROOT"] = folder.name
    return folder


@contextmanager
def chainlit() -> Iterator[Subject]:
    """Chainlit's handler, in the context of a session as its HTTP server makes them."""
    _files()
    from chainlit.context import ChainlitContext, context_var, init_http_context
    from chainlit.emitter import BaseChainlitEmitter
    from chainlit.langchain.callbacks import AsyncLangchainCallbackHandler

    steps: dict[str, dict[str, Any]] = {}

    class Page(BaseChainlitEmitter):
        async def send_step(self, step_dict: Any) -> None:
            steps.setdefault(step_dict["id"], {}).update(step_dict)

        update_step = send_step

    async def begin() -> Any:
        session = init_http_context().session
        return ChainlitContext(session, Page(session))

    token = context_var.set(LOOP.run_until_complete(begin()))
    yield Subject(AsyncLangchainCallbackHandler(), lambda: _entries(steps))
    context_var.reset(token)


def _entries(steps: dict[str, dict[str, Any]]) -> Entries:
    nodes = {key: (step.get("parentId"), step["name"]) for key, step in steps.items()}
    return tree(nodes, {key: _one(step) for key, step in steps.items()})


def _one(step: dict[str, Any]) -> dict[str, Any]:
    generation = {name: value for name, value in (step.get("generation") or {}).items() if name not in _TIMES}
    return {**{name: step.get(name) for name in _TOLD}, "generation": generation}
