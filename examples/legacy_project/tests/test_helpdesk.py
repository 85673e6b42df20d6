"""What the help desk does, whatever it is written with."""

import asyncio
import json
from pathlib import Path

import pytest
from helpdesk import agent, api, cli, costs, live, models, tracing, ui, web
from starlette.testclient import TestClient

ANSWER = "You ask: When do you open?"
QUESTION = "When do you open?"


def test_the_api_streams_tokens_as_events() -> None:
    with TestClient(api.app) as client:
        response = client.get("/stream", params={"q": QUESTION})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text == f"data: You \n\ndata: ask: \n\ndata: {QUESTION}\n\n"


def test_the_api_answers_in_one_piece() -> None:
    with TestClient(api.app) as client:
        assert client.get("/answer", params={"q": QUESTION}).json() == {"answer": ANSWER, "pieces": 3}


def test_two_requests_at_once_do_not_mix() -> None:
    async def read(question: str) -> str:
        return "".join([event[6:-2] async for event in api.send_message(question)])

    async def both() -> list[str]:
        return await asyncio.gather(read("one"), read("two"))

    assert asyncio.run(both()) == ["You ask: one", "You ask: two"]


def test_flask_streams_plain_text() -> None:
    response = web.app.test_client().get("/ask", query_string={"q": QUESTION})
    assert response.get_data(as_text=True) == ANSWER


def test_the_container_shows_what_has_come_so_far() -> None:
    class Shown(list[str]):
        def markdown(self, body: str) -> None:
            self.append(body)

    container = Shown()
    assert ui.show_answer(container, QUESTION) == ANSWER
    assert [text for text in dict.fromkeys(container) if text] == ["You ", "You ask: ", ANSWER]


def test_the_websocket_is_pushed_tokens() -> None:
    with TestClient(live.app) as client, client.websocket_connect("/chat") as socket:
        socket.send_text(QUESTION)
        assert socket.receive_json()["type"] == "start"
        messages = []
        while (message := socket.receive_json())["type"] == "stream":
            messages.append(message["message"])
    assert "".join(messages) == message["message"] == ANSWER


def test_the_agent_prints_its_final_answer_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert agent.ask_agent(QUESTION) == "nine to five"
    assert capsys.readouterr().out.strip() == "nine to five"


def test_the_terminal_prints_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.ask(QUESTION) == ANSWER
    assert capsys.readouterr().out == f"{ANSWER}\n"
    assert cli.shout(QUESTION) == ANSWER
    assert capsys.readouterr().out == ANSWER.upper()


def test_the_status_line_has_the_last_answer() -> None:
    from helpdesk import shared  # makes its model at once, which needs the server's address

    with TestClient(shared.app) as client:
        assert client.get("/status", params={"q": QUESTION}).text == ANSWER


def test_costs_are_counted() -> None:
    assert costs.answer_with_costs(QUESTION) == (ANSWER, 7)


def test_traces_are_written(tmp_path: Path) -> None:
    tool = models.CannedTool(llm=models.CannedLLM(sentences={"Why?": "Because."}))
    path = tmp_path / "traces.jsonl"
    assert tool.invoke("Why?", config={"callbacks": [tracing.FileTracer(path)]}).strip() == "Because."
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "canned", "below": ["CannedLLM"]}


def test_the_digest_counts_its_calls() -> None:
    digest = pytest.importorskip("digest", reason="needs langchain before 1.0", exc_type=ImportError)
    answers, calls = digest.digest(["tea", "milk"])
    assert answers == ["You ask: What about tea?", "You ask: What about milk?"]
    assert calls == 2


def test_the_digest_hands_its_counter_on() -> None:
    digest = pytest.importorskip("digest", reason="needs langchain before 1.0", exc_type=ImportError)
    counter = digest.CountHandler()
    assert digest.digest_one(models.CannedLLM(), "tea", counter) == "Please call us. "
    assert counter.calls == 1


def test_the_digest_reads_events() -> None:
    digest = pytest.importorskip("digest", reason="needs langchain before 1.0", exc_type=ImportError)
    names = asyncio.run(digest.names_of_events(models.CannedLLM(), "tea"))
    assert names == {"on_llm_start", "on_llm_stream", "on_llm_end"}
