"""The agent example over real HTTP: a LangGraph agent with a tool, in both directions."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import callbridge
from agent import build_agent, watch
from chat_model import make_model
from fake_openai import FakeOpenAI
from legacy_app import TranscriptHandler

pytestmark = [pytest.mark.anyio, pytest.mark.blocks("legacy_app.py:_write")]  # an old handler that writes a file

QUESTION = "What is the weather in Oslo?"
ANSWER = "I looked it up for you: It rains in Oslo, as it did yesterday."
INPUT = {"messages": [("user", QUESTION)]}
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "chat"


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    """Give the fake server, on a port of its own."""
    with FakeOpenAI() as server:
        yield server


@pytest.fixture
def agent(server: FakeOpenAI) -> Any:
    """Give an agent that talks to the fake server."""
    return build_agent(make_model("parrot", server.base_url))


def shape(event: Any) -> tuple[Any, ...]:
    """Return what two runs of one agent have in common: everything but ids, times and live objects."""
    chunk = event["data"].get("chunk")
    return event["event"], event["name"], sorted(event["tags"]), len(event["parent_ids"]), getattr(chunk, "content", None)


@pytest.fixture
def attached_transcript(server: FakeOpenAI, tmp_path: Path) -> str:
    """Give the transcript of the old handler attached to the agent, the old way: without callbridge."""
    path = tmp_path / "attached.txt"
    model = make_model("parrot", server.base_url)
    model.streaming = True
    build_agent(model).invoke(INPUT, {"callbacks": [TranscriptHandler(path)]})
    return path.read_text(encoding="utf-8")


async def test_an_agent_is_watched_and_written_down(agent: Any, tmp_path: Path, attached_transcript: str) -> None:
    """The reader sees the tool and the answer; the old handler, driven by the same events, writes what it would if attached."""
    shown: list[str] = []
    transcript = tmp_path / "transcript.txt"
    result = await watch(agent, QUESTION, transcript, shown.append)
    assert result == ANSWER
    assert "".join(shown) == "(weather {'city': 'Oslo'})\n" + ANSWER
    assert transcript.read_text(encoding="utf-8") == attached_transcript
    assert "[tool] weather {'city': 'Oslo'}\n[tool said] It rains in Oslo" in attached_transcript


async def test_the_events_of_an_agent_are_langchains_own(agent: Any) -> None:
    """The same names, in the same order and at the same depth, with the same text."""
    expected = [shape(event) async for event in agent.astream_events(INPUT, version="v2")]
    found = [shape(event) async for event in callbridge.astream_events(agent, INPUT)]
    assert found == expected


async def test_an_untouched_agent_call_is_read_as_text(agent: Any) -> None:
    """`ainvoke` stays as it is; its text is the answer, once, and its result the final state."""
    async with callbridge.astream_call(agent.ainvoke, INPUT) as stream:
        text = "".join([piece async for piece in stream.text()])
    assert text == ANSWER == stream.result["messages"][-1].content


def test_a_sync_agent_call_is_read_and_written_down(agent: Any, tmp_path: Path, attached_transcript: str) -> None:
    """The same from sync code."""
    transcript = tmp_path / "transcript.txt"
    with callbridge.stream_call(agent.invoke, INPUT) as stream:
        events = list(callbridge.dispatch_events(stream, [TranscriptHandler(transcript)]))
    assert stream.result["messages"][-1].content == ANSWER
    names = [event["event"] for event in events]
    assert names.count("on_tool_start") == names.count("on_tool_end") == 1
    assert transcript.read_text(encoding="utf-8") == attached_transcript


def test_the_example_runs_by_hand(tmp_path: Path) -> None:
    """As the README says, on the bundled server."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(callbridge.__file__).parents[1]), environment.get("PYTHONPATH", "")])
    command = [sys.executable, str(EXAMPLES / "agent.py"), QUESTION]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert ANSWER in done.stdout
    assert "[tool] weather" in (tmp_path / "transcript.txt").read_text(encoding="utf-8")
