"""A LangGraph agent with a tool, in both directions: you read it as events, and an old handler writes the events down.

    python examples/chat/agent.py "What is the weather in Oslo?"

The model is the one behind `OPENAI_BASE_URL` (choose it with `--model`), or a bundled fake server without it.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import tool

import callbridge
from chat_model import open_model
from legacy_app import TranscriptHandler

__all__ = ["build_agent", "watch"]


@tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It rains in {city}, as it did yesterday."


def build_agent(model: BaseChatModel) -> Any:
    """Return a LangGraph agent that can ask for the weather."""
    try:
        from langchain.agents import create_agent
    except ImportError:  # before langchain 1.0
        from langgraph.prebuilt import create_react_agent as create_agent
    return create_agent(model, [weather])


async def watch(agent: Any, question: str, transcript: Path, show: Callable[[str], None]) -> str:
    """Ask the agent, show what it does, and let the old handler write it down from the same events.

    Args:
        agent: A LangGraph agent.
        question: The question.
        transcript: The file that the old handler appends to.
        show: Called with each visible piece.
    """
    async with callbridge.astream_call(agent.ainvoke, {"messages": [("user", question)]}) as stream:
        async for event in callbridge.adispatch_events(stream, [TranscriptHandler(transcript)]):
            if event["event"] == "on_tool_start":
                show(f"({event['name']} {event['data'].get('input')})\n")
            elif event["event"] == "on_chat_model_stream":
                show(str(event["data"]["chunk"].content))
    answer: str = stream.result["messages"][-1].content
    return answer


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question")
    parser.add_argument("--model", default="parrot", help="name of the model (default: parrot)")
    parser.add_argument("--transcript", type=Path, default=Path("transcript.txt"), metavar="FILE")
    options = parser.parse_args()

    def show(text: str) -> None:
        print(text, end="", flush=True)

    with open_model(options.model) as model:
        asyncio.run(watch(build_agent(model), options.question, options.transcript, show))
    print(f"\n\n{options.transcript}:")
    print(options.transcript.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
