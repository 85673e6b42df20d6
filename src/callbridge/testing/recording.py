"""Recordings: the events of a stream in a file, one JSON object for each line.

```
{"callbridge_recording": 1, "callbridge": "0.1.0", "langchain_core": "1.2.0"}     the header
{"seconds": 0.0, "event": {"event": "on_chain_start", ...}}                       an event, as `dumps` writes it
...
{"seconds": 1.25, "end": "ended"}                                                 the end: `ended`, `failed` or `left`
```

`seconds` counts from the first read; `failed` comes with an `error`. A recording that does not say how it ended was cut off.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from os import PathLike, fspath
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Final, Generic, Literal, TextIO, TypeAlias, TypeVar, cast

from anyio import CancelScope, to_thread

import callbridge
from callbridge.codec.decode import loads
from callbridge.codec.encode import dumps
from callbridge.errors import ArgumentError, ConcurrentReadError, JSONFormatError, RecordingError, RemoteError, VersionError

__all__ = ["SCHEMA", "End", "Recorded", "Recording", "read_recording", "record"]

SCHEMA: Final = 1
"""The version of the format that this callbridge writes, and the only one that it reads."""

End: TypeAlias = Literal["ended", "failed", "left", "cut off"]
"""How a recorded stream ended: well, with an error, because its reader left, or unknown, because the file ends early."""

_WRITTEN_ENDS: Final = ("ended", "failed", "left")

E = TypeVar("E", bound=Mapping[str, Any])


def record(
    stream: AsyncIterable[E] | Iterable[E], path: str | PathLike[str], *, clock: Callable[[], float] = time.perf_counter
) -> Recorded[E]:
    """Write the events of a stream into a file while you read them.

    Args:
        stream: Events: one of this library's streams, `runnable.astream_events(...)`, a list.
        path: The file. If it exists, reading the first event replaces it.
        clock: Returns the time in seconds.

    Returns:
        An iterator of the same events, for `async for` or `for` as the stream is; see `Recorded`.

    Raises:
        ArgumentError: `stream` cannot be iterated.

    Example:
        ```python
        for event in record(callbridge.stream_events(chain, {"drink": "tea"}), "run.jsonl"):
            ...
        replay("run.jsonl", [PrintTokens()])
        #> With hot water.
        ```
    """
    if not isinstance(stream, (AsyncIterable, Iterable)):
        raise ArgumentError("stream", stream, "an iterable or async iterable of events")
    return Recorded(stream, path, clock)


class _File:
    """A recording in progress. Each line goes to the system at once, so a crash loses at most the last one."""

    def __init__(self, path: str | PathLike[str], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._start = clock()
        self._file: TextIO | None = open(path, "w", encoding="ascii", newline="\n", buffering=1)  # noqa: SIM115
        versions = {"callbridge": callbridge.__version__, "langchain_core": version("langchain-core")}
        self._file.write(dumps({"callbridge_recording": SCHEMA, **versions}) + "\n")
        self._turn = Lock()  # a thread may still work for a cancelled read

    @property
    def is_open(self) -> bool:
        return self._file is not None

    def write(self, event: Mapping[str, Any]) -> Callable[[], None]:
        """Return a function that writes an event with the current time."""
        return partial(self._write, f'{{"seconds": {self._seconds()}, "event": {dumps(event)}}}\n')

    def end(self, how: End, error: BaseException | None = None) -> Callable[[], None]:
        """Return a function that writes how the stream ended, and closes the file. Only the first call does."""
        told = "" if error is None else f', "error": {dumps(error)}'
        return partial(self._write, f'{{"seconds": {self._seconds()}, "end": "{how}"{told}}}\n', last=True)

    def _write(self, line: str, *, last: bool = False) -> None:
        with self._turn:
            file = self._file
            if file is None:
                return
            if not last:
                file.write(line)
                return
            self._file = None
            with file:
                file.write(line)

    def _seconds(self) -> float:
        return round(self._clock() - self._start, 6)


class Recorded(Generic[E]):
    """The events of a stream, each written to a file before it is passed on. Made by `record`.

    Reading raises the errors of the stream, and records them. It raises `OSError` if writing the file fails. `for` writes in
    the same thread, `async for` in another one, so that it does not block the loop. If you leave early (`break`, `close`,
    `aclose`), the recording says so; `close` and `aclose` close the stream.

    Threads: as the stream.

    Example:
        ```python
        with record(callbridge.stream_events(chain, {"drink": "tea"}), "run.jsonl") as recorded:
            for event in recorded:
                ...
        ```
    """

    _file: _File | None = None

    def __init__(self, stream: AsyncIterable[E] | Iterable[E], path: str | PathLike[str], clock: Callable[[], float]) -> None:
        self._stream: Any = stream
        self._path = path
        self._clock = clock
        self._source: Any = None
        self._read: _Read[E] | None = None  # the result that a cancelled async read did not return

    # -- reading ------------------------------------------------------------------------------------------------------

    def __aiter__(self) -> Recorded[E]:
        if self._source is None:
            self._source = aiter(self._stream)
        return self

    async def __anext__(self) -> E:
        if self._file is None:
            self._file = await to_thread.run_sync(_File, self._path, self._clock)
        if self._read is None:
            self._read = await self._next(self._file)
        write, self._read.write = self._read.write, None
        if write is not None:
            await _in_thread(write)
        read, self._read = self._read, None
        if read.error is not None:
            raise read.error
        return read.event

    async def _next(self, file: _File) -> _Read[E]:
        source: AsyncIterator[E] = self.__aiter__()._source
        try:
            event = await anext(source)
        except BaseException as error:  # noqa: BLE001 - raised after it is written
            return _Read(cast("E", None), _end(file, error), error)
        return _Read(event, file.write(event), None)

    def __iter__(self) -> Recorded[E]:
        if self._source is None:
            self._source = iter(self._stream)
        return self

    def __next__(self) -> E:
        if self._file is None:
            self._file = _File(self._path, self._clock)
        source: Iterator[E] = self.__iter__()._source
        try:
            event = next(source)
        except BaseException as error:
            end = _end(self._file, error)
            if end is not None:
                end()
            raise
        self._file.write(event)()
        return event

    # -- leaving ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop reading: close the file and the stream. Idempotent."""
        self._leave()
        close = getattr(self._stream, "close", None)
        if close is not None:
            close()

    async def aclose(self) -> None:
        """Stop reading: close the file and the stream. Idempotent.

        Cancellation: the file is closed first.
        """
        try:
            await _in_thread(self._leave)
        finally:
            aclose = getattr(self._stream, "aclose", None)
            if aclose is not None:
                await aclose()
            else:
                self.close()

    def _leave(self) -> None:
        if self._file is not None and self._file.is_open:
            self._file.end("left")()

    def __enter__(self) -> Recorded[E]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Recorded[E]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self._file is not None and self._file.is_open:
            _end_dropped(self._file)


@dataclass(slots=True)
class _Read(Generic[E]):
    """The result of reading an async stream, an event or an error, and the function that writes it, if it is not written."""

    event: E
    write: Callable[[], None] | None
    error: BaseException | None


def _end(file: _File, error: BaseException) -> Callable[[], None] | None:
    """Return a function that writes the end, if an error ended the stream.

    You can repeat a cancelled read. If the reader leaves instead, `Recorded._leave` writes that.
    """
    if isinstance(error, (StopIteration, StopAsyncIteration)):
        return file.end("ended")
    if isinstance(error, Exception) and not isinstance(error, ConcurrentReadError):
        return file.end("failed", error)
    return None


def _end_dropped(file: _File) -> None:
    """Write the end of a dropped recording, in a thread if a loop runs here."""
    end = file.end("left")
    try:
        asyncio.get_running_loop()
        Thread(target=end).start()
    except RuntimeError:  # no loop runs, or the interpreter exits
        end()


async def _in_thread(write: Callable[[], None]) -> None:
    """Write in a thread, so that the loop is not blocked.

    Cancellation: the thread goes on writing.
    """
    with CancelScope(shield=True):
        await to_thread.run_sync(write)


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording, as read from a file. It yields its events, and ends as the stream did: it raises a recorded error again.

    Example:
        ```python
        list(record(callbridge.stream_events(chain, {"drink": "tea"}), "run.jsonl"))
        recording = read_recording("run.jsonl")
        print(next(iter(recording))["event"])
        #> on_chain_start
        ```
    """

    events: tuple[dict[str, Any], ...]
    """The events, as `loads` restores them."""

    seconds: tuple[float, ...]
    """When each event was read, in seconds after the first read began."""

    end: End
    """How the stream ended."""

    error: BaseException | None
    """The error, if the stream failed. `loads` restores the class of most built-in errors; others become a `RemoteError`."""

    versions: Mapping[str, str]
    """Versions of `callbridge` and `langchain_core` that recorded it."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from self.events
        if self.error is not None:
            raise self.error


def read_recording(path: str | PathLike[str], *, partial: bool = False) -> Recording:
    """Read a recording.

    Args:
        path: The file.
        partial: Read what there is if the file was cut off, in a line or between two. Its end is then `"cut off"`.

    Raises:
        RecordingError: The file is not a recording, a line is broken, or it was cut off and `partial` is False.
        VersionError: The file has a version of the format that this version of callbridge does not read.
        OSError: The file cannot be read.

    Example:
        ```python
        for event in record(callbridge.stream_events(chain, {"drink": "tea"}), "run.jsonl"):
            ...
        print([event["event"] for event in read_recording("run.jsonl")][-1])
        #> on_chain_end
        ```
    """
    name = fspath(path)
    *lines, rest = Path(path).read_bytes().split(b"\n")
    if not lines:
        raise RecordingError(name, 1, "is not a recording: it has no header; expected a file that `record` wrote")
    header = _header(name, lines[0])
    events, seconds, end = [], [], None
    for number, line in enumerate(lines[1:], 2):
        if end is not None:
            raise RecordingError(
                name, number, "there is more after the end of the recording; expected one recording for each file"
            )
        content = _line(name, number, line)
        if "event" in content:
            events.append(content["event"])
            seconds.append(float(content["seconds"]))
        else:
            end = content
    cut = rest != b"" or end is None
    if cut and not partial:
        problem = "is cut off in this line" if rest else "ends before the end of the recording"
        raise RecordingError(name, len(lines) + 1, f"{problem}; use `partial=True` to read what is there")
    how: End = "cut off" if cut or end is None else end["end"]
    return Recording(tuple(events), tuple(seconds), how, None if end is None else _error(end), header)


def _header(path: str, line: bytes) -> dict[str, str]:
    try:
        header = loads(line)
    except JSONFormatError:
        header = None
    if not isinstance(header, dict) or "callbridge_recording" not in header:
        raise RecordingError(path, 1, "is not a recording: the first line is not a header; expected a file that `record` wrote")
    schema = header.pop("callbridge_recording")
    if schema != SCHEMA:
        raise VersionError(
            "callbridge_recording", schema, f"{SCHEMA}; {path} was written by callbridge {header.get('callbridge')}"
        )
    return cast("dict[str, str]", header)


def _line(path: str, number: int, line: bytes) -> dict[str, Any]:
    try:
        content = loads(line)
    except JSONFormatError as error:
        raise RecordingError(path, number, f"is broken: {error.problem}") from error
    if not isinstance(content, dict) or not isinstance(content.get("seconds"), (int, float)):
        raise RecordingError(path, number, "is broken: expected an object with `seconds`, and `event` or `end`")
    if isinstance(content.get("event"), Mapping) == (content.get("end") in _WRITTEN_ENDS):
        expected = f"an `event` that is an object, or an `end` that is one of {', '.join(_WRITTEN_ENDS)}"
        raise RecordingError(path, number, f"is broken: expected {expected}")
    return content


def _error(end: dict[str, Any]) -> BaseException | None:
    error = end.get("error")
    return error if error is None or isinstance(error, BaseException) else RemoteError(error)
