"""Threads and tasks send numbers to one reader while the interpreter switches threads every microsecond; none may be missing.

    python -m proof.stress                      three hundred thousand items over all kinds of readers
    python -m proof.stress --items 10000000     ten million; a few minutes

Run from `tests/`. Nothing is stored: the reader knows which number each producer has to send next, so an item that is lost,
doubled or out of order is seen at once.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import anyio
import trio

from callbridge.channel.memory import ReceiveEnd, SendEnd, open_channel

__all__ = ["CAPACITIES", "READERS", "fast_switching", "stress"]

CAPACITIES = (1, 7, 64, 1024)
PRODUCERS = 6

Item = tuple[int, int]


@contextmanager
def fast_switching() -> Iterator[None]:
    """Let the interpreter switch threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _send_sync(send: SendEnd[Item], producer: int, count: int) -> None:
    for number in range(count):
        send.send_sync((producer, number))


async def _send(send: SendEnd[Item], producer: int, count: int) -> None:
    for number in range(count):
        await send.send((producer, number))


async def _both(first: Callable[[], Awaitable[object]], second: Callable[[], Awaitable[object]]) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(first)
        group.start_soon(second)


def _produce(send: SendEnd[Item], count: int) -> None:
    """Send from two threads, two asyncio tasks and two trio tasks at the same time, and close."""
    jobs: list[Callable[[], object]] = [
        partial(_send_sync, send, 0, count),
        partial(_send_sync, send, 1, count),
        lambda: asyncio.run(_both(partial(_send, send, 2, count), partial(_send, send, 3, count))),
        lambda: trio.run(_both, partial(_send, send, 4, count), partial(_send, send, 5, count)),
    ]
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    send.close()


class _Expected:
    """Knows what each producer sends next."""

    def __init__(self) -> None:
        self.next = [0] * PRODUCERS

    def check(self, item: Item) -> None:
        producer, number = item
        assert number == self.next[producer], f"producer {producer}: {number} came, {self.next[producer]} was next"
        self.next[producer] += 1


async def _read(receive: ReceiveEnd[Item], expected: _Expected) -> None:
    async for item in receive:
        expected.check(item)


def _read_sync(receive: ReceiveEnd[Item], expected: _Expected) -> None:
    for item in receive:
        expected.check(item)


READERS: dict[str, Callable[[Any, Any], object]] = {
    "asyncio": lambda receive, expected: asyncio.run(_read(receive, expected)),
    "trio": lambda receive, expected: trio.run(_read, receive, expected),
    "thread": _read_sync,
}


def stress(reader: str, capacity: int, items: int) -> int:
    """Send about so many items to a reader; return how many it were.

    Raises:
        AssertionError: One was lost, doubled, out of order, or the bound did not hold.
    """
    count = -(-items // PRODUCERS)
    send, receive = open_channel(capacity)
    producing = threading.Thread(target=_produce, args=(send, count))
    expected = _Expected()
    with fast_switching():
        producing.start()
        READERS[reader](receive, expected)
        producing.join()
    statistics = send.statistics()
    assert expected.next == [count] * PRODUCERS
    assert statistics.sent == statistics.received == count * PRODUCERS
    assert statistics.peak <= capacity + PRODUCERS
    assert (statistics.overruns, statistics.buffered, statistics.waiting_producers) == (0, 0, 0)
    return count * PRODUCERS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m proof.stress")
    parser.add_argument("--items", type=int, default=300_000, help="in all, over all readers and capacities")
    rounds = [(reader, capacity) for reader in READERS for capacity in CAPACITIES]
    total, began = 0, time.perf_counter()
    # A capacity of 1 wakes two threads for each item, so it gets fewer of them.
    shares = {1: 0.02, 7: 0.08, 64: 0.3, 1024: 0.6}
    wanted = parser.parse_args().items / len(READERS)
    for reader, capacity in rounds:
        total += stress(reader, capacity, int(wanted * shares[capacity]))
        print(f"{reader}, capacity {capacity}: {total} items so far", flush=True)  # noqa: T201 - a long wait otherwise
    print(f"{total} items in {time.perf_counter() - began:.0f} s: none lost, doubled or out of order")  # noqa: T201


if __name__ == "__main__":
    main()
