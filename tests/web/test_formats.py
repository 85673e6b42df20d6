"""The wire formats, event by event; and that the package says what it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage

from callbridge import loads
from callbridge.errors import ArgumentError
from callbridge.web import Frame, SourceDocumentsFormat, TokenFormat, V2Format, format_named
from callbridge.web.wire import sse_bytes, sse_comment, websocket_text
from made_events import Run, chat_run


def frames(format_: Any, events: Any) -> list[Frame]:
    encoder = format_named(format_).begin()
    return [frame for event in events for frame in encoder.feed(event)]


def rag() -> list[Any]:
    """A legacy chain around a retriever; both hand on the documents."""
    root, retriever = Run("chain", "RetrievalQA"), Run("retriever", "Retriever")
    found = [Document(page_content="grün", metadata={"s": 1})]
    outputs = {"result": "x", "source_documents": found}
    inner = Run("chain", "inner", root)
    return [
        root.start(input={}),
        retriever.start(input={"query": "q"}),
        retriever.end(found),
        inner.start(input={}),
        inner.end(outputs),
        root.end(outputs),
    ]


def test_tokens_in_both_modes() -> None:
    """Once each, and of a model that does not stream all at once."""
    assert frames("text", chat_run("a", "ü")) == [Frame("a", "completion"), Frame("ü", "completion")]
    assert frames("json", chat_run('"\n')) == [Frame('{"token":"\\"\\n"}', "completion")]
    model = Run("chat_model", "m")
    assert frames("text", [model.start(input=[]), model.end(AIMessage(content="whole"))]) == [Frame("whole", "completion")]


def test_final_answers_by_structure_and_by_a_prefix_that_is_given() -> None:
    """As `core.final` decides."""
    root = Run()
    call = [{"name": "t", "args": "{}", "id": "c", "index": 0, "type": "tool_call_chunk"}]
    calls, answers = Run("chat_model", "m", root), Run("chat_model", "m", root)
    asked = {"messages": [[HumanMessage(content="q")]]}
    events = [
        calls.start(input=asked),
        calls.stream(AIMessageChunk(content="wait ")),
        calls.stream(AIMessageChunk(content="", tool_call_chunks=call)),
        calls.end(AIMessageChunk(content="wait ", tool_call_chunks=call)),
        answers.start(input=asked),
        answers.stream(AIMessageChunk(content="So: it is")),
        answers.end(AIMessage(content="So: it is")),
    ]
    assert [frame.data for frame in frames("final-text", events)] == ["wait ", "\n\n", "So: it is"]
    assert [frame.data for frame in frames(TokenFormat("text", final=True, hold=True), events)] == ["So: it is"]
    assert [frame.data for frame in frames(TokenFormat("text", final=True, prefix_tokens=["So", ":"]), events)] == [" it is"]


def test_source_documents_are_sent_once() -> None:
    """Of chains; of retrievers if asked for; with tokens if asked for."""
    document = '{"id":null,"metadata":{"s":1},"page_content":"grün","type":"Document"}'
    want = [Frame(f'{{"source_documents":[{document}]}}', "source_documents")]
    assert frames("source-documents", rag()) == want
    assert frames(SourceDocumentsFormat(retrievers=True), rag()[:3]) == want
    assert frames("source-documents", rag()[:3]) == []
    assert frames(TokenFormat(documents=True), [*chat_run("a"), *rag()]) == [Frame('{"token":"a"}', "completion"), *want]


def test_documents_with_any_metadata_are_sent() -> None:
    """Objects that nobody knows do not spoil the answer."""
    run = Run()
    odd = {"source_documents": [Document(page_content="a", metadata={"x": object()})]}
    (frame,) = frames("source-documents", [run.start(input={}), run.end(odd)])
    assert json.loads(frame.data)["source_documents"][0]["page_content"] == "a"


def test_whole_events_are_filtered_as_langchain_does() -> None:
    """Names, types and tags; custom events go by their names."""
    events = [*chat_run("a"), {**Run().event("on_custom_event", {"input": 1}), "name": "progress"}]
    assert [frame.event for frame in frames(V2Format(include_types=["chat_model"]), events)] == [
        "on_chat_model_start",
        "on_chat_model_stream",
        "on_chat_model_end",
    ]
    (custom,) = frames(V2Format(include_types=["progress"], omit_input=True), events)
    assert loads(custom.data)["data"] == {"input": 1}
    assert [frame.id for frame in frames(V2Format(exclude_names=["RunnableSequence"]), events)] == ["0", "1", "2", "3"]


def test_a_filter_that_is_none_is_refused_at_once() -> None:
    """Where the application is built, and not in its first request."""
    with pytest.raises(ArgumentError, match=r"include_names=\['chain'\]"):
        V2Format(include_names="chain")


def test_inputs_and_errors_stay_inside_if_asked() -> None:
    """Prompts only if they are to be seen; what errors say only if they are to be."""
    run = Run()
    events = [run.start(input={"secret": 1}), run.error(ValueError("hunter2"), input={"secret": 1})]
    texts = [frame.data for frame in frames(V2Format(omit_input=True), events)]
    assert "secret" not in "".join(texts)
    assert "hunter2" not in "".join(texts)
    assert "ValueError" not in "".join(texts)
    assert loads(texts[1])["data"]["status"] == "failed"
    shown = loads(frames(V2Format(show_errors=True), events)[1].data)
    assert str(shown["data"]["error"]) == "hunter2"
    assert shown["data"]["input"] == {"secret": 1}
    assert events[1]["data"]["input"] == {"secret": 1}


def test_the_bytes_of_a_frame() -> None:
    """All parts, and text that would break the framing."""
    assert (
        sse_bytes(Frame("a\r\nb\rc\nd", "x\ny", "7\n"))
        == b"id: 7\r\nevent: xy\r\ndata: a\r\ndata: b\r\ndata: c\r\ndata: d\r\n\r\n"
    )
    assert sse_bytes(Frame("")) == b"data: \r\n\r\n"
    assert sse_comment("heartbeat") == b": heartbeat\r\n\r\n"
    assert websocket_text(Frame('ü"', "e")) == '{"data":"ü\\"","event":"e"}'
    assert websocket_text(Frame("", "e", "7")) == '{"data":"","event":"e","id":"7"}'


def test_half_of_a_character_does_not_end_a_response() -> None:
    """Providers that cut their text into bytes send such tokens."""
    (frame,) = frames("text", chat_run("\ud83e"))
    assert sse_bytes(frame) == "event: completion\r\ndata: \ufffd\r\n\r\n".encode()
    assert websocket_text(frame) == '{"data":"\ufffd","event":"completion"}'
    assert sse_bytes(Frame("\ud83e\udd9c")) == "data: 🦜\r\n\r\n".encode()


@pytest.mark.parametrize("mode", ["xml", "", None])
def test_an_unknown_mode_is_refused(mode: Any) -> None:
    """When the format is made."""
    with pytest.raises(ArgumentError, match=r"^mode="):
        TokenFormat(mode)


@pytest.mark.parametrize("missing", ["starlette", "sse_starlette"])
def test_without_its_extra_the_package_says_what_to_install(missing: str) -> None:
    """And callbridge itself goes on."""
    code = f"""
import sys
sys.modules[{missing!r}] = None
import callbridge
callbridge.dumps(1)
try:
    import callbridge.web
except ImportError as error:
    assert "pip install 'callbridge[web]'" in str(error), error
    assert {missing!r} in str(error), error
else:
    raise SystemExit("imported")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
