"""Why a handler stays attached, for the rules about attach sites."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from callbridge.migrate.analysis.attach_sites import Attachment, Origin
from callbridge.migrate.analysis.langchain_names import Role

__all__ = ["reason_to_stay"]

_OF_ROLES: Mapping[Role, str] = MappingProxyType(
    {
        "streamlit-agent": "it shows an agent's steps: `callbridge explain CB308` shows how to read them as events",
        "steps": "it shows an agent's steps: read them with `stream_events(...)`, as tool events",
        "final": "it waits for the words of a final answer: `callbridge explain CB309` shows what to read instead",
        "approval": "it asks before a tool runs: `callbridge explain CB503` shows what to write",
    }
)

_AWAY: frozenset[Origin] = frozenset({"module", "attribute", "elsewhere", "parameter"})


def reason_to_stay(each: Attachment) -> str:
    """Return why no edit applies to the handlers of an attachment; empty if one may.

    Args:
        each: The attachment.
    """
    for use in each.streaming:
        if use.role in _OF_ROLES:
            return _OF_ROLES[use.role]
    if len(each.streaming) > 1:
        return "several handlers show the tokens: read the text of the call with `stream_call`"
    if any(use.origin in _AWAY for use in each.streaming):
        return "the handler is made elsewhere: read the text of the call with `stream_call`"
    return ""
