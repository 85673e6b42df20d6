"""Every branch on the version of langchain-core, each with the version that removes the need for it."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID, uuid4

import langchain_core

__all__ = ["CORE_VERSION", "HAS_TOOL_CALL_DELTA", "HAS_V3", "V2_HAS_TOOL_CALL_ID", "V2_HAS_TOOL_ERROR", "new_run_id"]


def _parse(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: `"1.4.0a2"` is `(1, 4, 0)`."""
    return tuple(int(re.sub(r"\D.*", "", part) or 0) for part in text.split(".")[:3])


CORE_VERSION: Final = _parse(langchain_core.__version__)
"""The installed langchain-core, as numbers: `(1, 7, 2)`. `importlib.metadata` would have to read a file, perhaps inside an
event loop, where nothing may block.
"""

# Delete when the floor passes 1.0.0: from there on, `on_tool_error` is always a v2 event.
V2_HAS_TOOL_ERROR: Final = CORE_VERSION >= (1, 0, 0)

# Delete when the floor passes 1.2.8: from there on, `on_tool_error` carries the tool call's id.
V2_HAS_TOOL_CALL_ID: Final = CORE_VERSION >= (1, 2, 8)

# Delete when the floor passes 1.4.0: from there on, `stream_events(version="v3")` and its `ChatModelStream` exist. LangChain
# reports events of the content-block protocol to handlers since 1.3.2; older versions report none.
HAS_V3: Final = CORE_VERSION >= (1, 4, 0)

# Delete when the floor passes 1.7.0: from there on, its streams write and read the arguments of tool calls as parts to append.
# Before, they use snapshots.
HAS_TOOL_CALL_DELTA: Final = CORE_VERSION >= (1, 7, 0)


def new_run_id() -> UUID:
    """Return a run id of the kind that the installed LangChain makes: version 7 since 1.1.3, version 4 before."""
    # Delete the branch when the floor passes 1.1.3.
    if CORE_VERSION < (1, 1, 3):
        return uuid4()
    from langchain_core.utils.uuid import uuid7  # noqa: PLC0415 - the module does not exist before

    return uuid7()
