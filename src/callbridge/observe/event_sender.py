"""`EventSender`: where callback calls become events and enter the channel.

It stands between a handler, which LangChain calls, and a reader. It knows when the iteration ends (after the last root run),
and decides about a run whose reader has left.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator, Sequence
from threading import RLock, get_ident
from types import FrameType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from callbridge.channel.memory import SendEnd
from callbridge.core.calls import Payload
from callbridge.core.encode import CallsToEvents
from callbridge.core.runs import Run
from callbridge.errors import ChannelClosedError, ChannelOverflow
from callbridge.internals import running_loop
from callbridge.observe.callers import is_cleanup
from callbridge.observe.reading import EventReader
from callbridge.observe.repeated_calls import STARTS, RepeatedCalls
from callbridge.running.entered_loops import EnteredLoops
from callbridge.running.lazy import Lazy
from callbridge.running.leftover_frames import LeftoverFrames

if TYPE_CHECKING:
    from callbridge.events import Event

__all__ = ["EventSender"]


@types.coroutine
def _turn() -> Generator[None, None, None]:
    """Give everything else that can run its turn of the loop, as `asyncio.sleep(0)` does."""
    yield


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


_SETTLING_TURNS = 20
"""For how many turns of the loop the end of a message may be under way after its reader was released."""

_STOPPED = "the reader of this run has left"

_ORDER_SECONDS = 5.0
"""How long to wait for another thread's call to be sent.

It takes microseconds, unless the garbage collector fires a callback of another sender in the middle of it. There, the same may
happen the other way round. Then the order is given up, and nothing hangs.
"""


class EventSender:
    """Translates calls and sends the events.

    Args:
        encoder: The translator.
        send: The sending end of the channel.
        reader: The reader of the other end. It is asked whether somebody reads, and closed if it has left when the run ends.
        roots: After how many root runs to close the channel. With `None`, only `finish` closes it.

    Threads: any.
    """

    leftover_frames: LeftoverFrames = Lazy(LeftoverFrames)  # type: ignore[assignment]
    """Of a run that was stopped, the frames to clear. The source of the run clears them."""
    _open: set[Payload] = Lazy(set)  # type: ignore[assignment]
    """Of a run that was stopped, the runs that were open when the reader left, or that began before the cancellation."""
    _told: set[int] = Lazy(set)  # type: ignore[assignment]
    """Of a run that was stopped, the threads in which its end has begun."""
    _order: RLock = Lazy(RLock)  # type: ignore[assignment]

    def __init__(self, encoder: CallsToEvents, send: SendEnd[Event], reader: EventReader, roots: int | None) -> None:
        self._encoder = encoder
        self._repeated = RepeatedCalls(encoder)
        self._send = send
        self._reader = reader
        self._roots = roots
        self._stopped = False
        self._in_room = 0
        self._overflow: ChannelOverflow | None = None  # the first overflow; the reader gets it in place of the end
        # Of a run that was stopped:
        self.entered_loops = EnteredLoops()
        """The loops that the run enters, noted where runs begin."""
        self._cancelled = False
        self._call_ended = False
        self._is_over = False
        self._passed: dict[UUID, FrameType | None] = {}  # removed at the end of the run's tap
        self._settling: asyncio.Future[None] | None = None  # resolved when the next run of a model ends

    @property
    def encoder(self) -> CallsToEvents:
        """The translator."""
        return self._encoder

    @property
    def send(self) -> SendEnd[Event]:
        """The sending end."""
        return self._send

    def report(self, method: str, args: tuple[Payload, ...], kwargs: dict[str, Payload], awaited: bool = False) -> bool:
        """Translate a call and send the events.

        Args:
            method: The callback method.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            awaited: Whether LangChain awaits the callback, so that the run can be cancelled where it waits.

        Returns:
            Whether the channel is full. Then wait for room, if you can.

        Raises:
            asyncio.CancelledError: The run was stopped. It is a `BaseException`, so LangChain does not swallow it as it does
                errors of handlers, and the user's own handlers hear of a cancellation.
            ChannelOverflow: The channel is full, and its policy is `"fail"`.
        """
        if self._stopped:
            return self._report_stopped(method, args, kwargs, awaited)
        if awaited and method in STARTS:
            self.entered_loops.note()
            if self.stopped:  # `stop` came meanwhile, and may have missed this run
                self.entered_loops.cancel_all()
        if self._send.closed or self._repeated.has(method, kwargs):
            return False
        if self._encoder.extended or self._roots is not None:
            full = self._report_in_order(method, *args, **kwargs)
        else:
            full = self._push(getattr(self._encoder, method)(*args, **kwargs))
        if self._settling is not None and method in ("on_llm_end", "on_llm_error"):
            self._note_settled()
        if full and awaited and method.endswith("_error") and isinstance(args[0], (asyncio.CancelledError, GeneratorExit)):
            # The code that cancels a run waits for its end, and may be the reader. So the bound yields, which this counts.
            self._send.room_sync()
            return False
        return full

    def _report_stopped(self, method: str, args: tuple[Payload, ...], kwargs: dict[str, Payload], awaited: bool) -> bool:
        """Do what `report` does, for a run that was stopped."""
        run_id = kwargs.get("run_id")
        if self._is_over and run_id not in self._open:
            return False  # somebody else's
        # An error on its way out is a better end than ours, and so is the root's own end.
        if method.endswith("_error"):
            self._told.add(get_ident())
            self.leftover_frames.add_error(args[0])
            if not awaited:
                self.leftover_frames.clear_error(args[0])  # here, so that generators are closed in the context they ran in
            return False
        if method.endswith("_end") and kwargs.get("parent_run_id") is None:
            return False
        if awaited and not self._cancelled and method in STARTS and not is_cleanup():
            self._open.add(run_id)
            self.entered_loops.note()
            self.entered_loops.cancel_all()
        return self._stop(run_id, awaited)

    def _report_in_order(self, method: str, /, *args: Payload, **kwargs: Payload) -> bool:
        """Translate and send as one step, and end the iteration if that was the last root.

        When another thread ends a root, it also ends the runs that are open below it (extended), or everything (the last root).
        That must not happen between the two steps of a call that begins or ends a run.
        """
        held = self._order.acquire(timeout=_ORDER_SECONDS)
        try:
            full = self._push(getattr(self._encoder, method)(*args, **kwargs))
            if self._roots is not None and self._encoder.roots_ended >= self._roots and not self._encoder.open_roots:
                self._close(None)
            return full
        finally:
            if held:
                self._order.release()

    async def report_awaited(self, method: str, args: tuple[Payload, ...], kwargs: dict[str, Payload]) -> None:
        """Do what `report` does for a callback that LangChain awaits, and wait for room.

        LangChain calls its own event handler in a task. So one turn of the loop passes before the event, and two before the run
        goes on. The same happens here, so that concurrent runs are reported in the same order.
        """
        try:
            await _turn()
        finally:  # even if it was cancelled, the call was reported
            full = self.report(method, args, kwargs, True)
        await _turn()
        await _turn()
        if full:
            await self.room()

    async def report_token(
        self,
        token: Payload,
        *,
        run_id: UUID,
        chunk: Payload = None,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **_: Payload,
    ) -> None:
        """Do what `report_awaited` does, for a token, which never ends a run or the iteration.

        This is a separate method with its calls inlined, because nothing is reported as often. If no other run goes on at the
        same time, there is no order to keep, so it gives no turn away.
        """
        encoder = self._encoder
        run = encoder.speaking
        if encoder.forks:
            call = {"run_id": run_id, "chunk": chunk, "parent_run_id": parent_run_id, "tags": tags}
            await self.report_awaited("on_llm_new_token", (token,), call)
            return
        if run is None or run.run_id is not run_id or chunk is None or self._repeated.copies:
            full = self._report_token(True, token, run_id, chunk, parent_run_id, tags)
        else:
            full = self.report_chunk(run, chunk.message, True)
        if full:
            await self.room()

    def report_token_sync(
        self,
        token: Payload,
        *,
        run_id: UUID,
        chunk: Payload = None,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **_: Payload,
    ) -> None:
        """Report a token of a sync run, and wait for room if this thread may."""
        run = self._encoder.speaking
        if run is None or run.run_id is not run_id or chunk is None or self._repeated.copies:
            full = self._report_token(False, token, run_id, chunk, parent_run_id, tags)
        else:
            full = self.report_chunk(run, chunk.message)
        if full:
            self._send.room_sync()

    def _report_token(
        self,
        awaited: bool,
        token: Payload,
        run_id: UUID,
        chunk: Payload,
        parent_run_id: UUID | None,
        tags: list[str] | None,
    ) -> bool:
        """Do what `report` does, for a token."""
        if self._stopped:
            return self._stop(run_id, awaited)
        if self._repeated.copies and self._repeated.has("on_llm_new_token", {"run_id": run_id}):
            return False
        if self._encoder.extended:
            return self._report_in_order(
                "on_llm_new_token", token, run_id=run_id, chunk=chunk, parent_run_id=parent_run_id, tags=tags
            )
        events = self._encoder.on_llm_new_token(token, run_id=run_id, chunk=chunk, parent_run_id=parent_run_id, tags=tags)
        return self._push(events) if events else False

    async def report_message_event(
        self,
        event: Payload,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **_: Payload,
    ) -> None:
        """Report an event of the content-block protocol in the way of `report_token`, because there are as many."""
        encoder = self._encoder
        if encoder.forks:
            call = {"run_id": run_id, "parent_run_id": parent_run_id, "tags": tags}
            await self.report_awaited("on_stream_event", (event,), call)
            return
        if self._report_message_event(True, event, run_id, parent_run_id, tags):
            await self.room()

    def report_message_event_sync(
        self,
        event: Payload,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **_: Payload,
    ) -> None:
        """Report such an event of a sync run, and wait for room if this thread may."""
        if self._report_message_event(False, event, run_id, parent_run_id, tags):
            self._send.room_sync()

    def _report_message_event(
        self, awaited: bool, event: Payload, run_id: UUID, parent_run_id: UUID | None, tags: list[str] | None
    ) -> bool:
        """Do what `report` does, for such an event."""
        if self._stopped or self._send.closed or self._encoder.extended or self._repeated.copies:
            call = {"run_id": run_id, "parent_run_id": parent_run_id, "tags": tags}
            return self.report("on_stream_event", (event,), call, awaited)
        events = self._encoder.on_stream_event(event, run_id=run_id, parent_run_id=parent_run_id, tags=tags)
        return self._push(events) if events else False

    async def settle(self) -> None:
        """Wait for the ends of models whose messages are complete.

        The end of the message releases the reader of a v3 stream. Another task reports the end of the run later. If the message
        is not complete, the reader has left it, so nothing waits for that run.

        Cancellation: it gives up waiting.
        """
        turns = _SETTLING_TURNS
        while turns and self._has_message(complete=False):
            await _turn()
            turns -= 1
        while self._has_message(complete=True):
            self._settling = asyncio.get_running_loop().create_future()
            await self._settling
        self._settling = None

    def _has_message(self, *, complete: bool) -> bool:
        """Return whether a model that is driven by version 3 is open, and its message is complete or not."""
        going_on, completed = self._encoder.unended_messages()
        return completed > 0 if complete else going_on > completed

    def _note_settled(self) -> None:
        settling = self._settling
        if settling is not None:
            settling.get_loop().call_soon_threadsafe(_resolve, settling)

    def begin_tap(self, run_id: UUID) -> bool:
        """Note that a tap delivers the run's chunks from now on. Return whether it is the run's first tap."""
        return self._encoder.begin_tap(run_id)

    def note_passed(self, run_id: UUID, frame: FrameType | None) -> None:
        """Note the frame of a generator of a run whose chunks another tap reports. That tap will end later."""
        self._passed[run_id] = frame

    def end_tap(self, run_id: UUID) -> None:
        """Forget a tap."""
        self._encoder.end_tap(run_id)
        self.leave(self._passed.pop(run_id, None))

    def leave(self, frame: FrameType | None) -> None:
        """Note that nobody reads a generator of the run any more, by its frame."""
        if self._stopped and frame is not None:
            self.leftover_frames.add_frame(frame)

    def tapped_run(self, run_id: UUID) -> Run | None:
        """Return the run if its chunks are wanted."""
        return self._encoder.tapped_run(run_id)

    def report_chunk(self, run: Run, chunk: Payload, awaited: bool = False, step: FrameType | None = None) -> bool:
        """Send one chunk of a tapped run; return whether the channel is full. See `report`.

        Args:
            run: The run.
            chunk: The chunk.
            awaited: Whether the run can be cancelled where it waits.
            step: The frame of the coroutine that calls this as its last act, if it is one.

        Raises:
            asyncio.CancelledError: The run was stopped.
            ChannelOverflow: The channel is full, and its policy is `"fail"`.
        """
        if self._stopped:
            return self._stop(run.run_id, awaited)
        encoder = self._encoder
        if encoder.extended:
            return self._report_in_order("chunk", run, chunk)
        if not run.included:
            return False
        # Inlined, because nothing is made as often. An event has reported the start of the run, so no input is due.
        event: Any = {
            "event": run.stream_event,
            "data": {"chunk": chunk},
            "run_id": run.id,
            "name": run.name,
            "tags": run.tags,
            "metadata": run.metadata,
            "parent_ids": run.parent_ids.copy(),
        }
        try:
            return self._send.push(event, step)
        except (ChannelClosedError, ChannelOverflow) as error:
            self._refused(error)
            return False

    def pass_on(self, event: Event) -> bool:
        """Send an event that other code has made. Return whether the channel is full."""
        return self._stopped or self._push((event,))

    async def room(self) -> None:
        """Wait until the reader has made room, if there is a reader."""
        self._in_room += 1
        try:
            if self._stopped:
                await asyncio.sleep(0)  # gives the loop a chance to cancel a run that never waits
            elif self._reader.attached:
                await self._send.room()
            else:
                # Before anybody reads, the run might wait for itself: `await run; async for event in handler`.
                self._send.room_sync()  # does not wait either, but counts it
        finally:
            self._in_room -= 1

    @property
    def in_callback(self) -> bool:
        """Whether an awaited callback of the run is waiting here."""
        return self._in_room > 0

    def room_sync(self) -> None:
        """Wait until the reader has made room, if this thread may."""
        self._send.room_sync()

    def stop(self) -> None:
        """Stop the run at its next sync callback, because its reader has left. Idempotent; any thread.

        Awaited callbacks pass, but are not reported: an async run is cancelled where it waits. If it has lost that
        cancellation, such a callback cancels it again.
        """
        self._note_open()
        self._stopped = True
        self._send.never_wait()
        self.entered_loops.cancel_all()

    def note_cancelled(self) -> None:
        """Note that the run has been cancelled: runs that begin from now on are part of the cleanup or belong to other code."""
        self._cancelled = True

    def _note_open(self) -> None:
        self._open |= self._encoder.open_run_ids()

    @property
    def reader_left(self) -> bool:
        """Whether the reader has left, so that nobody reads what is sent."""
        return self._reader.state == "closed"

    @property
    def stopped(self) -> bool:
        """Whether the run was told to stop."""
        return self._stopped

    def _stop(self, run_id: Payload, awaited: bool) -> bool:
        """Stop at a callback or chunk, unless it may pass unreported. Return whether its caller should give the loop its turn.

        Runs that begin now may pass if they are part of the cleanup or belong to other code, such as a worker that the run has
        started and that serves other requests.
        """
        was_open = run_id in self._open
        if self._is_over and not was_open:
            return False
        if awaited:
            if was_open:
                self.entered_loops.tell_again()
            return True
        if not was_open and is_cleanup():
            return False
        if running_loop() is None:
            self.entered_loops.wait_told()
        else:
            self.entered_loops.tell_later()
        raise self._stopping()

    def _stopping(self) -> BaseException:
        """Return the exception that ends the run: a cancellation, and later in the same sync code, `GeneratorExit`.

        When a sync generator of LangChain is closed, it reads on, to trace its input
        (`Runnable._transform_stream_with_config`). Then it must be stopped again, in a place where Python prints any other
        exception as ignored.
        """
        thread = get_ident()
        in_loop = running_loop() is not None
        if self._call_ended or (thread in self._told and not in_loop):
            return GeneratorExit(_STOPPED)
        self._told.add(thread)
        return asyncio.CancelledError(_STOPPED)

    def end_call(self) -> None:
        """Note that the run's call has ended: its runs that still report are being cleaned up."""
        self._call_ended = True

    def end_run(self) -> None:
        """Note that the cleanup is over, too: runs that begin now belong to other code."""
        self._is_over = True
        self.entered_loops.unbind()

    def finish(self, error: BaseException | None = None) -> None:
        """Close the channel and forget all runs. Idempotent."""
        self._note_open()
        if self.reader_left:
            self._reader.close()  # a reader that is about to leave must not read that the run was stopped
        if self._send.closed:
            self._encoder.forget()  # late callbacks may be running in other threads
            return
        held = self._order.acquire(timeout=_ORDER_SECONDS)
        try:
            self._push(self._encoder.close(error))
            self._close(error)
        finally:
            if held:
                self._order.release()

    def _close(self, error: BaseException | None) -> None:
        """Close the channel with the run's error, or else with the first overflow."""
        overflow, self._overflow = self._overflow, None
        self._send.close(error or overflow)

    def _push(self, events: Sequence[Event]) -> bool:
        full = False
        try:
            for event in events:
                full = self._send.push(event)
        except (ChannelClosedError, ChannelOverflow) as error:
            self._refused(error)
            return False
        return full

    def _refused(self, error: ChannelClosedError | ChannelOverflow) -> None:
        """Called when the channel has refused an event. Raise the error, unless nobody listens.

        There are two such cases. The garbage collector fires callbacks of abandoned runs late, in any thread. And the reader of
        a handler may have left a run that goes on: its tokens add the run again, and nobody listens for its end.
        """
        if isinstance(error, ChannelClosedError):
            self._encoder.forget()
            return
        self._overflow = self._overflow or error
        raise error

    def __repr__(self) -> str:
        state: dict[str, Any] = {"runs": self._encoder.runs, "roots": self._roots}
        return f"<EventSender {state}>"
