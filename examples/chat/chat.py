"""A legacy chain answers on the terminal as events, and an old handler writes the transcript from the same events.

    python examples/chat/chat.py "Why is the sky blue?"
    python examples/chat/chat.py --sync "Why is the sky blue?"

The chain and the handler are in legacy_app.py and stay as they are. The model is the one behind `OPENAI_BASE_URL` (choose it
with `--model`), or a bundled fake server without it.
"""

from __future__ import annotations

import argparse
import asyncio
import warnings
from collections.abc import Callable
from pathlib import Path

from langchain_core._api import LangChainDeprecationWarning
from langchain_core.language_models import BaseChatModel

import callbridge
from chat_model import open_model
from legacy_app import TranscriptHandler, build_chain

__all__ = ["answer", "answer_sync"]


async def answer(model: BaseChatModel, question: str, transcript: Path, show: Callable[[str], None]) -> str:
    """Ask the legacy chain, from async code.

    Args:
        model: The model of the chain.
        question: The question.
        transcript: The file that the old handler appends to.
        show: Called with each piece of the answer as it comes.
    """
    chain = build_chain(model)
    async with callbridge.astream_call(chain.acall, {"question": question}) as stream:
        async for event in callbridge.adispatch_events(stream, [TranscriptHandler(transcript)]):
            if event["event"] == "on_chat_model_stream":
                show(str(event["data"]["chunk"].content))
    text: str = stream.result["text"]
    return text


def answer_sync(model: BaseChatModel, question: str, transcript: Path, show: Callable[[str], None]) -> str:
    """Ask the legacy chain from sync code, without an event loop. The arguments are those of `answer`."""
    chain = build_chain(model)
    with callbridge.stream_call(chain.run, question) as stream:
        for event in callbridge.dispatch_events(stream, [TranscriptHandler(transcript)]):
            if event["event"] == "on_chat_model_stream":
                show(str(event["data"]["chunk"].content))
    text: str = stream.result
    return text


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question")
    parser.add_argument("--sync", action="store_true", help="without an event loop")
    parser.add_argument("--model", default="parrot", help="name of the model (default: parrot)")
    parser.add_argument("--transcript", type=Path, default=Path("transcript.txt"), metavar="FILE")
    options = parser.parse_args()

    # This example is about `acall` and `run`, so hide the warnings that they are legacy.
    warnings.simplefilter("ignore", LangChainDeprecationWarning)

    def show(text: str) -> None:
        print(text, end="", flush=True)

    with open_model(options.model) as model:
        if options.sync:
            answer_sync(model, options.question, options.transcript, show)
        else:
            asyncio.run(answer(model, options.question, options.transcript, show))
    print(f"\n\n{options.transcript}:")
    print(options.transcript.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
