"""Successors of LangChain's streaming handlers: same names, same arguments, and nothing is lost.

```python
from callbridge.classic import AsyncIteratorCallbackHandler       # was: from langchain.callbacks import ...

handler = AsyncIteratorCallbackHandler()
task = asyncio.create_task(chain.ainvoke(question, config={"callbacks": [handler]}))
async for token in handler.aiter():
    print(token, end="")
await task
```

| the originals | these |
|---|---|
| may drop the last token, when it comes together with the end | hand out every token that came before the end |
| end with the first model call of a run | end with the run that they are attached to |
| wait forever if a chain, tool or retriever fails, or if the answer's prefix never comes | end then, too |
| are confused by two runs at once | keep runs apart |
| find the answer only if the tokens are cut like the prefix | find it in the text |
| find no answer of agents that call tools | find it: the text of a model that does not call a tool |
| hand out lists of content blocks as `str(list)` | hand out the text in them |
| are silent about an answer without tokens: from a cache, from a model that does not stream | give it out at the end |
| join the text of a failed attempt to that of the retry or fallback that replaces it | put a blank line between them |

**Final answers.** If an agent calls tools, its answer is given out when the model's call has ended: until then, a tool call may
still follow the words, as in `Let me look that up.` If a model was offered no tools, it cannot call one. If an agent is steered
by text, it says where its answer begins. The answers of these two come token by token. With `hold=False` all answers do; then
you also see what a model says before a tool call, in a paragraph of its own.

If you attach a handler to a model alone, it hears of nothing around the model, so its iteration ends with the model call, as
before.

Source: `streaming_aiter.py`, `streaming_aiter_final_only.py` and `streaming_stdout_final_only.py` of langchain-classic 1.0.8,
and `langchain_core/callbacks/streaming_stdout.py` (0.3.0 to 1.8.1).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.callbacks import StreamingStdOutCallbackHandler as _StreamingStdOut
from langchain_core.outputs import LLMResult

from callbridge.core.attempts import Attempts
from callbridge.core.calls import Payload
from callbridge.core.final import FinalAnswer, calls_tool
from callbridge.core.text import result_text, text_of
from callbridge.core.window import AnswerWindow
from callbridge.internals import running_loop

__all__ = [
    "AsyncFinalIteratorCallbackHandler",
    "AsyncIteratorCallbackHandler",
    "FinalStreamingStdOutCallbackHandler",
    "StreamingStdOutCallbackHandler",
]


# -- iterators --------------------------------------------------------------------------------------------------------


class _Queue(asyncio.Queue[str]):
    """A queue that calls a function when an item is put in."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self._changed = changed

    def _put(self, item: str) -> None:
        super()._put(item)
        self._changed()


class _Flag(asyncio.Event):
    """An event that calls a function when it is set."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self._changed = changed

    def set(self) -> None:
        super().set()
        self._changed()


class AsyncIteratorCallbackHandler(AsyncCallbackHandler):
    """A handler whose `aiter()` yields the tokens of the run that it is attached to.

    You can use it for one run after the other. Call `aiter()` once for each.

    Threads: runs may be in other threads and loops than the reader. One reader at a time. A slow reader does not slow the run
        down; for back-pressure, use `callbridge.EventStreamHandler`.

    Example:
        ```python
        handler = AsyncIteratorCallbackHandler()
        task = asyncio.create_task(chain.ainvoke({"drink": "tea"}, config={"callbacks": [handler]}))
        print("".join([token async for token in handler.aiter()]))
        await task
        #> With hot water.
        ```
    """

    queue: asyncio.Queue[str]
    """The tokens that wait for the reader."""

    done: asyncio.Event
    """Set when no run is open any more. If you set it, the iteration ends after the tokens that wait."""

    def __init__(self) -> None:
        self.queue = _Queue(self._wake)
        self.done = _Flag(self._wake)
        self._open: set[Any] = set()  # open runs; each is removed when it ends, however it ends
        self._attempts = Attempts()
        self._end_was_read = False
        self._reader: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    @property
    def always_verbose(self) -> bool:
        """As in the original."""
        return True

    # LangChain calls `on_llm_start` for chat models, too, if a handler has no `on_chat_model_start`.

    async def _note_start(self, *args: Any, **kwargs: Any) -> None:
        """Note that a run is open."""
        self._begin(kwargs)

    async def _note_end(self, *args: Any, **kwargs: Any) -> None:
        """Note that a run is over."""
        self._finish(kwargs)

    on_chain_start = on_tool_start = on_retriever_start = _note_start
    on_chain_end = on_tool_end = on_retriever_end = _note_end
    on_chain_error = on_tool_error = on_retriever_error = _note_end

    async def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], **kwargs: Any) -> None:
        """Note that a model was called."""
        self._begin(kwargs)
        self._attempts.start(kwargs.get("run_id"))

    async def on_llm_new_token(self, token: str | list[str | dict[str, Any]], **kwargs: Any) -> None:
        """Hand out a token. Empty ones are left out."""
        self._put_token(self._attempts.say(kwargs.get("run_id"), text_of(token)))

    async def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Hand out the answer if it did not come in tokens."""
        self._put_token(_said_at_end(self._attempts, response, kwargs))
        self._finish(kwargs)

    async def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        """Note that a model has failed. The answer that replaces it becomes a paragraph of its own."""
        self._attempts.end(kwargs.get("run_id"), failed=True)
        self._finish(kwargs)

    def _begin(self, kwargs: Mapping[str, Any]) -> None:
        if not self._open:
            self._attempts.forget()
        self._open.add(kwargs.get("run_id"))
        self._end_was_read = False
        self.done.clear()

    def _finish(self, kwargs: Mapping[str, Any]) -> None:
        self._open.discard(kwargs.get("run_id"))
        if not self._open:
            self.done.set()

    def _put_token(self, text: str) -> None:
        if text:
            self.queue.put_nowait(text)

    # Reading.

    async def aiter(self) -> AsyncIterator[str]:
        """Yield the tokens until no run is open any more.

        Cancellation: if the reader is cancelled or leaves, nothing is lost. The run goes on: it belongs to its caller.
        """
        changed = asyncio.Event()
        self._reader = asyncio.get_running_loop(), changed
        if self._end_was_read:  # that of the previous run
            self.done.clear()
            self._end_was_read = False
        while True:
            is_done = self.done.is_set()  # read before the queue: every token sent before the end is in it by now
            while not self.queue.empty():
                yield self.queue.get_nowait()
            if is_done:
                self._end_was_read = not self._open
                return
            await changed.wait()
            changed.clear()

    def _wake(self) -> None:
        """Wake the reader, from any thread."""
        if self._reader is None:
            return
        loop, changed = self._reader
        if running_loop() is loop:
            changed.set()
            return
        try:
            loop.call_soon_threadsafe(changed.set)
        except RuntimeError:  # the reader's loop is closed
            self._reader = None


def _said_at_end(attempts: Attempts, response: LLMResult, kwargs: Mapping[str, Any]) -> str:
    """Return the text that is still missing when a model has ended: all of it, if the model did not stream."""
    run_id = kwargs.get("run_id")
    text = "" if attempts.has_spoken(run_id) else attempts.say(run_id, result_text(response))
    attempts.end(run_id)
    return text


# -- final answers ----------------------------------------------------------------------------------------------------


class _FinalView(AnswerWindow):
    """Base of the two handlers for final answers: passes what they hear to a `FinalAnswer`."""

    def __init__(
        self,
        *,
        answer_prefix_tokens: list[str] | None = None,
        strip_tokens: bool = True,
        stream_prefix: bool = False,
        hold: bool = True,
    ) -> None:
        super().__init__()
        self.set_prefix(answer_prefix_tokens, strip_tokens, stream_prefix)
        self._answer = FinalAnswer(
            self.answer_prefix_tokens,
            strip_tokens,
            stream_prefix,
            otherwise="prefix",
            always=None if answer_prefix_tokens is None else "prefix",
            hold=hold,
        )
        self._asked: dict[Any, list[Payload]] = {}  # messages of a chat model; removed when it comes as `on_llm_start`

    def _note_messages(self, messages: list[list[Any]], kwargs: Mapping[str, Any]) -> None:
        self._asked[kwargs.get("run_id")] = [message for group in messages for message in group]

    def _start_model(self, prompts: Iterable[str], kwargs: Mapping[str, Any]) -> None:
        run_id = kwargs.get("run_id")
        given = kwargs.get("invocation_params")
        self.answer_reached = False
        self._answer.start(run_id, [kwargs.get("parent_run_id")])
        self._answer.start_model(
            run_id,
            prompt=self._asked.pop(run_id, prompts),
            metadata=kwargs.get("metadata"),
            # `bind_tools` makes them arguments of the call, and all of those are here.
            has_tools=None if given is None else bool(given.get("tools") or given.get("functions")),
        )

    def _new_token(self, token: Any, kwargs: Mapping[str, Any]) -> str:
        run_id = kwargs.get("run_id")
        if not self._answer.knows(run_id):  # its start was never reported
            self._start_model((), kwargs)
        text = self._answer.token(run_id, text_of(token), calls_tool=calls_tool(getattr(kwargs.get("chunk"), "message", None)))
        self.answer_reached = self._answer.reached(run_id)
        return text

    def _end_model(self, response: Any, kwargs: Mapping[str, Any]) -> str:
        run_id = kwargs.get("run_id")
        called = any(
            calls_tool(getattr(made, "message", None)) for group in getattr(response, "generations", ()) for made in group
        )
        reached = self._answer.reached(run_id) and not called
        text = self._answer.end_model(run_id, result_text(response), calls_tool=called)
        self.answer_reached = reached or (bool(text) and not called)
        return text


class AsyncFinalIteratorCallbackHandler(_FinalView, AsyncIteratorCallbackHandler):
    """A handler whose `aiter()` yields the tokens of an agent's final answer.

    Args:
        answer_prefix_tokens: The tokens before the answer. By default, for agents that are steered by text, these are `Final
            Answer:`. For an agent that calls tools, the answer is by default what a model says without calling one.
        strip_tokens: Ignore white space around the parts of the prefix.
        stream_prefix: Give out the prefix as part of the answer.
        hold: If a model has tools, hold its text back until its call ends, because only then is it certain that it calls none.
            If False, you also see what it says before a tool call.

    Example:
        ```python
        handler = AsyncFinalIteratorCallbackHandler(answer_prefix_tokens=["With"])
        chunks = chain.astream({"drink": "tea"}, {"callbacks": [handler]})
        answer = "".join([chunk.content async for chunk in chunks])
        print("".join([token async for token in handler.aiter()]))
        #> hot water.
        ```
    """

    _was_reached = False

    async def on_chat_model_start(self, serialized: Any, messages: list[list[Any]], **kwargs: Any) -> None:
        """Note the input of the model. LangChain goes on to call `on_llm_start`.

        Raises:
            NotImplementedError: Always. This is how a handler asks for `on_llm_start`.
        """
        self._note_messages(messages, kwargs)
        raise NotImplementedError

    async def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
        """Note that a tool is at work. What models say inside it is not the answer."""
        await super().on_tool_start(serialized, input_str, **kwargs)
        self._answer.start(kwargs.get("run_id"), [kwargs.get("parent_run_id")], is_tool=True)

    async def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], **kwargs: Any) -> None:
        """Note that a model was called, and its input."""
        await super().on_llm_start(serialized, prompts, **kwargs)
        self._was_reached = False
        self._start_model(prompts, kwargs)

    async def on_llm_new_token(self, token: str | list[str | dict[str, Any]], **kwargs: Any) -> None:
        """Hand out the part of a token that belongs to the answer."""
        self._put_token(self._new_token(token, kwargs))

    async def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Hand out the text that was held back, if it is the answer."""
        self._put_token(self._end_model(response, kwargs))
        self._was_reached = self._was_reached or self.answer_reached
        self._finish(kwargs)

    async def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        """Note that a model has failed: there is no answer to wait for."""
        self._was_reached = True
        await super().on_llm_error(error, **kwargs)

    def _begin(self, kwargs: Mapping[str, Any]) -> None:
        super()._begin(kwargs)
        self._answer.start(kwargs.get("run_id"), [kwargs.get("parent_run_id")])

    def _finish(self, kwargs: Mapping[str, Any]) -> None:
        self._answer.end(kwargs.get("run_id"))
        # A model whose parent this handler does not hear of may be one of several. It counts as such until the answer has come.
        is_root = "parent_run_id" in kwargs and kwargs["parent_run_id"] is None
        if is_root or self._was_reached or len(self._open - {kwargs.get("run_id")}):
            super()._finish(kwargs)
        else:
            self._open.discard(kwargs.get("run_id"))


class StreamingStdOutCallbackHandler(_StreamingStdOut):
    """A handler that writes every token to `sys.stdout`.

    Example:
        ```python
        config = {"callbacks": [StreamingStdOutCallbackHandler()]}
        answer = "".join(chunk.content for chunk in chain.stream({"drink": "tea"}, config))
        #> With hot water.
        ```
    """

    def __init__(self) -> None:
        super().__init__()
        self._attempts = Attempts()

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], **kwargs: Any) -> None:
        """Note that a model was called."""
        self._attempts.start(kwargs.get("run_id"))

    def on_llm_new_token(self, token: str | list[str | dict[str, Any]], **kwargs: Any) -> None:
        """Write a token."""
        self._write(self._attempts.say(kwargs.get("run_id"), text_of(token)))

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Write the answer if it did not come in tokens."""
        self._write(_said_at_end(self._attempts, response, kwargs))

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        """Note that a model has failed. The answer that replaces it becomes a paragraph of its own."""
        self._attempts.end(kwargs.get("run_id"), failed=True)

    def _write(self, text: str) -> None:
        if text:
            sys.stdout.write(text)
            sys.stdout.flush()


class FinalStreamingStdOutCallbackHandler(_FinalView, StreamingStdOutCallbackHandler):
    """A handler that writes the tokens of an agent's final answer to `sys.stdout`.

    Args:
        answer_prefix_tokens: The tokens before the answer. By default, for agents that are steered by text, these are `Final
            Answer:`. For an agent that calls tools, the answer is by default what a model says without calling one.
        strip_tokens: Ignore white space around the parts of the prefix.
        stream_prefix: Give out the prefix as part of the answer.
        hold: If a model has tools, hold its text back until its call ends, because only then is it certain that it calls none.
            If False, you also see what it says before a tool call.

    Example:
        ```python
        handler = FinalStreamingStdOutCallbackHandler(answer_prefix_tokens=["With"])
        answer = "".join(chunk.content for chunk in chain.stream({"drink": "tea"}, {"callbacks": [handler]}))
        #> hot water.
        ```
    """

    def on_chat_model_start(self, serialized: Any, messages: list[list[Any]], **kwargs: Any) -> None:
        """Note the input of the model. LangChain goes on to call `on_llm_start`.

        Raises:
            NotImplementedError: Always. This is how a handler asks for `on_llm_start`.
        """
        self._note_messages(messages, kwargs)
        raise NotImplementedError

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], **kwargs: Any) -> None:
        """Note that a model was called, and its input."""
        self._start_model(prompts, kwargs)

    def on_llm_new_token(self, token: str | list[str | dict[str, Any]], **kwargs: Any) -> None:
        """Write the part of a token that belongs to the answer."""
        self._write(self._new_token(token, kwargs))

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Write the text that was held back, if it is the answer."""
        self._write(self._end_model(response, kwargs))
        self._answer.end(kwargs.get("run_id"))

    def _note_start(self, *args: Any, **kwargs: Any) -> None:
        """Note that a run is open."""
        self._answer.start(kwargs.get("run_id"), [kwargs.get("parent_run_id")])

    on_chain_start = on_retriever_start = _note_start

    def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
        """Note that a tool is at work. What models say inside it is not the answer."""
        self._answer.start(kwargs.get("run_id"), [kwargs.get("parent_run_id")], is_tool=True)

    def _note_end(self, *args: Any, **kwargs: Any) -> None:
        """Note that a run is over."""
        self._answer.end(kwargs.get("run_id"))

    on_chain_end = on_retriever_end = on_tool_end = _note_end
    on_chain_error = on_retriever_error = on_tool_error = on_llm_error = _note_end
