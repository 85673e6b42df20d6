"""`RunTree`: the lives of runs, shared by both translators.

A run is *open* from its start to its end. Afterwards the tree keeps only its ancestry, because LangChain may start or report a
child after the parent has ended. When the run's root has ended, that goes, too. So a tree that lives as long as a server holds
only the runs in flight.

```
unknown ──start──▶ open ──end──▶ ended ──(root ended)──▶ unknown
```

A *root* is a run whose parent the tree does not know: the true root, or the topmost run of a handler that is attached
further down.

Source: `_AstreamEventsCallbackHandler.run_map`, `parent_map` and `_get_parent_ids`
(`langchain_core/tracers/event_stream.py`), which keep both for as long as the handler lives.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from operator import length_hint
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

if TYPE_CHECKING:
    from callbridge.core.protocol.to_chunks import MessageToChunks

__all__ = ["MISSING", "UNNAMED", "Run", "RunTree"]


class _Missing:
    """Type of `MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final[Any] = _Missing()
"""Stands for an input that was not reported. `None` is an input."""

UNNAMED: Final = "Unnamed"
"""The name that v2 gives to a run without a name."""

_STEP: Final = "seq:step:"
"""Prefix of the tag that LangChain gives to the steps of a sequence. Each step asks the one before it for the next chunk."""

_PLENTY: Final = 2**62
"""A number of roots that is never reached."""


class Run:
    """One run, with the fields that all its events and calls share."""

    __slots__ = (
        "children",
        "doubles",
        "family",
        "hidden",
        "id",
        "included",
        "inputs",
        "message",
        "metadata",
        "name",
        "open",
        "parent",
        "parent_ids",
        "parent_run_id",
        "root",
        "run_id",
        "run_type",
        "source",
        "stream_event",
        "tags",
        "tapped",
        "tool_call_id",
    )

    def __init__(
        self,
        run_id: UUID,
        *,
        parent_run_id: UUID | None,
        run_type: str,
        name: str,
        tags: list[str],
        metadata: dict[str, Any],
        inputs: Any = MISSING,
    ) -> None:
        self.run_id = run_id
        self.id = str(run_id)
        self.parent_run_id = parent_run_id
        self.run_type = run_type
        self.stream_event = f"on_{run_type}_stream"
        self.name = name
        self.tags = tags
        self.metadata = metadata
        self.inputs = inputs
        self.tool_call_id: str | None = None
        self.open = True
        self.included = True  # passes the event filters
        self.hidden = False  # makes no events, nor does any run that starts below it
        self.doubles = 0  # open descendants that have this run's id
        self.source = ""  # for a chat model: what reported its first chunk, `tokens` or `protocol`
        self.message: MessageToChunks | None = None  # for a chat model that is driven by version 3
        self.tapped = False  # its chunks come from a tap on its iterator, not from callbacks
        self.parent: Run | None = None  # None if the tree does not know it
        self.parent_ids: list[str] = []  # root first, immediate parent last
        self.root: Run = self
        self.children: dict[UUID, Run] = {}  # open descendants whose nearest open ancestor is this run, by age
        self.family: list[UUID] = []  # for a root: the ended runs below it that are still remembered

    def __repr__(self) -> str:
        return f"<Run {self.run_type} {self.name!r} {self.id}{'' if self.open else ' ended'}>"


class RunTree:
    """All open runs, and the ancestry of the runs that ended below an open root.

    Threads: callbacks of one tree arrive from several threads at once. Each method touches entries of one run by single
    dictionary operations, which the GIL makes atomic; calls for *one* run come in order. Roots are counted by such operations,
    too: `+= 1` is not atomic.
    """

    def __init__(self) -> None:
        self._runs: dict[UUID, Run] = {}  # open and ended; an entry is removed with its root
        self.get: Callable[[UUID], Run | None] = self._runs.get
        """Returns a run, open or ended; `None` if the tree never saw it or has forgotten it."""
        self._open_roots: set[int] = set()  # identities, because two open roots may have the same id
        self.forks: set[int] = set()
        """Identities of open runs below which several runs go on at the same time. The steps of a sequence do not count."""
        self._ended_roots = repeat(None, _PLENTY)

    def __len__(self) -> int:
        """Return the number of remembered runs, open or ended."""
        return len(self._runs)

    @property
    def open_roots(self) -> int:
        """Roots that have not ended."""
        return len(self._open_roots)

    def only_root(self) -> UUID | None:
        """Return the id of the root that is open, if there is exactly one."""
        roots = [run.run_id for run in list(self._runs.values()) if run.root is run and run.open]
        return roots[0] if len(roots) == 1 else None

    @property
    def roots_ended(self) -> int:
        """Roots that have ended, however they ended."""
        return _PLENTY - length_hint(self._ended_roots)

    def start(self, run: Run) -> bool:
        """Add a run below its parent, or as a root if its parent is unknown.

        Returns:
            Whether it was added. If it reuses the id of an ancestor (a config's `run_id` that was passed down), it is only
            counted on that ancestor, because their calls cannot be told apart.
        """
        parent_run_id = run.parent_run_id
        parent = self._runs.get(parent_run_id) if parent_run_id is not None else None
        if parent is None:
            # A handler attached below the true root gets the id of a parent that it never saw. v2 lists that id all the same.
            run.parent_ids = [] if parent_run_id is None else [str(parent_run_id)]
            self._open_roots.add(id(run))
        else:
            run.parent = parent
            run.parent_ids = [*parent.parent_ids, parent.id]
            run.root = parent.root
            run.hidden = parent.hidden
            namesake = self._runs.get(run.run_id) if run.id in run.parent_ids else None
            if namesake is not None:
                namesake.doubles += 1
                return False
            holder = _open_ancestor(run)
            if holder is not None:
                holder.children[run.run_id] = run
                if len(holder.children) > 1 and not any(tag.startswith(_STEP) for tag in run.tags):
                    self.forks.add(id(holder))
        self._runs[run.run_id] = run
        return True

    def end_double(self, run: Run) -> bool:
        """Return whether the end reported for this run is that of an open descendant with its id; if so, count it."""
        if not run.doubles:
            return False
        run.doubles -= 1
        return True

    def end(self, run: Run, *, forget: bool = True) -> None:
        """Mark a run as ended.

        Args:
            run: An open run of this tree.
            forget: Whether a root takes its whole family along, including open descendants. `False` if the stream itself ends
                soon and late reports of descendants are still wanted.
        """
        assert run.open, run
        holder = _open_ancestor(run)
        run.open = False
        run.inputs = MISSING  # only the ancestry stays, not the payload
        if holder is not None:
            holder.children.pop(run.run_id, None)
            holder.children.update(run.children)
            if len(holder.children) <= 1:
                self.forks.discard(id(holder))
        self.forks.discard(id(run))
        if run.root is not run:
            run.root.family.append(run.run_id)
            return
        self._open_roots.discard(id(run))
        next(self._ended_roots)
        if forget:
            orphans = self.orphans(run)
            self.forks.difference_update(map(id, orphans))
            for run_id in (*run.family, *(orphan.run_id for orphan in orphans), run.run_id):
                self._runs.pop(run_id, None)

    def clear(self) -> None:
        """Forget all runs."""
        self._runs.clear()
        self._open_roots.clear()
        self.forks.clear()

    def orphans(self, run: Run) -> list[Run]:
        """Return the open descendants of a run: each after those below it, older siblings first."""
        found: list[Run] = []
        for child in list(run.children.values()):
            found += self.orphans(child)
            found.append(child)
        return found

    def open_runs(self) -> list[Run]:
        """Return all open runs, in the order of `orphans`."""
        tops = [run for run in list(self._runs.values()) if run.open and _open_ancestor(run) is None]
        return [found for top in tops for found in (*self.orphans(top), top)]


def _open_ancestor(run: Run) -> Run | None:
    """Return the nearest open ancestor: the run that has this one in its `children`."""
    ancestor = run.parent
    while ancestor is not None and not ancestor.open:
        ancestor = ancestor.parent
    return ancestor
