"""`replay`, `areplay`: call handlers with recorded events, at once or with their original timing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from os import PathLike
from typing import TYPE_CHECKING, Any

import anyio

from callbridge.core.calls import Payload
from callbridge.dispatch.dispatched_events import adrive, drive
from callbridge.errors import ArgumentError
from callbridge.testing.recording import Recording, read_recording

if TYPE_CHECKING:
    from callbridge.dispatch.receiving_handler import Handlers

__all__ = ["areplay", "paced", "replay"]


def replay(
    recording: Recording | str | PathLike[str],
    handlers: Handlers,
    *,
    speed: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Payload:
    """Call handlers with the events of a recording, as if they had been attached to the recorded run.

    Args:
        recording: A recording, or the file.
        handlers: A handler, a sequence of them, or a callback manager.
        speed: The speed: 1 is as recorded, 2 is twice as fast. None: at once.
        clock: Returns the time in seconds.
        sleep: Waits for a number of seconds.

    Returns:
        The output of the root run.

    Raises:
        ArgumentError: `speed` is not above 0.
        RecordingError: The file is damaged. The other errors of `read_recording` apply, too.
        Exception: The recorded error, after the handlers have heard it, or an error of `drive`.

    Example:
        ```python
        list(record(callbridge.stream_events(chain, {"drink": "tea"}), "run.jsonl"))
        replay("run.jsonl", [PrintTokens()], speed=None)  # 1: as fast as it was
        #> With hot water.
        ```
    """
    recording = _recording(recording)
    _check_speed(speed)
    return drive(recording if speed is None else paced(recording, recording.seconds, speed, clock, sleep), handlers)


async def areplay(
    recording: Recording | str | PathLike[str],
    handlers: Handlers,
    *,
    speed: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
) -> Payload:
    """Call handlers with the events of a recording from a task, which awaits their coroutine methods.

    Args:
        recording: A recording, or the file, which is read in a thread.
        handlers: A handler, a sequence of them, or a callback manager.
        speed: As for `replay`.
        clock: Returns the time in seconds.
        sleep: Waits for a number of seconds.

    Returns:
        The output of the root run.

    Raises:
        ArgumentError: `speed` is not above 0.
        RecordingError: The file is damaged. The other errors of `read_recording` apply, too.
        Exception: The recorded error, after the handlers have heard it, or an error of `adrive`.

    Example:
        ```python
        async for event in record(callbridge.astream_events(chain, {"drink": "tea"}), "run.jsonl"):
            ...
        await areplay("run.jsonl", [PrintTokens()])
        #> With hot water.
        ```
    """
    if not isinstance(recording, Recording):
        recording = await anyio.to_thread.run_sync(read_recording, recording)
    _check_speed(speed)
    return await adrive(recording if speed is None else _apaced(recording, speed, clock, sleep), handlers)


def _recording(recording: Recording | str | PathLike[str]) -> Recording:
    return recording if isinstance(recording, Recording) else read_recording(recording)


def _check_speed(speed: object) -> None:
    if speed is not None and not (isinstance(speed, (int, float)) and speed > 0):
        raise ArgumentError("speed", speed, "a number above 0: 1 is as recorded; None replays at once")


def paced(
    events: Iterable[dict[str, Any]],
    seconds: Iterable[float],
    speed: float,
    clock: Callable[[], float],
    sleep: Callable[[float], object],
) -> Iterator[dict[str, Any]]:
    """Yield each event at its time after the first read, so work between reads adds no delay."""
    start = clock()
    times = iter(seconds)
    for event in events:
        left = start + next(times) / speed - clock()
        if left > 0:
            sleep(left)
        yield event


async def _apaced(
    recording: Recording, speed: float, clock: Callable[[], float], sleep: Callable[[float], Awaitable[object]]
) -> AsyncIterator[dict[str, Any]]:
    start = clock()
    times = iter(recording.seconds)
    for event in recording:
        left = start + next(times) / speed - clock()
        if left > 0:
            await sleep(left)
        yield event
