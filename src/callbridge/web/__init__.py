"""Event streams on their way to a browser: server-sent events and WebSockets, for Starlette and what is built on it.

Needs the extra: `pip install 'callbridge[web]'`. FastAPI works, because it is Starlette.
"""

from __future__ import annotations

try:
    import sse_starlette as _sse_starlette
    import starlette as _starlette
except ImportError as error:
    raise ImportError(
        f"callbridge.web needs {error.name or 'Starlette'}, which is not installed: pip install 'callbridge[web]'",
        name=error.name,
    ) from error

from callbridge.web.ai_sdk import AISDKFormat
from callbridge.web.delivery import Limits
from callbridge.web.formats import SourceDocumentsFormat, TokenFormat, V2Format
from callbridge.web.named import FORMATS, UnknownFormatError, format_named
from callbridge.web.openai import OpenAIFormat
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
    "SourceDocumentsFormat",
    "TokenFormat",
    "UnknownFormatError",
    "V2Format",
    "WireFormat",
    "format_named",
    "websocket_endpoint",
]

del _sse_starlette, _starlette
