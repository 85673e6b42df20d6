"""What the web chat example says to clients that are not its page; the page itself is tested in tests/browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from chat_app import MAX_QUESTION, build_app
from chat_model import make_model
from fake_openai import FakeOpenAI
from local_server import LocalServer
from notes import NoteRetriever

tea_agent = pytest.importorskip("tea_agent", reason="LangChain's legacy agents are not installed", exc_type=ImportError)

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning")

BAD: list[tuple[Any, str]] = [
    ({"model": "parrot"}, "There is no question."),
    ({"question": "  ", "model": "parrot"}, "There is no question."),
    ({"question": 7, "model": "parrot"}, "There is no question."),
    (["question"], "There is no question."),
    ({"question": "x" * (MAX_QUESTION + 1), "model": "parrot"}, f"A question has {MAX_QUESTION} characters at most."),
    ({"question": "oolong", "model": "cuckoo"}, "There is no such model."),
    ({"question": "oolong", "model": ["parrot"]}, "There is no such model."),
    ({"question": "oolong"}, "There is no such model."),
]


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """Give a client of the application, behind real uvicorn."""
    with FakeOpenAI() as server:
        agent = tea_agent.build_agent(make_model("parrot", server.base_url), NoteRetriever())
        with (
            LocalServer(build_app({"parrot": agent})) as site,
            httpx.Client(base_url=site.url, timeout=60, trust_env=False) as client,
        ):
            yield client
        assert len(server.requests) in (0, 2)


def kinds(frames: list[str]) -> list[str]:
    """Return the names of frames, those that repeat each other as one."""
    return [name for number, name in enumerate(frames) if frames[number - 1 : number] != [name]]


@pytest.mark.parametrize(("ask", "detail"), BAD)
def test_a_bad_question_is_refused_over_http(client: httpx.Client, ask: Any, detail: str) -> None:
    """With 400, before anything runs."""
    response = client.post("/events", json=ask)
    assert (response.status_code, response.json()) == (400, {"status_code": 400, "detail": detail})


def test_what_is_no_json_is_refused(client: httpx.Client) -> None:
    """With 400 as well, and without a word about the parser."""
    response = client.post("/events", content=b"\xff{")
    assert (response.status_code, response.json()["detail"]) == (400, "This is not JSON.")


def test_a_socket_survives_bad_questions(client: httpx.Client) -> None:
    """Each gets an error and an end; a good one is answered after them."""
    with connect(str(client.base_url).replace("http", "ws") + "/socket", proxy=None) as socket:

        def frame() -> tuple[str, str]:
            found = json.loads(socket.recv(60))
            return found["event"], found["data"]

        for ask, detail in BAD:
            socket.send(json.dumps(ask))
            event, data = frame()
            assert (event, json.loads(data)) == ("error", {"status_code": 400, "detail": detail})
            assert frame() == ("end", "")
        socket.send(json.dumps({"question": "What is special about oolong?", "model": "parrot"}))
        names: list[str] = []
        while names[-1:] != ["end"]:
            names.append(frame()[0])
    assert kinds(names) == ["tool_start", "source_documents", "tool_end", "completion", "end"]


def test_a_question_may_be_in_the_address(client: httpx.Client) -> None:
    """`EventSource` can only GET."""
    ask = {"question": "How do I make a bowl of matcha?", "model": "parrot"}
    lines = client.get("/events", params=ask).text.splitlines()
    assert kinds([line for line in lines if line.startswith("event:")]) == [
        f"event: {name}" for name in ("tool_start", "source_documents", "tool_end", "completion", "end")
    ]


def test_the_notes_are_found_by_their_words() -> None:
    """Best first, two at most, none if nothing is shared."""
    retriever = NoteRetriever()
    assert [note.metadata["title"] for note in retriever.invoke("matcha in the shade")] == ["Shade", "Matcha"]
    assert retriever.invoke("coffee") == []
