"""The worker's side with Celery: `celery --app tasks worker`. The settings are in the environment."""

from __future__ import annotations

import os

from celery import Celery

import callbridge
from answering import answer
from callbridge.relay import connect

URL = os.environ.get("CALLBRIDGE_RELAY_URL", "redis://127.0.0.1:6379/0")
PAUSE = float(os.environ.get("WORKER_CHAT_PAUSE", "0.03"))

app = Celery("worker_chat", broker=URL)
# What a worker that died had not acknowledged is delivered once more: the relay refuses what was begun already.
app.conf.update(task_acks_late=True, task_ignore_result=True, broker_connection_retry_on_startup=True)

relay = connect(URL, lease_seconds=5)  # connects at its first use, which is in the process that the worker has forked


@app.task
def answer_question(run: str, question: str) -> str:
    """Answer a question; return how that went."""
    try:
        return answer(relay, run, question, PAUSE)
    except (callbridge.RunStoppedError, callbridge.RunTakenError) as error:
        return str(error)
