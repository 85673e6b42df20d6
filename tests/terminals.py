"""Whether a stream of events tells the whole life of each run: one start, one terminal event, children inside their parents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["ENDS", "check_lives", "nothing_remembered", "statuses"]

ENDS = ("_end", "_error")


def check_lives(events: Iterable[Mapping[str, Any]], *, abandoned: bool = False) -> list[str]:
    """Assert that every run which starts ends exactly once, after all runs inside it, and says nothing before or after.

    Args:
        events: All events of any number of whole runs, of the extended vocabulary, without filters.
        abandoned: Whether somebody left a run while LangChain was starting its branches in threads; they start nevertheless.

    Returns:
        The ids of the runs, in the order in which they began.
    """
    order: list[str] = []
    living: dict[str, Mapping[str, Any]] = {}
    for event in events:
        name, run_id = event["event"], event["run_id"]
        said = f"{name} of {event['name']}"
        if name.endswith("_start"):
            assert run_id not in order, f"{said}: it had begun"
            assert abandoned or set(event["parent_ids"]) <= set(living), f"{said}: below a run that is over"
            order.append(run_id)
            living[run_id] = event
        elif name == "on_custom_event":
            continue  # bears the id of whoever dispatched it
        elif name == "on_chain_stream" and run_id in order and not event["parent_ids"]:
            continue  # legacy agents end their run and then stream its answer, in LangChain's own v2 events as well
        else:
            assert run_id in living, f"{said}: it is over, or had not begun"
            if name.endswith(ENDS):
                inside = [one["name"] for one in living.values() if run_id in one["parent_ids"]]
                assert not inside, f"{said}: {inside} were still running"
                del living[run_id]
    assert not living, f"never ended: {[one['name'] for one in living.values()]}"
    return order


def statuses(events: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return how each run ended, by its name: `ended`, or the status of its error."""
    return {
        event["name"]: event["data"].get("status", "ended") if event["event"].endswith("_error") else "ended"
        for event in events
        if event["event"].endswith(ENDS)
    }


def nothing_remembered(handler: Any) -> None:
    """Assert that a handler whose runs are over holds nothing of them: no run, no tap, no copy, no waiter."""
    sender = handler._sender
    encoder = sender.encoder
    assert (len(encoder._tree), encoder._tree.open_roots, encoder._tapped) == (0, 0, set())
    assert sender._repeated.copies == {}
    assert not encoder.forks
    assert (sender._told, sender._overflow) == (set(), None)
    assert (sender.leftover_frames._errors, sender.leftover_frames._frames) == ([], [])
    channel = handler.statistics().channel
    assert (handler.statistics().runs, channel.waiting_producers, channel.waiting_reader) == (0, 0, False)
    state = sender.send._state
    assert (len(state.slot), len(state.producers)) == (0, 0)
    if hasattr(state.policy, "_latest"):
        assert not state.policy._latest
