"""`python -m callbridge demo`: both directions on a small legacy chain. It needs no key and no network.

The demo shows what really happens: it prints the events as they arrive, and checks each claim before it prints it.
"""

from __future__ import annotations

import asyncio
import os
import platform
import pprint
import shutil
import sys
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import Any
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, BaseCallbackHandler, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.prompts import PromptTemplate
from pydantic import PrivateAttr

import callbridge
from callbridge.events import Event

__all__ = ["DemoChatModel", "DemoHandler", "run_demo"]

_ANSWER = "Warm the pot, count to three minutes, and pour before the leaves have time to change their mind."
_WORDS = tuple(f"{word} " if at < _ANSWER.count(" ") else word for at, word in enumerate(_ANSWER.split()))
_PIECES_READ = 5
"""Pieces of text that the third scene reads before it leaves."""


class DemoChatModel(BaseChatModel):
    """A chat model that streams one fixed answer, word by word.

    Attributes:
        delay: Seconds before each word.
    """

    delay: float = 0.0
    _sent: int = PrivateAttr(default=0)
    _closed: bool = PrivateAttr(default=False)

    @property
    def _llm_type(self) -> str:
        return "demo"

    @property
    def sent(self) -> int:
        """The words that the model has made in its last run."""
        return self._sent

    @property
    def closed(self) -> bool:
        """Whether the `finally` of the last stream has run."""
        return self._closed

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=_ANSWER))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        self._sent, self._closed = 0, False
        try:
            for word in _WORDS:
                time.sleep(self.delay)
                self._sent += 1
                chunk = ChatGenerationChunk(message=AIMessageChunk(content=word))
                if run_manager is not None:
                    run_manager.on_llm_new_token(word, chunk=chunk)
                yield chunk
        finally:
            self._closed = True

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        self._sent, self._closed = 0, False
        try:
            for word in _WORDS:
                await asyncio.sleep(self.delay or 0.001)  # even a fast network takes a moment
                self._sent += 1
                chunk = ChatGenerationChunk(message=AIMessageChunk(content=word))
                if run_manager is not None:
                    await run_manager.on_llm_new_token(word, chunk=chunk)
                yield chunk
        finally:
            self._closed = True


class DemoHandler(BaseCallbackHandler):
    """A handler as people wrote them in 2023: it knows nothing of events.

    It has no `on_chat_model_start`, so LangChain renders the messages and calls its `on_llm_start`.

    Args:
        show: Called with each token as it comes.
    """

    def __init__(self, show: Callable[[str], None] | None = None) -> None:
        self.heard: list[tuple[str, UUID, UUID | None, object]] = []
        """Every callback: method, run, parent run, payload."""
        self._show = show

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note it."""
        self.heard.append(("on_chain_start", run_id, parent_run_id, inputs))

    def on_llm_start(
        self, serialized: Any, prompts: list[str], *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note it."""
        self.heard.append(("on_llm_start", run_id, parent_run_id, list(prompts)))

    def on_llm_new_token(self, token: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Note it, and show it."""
        self.heard.append(("on_llm_new_token", run_id, parent_run_id, token))
        if self._show is not None:
            self._show(token)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Note it."""
        self.heard.append(("on_llm_end", run_id, parent_run_id, response.generations[0][0].text))

    def on_chain_end(self, outputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Note it."""
        self.heard.append(("on_chain_end", run_id, parent_run_id, outputs))


@dataclass(frozen=True)
class _Chain:
    """The chain of the demo, and how legacy code calls it."""

    source: str
    """That code, as you would find it."""

    remark: str
    call: Callable[[list[BaseCallbackHandler]], str]
    acall: Callable[[], Awaitable[Any]]


def _find_legacy_chains() -> ModuleType | None:
    """Return the module with the legacy chains, if one is installed."""
    for name in ("langchain_classic.chains", "langchain.chains"):  # the second one before langchain 1.0
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


def _make_chain(legacy: ModuleType | None, model: DemoChatModel) -> _Chain:
    """Return a legacy chain, or an LCEL chain if legacy chains are not installed."""
    prompt = PromptTemplate.from_template("How do I make {topic}?")
    if legacy is None:
        return _lcel_chain(prompt, model)
    chain = legacy.LLMChain(llm=model, prompt=prompt)

    def call(handlers: list[BaseCallbackHandler]) -> str:
        answer: str = chain.run("tea", callbacks=handlers)
        return answer

    source = 'chain.run("tea", callbacks=[handler])'
    remark = f"an LLMChain of {legacy.__name__.split('.')[0]}"
    return _Chain(source, remark, call, partial(chain.acall, {"topic": "tea"}))


def _lcel_chain(prompt: PromptTemplate, model: DemoChatModel) -> _Chain:
    chain = prompt | model | StrOutputParser()

    def call(handlers: list[BaseCallbackHandler]) -> str:
        return chain.invoke({"topic": "tea"}, config={"callbacks": handlers})

    return _Chain(
        'chain.invoke({"topic": "tea"}, config={"callbacks": [handler]})',
        "an LCEL chain: legacy chains are not installed (the extra `demo` brings them)",
        call,
        partial(chain.ainvoke, {"topic": "tea"}),
    )


class _Screen:
    """The demo's output: coloured only on a terminal, in ASCII if the encoding requires it."""

    def __init__(self) -> None:
        self.width = min(shutil.get_terminal_size().columns, 120)
        terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._colour = terminal and not os.environ.get("NO_COLOR")
        self._unicode = _encodes("→·✓✗…", sys.stdout.encoding)
        self._column = 0

    def paint(self, text: str, code: str) -> str:
        """Return the text in a colour: an SGR code."""
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text

    def line(self, text: str = "") -> None:
        """Print a line."""
        print(self._plain(text), flush=True)
        self._column = 0

    def title(self, text: str) -> None:
        """Print the heading of a scene."""
        self.line()
        self.line(self.paint(text, "1"))

    def code(self, *lines: str) -> None:
        """Print lines of Python."""
        for line in lines:
            self.line("    " + self.paint(line, "36"))

    def check(self, holds: bool, text: str) -> bool:
        """Print a claim and whether it is true, and return whether it is."""
        mark = self.paint("✓", "32") if holds else self.paint("✗", "31")
        self.line(f"  {mark} {text}")
        return holds

    def piece(self, text: str, *, indent: int) -> None:
        """Print a piece of streamed text, going on where the last one ended; long lines wrap."""
        if self._column + len(text) >= self.width:
            print("\n" + " " * indent, end="")
            self._column = indent
        print(self.paint(self._plain(text), "33"), end="", flush=True)
        self._column += len(text)

    def open_line(self, text: str) -> None:
        """Begin a line that pieces of text will follow."""
        print(self._plain(text), end="", flush=True)
        self._column = len(text)

    def fit(self, text: str, *, indent: int) -> str:
        """Shorten a text to what is left of a line."""
        room = max(self.width - indent, 20)
        return text if len(text) <= room else text[: room - 1] + "…"

    def _plain(self, text: str) -> str:
        if self._unicode:
            return text
        for sign, letters in (("→", "->"), ("·", "-"), ("✓", "ok"), ("✗", "NO"), ("…", "~")):
            text = text.replace(sign, letters)
        return text


def _encodes(text: str, encoding: str | None) -> bool:
    try:
        text.encode(encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


class _EventPrinter:
    """Print events as they arrive: one line each, the chunks of a run on one line together.

    Args:
        screen: Where to print.
        whole: Whether to print each event as the dict that it is.
    """

    _LABEL = 24

    def __init__(self, screen: _Screen, *, whole: bool) -> None:
        self._screen = screen
        self._whole = whole
        self._chunks = 0  # on the line being printed

    def show(self, event: Event) -> None:
        """Print one event."""
        if self._whole:
            self._screen.line(pprint.pformat(event, width=self._screen.width, sort_dicts=False))
        elif event["event"] == "on_chat_model_stream":
            self._show_chunk(event["event"], len(event["parent_ids"]), str(event["data"]["chunk"].content))
        else:
            self.end_line()
            head = self._head(event["event"], len(event["parent_ids"]))
            told = f"{event['name']:<16}  {_told(event['data'])}"
            self._screen.line(head + self._screen.fit(told, indent=len(head)))

    def end_line(self) -> None:
        """Close the line of chunks, if there is one."""
        if self._chunks:
            self._screen.line(self._screen.paint(f"  ({self._chunks} events)", "2"))
        self._chunks = 0

    def _show_chunk(self, name: str, depth: int, text: str) -> None:
        if not self._chunks:
            self._screen.open_line(self._head(name, depth))
        elif text:
            self._screen.piece("·", indent=len(self._head("", depth)))
        self._chunks += 1
        self._screen.piece(text.rstrip(), indent=len(self._head("", depth)))

    def _head(self, name: str, depth: int) -> str:
        return f"  {'  ' * depth}{name:<{self._LABEL - 2 * depth}}"


def _told(data: Any) -> str:
    """Return what to print for an event: its output, or else its input."""
    value = data.get("output", data.get("input", ""))
    if isinstance(value, dict) and "messages" in value:
        value = value["messages"][0][-1]
    if isinstance(value, BaseMessage):
        value = value.content
    return value if isinstance(value, str) else repr(value)


def run_demo(*, delay: float = 0.06, show_events: bool = False) -> int:
    """Show both directions, and a reader that leaves early.

    Args:
        delay: Pause of the fake model before each word, seconds.
        show_events: Print each event as the dict that it is.

    Returns:
        The exit status: 0 if all that the demo claims was true.
    """
    screen = _Screen()
    legacy = _find_legacy_chains()
    with warnings.catch_warnings():
        # Legacy chains are deprecated, which is why this package exists. Set the filter after the import, which sets its own.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        model = DemoChatModel(delay=delay)
        chain = _make_chain(legacy, model)
        _greet(screen, chain)
        attached = DemoHandler()
        events, read = _callbacks_to_events(screen, chain, attached, whole=show_events)
        replayed = _events_to_callbacks(screen, events, attached)
        left = asyncio.run(_leave_early(screen, chain, model))
    screen.line()
    screen.line("Next: docs/tutorial.md takes ten minutes; MIGRATION.md shows the whole road.")
    return 0 if read and replayed and left else 1


def _greet(screen: _Screen, chain: _Chain) -> None:
    versions = f"langchain-core {version('langchain-core')} · CPython {platform.python_version()}"
    screen.line(screen.paint(f"callbridge {callbridge.__version__}", "1") + f" · {versions}")
    screen.line()
    screen.line(f"The old code ({chain.remark}), with a fake model:")
    screen.line()
    screen.code(f"answer = {chain.source}")


def _callbacks_to_events(screen: _Screen, chain: _Chain, attached: DemoHandler, *, whole: bool) -> tuple[Sequence[Event], bool]:
    """First scene. Return the events, and whether what it claims was true."""
    screen.title("1 · Callbacks → events: read the old call; it stays as it is")
    screen.code(
        f"call = lambda: {chain.source}",
        "with callbridge.stream_call(call) as stream:",
        "    for event in stream: ...",
        "answer = stream.result",
    )
    screen.line()
    printer = _EventPrinter(screen, whole=whole)
    events: list[Event] = []
    with callbridge.stream_call(chain.call, [attached]) as stream:
        for event in stream:
            printer.show(event)
            events.append(event)
    printer.end_line()
    screen.line()
    text = "".join(str(event["data"]["chunk"].content) for event in events if event["event"] == "on_chat_model_stream")
    same = screen.check(stream.result == text == _ANSWER, f"{len(events)} events; the call returned what it always did")
    ran = screen.check(len(attached.heard) > 0, f"its own handler ran as ever: {len(attached.heard)} callbacks")
    return events, same and ran


def _events_to_callbacks(screen: _Screen, events: Sequence[Event], attached: DemoHandler) -> bool:
    """Second scene. Return whether what it claims was true."""
    screen.title("2 · Events → callbacks: the recorded events drive an old handler")
    screen.code("callbridge.drive(events, [OldHandler()])  # its on_llm_new_token prints:")
    screen.line()
    screen.open_line("  ")
    handler = DemoHandler(show=partial(screen.piece, indent=2))
    callbridge.drive(events, [handler])
    screen.line()
    screen.line()
    return screen.check(
        handler.heard == attached.heard,
        f"{len(handler.heard)} callbacks, {'equal' if handler.heard == attached.heard else 'NOT equal'} in ids and payloads "
        "to the first handler's",
    )


async def _leave_early(screen: _Screen, chain: _Chain, model: DemoChatModel) -> bool:
    """Third scene. Return whether what it claims was true."""
    screen.title("3 · Leaving early: the reader goes, the model stops")
    screen.code(
        "async with callbridge.astream_call(old_async_call, capacity=1) as stream:",
        "    async for text in stream.text():",
        f"        if enough: break                      # after {_PIECES_READ} pieces",
    )
    screen.line()
    screen.open_line("  ")
    pieces = 0
    async with callbridge.astream_call(chain.acall, capacity=1) as stream:
        async for text in stream.text():
            screen.piece(text, indent=2)
            pieces += 1
            if pieces == _PIECES_READ:
                break
    screen.line()
    screen.line()
    stopped = model.closed and model.sent < len(_WORDS)
    claim = f"the model had made {model.sent} of {len(_WORDS)} words when it was stopped; its `finally` has run"
    return screen.check(stopped, claim)
