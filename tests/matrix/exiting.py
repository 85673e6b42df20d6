"""A program that ends while it reads streams: `python -m matrix.exiting (sync|async) MOMENT`.

It opens a stream of every kind, reads each up to the moment, prints how many, and returns from its main function.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from matrix.kinds import KINDS, SYNC_KINDS, Kind
from matrix.moments import MOMENTS, OPTIONS, reach, reach_sync

kept: list[Any] = []
"""As module-level state keeps streams: until the interpreter takes modules apart."""


def open_stream(kind: Kind, moment: str) -> Any:
    run, stream = kind.start(fails=moment == "error pending", **OPTIONS.get(moment, {}))
    kept.extend((run, stream))
    return stream


async def read_all(moment: str) -> None:
    for kind in KINDS:
        stream = open_stream(kind, moment)
        if moment == MOMENTS[0]:
            kept.append(asyncio.create_task(stream.__anext__()))
        else:
            await reach(stream, moment)


def main(form: str, moment: str) -> None:
    """Read, and leave everything as it is."""
    if form == "async":
        asyncio.run(read_all(moment))
    else:
        for kind in SYNC_KINDS:
            stream = open_stream(kind, moment)
            if moment != MOMENTS[0]:
                reach_sync(stream, moment)
    print(len(KINDS if form == "async" else SYNC_KINDS))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
