"""However, whenever and from whatever kind of run a reader leaves: nothing is left, and nobody complains."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from callbridge.compat import CORE_VERSION
from exits import Ended, Programs
from lives import HAS_LANGGRAPH, Run, our_threads, watched
from matrix.__main__ import tables
from matrix.kinds import KINDS, SYNC_KINDS, Kind
from matrix.moments import MOMENTS, OPTIONS
from matrix.ways import SYNC_WAYS, WAYS, is_possible

# The rows of version 3, which LangChain calls experimental.
pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def cases(ways: dict[str, Any], kinds: list[Kind]) -> list[Any]:
    return [
        pytest.param(kind, moment, leave, id=f"{kind.name}-{moment}-{way}")
        for way, leave in ways.items()
        for kind in kinds
        for moment in MOMENTS
        if is_possible(way, moment)
    ]


class Opening:
    """Opens one stream, and keeps its run."""

    def __init__(self, kind: Kind, moment: str) -> None:
        self._kind = kind
        self._moment = moment
        self.run: Run | None = None

    def __call__(self) -> Any:
        self.run, stream = self._kind.start(fails=self._moment == "error pending", **OPTIONS.get(self._moment, {}))
        return stream


@pytest.mark.anyio
@pytest.mark.parametrize(("kind", "moment", "leave"), cases(WAYS, KINDS))
async def test_leaving(kind: Kind, moment: str, leave: Any) -> None:
    """The run is stopped and awaited, its provider closed; no task, no thread, no run remembered."""
    with watched():
        before, opening = asyncio.all_tasks(), Opening(kind, moment)
        stream = await leave(opening, moment)
        while stream is None and not (opening.run and opening.run.book.closed and asyncio.all_tasks() == before):
            await checkpoint()  # dropped: its run ends by itself
        assert asyncio.all_tasks() == before
        await checkpoint()
        check(stream, opening.run)


@pytest.mark.parametrize(("kind", "moment", "leave"), cases(SYNC_WAYS, SYNC_KINDS))
def test_leaving_without_a_loop(kind: Kind, moment: str, leave: Any) -> None:
    """The same for sync streams."""
    with watched():
        opening = Opening(kind, moment)
        stream = leave(opening, moment)
        for thread in threading.enumerate():
            if stream is None and thread.name in our_threads():
                thread.join()
        check(stream, opening.run)


def check(stream: Any, run: Run | None) -> None:
    assert run is not None
    assert not our_threads()
    assert run.book.closed
    if stream is not None:
        assert stream.statistics().runs == 0


@pytest.mark.thorough
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("form", "kinds"), [("async", KINDS), ("sync", SYNC_KINDS)], ids=["async", "sync"])
def test_an_interpreter_that_exits(programs: Programs, form: str, kinds: list[Kind], moment: str) -> None:
    """It neither waits for the runs nor complains about them; one program opens every kind of run."""
    done = exit_while_reading(programs, form, moment)
    assert (done.stdout, done.stderr, done.returncode) == (f"{len(kinds)}\n", "", 0)


@pytest.mark.thorough
def test_an_interpreter_that_exits_while_a_pool_waits_for_its_reader(programs: Programs) -> None:
    """A handler attached to a run of the user's own: the pool's thread is let go, and the interpreter can join it."""
    done = exit_while_reading(programs, "handler", MOMENTS[2])
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.thorough
def test_an_interpreter_that_exits_under_a_run(programs: Programs) -> None:
    """A run that fails for that very reason is nobody's business any more."""
    done = exit_while_reading(programs, "failing", MOMENTS[1])
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.skipif(not HAS_LANGGRAPH or CORE_VERSION < (1,), reason="the page has the rows of today's LangChain and LangGraph")
def test_the_page_shows_the_matrix() -> None:
    """What the documentation claims is what is tested here."""
    page = (Path(__file__).parents[2] / "docs" / "leaving.md").read_text(encoding="utf-8")
    shown = page.split("<!-- generated: python -m matrix -->\n")[1].split("<!-- end -->")[0]
    assert shown.strip() == tables().strip()


def exit_while_reading(programs: Programs, form: str, moment: str) -> Ended:
    return programs.run(f"from matrix.exiting import main\nmain({form!r}, {moment!r})")
