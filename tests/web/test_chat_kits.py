"""The recipes for chat kits with the kits themselves, where they are installed: they are large, and no extra asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

import callbridge

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


def app() -> None:
    """Be a script of Streamlit's."""
    import streamlit as st
    from langchain_core.language_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage

    import callbridge

    model = GenericFakeChatModel(messages=iter([AIMessage("Green tea")]))
    with callbridge.stream_events(model, "which") as stream:
        st.session_state["answer"] = st.write_stream(stream.text())


def test_streamlit_writes_the_stream() -> None:
    testing = pytest.importorskip("streamlit.testing.v1")
    page = testing.AppTest.from_function(app, default_timeout=60).run()
    assert not page.exception
    assert page.session_state["answer"] == "Green tea"
    assert [each.value for each in page.markdown] == ["Green tea"]


def test_gradio_shows_the_text_so_far() -> None:
    gradio = pytest.importorskip("gradio")

    def respond(message: str, history: list[str]) -> Iterator[str]:
        model = GenericFakeChatModel(messages=iter([AIMessage("Green tea")]))
        with callbridge.stream_events(model, message) as stream:
            yield from accumulate(stream.text())

    assert gradio.ChatInterface(respond) is not None
    assert list(respond("which", [])) == ["Green", "Green ", "Green tea"]
