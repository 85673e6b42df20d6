"""`nothing_blocks`: a loop in which what blocks is an error, as in LangGraph's development server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["nothing_blocks"]


@contextmanager
def nothing_blocks(*allowed: tuple[str, str]) -> Iterator[None]:
    """Raise `BlockingError` for a call below a function of callbridge that blocks a loop which runs.

    Args:
        allowed: Files and names of functions that may block, and so may what they call.

    What LangChain reads of a lambda's source file, to tell of it in an error, is its own affair; its tests allow that, too.
    """
    from blockbuster import blockbuster_ctx

    with blockbuster_ctx("callbridge") as found:
        for function in found.functions.values():
            for file, name in (("langchain_core/runnables/base.py", "__repr__"), *allowed):
                function.can_block_in(file, name)
        yield
