"""The chain that answers, and how a worker publishes an answer. It runs only in workers."""

from __future__ import annotations

from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable

import callbridge
from callbridge.relay import Relay

ANSWER = (
    "Tea leaves are steeped in hot water: black tea for three to five minutes at 95 degrees, oolong for three at 90, "
    "green tea for two at 75. Longer makes it bitter, hotter makes it bitter sooner. A lid keeps the heat, and a second "
    "infusion of good leaves is often better than the first."
)


def make_chain(pause: float) -> Runnable:
    """Return a chain with a slow fake model that needs no key.

    Args:
        pause: Seconds between two characters.
    """
    return ChatPromptTemplate.from_template("{question}") | FakeListChatModel(responses=[ANSWER], sleep=pause)


def answer(relay: Relay, run: str, question: str, pause: float) -> str:
    """Answer a question, for readers anywhere.

    Raises:
        callbridge.RunStoppedError: A reader has stopped it, perhaps before it began.
        callbridge.RunTakenError: The queue has delivered the job again.
    """
    stream = callbridge.stream_events(make_chain(pause), {"question": question})
    return str(relay.publish_sync(run, stream).content)
