"""`EventSender`: where callback calls become events and enter the channel.

Between a handler, which LangChain calls, and a reader. It knows when the iteration ends (after the last root run) and what
becomes of a run whose reader has left.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator, Sequence
from threading import RLock, get_ident
from types import FrameType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from callbridge.channel.memory import ReceiveEnd, SendEnd
from callbridge.core.calls import Payload
from callbridge.core.encode import CallsToEvents
from callbridge.core.runs import Run
from callbridge.errors import ChannelClosedError, ChannelOverflow
from callbridge.internals import running_loop
from callbridge.observe.callers import is_cleanup
from callbridge.observe.repeated_calls import STARTS, RepeatedCalls
from callbridge.running.entered_loops import EnteredLoops
from callbridge.running.leftover_frames import LeftoverFrames

if TYPE_CHECKING:
    from callbridge.events import Event

__all__ = ["EventSender"]


@types.coroutine
def _turn() -> Generator[None, None, None]:
    """Let whatever else can go on have its turn of the loop; what `asyncio.sleep(0)` does."""
    yield


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


_SETTLING_TURNS = 20
"""Turns of the loop for which the end of a message may be under way, after its reader has been released."""

_STOPPED = "the reader of this run has left"

_ORDER_SECONDS = 5.0
"""How long to wait for another thread's call to be sent.

It takes microseconds, unless the garbage collector fires a callback of another sender in the middle of it, where the same may
happen the other way round: then order is given up, and nobody hangs.
"""


class EventSender:
    """Translates calls and sends the events.

    Args:
        encoder: Translates.
        ends: The two ends of the channel; the reading one is only asked whether somebody reads.
        roots: After how many root runs the channel is closed; `None`: by `finish` alone.

    Threads: any.
    """

    def __init__(self, encoder: CallsToEvents, ends: tuple[SendEnd[Event], ReceiveEnd[Event]], roots: int | None) -> None:
        self._encoder = encoder
        self._repeated = RepeatedCalls(encoder)
        self._send, self._receive = ends
        self._roots = roots
        self._order = RLock()
        self._stopped = False
        self._in_room = 0
        self._overflow: ChannelOverflow | None = None  # the first one; handed to the reader with the end
        # Of a run that was stopped:
        self.leftover_frames = LeftoverFrames()
        """To be cleared by its source."""
        self.entered_loops = EnteredLoops()
        """Loops that the run enters, noted where runs begin."""
        self._cancelled = False
        self._open: set[Payload] = set()  # what was open when its reader left, and what began before it was cancelled
        self._told: set[int] = set()  # threads in which its end has begun
        self._call_ended = False
        self._is_over = False
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
        """Translate a call and send what it makes.

        Args:
            method: The callback.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            awaited: Whether the callback is awaited, so that the run can be cancelled where it waits.

        Returns:
            Whether the channel is full, so that whoever can should wait for room.

        Raises:
            asyncio.CancelledError: The run was stopped. A `BaseException`, so LangChain does not swallow it as it does errors
                of handlers, and the user's own handlers hear of a cancellation.
            ChannelOverflow: The channel is full, and its policy is `"fail"`.
        """
        if self._stopped:
            return self._report_stopped(method, args, kwargs, awaited)
        if awaited and method in STARTS:
            self.entered_loops.note()
            if self.stopped:  # meanwhile, and it may not have seen this one
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
            # Who cancels a run waits for its end, and may be what reads: the bound yields, which this counts.
            self._send.room_sync()
            return False
        return full

    def _report_stopped(self, method: str, args: tuple[Payload, ...], kwargs: dict[str, Payload], awaited: bool) -> bool:
        """Do what `report` does, of a run that was stopped."""
        run_id = kwargs.get("run_id")
        if self._is_over and run_id not in self._open:
            return False  # somebody else's
        # An error on its way out is a better end than ours, and so is the root's own.
        if method.endswith("_error"):
            self._told.add(get_ident())
            self.leftover_frames.add_error(args[0])
            if not awaited:
                self.leftover_frames.clear_error(args[0])  # here, where generators are closed in the context they ran in
            return False
        if method.endswith("_end") and kwargs.get("parent_run_id") is None:
            return False
        if awaited and not self._cancelled and method in STARTS and not is_cleanup():
            self._open.add(run_id)
            entry = self.entered_loops.note()
            if entry is not None:
                self.entered_loops.cancel(entry)
        return self._stop(run_id, awaited)

    def _report_in_order(self, method: str, /, *args: Payload, **kwargs: Payload) -> bool:
        """Translate and send as one step, and end the iteration if that was the last root.

        Another thread that ends a root ends what is open below it, too (extended), or everything (the last root): not between
        the two steps of a call that has begun a run, or ended one.
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
        """Do what `report` does for a callback that is awaited, and wait for room.

        LangChain calls its own event handler in a task, so that before the event one turn of the loop goes by, and two before
        the run goes on. So they do here: what goes on beside this run is then reported in the same order.
        """
        try:
            await _turn()
        finally:  # cancelled or not, it has happened
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
        """Report a token, which never ends a run or the iteration, as `report_awaited` would.

        A method of its own, and what it calls written out, because nothing is reported as often. Where nothing goes on beside
        the run, there is no order to be kept, and no turn is lost.
        """
        encoder = self._encoder
        if encoder.forks:
            call = {"run_id": run_id, "chunk": chunk, "parent_run_id": parent_run_id, "tags": tags}
            await self.report_awaited("on_llm_new_token", (token,), call)
            return
        if self._stopped or encoder.extended or self._repeated.copies:
            full = self._report_token(True, token, run_id, chunk, parent_run_id, tags)
        else:
            full = False
            try:
                for event in encoder.on_llm_new_token(
                    token, run_id=run_id, chunk=chunk, parent_run_id=parent_run_id, tags=tags
                ):
                    full = self._send.push(event)
            except (ChannelClosedError, ChannelOverflow) as error:
                self._refused(error)
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
        """Report a token of a sync run, and wait for room where this thread may."""
        encoder = self._encoder
        if self._stopped or encoder.extended or self._repeated.copies:
            full = self._report_token(False, token, run_id, chunk, parent_run_id, tags)
        else:
            full = False
            try:
                for event in encoder.on_llm_new_token(
                    token, run_id=run_id, chunk=chunk, parent_run_id=parent_run_id, tags=tags
                ):
                    full = self._send.push(event)
            except (ChannelClosedError, ChannelOverflow) as error:
                self._refused(error)
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
        """Do for a token what `report` does."""
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
        """Report an event of the content-block protocol; as `report_token` does, because there are as many."""
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
        """Report such an event of a sync run, and wait for room where this thread may."""
        if self._report_message_event(False, event, run_id, parent_run_id, tags):
            self._send.room_sync()

    def _report_message_event(
        self, awaited: bool, event: Payload, run_id: UUID, parent_run_id: UUID | None, tags: list[str] | None
    ) -> bool:
        """Do for such an event what `report` does."""
        if self._stopped or self._send.closed or self._encoder.extended or self._repeated.copies:
            call = {"run_id": run_id, "parent_run_id": parent_run_id, "tags": tags}
            return self.report("on_stream_event", (event,), call, awaited)
        events = self._encoder.on_stream_event(event, run_id=run_id, parent_run_id=parent_run_id, tags=tags)
        return self._push(events) if events else False

    async def settle(self) -> None:
        """Wait for the ends of models whose messages are complete.

        Who reads a v3 stream is released by the end of the message; that of the run is told later, by another task. One whose
        message goes on has been left, and is not waited for.

        Cancellation: gives up.
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
        """Return whether a model that is driven by version 3 goes on, and has told its whole message or has not."""
        going_on, completed = self._encoder.unended_messages()
        return completed > 0 if complete else going_on > completed

    def _note_settled(self) -> None:
        settling = self._settling
        if settling is not None:
            settling.get_loop().call_soon_threadsafe(_resolve, settling)

    def begin_tap(self, run_id: UUID) -> bool:
        """Say that the run's chunks come from a tap from now on; return whether it is its first tap."""
        return self._encoder.begin_tap(run_id)

    def end_tap(self, run_id: UUID) -> None:
        """Forget a tap."""
        self._encoder.end_tap(run_id)

    def leave(self, frame: FrameType | None) -> None:
        """Say that nobody reads a generator of the run any more, whose frame this is."""
        if self._stopped and frame is not None:
            self.leftover_frames.add_frame(frame)

    def tapped_run(self, run_id: UUID) -> Run | None:
        """Return the run if its chunks are to be reported."""
        return self._encoder.tapped_run(run_id)

    def report_chunk(self, run: Run, chunk: Payload, awaited: bool = False) -> bool:
        """Send one chunk of a tapped run; return whether the channel is full. See `report`.

        Raises:
            asyncio.CancelledError: The run was stopped.
            ChannelOverflow: The channel is full, and its policy is `"fail"`.
        """
        if self._stopped:
            return self._stop(run.run_id, awaited)
        encoder = self._encoder
        if encoder.extended:
            return self._report_in_order("chunk", run, chunk)
        full = False
        try:
            for event in encoder.event(run.stream_event, run, {"chunk": chunk}):
                full = self._send.push(event)
        except (ChannelClosedError, ChannelOverflow) as error:
            self._refused(error)
        return full

    def pass_on(self, event: Event) -> bool:
        """Send an event that somebody else has made; return whether the channel is full."""
        return self._stopped or self._push((event,))

    async def room(self) -> None:
        """Wait until the reader has made room, if there is a reader."""
        self._in_room += 1
        try:
            if self._stopped:
                await asyncio.sleep(0)  # even a run that never waits gives the loop its turns to cancel it
            elif self._receive.attached:
                await self._send.room()
            else:
                # Before somebody reads, waiting could be waiting for oneself: `await run; async for event in handler`.
                self._send.room_sync()  # does not wait either, and counts it
        finally:
            self._in_room -= 1

    @property
    def in_callback(self) -> bool:
        """Whether an awaited callback of the run is here, waiting."""
        return self._in_room > 0

    def room_sync(self) -> None:
        """Wait until the reader has made room, if this thread may."""
        self._send.room_sync()

    def stop(self) -> None:
        """Stop the run at its next sync callback: it belongs to a reader who has left. Idempotent; any thread.

        Callbacks that are awaited pass, unheard: an async run is cancelled where it waits. Should it have lost that, such a
        callback cancels it again.
        """
        self._note_open()
        self._stopped = True
        self._send.never_wait()
        self.entered_loops.cancel_all()

    def note_cancelled(self) -> None:
        """Say that the run has been cancelled: what begins from now on is cleanup, or somebody else's."""
        self._cancelled = True

    def _note_open(self) -> None:
        self._open |= self._encoder.open_run_ids()

    @property
    def reader_left(self) -> bool:
        """Whether nobody will read what is sent any more."""
        return self._send.reader_left

    @property
    def stopped(self) -> bool:
        """Whether the run was told to stop."""
        return self._stopped

    def _stop(self, run_id: Payload, awaited: bool) -> bool:
        """Stop at a callback or chunk, unless it may pass, unheard; return whether its caller should give the loop its turn.

        Runs that begin now may pass if they are somebody else's, such as a worker's that the run has left to serve other
        requests, or part of the cleanup.
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
        """Return what ends the run: a cancellation; in sync code, what nobody reports once that is on its way.

        A sync generator of LangChain that is closed reads on, to trace its input (`Runnable._transform_stream_with_config`). It
        has to be stopped again then, in a place where any other exception is printed as one that was ignored.
        """
        thread = get_ident()
        in_loop = running_loop() is not None
        if self._call_ended or (thread in self._told and not in_loop):
            return GeneratorExit(_STOPPED)
        self._told.add(thread)
        return asyncio.CancelledError(_STOPPED)

    def end_call(self) -> None:
        """Say that the run's call has ended: whatever of it still reports is being cleaned up."""
        self._call_ended = True

    def end_run(self) -> None:
        """Say that this is over, too: whatever begins now is somebody else's."""
        self._is_over = True
        self.entered_loops.unbind()

    def finish(self, error: BaseException | None = None) -> None:
        """Close the channel and forget all runs: nothing more will come. Idempotent."""
        self._note_open()
        if self._send.closed:
            self._encoder.forget()  # late callbacks may be at work in other threads
            return
        held = self._order.acquire(timeout=_ORDER_SECONDS)
        try:
            self._push(self._encoder.close(error))
            self._close(error)
        finally:
            if held:
                self._order.release()

    def _close(self, error: BaseException | None) -> None:
        """Close the channel: with the run's error, or else with the first overflow."""
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
        """Called when the channel has not taken an event: raise the error, unless nobody listens.

        Late: the garbage collector fires callbacks of runs that were given up, in any thread. And the reader of a handler may
        have left a run that goes on: its tokens make it known once more, and nobody listens for its end.
        """
        if isinstance(error, ChannelClosedError):
            self._encoder.forget()
            return
        self._overflow = self._overflow or error
        raise error

    def __repr__(self) -> str:
        state: dict[str, Any] = {"runs": self._encoder.runs, "roots": self._roots}
        return f"<EventSender {state}>"
