"""The recipes of `docs/relay.md`, word for word, with real job queues on a real server.

Temporal's server is no package of Python's, and is not to be had in a test: its activity runs in the SDK's own environment.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate
from made import read
from servers import Server, missing

import callbridge
from callbridge.relay import Relay, connect

PAGE = Path(__file__).resolve().parents[2] / "docs" / "relay.md"
ANSWER = "With hot water."

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),
    pytest.mark.blocks,  # starting and stopping a job queue's worker does, and so does reading the page
]


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed (pip install {package})")


@pytest.fixture
def broker(servers: Callable[[str], Server]) -> str:
    """Give the URL of a server: whichever is here."""
    kind = "redis" if missing("redis") is None else "valkey"
    return servers(kind).url


class Chain:
    """A chain that counts how often it was asked."""

    def __init__(self) -> None:
        model = FakeListChatModel(responses=[ANSWER])
        self.asked: list[str] = []
        self.runnable = ChatPromptTemplate.from_template("{question}") | self._noted | model

    def _noted(self, prompt: Any) -> Any:
        self.asked.append(prompt.to_string())
        return prompt


@contextmanager
def recipe(line: str, url: str, chain: Chain) -> Iterator[ModuleType]:
    """Run the block of the page that has this line, as a module of its own."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (code,) = [block for block in blocks if line in block.splitlines()]
    name = f"recipe_{line.split()[1]}"
    module = ModuleType(name)
    module.__dict__.update(callbridge=callbridge, chain=chain.runnable)
    sys.modules[name] = module
    try:
        exec(compile(code.replace("redis://cache/0", url), str(PAGE), "exec"), module.__dict__)
        yield module
    finally:
        del sys.modules[name]
        if isinstance(module.__dict__.get("relay"), Relay):
            module.relay.close()


@contextmanager
def logging_as_it_was() -> Iterator[None]:
    """Undo what Celery does to the root logger, which is that of all tests."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


def text(found: list[dict[str, Any]]) -> str:
    """Return what the model has said."""
    return "".join(each["data"]["chunk"].content for each in found if each["event"] == "on_chat_model_stream")


async def check(url: str, chain: Chain, enqueue: Callable[[str], Any]) -> None:
    """One run is answered and read elsewhere; one that was stopped before is not answered, and nobody tries again."""
    async with connect(url) as web:
        stopped, run = await web.announce(), await web.announce()
        await web.stop(stopped)
        await enqueue(stopped)
        await enqueue(run)
        with anyio.fail_after(100):
            found, how = await read(web, run)
        assert (text(found), how) == (ANSWER, "ended")
        assert await web.status(stopped) == "stopped"
        assert chain.asked == ["Human: How?"]
        await web.forget(run)
        await web.forget(stopped)


@pytest.mark.thorough
async def test_celery(broker: str) -> None:
    needs("celery")
    from celery.contrib.testing.worker import start_worker

    chain = Chain()
    with logging_as_it_was(), recipe("from celery import Celery", broker, chain) as module:

        async def enqueue(run: str) -> None:
            await anyio.to_thread.run_sync(module.answer.delay, run, "How?")

        module.app.conf.update(broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)
        with start_worker(module.app, pool="solo", perform_ping_check=False, shutdown_timeout=60):
            await check(broker, chain, enqueue)
        module.app.close()


async def test_dramatiq(broker: str) -> None:
    needs("dramatiq")
    import dramatiq

    chain = Chain()
    with recipe("import dramatiq", broker, chain) as module:
        queue = module.answer.broker
        worker = dramatiq.Worker(queue, worker_timeout=50, worker_threads=2)
        worker.start()

        async def enqueue(run: str) -> None:
            await anyio.to_thread.run_sync(module.answer.send, run, "How?")

        try:
            await check(broker, chain, enqueue)
        finally:
            worker.stop()
            queue.close()
            dramatiq.set_broker(None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # redis-py's, of how ARQ calls it
async def test_arq(broker: str) -> None:
    needs("arq")
    from arq import create_pool
    from arq.worker import create_worker

    chain = Chain()
    with recipe("from arq import Retry", broker, chain) as module:
        settings = module.WorkerSettings
        pool = await create_pool(settings.redis_settings)
        worker = create_worker(settings, handle_signals=False, poll_delay=0.02, keep_result=0)

        async def enqueue(run: str) -> None:
            await pool.enqueue_job("answer", run, "How?")

        async with anyio.create_task_group() as group:
            group.start_soon(worker.main)
            await check(broker, chain, enqueue)
            group.cancel_scope.cancel()
        await worker.close()
        await pool.aclose()


@pytest.mark.thorough
async def test_temporal(broker: str) -> None:
    needs("temporalio")
    from dataclasses import replace

    from temporalio import workflow
    from temporalio.testing import ActivityEnvironment

    chain = Chain()
    with recipe("from temporalio import activity, workflow", broker, chain) as module:
        assert workflow._Definition.must_from_class(module.Answer).name == "Answer"
        async with connect(broker) as web:
            run = await web.announce()
            environment = ActivityEnvironment()
            assert await environment.run(module.answer, run, "How?") == ANSWER
            with pytest.raises(callbridge.RunTakenError):
                await environment.run(module.answer, run, "How?")
            environment.info = replace(environment.info, attempt=2)
            assert await environment.run(module.answer, run, "How?") == ANSWER
            found, how = await read(web, run)
            assert (text(found), how) == (ANSWER, "ended")
            assert len(chain.asked) == 2
            await web.forget(run)
