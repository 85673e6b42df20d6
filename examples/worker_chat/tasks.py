"""The worker's side with Celery: `celery --app tasks worker`. Environment variables have the settings."""

from __future__ import annotations

import os

from celery import Celery

import callbridge
from answering import answer
from callbridge.relay import connect

URL = os.environ.get("CALLBRIDGE_RELAY_URL", "redis://127.0.0.1:6379/0")
PAUSE = float(os.environ.get("WORKER_CHAT_PAUSE", "0.03"))

app = Celery("worker_chat", broker=URL)
# If a worker dies before it acknowledges a job, Celery delivers the job again. The relay refuses a run that has begun already.
app.conf.update(task_acks_late=True, task_ignore_result=True, broker_connection_retry_on_startup=True)

relay = connect(URL, lease_seconds=5)  # connects on first use, which is in the process that the worker forks


@app.task
def answer_question(run: str, question: str) -> str:
    """Answer a question; return how that went."""
    try:
        return answer(relay, run, question, PAUSE)
    except (callbridge.RunStoppedError, callbridge.RunTakenError) as error:
        return str(error)
