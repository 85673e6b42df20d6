"""The nightly digest: asks one question for each topic, and counts. Not run since the upgrade to langchain 1.0."""

from langchain.callbacks.base import BaseCallbackHandler, CallbackManager
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI


class CountHandler(BaseCallbackHandler):
    """Counts the calls of models."""

    def __init__(self):
        self.calls = 0

    def on_llm_start(self, serialized, prompts, **kwargs):
        """Count a call."""
        self.calls += 1


def digest(topics, model="gpt-4o-mini"):
    """Return a sentence for each topic, and how many calls it took."""
    counter = CountHandler()
    llm = ChatOpenAI(model=model, callback_manager=CallbackManager([counter]))
    return [llm.invoke(f"What about {topic}?").content for topic in topics], counter.calls


def digest_one(llm: Runnable, topic, counter):
    """Return a sentence for a topic; the counter hears of it."""
    return llm.invoke(f"What about {topic}?", callbacks=[counter])


async def names_of_events(llm: Runnable, topic):
    """Return the names of the events of a run, each once."""
    return {event["event"] async for event in llm.astream_events(f"What about {topic}?")}
