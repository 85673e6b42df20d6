"""The old site, in Flask: a thread runs the chain, a queue carries its tokens to the response."""

from collections.abc import Iterator
from queue import Empty, Queue
from threading import Thread
from typing import Any

from flask import Flask, Response, request, stream_with_context
from langchain_classic.chains import LLMChain
from langchain_core.callbacks import BaseCallbackHandler
from langchain_openai import ChatOpenAI

from helpdesk.settings import QUESTION, model_name

app = Flask(__name__)


class QueueCallback(BaseCallbackHandler):
    """Puts tokens into a queue."""

    def __init__(self, q: Queue) -> None:
        self.q = q

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        """Put a token into the queue."""
        self.q.put(token)

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the thread says when it has ended."""


def stream_answer(question: str) -> Iterator[str]:
    """Yield the answer piece by piece."""
    # Create a queue
    q = Queue()
    job_done = object()

    llm = ChatOpenAI(model=model_name(), streaming=True, callbacks=[QueueCallback(q)])
    chain = LLMChain(llm=llm, prompt=QUESTION)

    # This runs in a thread
    def task() -> None:
        try:
            chain.run(question)
        finally:
            q.put(job_done)

    t = Thread(target=task)
    t.start()

    # Get each new token from the queue and yield it
    while True:
        try:
            next_token = q.get(True, timeout=1)
            if next_token is job_done:
                break
            yield next_token
        except Empty:
            continue


@app.route("/ask")
def ask() -> Response:
    """Answer as plain text, as it comes."""
    return Response(stream_with_context(stream_answer(request.args["q"])), mimetype="text/plain")
