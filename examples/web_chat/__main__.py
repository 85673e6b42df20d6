"""Serve the chat on this machine.

    python examples/web_chat

The model is the one behind `OPENAI_BASE_URL` (choose it with `--model`), or those of a bundled fake server without it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import uvicorn
from langchain_core.runnables import Runnable

from chat_app import AI_SDK_PAGE, build_app
from notes import NoteRetriever
from tea_agent import build_agent

sys.path.append(str(Path(__file__).resolve().parents[1] / "chat"))  # the fake server is in the other example

from chat_model import make_model
from fake_openai import FakeOpenAI


def _agents(names: Mapping[str, str], base_url: str, api_key: str) -> dict[str, Runnable]:
    return {shown: build_agent(make_model(name, base_url, api_key), NoteRetriever()) for shown, name in names.items()}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8080, help="port on the loopback interface (default: 8080)")
    parser.add_argument("--model", default="gpt-5-mini", help="name of the model behind OPENAI_BASE_URL")
    parser.add_argument("--delay", type=float, default=0.12, metavar="SECONDS", help="between two words of the fake model's")
    options = parser.parse_args()

    def serve(agents: dict[str, Runnable]) -> None:
        print(f"open http://127.0.0.1:{options.port}", flush=True)
        if AI_SDK_PAGE.exists():
            print(f"  or http://127.0.0.1:{options.port}/ai-sdk/", flush=True)
        uvicorn.run(build_app(agents), port=options.port, log_level="warning", timeout_graceful_shutdown=5)

    base_url = os.environ.get("OPENAI_BASE_URL")
    if base_url:
        serve(_agents({options.model: options.model}, base_url, os.environ.get("OPENAI_API_KEY", "none")))
    else:
        with FakeOpenAI(delay=options.delay) as server:
            serve(_agents({name: name for name in ("parrot", "endless", "torn", "broken")}, server.base_url, "none"))


if __name__ == "__main__":
    main()
