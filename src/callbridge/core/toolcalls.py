"""`ToolCalls`: matches the runs of tools with the tool calls of models.

A model gives each tool call an id. The run of a tool shows only its name and arguments at its start, and the id at its end, if
at all.

```
streaming ──model ends──▶ whole ──a run starts──▶ bound ──it ends──▶ answered
    │                       ▲                       │
    └─▶ broken              └─────── it fails ◀─────┘   held: a retry may follow; reported when a run around it ends
```

A run is bound to the oldest free call with its name and its arguments. If there is none, it is bound to one whose arguments are
among its own, and else to the oldest call with its name. If no call fits, the run is a call of its own, made by code. An answer
that names a call overrides all this. If an id is missing or was shown before in this stream, the call gets a unique one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from langchain_core.messages import ToolMessage

from callbridge.core.calls import Payload

__all__ = ["Call", "ToolCalls", "ToolRun", "answers_in"]


@dataclass(eq=False)
class Call:
    """One call of a tool."""

    id: str
    """The id that is shown."""
    name: str
    given_id: str | None = None
    """The provider's id."""
    arguments: Payload = None
    pieces: list[str] = field(default_factory=list)
    """The JSON of the arguments, in pieces, while it comes in."""
    shown: bool = False
    """Whether clients have been told of it."""
    whole: bool = False
    bound: bool = False
    was_bound: bool = False
    error: str | None = None
    """Its error, while that is held."""
    failed_in: Sequence[str] = ()
    """The runs around the run that has failed."""


@dataclass(eq=False)
class ToolRun:
    """A run of a tool that is running, or that has failed and holds its error."""

    call: Call
    parents: Sequence[str]


class ToolCalls:
    """The calls of one stream that have no answer yet."""

    def __init__(self) -> None:
        self._open: list[Call] = []  # removed when answered, broken or given up
        self._runs: dict[str, ToolRun] = {}  # removed when the run ends, or a run around it
        self._held: list[ToolRun] = []  # removed when reported, or when a retry starts
        self._ids: set[str] = set()

    def __bool__(self) -> bool:
        """Whether any call is open."""
        return bool(self._open)

    def add(self, name: str, given_id: str | None, other_id: str) -> Call:
        """Return a new call.

        Args:
            name: The tool's name.
            given_id: The provider's id, if there is one.
            other_id: The id to use if there is none.
        """
        base = given_id or other_id
        shown, count = base, 1
        while shown in self._ids:
            count += 1
            shown = f"{base}-{count}"
        self._ids.add(shown)
        call = Call(shown, name, given_id)
        self._open.append(call)
        return call

    def drop(self, call: Call) -> None:
        """Forget a call that was answered or never will be."""
        if call in self._open:
            self._open.remove(call)
        self._held = [run for run in self._held if run.call is not call]

    def start(self, run_id: str, name: str, given: Payload, parents: Sequence[str]) -> Call | None:
        """Bind a run that starts, and return its call; None if no call fits."""
        free = [call for call in self._open if call.name == name and call.whole and not call.bound]
        call = next(
            (call for fits in (_equal, _among, _any) for call in free if fits(call.arguments, given)),
            None,
        )
        if call is not None:
            self.bind(run_id, call, parents)
        return call

    def bind(self, run_id: str, call: Call, parents: Sequence[str]) -> None:
        """Bind a run to a call. While the run goes on, the error of an earlier run of the call is held."""
        call.bound, call.was_bound = True, True
        self._held = [run for run in self._held if run.call is not call]
        self._runs[run_id] = ToolRun(call, parents)

    def end(self, run_id: str, given_id: str | None) -> Call | None:
        """Note that a run has ended, and return the call that it answers; None if there is none.

        Args:
            run_id: The run.
            given_id: The id in its answer, if there is one.
        """
        run = self._runs.pop(run_id, None)
        named = self.named(given_id)
        if run is None:
            return named
        if named is None or run.call.given_id == given_id:
            return run.call if run.call in self._open else None
        self._free(run)
        for other in self._runs.values():
            if other.call is named:  # two runs with the same name and arguments were mixed up
                other.call = run.call
                run.call.bound = True
        return named

    def _free(self, run: ToolRun) -> None:
        """Detach a run from its call. If an earlier run of the call has failed, its error counts again."""
        run.call.bound = False
        if run.call.error is not None and run.call in self._open:
            self._held.append(ToolRun(run.call, run.call.failed_in))

    def fail(self, run_id: str, given_id: str | None, error: str | None) -> Call | None:
        """Note that a run has failed, or was abandoned (`error` is None), and return its call, which may be retried."""
        run = self._runs.get(run_id)
        parents = run.parents if run is not None else ()
        call = self.end(run_id, given_id)
        if call is None:
            return None
        call.bound, call.error, call.failed_in = False, error, parents
        self._held = [run for run in self._held if run.call is not call]
        if error is not None:
            self._held.append(ToolRun(call, parents))
        return call

    def named(self, given_id: str | None) -> Call | None:
        """Return the newest call with an id that is complete and open."""
        if not given_id:
            return None
        return next((call for call in reversed(self._open) if call.given_id == given_id and call.whole), None)

    def unmade(self) -> list[Call]:
        """Return the complete calls of models that never had a run."""
        return [call for call in self._open if call.whole and not call.was_bound]

    def run_over(self, run_id: str) -> Iterable[Call]:
        """Note that any run has ended, and return the calls whose errors are final now."""
        for inner, run in list(self._runs.items()):
            if run_id in run.parents:
                del self._runs[inner]
                self._free(run)
        return self._final([run for run in self._held if run_id in run.parents or not run.parents])

    def all_over(self) -> Iterable[Call]:
        """Note that everything is over, and return the calls whose errors are final now."""
        self._runs.clear()
        return self._final(list(self._held))

    def _final(self, held: Iterable[ToolRun]) -> Iterable[Call]:
        calls = []
        for run in held:
            if run.call in self._open:
                calls.append(run.call)
                self.drop(run.call)
        return calls


def _equal(called: Payload, given: Payload) -> bool:
    return bool(called == given)


def _among(called: Payload, given: Payload) -> bool:
    """Return whether a model's arguments are among those that a tool got: others may have been injected or filled in."""
    if not isinstance(called, Mapping) or not isinstance(given, Mapping):
        return False
    return all(name in given and given[name] == value for name, value in called.items())


def _any(called: Payload, given: Payload) -> bool:
    return True


def answers_in(output: Payload) -> list[ToolMessage]:
    """Return the tool messages in the output of a tool or a node: the output itself, or in a list, a state or a `Command`."""
    if isinstance(output, ToolMessage):
        return [output]
    if isinstance(output, list | tuple):
        return [message for each in output for message in _answers_beside(each)]
    return _answers_beside(output)


def _answers_beside(output: Payload) -> list[ToolMessage]:
    if isinstance(output, ToolMessage):
        return [output]
    update = output if isinstance(output, Mapping) else getattr(output, "update", None)  # a `Command` has an `update`
    if not isinstance(update, Mapping):
        return []
    lists = [value for value in update.values() if isinstance(value, list | tuple)]
    found = [message for value in lists for message in value if isinstance(message, ToolMessage)]
    return found + [value for value in update.values() if isinstance(value, ToolMessage)]
