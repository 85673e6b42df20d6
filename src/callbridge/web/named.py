"""`format_named`: the one table of the wire formats, by name.

If the protocol of a format needs its own package, the format is imported on first use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from starlette.exceptions import HTTPException

from callbridge.core.arguments import class_hint
from callbridge.errors import ArgumentError
from callbridge.web.ai_sdk import AISDKFormat
from callbridge.web.formats import SourceDocumentsFormat, TokenFormat, V2Format
from callbridge.web.openai import OpenAIFormat
from callbridge.web.wire import WireFormat

__all__ = ["FORMATS", "UnknownFormatError", "format_named"]


def _ag_ui() -> WireFormat:
    from callbridge.web.ag_ui import AGUIFormat  # noqa: PLC0415 - needs its own extra

    return AGUIFormat()


FORMATS: Final[Mapping[str, Callable[[], WireFormat]]] = MappingProxyType(
    {
        "v2": V2Format,
        "text": lambda: TokenFormat("text"),
        "json": lambda: TokenFormat("json"),
        "final-text": lambda: TokenFormat("text", final=True),
        "final-json": lambda: TokenFormat("json", final=True),
        "source-documents": SourceDocumentsFormat,
        "ai-sdk": AISDKFormat,
        "ag-ui": _ag_ui,
        "openai": OpenAIFormat,
    }
)
"""The function that makes the format of each name. Making one costs almost nothing, and formats compare by value."""


class UnknownFormatError(ArgumentError, HTTPException):
    """There is no such wire format. A request may have named it, so Starlette answers with 400 and this message.

    Attributes:
        name: The argument.
        value: The value.
        expected: The allowed values, in words.
    """

    def __init__(self, name: str, value: object, expected: str) -> None:
        ArgumentError.__init__(self, name, value, expected)
        self.status_code = 400
        self.detail = ArgumentError.__str__(self)
        self.headers = None

    __str__ = ArgumentError.__str__


def format_named(format: str | WireFormat) -> WireFormat:
    """Return the wire format with a name. If you pass a format, it returns that.

    Args:
        format: `"v2"`, `"json"`, `"text"`, `"final-json"`, `"final-text"`, `"source-documents"`, `"ai-sdk"`, `"ag-ui"`,
            `"openai"`, or an object with `begin`.

    Raises:
        UnknownFormatError: There is no such format.
        ImportError: The format needs an extra that is not installed.

    Example:
        ```python
        print(type(format_named("ai-sdk")).__name__)
        #> AISDKFormat
        ```
    """
    made = FORMATS[format]() if isinstance(format, str) and format in FORMATS else format
    if not isinstance(made, WireFormat) or isinstance(made, type):
        names = ", ".join(map(repr, FORMATS))
        raise UnknownFormatError("format", format, f"one of {names}, or an object with `begin`{class_hint(format)}")
    return made
