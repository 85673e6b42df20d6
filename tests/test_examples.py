"""The example of each public name, in its docstring, runs and prints what it says.

What it prints stands below the line that prints it, behind `#>`. The examples share a chain, a model and two handlers.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import PromptTemplate
from starlette.applications import Starlette
from starlette.routing import Route

import callbridge
import callbridge.classic
import callbridge.relay
import callbridge.testing
import callbridge.web
from callbridge import compat

MODULES = (callbridge, callbridge.web, callbridge.relay, callbridge.testing, callbridge.classic)

NEEDS_V3 = ("with_tokens", "stream_messages", "astream_messages", "MessageStream", "AsyncMessageStream", "EventsToProtocol")
NEEDS_V3 = (*NEEDS_V3, "ProtocolToEvents")
"""What needs a LangChain that has version 3."""


def described() -> Iterator[tuple[str, Any]]:
    """Return the public names that are functions or classes, but for errors, whose examples are their causes."""
    for module in MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            is_error = inspect.isclass(value) and issubclass(value, BaseException)
            if (inspect.isclass(value) or inspect.isfunction(value)) and not is_error and not inspect.isabstract(value):
                yield f"{module.__name__}.{name}", value


def example_of(value: object) -> str:
    """Return the code in the section `Example` of a docstring."""
    found = re.search(r"^Example:\n    ```python\n(.*?)^    ```", inspect.getdoc(value) or "", re.MULTILINE | re.DOTALL)
    return textwrap.dedent(found[1]) if found else ""


class PrintTokens(BaseCallbackHandler):
    """The old handler of the examples."""

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        """Print it."""
        print(token, end="")  # noqa: T201 - what the examples are about


class Collect(BaseCallbackHandler):
    """An old handler that keeps tokens."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        """Keep it."""
        self.tokens.append(token)


async def ask(route: Route, url: str) -> httpx.Response:
    """Return what a route answers."""
    transport = httpx.ASGITransport(app=Starlette(routes=[route]))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(url)


def namespace() -> dict[str, Any]:
    """Return what the examples may use without saying where it comes from."""
    model = FakeListChatModel(responses=["With hot water."])
    made: dict[str, Any] = {}
    imports = """
import asyncio
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any
from uuid import UUID
import callbridge
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
"""
    exec(imports, made)
    for module in MODULES[1:]:
        made.update({name: getattr(module, name) for name in module.__all__})
    chain = PromptTemplate.from_template("How do I make {drink}?") | model
    exec(example_of(callbridge.web.BaseEncoder), made)
    return {**made, "model": model, "chain": chain, "PrintTokens": PrintTokens, "Collect": Collect, "ask": ask}


@pytest.mark.parametrize(("name", "value"), [pytest.param(name, value, id=name) for name, value in described()])
def test_the_example_runs(name: str, value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each public function and class has one, and it prints what it says."""
    code = example_of(value)
    assert code, f"{name} has no example"
    if not compat.HAS_V3 and name.rpartition(".")[2] in NEEDS_V3:
        pytest.skip("needs a LangChain with version 3")
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    compiled = compile(code, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    with contextlib.redirect_stdout(printed):
        run(compiled, namespace())
    said = [line.removeprefix("#>").strip() for line in code.splitlines() if line.startswith("#>")]
    assert [line.strip() for line in printed.getvalue().splitlines()] == said


def run(compiled: Any, names: dict[str, Any]) -> None:
    """Run code; if it awaits something, on a loop."""

    async def awaited() -> None:
        await eval(compiled, names)

    if compiled.co_flags & inspect.CO_COROUTINE:
        asyncio.run(awaited())
    else:
        exec(compiled, names)


def test_modules_show_how_they_are_used() -> None:
    """`callbridge.events` and `callbridge.relay` are public names, too."""
    modules: tuple[ModuleType, ...] = (callbridge.events, callbridge.relay)
    assert all("```python" in (module.__doc__ or "") for module in modules)
