"""Requests of clients (the AI SDK, AG-UI, OpenAI) become LangChain's messages; any other body is refused."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callbridge import astream_events
from callbridge.errors import ArgumentError, CallbridgeError
from callbridge.web import (
    EventStreamResponse,
    RequestBodyError,
    ag_ui_input,
    ag_ui_messages,
    openai_format,
    openai_messages,
    read_json,
    refusing,
    ui_messages,
)
from lives import chain, watched
from web.node_clients import Clients
from web.serving import serving

pytestmark = pytest.mark.anyio

READERS: dict[str, Any] = {"ai-sdk": ui_messages, "ag-ui": ag_ui_messages, "openai": openai_messages}


def ui(*parts: Any, role: str = "user") -> dict[str, Any]:
    return {"id": "chat", "messages": [{"id": "m1", "role": role, "parts": list(parts)}], "trigger": "submit-message"}


TEXT = {"type": "text", "text": "tea?"}


def tool(**fields: Any) -> dict[str, Any]:
    return {
        "type": "dynamic-tool",
        "toolName": "t",
        "toolCallId": "c",
        "state": "output-available",
        "input": {"n": 1},
        **fields,
    }


CALL = {"name": "t", "args": {"n": 1}, "id": "c", "type": "tool_call"}


def shapes(messages: list[BaseMessage]) -> list[tuple[Any, ...]]:
    shown: list[tuple[Any, ...]] = []
    for message in messages:
        if isinstance(message, AIMessage):
            shown.append(("ai", message.content, [call["id"] for call in message.tool_calls]))
        elif isinstance(message, ToolMessage):
            shown.append(("tool", message.content, message.tool_call_id, message.status))
        else:
            shown.append((message.type, message.content))
    return shown


def test_a_question_of_usechat_is_a_human_message() -> None:
    """As an object, as text, as bytes, and as the list of messages alone."""
    want = [HumanMessage("tea?", id="m1")]
    body = ui(TEXT)
    assert ui_messages(body) == ui_messages(json.dumps(body)) == ui_messages(json.dumps(body).encode()) == want
    assert ui_messages(body["messages"]) == want


def test_the_steps_of_an_answer_are_the_messages_that_it_was() -> None:
    """Text and calls of a step in one message, the answers behind it; what is for people is left out."""
    step, reasoning = {"type": "step-start"}, {"type": "reasoning", "text": "why"}
    parts = [
        step,
        reasoning,
        {"type": "text", "text": "Let me "},
        tool(output={"a": 1}),
        tool(toolCallId="d", type="tool-u", state="output-error", errorText="no"),
        {"type": "source-url", "sourceId": "s", "url": "https://example.org"},
        step,
        {"type": "text", "text": "Sunny."},
        {"type": "data-x", "data": 3},
    ]
    assert shapes(ui_messages(ui(*parts, role="assistant"))) == [
        ("ai", "Let me ", ["c", "d"]),
        ("tool", '{"a":1}', "c", "success"),
        ("tool", "no", "d", "error"),
        ("ai", "Sunny.", []),
    ]


@pytest.mark.parametrize("state", ["input-available", "approval-requested", "approval-responded", "output-denied"])
def test_a_call_without_an_answer_gets_an_error(state: str) -> None:
    """Providers refuse a history in which one has none. One that was cut off was never made."""
    (call, answer) = ui_messages(ui(tool(state=state), role="assistant"))
    assert isinstance(call, AIMessage)
    assert isinstance(answer, ToolMessage)
    assert (call.tool_calls[0]["id"], answer.tool_call_id, answer.status) == ("c", "c", "error")
    assert shapes(ui_messages(ui(TEXT, tool(state="input-streaming"), role="assistant"))) == [("ai", "tea?", [])]


def test_files_are_images_or_files() -> None:
    image = {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AAAA"}
    paper = {"type": "file", "mediaType": "application/pdf", "url": "data:application/pdf;base64,BBBB", "filename": "a.pdf"}
    (message,) = ui_messages(ui(TEXT, image, paper))
    assert message.content == [
        TEXT,
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "file", "source_type": "base64", "mime_type": "application/pdf", "data": "BBBB", "filename": "a.pdf"},
    ]


def agui(*messages: Any) -> dict[str, Any]:
    return {
        "threadId": "t",
        "runId": "r",
        "state": {},
        "messages": list(messages),
        "tools": [],
        "context": [],
        "forwardedProps": {},
    }


def test_a_history_of_ag_ui_is_messages() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "t", "arguments": '{"n": 1}'}}]
    body = agui(
        {"id": "0", "role": "system", "content": "be kind"},
        {
            "id": "1",
            "role": "user",
            "content": [
                {"type": "text", "text": "tea?"},
                {"type": "image", "source": {"type": "url", "value": "https://example.org/a.png"}},
            ],
        },
        {"id": "2", "role": "reasoning", "content": "why"},
        {"id": "3", "role": "assistant", "content": "", "toolCalls": calls},
        {"id": "4", "role": "tool", "toolCallId": "c", "content": "leaf"},
        {"id": "5", "role": "assistant", "toolCalls": [{**calls[0], "id": "d"}]},
    )
    assert shapes(ag_ui_messages(body)) == [
        ("system", "be kind"),
        ("human", [TEXT, {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]),
        ("ai", "", ["c"]),
        ("tool", "leaf", "c", "success"),
        ("ai", "", ["d"]),
        ("tool", "The call was not answered", "d", "error"),
    ]
    assert ag_ui_input(json.dumps(body)).thread_id == "t"


def test_a_request_for_a_chat_completion_says_what_it_wants() -> None:
    body = {
        "model": "tea",
        "stream": True,
        "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "tea?"}],
    }
    assert openai_messages(body) == [SystemMessage("be kind"), HumanMessage("tea?")]
    made = openai_format({**body, "stream_options": {"include_usage": True}}, send_reasoning=True)
    assert (made.model, made.include_usage, made.send_reasoning) == ("tea", True, True)


BAD: list[tuple[str, Any, int, str]] = [
    *(
        (name, body, status, text)
        for name in READERS
        for body, status, text in [
            ("{", 400, "not JSON"),
            (b"\xff", 400, "not JSON"),
            ("[" * 100_000, 400, "not JSON"),
            ("x" * 5_000_000, 413, "4000000"),
            (None, 422, "None"),
            (3, 422, "3"),
            ({}, 422, "got "),
            ({"messages": "x"}, 422, "messages"),
            ({"messages": [3]}, 422, "messages"),
            ({"messages": [{"role": "robot"}]}, 422, "role"),
        ]
    ),
    ("ai-sdk", {"messages": []}, 422, "messages: got []"),
    ("ai-sdk", ui({"type": "video", "text": "x"}), 422, "messages[0].parts[0].type: got 'video', expected one of 'text'"),
    ("ai-sdk", ui("x"), 422, "messages[0].parts[0]: got 'x'"),
    ("ai-sdk", ui({"type": "text"}), 422, "messages[0].parts[0].text: got None, expected a text"),
    ("ai-sdk", ui(tool()), 422, "role 'user'"),
    ("ai-sdk", ui(tool(state="done"), role="assistant"), 422, "state: got 'done', expected one of 'input-streaming'"),
    ("ai-sdk", ui({"type": "data-x", "data": 1}), 422, "expected one or more"),
    ("ai-sdk", ui({"type": "file", "mediaType": "image/png", "url": "file:///etc/passwd"}), 422, "expected an address"),
    ("ai-sdk", ui({"type": "text", "text": "x" * 10_000_000}), 413, "4000000"),
    ("ai-sdk", {"messages": [{"role": "user", "content": "x"}]}, 422, "messages[0].parts: got None"),
    ("ag-ui", agui(), 422, "expected one or more"),
    ("ag-ui", agui({"id": "1", "role": "user", "content": "x" * 10_000_000}), 413, "4000000"),
    ("ag-ui", agui({"id": "1", "role": "user", "content": [{"type": "hologram"}]}), 422, "messages[0]"),
    ("openai", {"messages": [{"role": "user", "content": "x" * 10_000_000}]}, 413, "4000000"),
    ("openai", {"messages": [{"role": "tool", "content": "x"}]}, 422, "messages[0]"),
]


@pytest.mark.parametrize(("name", "body", "status", "text"), BAD, ids=[f"{name}-{str(body)[:24]}" for name, body, *_ in BAD])
def test_what_is_no_request_is_refused_with_what_was_got(name: str, body: Any, status: int, text: str) -> None:
    with pytest.raises(RequestBodyError) as caught:
        READERS[name](body)
    assert isinstance(caught.value, HTTPException)
    assert caught.value.status_code == status
    assert text in caught.value.detail, caught.value.detail
    assert len(caught.value.detail) < 600


@pytest.mark.parametrize(
    "body", [{"stream": False}, {"stream": True, "model": 3}, {"stream": True, "stream_options": 3}, {}, None]
)
def test_an_answer_that_is_no_stream_is_not_given(body: Any) -> None:
    with pytest.raises(RequestBodyError):
        openai_format(body)


def test_system_messages_of_a_client_can_be_refused() -> None:
    body = ui(TEXT, role="system")
    assert ui_messages(body) == [SystemMessage("tea?")]
    with pytest.raises(RequestBodyError, match="system"):
        ui_messages(body, allow_system=False)
    with pytest.raises(ArgumentError, match="max_characters"):
        ui_messages(body, max_characters=0)


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "role", "parts", "messages", "text", "content", "state", "url"]),
            inner | st.sampled_from(["user", "text", "file", "tool-x", "assistant"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("name", READERS)
@given(body=any_json)
def test_any_json_is_messages_or_refused(name: str, body: Any) -> None:
    """Never another error, which would be a 500."""
    try:
        found = READERS[name](body if isinstance(body, dict) else {"messages": body})
    except RequestBodyError:
        return
    assert found
    assert all(isinstance(message, BaseMessage) for message in found)


def site(name: str, book: list[Any]) -> Starlette:
    """An application as the documentation has it, whose format is part of the request."""

    async def answer(request: Request) -> Response:
        messages = READERS[name](await read_json(request, max_bytes=1_000_000))
        run = chain()
        book.append(run)
        return EventStreamResponse(astream_events(run.runnable, str(messages)), request.query_params.get("format", name))

    routes = [Route("/{path:path}", answer, methods=["POST"])]
    return Starlette(routes=routes, exception_handlers={HTTPException: refusing(name)})


@pytest.mark.parametrize("name", READERS)
async def test_bad_requests_start_nothing(name: str) -> None:
    """A body that is too long is not read to its end; an unknown format is told what there is."""
    book: list[Any] = []
    good = {
        "ai-sdk": ui(TEXT),
        "ag-ui": agui({"id": "1", "role": "user", "content": "tea?"}),
        "openai": {"messages": [{"role": "user", "content": "tea?"}]},
    }[name]
    with watched():
        async with serving(site(name, book)) as at, httpx.AsyncClient(trust_env=False, timeout=60, base_url=at.http) as client:
            too_long = await client.post("/", content=b"x" * 10_000_000)
            no_json = await client.post("/", content=b"{")
            no_format = await client.post("/?format=xml", json=good)
            fine = await client.post("/", json=good)
    assert (too_long.status_code, no_json.status_code, no_format.status_code, fine.status_code) == (413, 400, 400, 200)
    assert "expected one of 'v2'" in no_format.text
    assert [run.book.begun for run in book] == [0, 1]
    kind = "application/json" if name == "openai" else "text/plain"
    assert no_json.headers["content-type"].startswith(kind)


@pytest.mark.parametrize("client", ["ai-5.0.115", "ai-6", "ai-7", "ag-ui", "openai"])
async def test_clients_show_why_a_request_was_refused(client: str, clients: Clients) -> None:
    """What was got and what was expected, in the place where the client shows errors."""
    name = "ai-sdk" if client.startswith("ai-") else client
    asked: dict[str, Any] = {
        "ai-sdk": {"texts": [{"role": "user", "parts": [{"type": "hologram"}]}]},
        "ag-ui": {"messages": [{"id": "1", "role": "user", "content": [{"type": "text", "text": "x" * 900_000}] * 2}]},
        "openai": {"messages": [{"role": "robot", "content": "x"}]},
    }[name]
    async with serving(site(name, [])) as at:
        seen = await clients.ask(client, at.http, **asked)
    assert not seen["whole"]
    assert ("expected 1000000 bytes" if name == "ag-ui" else "expected one of") in seen["error"]


def test_the_refusal_is_one_of_our_errors() -> None:
    assert issubclass(RequestBodyError, CallbridgeError)
    assert str(RequestBodyError(422, "why")) == "why"
