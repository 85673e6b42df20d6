"""Streamlit's handler, writing into the page of a script that has no browser."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from real_handlers.subject import Entries, Subject
from real_handlers.ways import LOOP

__all__ = ["streamlit"]


@contextmanager
def streamlit() -> Iterator[Subject]:
    """The handler that langchain-community keeps for Streamlit.

    Streamlit writes in threads that belong to a script alone: the loop's own threads are given to it, and the handler is
    called in that of the run (`run_inline`), whether it is attached or dispatched to.
    """
    import streamlit as st
    from langchain_community.callbacks.streamlit import StreamlitCallbackHandler
    from streamlit.runtime.scriptrunner import add_script_run_ctx

    messages: list[Any] = []
    context = _context(messages.append)
    threads = ThreadPoolExecutor(8, initializer=lambda: add_script_run_ctx(threading.current_thread(), context))
    asyncio.set_event_loop(LOOP)
    LOOP.set_default_executor(threads)
    add_script_run_ctx(threading.current_thread(), context)
    handler = StreamlitCallbackHandler(st.container())
    handler.run_inline = True
    yield Subject(handler, lambda: _drawn(messages))
    threads.shutdown()


def _context(enqueue: Any) -> Any:
    from streamlit.runtime.fragment import MemoryFragmentStorage
    from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
    from streamlit.runtime.pages_manager import PagesManager
    from streamlit.runtime.scriptrunner_utils.script_run_context import ScriptRunContext
    from streamlit.runtime.state import SafeSessionState, SessionState

    context = ScriptRunContext(
        session_id="runs",
        _enqueue=enqueue,
        query_string="",
        session_state=SafeSessionState(SessionState(), lambda: None),
        uploaded_file_mgr=MemoryUploadedFileManager("/files"),
        main_script_path=__file__,
        user_info={"email": None},
        fragment_storage=MemoryFragmentStorage(),
        pages_manager=PagesManager(__file__),
    )
    context.reset()
    return context


def _drawn(messages: list[Any]) -> Entries:
    """Return what stands on the page at last, each element with the blocks that it is in."""
    from google.protobuf.json_format import MessageToDict

    shown: dict[tuple[int, ...], tuple[str, dict[str, Any]]] = {}
    for message in messages:
        place, delta = tuple(message.metadata.delta_path), message.delta
        part = delta.add_block if delta.WhichOneof("type") == "add_block" else delta.new_element
        kind = part.WhichOneof("type") or "container"
        # What is put where something stands takes its place, with all that was in it.
        shown = {known: told for known, told in shown.items() if known[: len(place)] != place}
        shown[place] = (kind, MessageToDict(part))
        shown[place][1].get("exception", {}).pop("stackTrace", None)
    places = {
        place: tuple(f"{number} {shown[place[:end]][0]}" for end, number in enumerate(place, 1) if place[:end] in shown)
        for place in shown
    }
    return [{"path": places[place], **told} for place, (_, told) in shown.items()]
