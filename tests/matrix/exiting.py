"""A program that ends while it reads streams: `python -m matrix.exiting (sync|async) MOMENT`.

It opens a stream of every kind, reads each up to the moment, prints how many, and returns from its main function. With
`handler` it reads a handler attached to a run of its own; with `failing`, a run that fails because the interpreter exits.
"""

from __future__ import annotations

import asyncio
import atexit
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from langchain_core._api import LangChainBetaWarning

import callbridge as cb
from matrix.kinds import KINDS, SYNC_KINDS, Kind, model
from matrix.moments import MOMENTS, OPTIONS, reach, reach_sync

kept: list[Any] = []
"""As module-level state keeps streams: until the interpreter takes modules apart."""


def open_stream(kind: Kind, moment: str) -> Any:
    # `asyncio.run` cancels tasks wherever they are, so a provider may be left to the loop, and ends in another context.
    run, stream = replace(kind, instrumented=False).start(fails=moment == "error pending", **OPTIONS.get(moment, {}))
    kept.extend((run, stream))
    return stream


async def read_all(moment: str) -> None:
    for kind in KINDS:
        stream = open_stream(kind, moment)
        if moment == MOMENTS[0]:
            kept.append(asyncio.create_task(stream.__anext__()))
        else:
            await reach(stream, moment)


def read_from_pool() -> None:
    """Read one event from a handler whose run is in a pool's thread, and waits for room by now."""
    handler = cb.EventStreamHandler(capacity=1, streaming=True)
    iter(handler)  # as long as nobody reads, a run does not wait
    pool = ThreadPoolExecutor(1)
    kept.extend((handler, pool.submit(model(words=["word "] * 20).runnable.invoke, "tea", {"callbacks": [handler]})))
    reach_sync(handler, "channel full")


def read_what_fails() -> None:
    """Read from a run that asks for a thread of a pool when there are none any more."""
    waits, gate = threading.Event(), threading.Event()

    def call() -> None:
        run = model()
        run.runnable.invoke(run.value)
        waits.set()
        gate.wait()
        ThreadPoolExecutor(1).submit(print)

    stream = cb.stream_call(call)
    kept.append(stream)
    next(stream)
    waits.wait()
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "callbridge-run")
    atexit.register(lambda: (gate.set(), thread.join()))  # after threads have been shut down


def main(form: str, moment: str) -> None:
    """Read, and leave everything as it is."""
    warnings.simplefilter("ignore", LangChainBetaWarning)  # of the rows of version 3
    if form == "handler":
        read_from_pool()
    elif form == "failing":
        read_what_fails()
    elif form == "async":
        asyncio.run(read_all(moment))
    else:
        for kind in SYNC_KINDS:
            stream = open_stream(kind, moment)
            if moment != MOMENTS[0]:
                reach_sync(stream, moment)
    print(len(KINDS if form == "async" else SYNC_KINDS))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
