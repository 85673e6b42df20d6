"""The chat example over real HTTP: a legacy chain, its old handler, and OpenAI's client, in both directions."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import openai
import pytest

import callbridge
from chat import answer, answer_sync
from chat_model import make_model
from fake_openai import FakeOpenAI
from legacy_app import TranscriptHandler, build_chain

pytestmark = [
    pytest.mark.blocks("legacy_app.py:_write"),  # an old handler that writes a file
    pytest.mark.anyio,
    # The application is legacy code.
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning"),
]

QUESTION = "Why is the sky blue?"
ANSWER = f"You ask: {QUESTION} A parrot can only repeat that, but it streams as well as any other bird."
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "chat"


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    """Give the fake server, on a port of its own."""
    with FakeOpenAI() as server:
        yield server


@pytest.fixture
def transcript(tmp_path: Path) -> Path:
    """Give a path for a transcript."""
    return tmp_path / "transcript.txt"


@pytest.fixture
def attached_transcript(server: FakeOpenAI, tmp_path: Path) -> str:
    """Give the transcript of the old handler attached to the chain, the old way: without callbridge."""
    path = tmp_path / "attached.txt"
    model = make_model("parrot", server.base_url)
    model.streaming = True
    build_chain(model).run(QUESTION, callbacks=[TranscriptHandler(path)])
    return path.read_text(encoding="utf-8")


async def test_the_answer_streams_to_async_code(server: FakeOpenAI, transcript: Path, attached_transcript: str) -> None:
    """The pieces are the answer, the result is the call's, and the transcript is that of direct attachment."""
    pieces: list[str] = []
    result = await answer(make_model("parrot", server.base_url), QUESTION, transcript, pieces.append)
    assert "".join(pieces) == result == ANSWER
    assert len([piece for piece in pieces if piece]) > 10
    assert transcript.read_text(encoding="utf-8") == attached_transcript
    assert server.requests[-1]["stream"] is True


def test_the_answer_streams_to_sync_code(server: FakeOpenAI, transcript: Path, attached_transcript: str) -> None:
    """The same without an event loop."""
    pieces: list[str] = []
    result = answer_sync(make_model("parrot", server.base_url), QUESTION, transcript, pieces.append)
    assert "".join(pieces) == result == ANSWER
    assert transcript.read_text(encoding="utf-8") == attached_transcript


def test_the_attached_transcript_is_one(attached_transcript: str) -> None:
    """What the others are compared with has the question, the answer and its cost."""
    assert QUESTION in attached_transcript
    assert ANSWER in attached_transcript
    assert "[tokens] 31" in attached_transcript


async def test_recorded_events_write_the_same_transcript(
    server: FakeOpenAI, transcript: Path, attached_transcript: str
) -> None:
    """Events that were kept drive the old handler as live ones do."""
    chain = build_chain(make_model("parrot", server.base_url))
    async with callbridge.astream_call(chain.acall, {"question": QUESTION}) as stream:
        recorded: list[Any] = [event async for event in stream]
    output = callbridge.drive(recorded, [TranscriptHandler(transcript)])
    assert output == {"text": ANSWER}
    assert transcript.read_text(encoding="utf-8") == attached_transcript


async def test_a_handler_attached_to_the_call_hears_the_same(
    server: FakeOpenAI, transcript: Path, attached_transcript: str
) -> None:
    """The call's own handler runs as if nobody read the call as events."""
    chain = build_chain(make_model("parrot", server.base_url))
    call = partial(chain.acall, {"question": QUESTION}, callbacks=[TranscriptHandler(transcript)])
    async with callbridge.astream_call(call) as stream:
        text = "".join([piece async for piece in stream.text()])
    assert text == ANSWER
    assert transcript.read_text(encoding="utf-8") == attached_transcript


async def test_without_streaming_the_model_is_not_asked_to_stream(server: FakeOpenAI) -> None:
    """`streaming=False` leaves the request as it is without callbridge; the text comes at once."""
    chain = build_chain(make_model("parrot", server.base_url))
    async with callbridge.astream_call(chain.acall, {"question": QUESTION}, streaming=False) as stream:
        pieces = [piece async for piece in stream.text()]
    assert pieces == [ANSWER]
    assert not server.requests[-1].get("stream")


@pytest.mark.parametrize("name", ["broken", "torn"])
async def test_an_error_reaches_the_async_reader_as_the_very_exception(server: FakeOpenAI, transcript: Path, name: str) -> None:
    """A refused request and a stream that breaks: what the call raised is what the loop raises, and the handler hears of it."""
    heard: list[BaseException] = []
    chain = build_chain(make_model(name, server.base_url))

    async def call() -> Any:
        try:
            return await chain.acall({"question": QUESTION})
        except BaseException as error:
            heard.append(error)
            raise

    async def read() -> None:
        async with callbridge.astream_call(call) as stream:
            async for _ in callbridge.adispatch_events(stream, [TranscriptHandler(transcript)]):
                pass

    with pytest.raises(openai.APIError) as raised:
        await read()
    assert len(heard) == 1
    assert heard[0] is raised.value
    written = transcript.read_text(encoding="utf-8")
    assert f"[failed] {type(raised.value).__name__}" in written
    assert "[gave up]" in written


@pytest.mark.parametrize("name", ["broken", "torn"])
def test_an_error_reaches_the_sync_reader(server: FakeOpenAI, transcript: Path, name: str) -> None:
    """The same from sync code."""
    pieces: list[str] = []
    with pytest.raises(openai.APIError, match="the parrot has flown away"):
        answer_sync(make_model(name, server.base_url), QUESTION, transcript, pieces.append)
    assert "".join(pieces) == ("" if name == "broken" else "You ask: Why")
    assert "[gave up]" in transcript.read_text(encoding="utf-8")


async def test_leaving_early_lets_the_server_see_the_disconnect(server: FakeOpenAI) -> None:
    """A reader that breaks out of the block ends the HTTP stream of a model that would never end."""
    chain = build_chain(make_model("endless", server.base_url))
    seen = 0
    async with callbridge.astream_call(chain.acall, {"question": QUESTION}) as stream:
        async for _ in stream.text():
            seen += 1
            if seen == 5:
                break
    assert seen == 5
    assert await anyio.to_thread.run_sync(server.wait_abandoned)


async def test_a_cancelled_reader_lets_the_server_see_the_disconnect(server: FakeOpenAI) -> None:
    """So does a cancel scope around the reader, as a web framework has around a request."""
    chain = build_chain(make_model("endless", server.base_url))
    with anyio.CancelScope() as scope:
        async with callbridge.astream_call(chain.acall, {"question": QUESTION}) as stream:
            async for _ in stream.text():
                scope.cancel()
    assert scope.cancelled_caught
    assert await anyio.to_thread.run_sync(server.wait_abandoned)


def test_leaving_sync_code_lets_the_server_see_the_disconnect(server: FakeOpenAI) -> None:
    """A sync run is stopped at its next token, and its connection is given up."""
    chain = build_chain(make_model("endless", server.base_url))
    with callbridge.stream_call(chain.run, QUESTION) as stream:
        for _ in stream.text():
            break
    assert server.wait_abandoned()


def run_example(*arguments: str, cwd: Path, **environment: str) -> str:
    """Run an example as a user does, and return what it prints."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    env["PYTHONPATH"] = os.pathsep.join([str(Path(callbridge.__file__).parents[1]), env.get("PYTHONPATH", "")])
    command = [sys.executable, str(EXAMPLES / "chat.py"), *arguments]
    done = subprocess.run(
        command, cwd=cwd, env={**env, **environment}, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_runs_by_hand_on_the_bundled_server(tmp_path: Path) -> None:
    """As the README says: without any setting, a fake model answers."""
    assert run_example(QUESTION, cwd=tmp_path).startswith(ANSWER)
    assert ANSWER in (tmp_path / "transcript.txt").read_text(encoding="utf-8")


def test_the_example_runs_by_hand_on_the_server_it_is_told(server: FakeOpenAI, tmp_path: Path) -> None:
    """As the README says: `OPENAI_BASE_URL` names the server."""
    shown = run_example("--sync", "--transcript=other.txt", QUESTION, cwd=tmp_path, OPENAI_BASE_URL=server.base_url)
    assert shown.startswith(ANSWER)
    assert [request["model"] for request in server.requests] == ["parrot"]
    assert ANSWER in (tmp_path / "other.txt").read_text(encoding="utf-8")
