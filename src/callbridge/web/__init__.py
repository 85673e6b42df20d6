"""Event streams to a browser: server-sent events and WebSockets for Starlette and frameworks on top of it.

Needs the extra: `pip install 'callbridge[web]'`. FastAPI works, because it is Starlette.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    import sse_starlette as _sse_starlette
    import starlette as _starlette
except ImportError as error:
    raise ImportError(
        f"callbridge.web needs {error.name or 'Starlette'}, which is not installed: pip install 'callbridge[web]'",
        name=error.name,
    ) from error

from callbridge.web.ai_sdk import AISDKFormat
from callbridge.web.ai_sdk_request import ui_messages
from callbridge.web.bodies import RequestBodyError, read_json, refusing
from callbridge.web.delivery import Limits
from callbridge.web.formats import SourceDocumentsFormat, TokenFormat, V2Format
from callbridge.web.named import FORMATS, UnknownFormatError, format_named
from callbridge.web.openai import OpenAIFormat
from callbridge.web.openai_request import openai_format, openai_messages
from callbridge.web.sse import EventStreamResponse
from callbridge.web.websocket import websocket_endpoint
from callbridge.web.wire import BaseEncoder, BaseFormat, Failure, Frame, FrameEncoder, WireFormat

__all__ = [
    "FORMATS",
    "AISDKFormat",
    "BaseEncoder",
    "BaseFormat",
    "EventStreamResponse",
    "Failure",
    "Frame",
    "FrameEncoder",
    "Limits",
    "OpenAIFormat",
    "RequestBodyError",
    "SourceDocumentsFormat",
    "TokenFormat",
    "UnknownFormatError",
    "V2Format",
    "WireFormat",
    "format_named",
    "openai_format",
    "openai_messages",
    "read_json",
    "refusing",
    "ui_messages",
    "websocket_endpoint",
]

del _sse_starlette, _starlette

if TYPE_CHECKING:
    from callbridge.web.ag_ui import AGUIFormat as AGUIFormat
    from callbridge.web.ag_ui_request import ag_ui_input as ag_ui_input
    from callbridge.web.ag_ui_request import ag_ui_messages as ag_ui_messages


def __getattr__(name: str) -> Any:
    """Resolve the names that need the extra `ag-ui` on their first use."""
    if name == "AGUIFormat":
        from callbridge.web.ag_ui import AGUIFormat  # noqa: PLC0415 - needs its own extra

        return AGUIFormat
    if name in ("ag_ui_input", "ag_ui_messages"):
        from callbridge.web import ag_ui_request as module  # noqa: PLC0415 - needs its own extra

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
