"""`ag_ui_messages`: a request of AG-UI (`RunAgentInput`) to LangChain's messages. Needs the extra `ag-ui`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

try:
    from ag_ui.core import RunAgentInput
except ImportError as error:
    raise ImportError(
        "AG-UI's requests need ag-ui-protocol, which is not installed: pip install 'callbridge[ag-ui]'", name=error.name
    ) from error

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import ValidationError

from callbridge.web.ai_sdk_request import file_block
from callbridge.web.bodies import MAX_CHARACTERS, RequestBodyError, answered, parsed, told

__all__ = ["ag_ui_input", "ag_ui_messages"]


def ag_ui_input(body: Any, *, max_characters: int = MAX_CHARACTERS) -> RunAgentInput:
    """Return a checked AG-UI request.

    Args:
        body: The body of the request: text, bytes, or its parsed JSON.
        max_characters: The largest total length of all messages.

    Raises:
        RequestBodyError: It is not such a request: 400 if it is not JSON, 413 if it is too long, 422 for anything else.
    """
    found = parsed(body, max_characters)
    if isinstance(found, RunAgentInput):
        return found
    try:
        checked = RunAgentInput.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"]).lstrip(".")
        raise RequestBodyError(422, f"{where or 'body'}: got {told(first['input'])}, expected: {first['msg']}") from None
    if sum(len(message.model_dump_json()) for message in checked.messages) > max_characters:
        raise RequestBodyError(413, f"The messages are too long: expected {max_characters} characters at most")
    return checked


def ag_ui_messages(body: Any, *, max_characters: int = MAX_CHARACTERS) -> list[BaseMessage]:
    """Return the messages of an AG-UI request, without reasoning and activities, which are for people.

    ```python
    async def run(request: Request) -> Response:
        asked = ag_ui_input(await read_json(request))
        events = callbridge.astream_events(agent, {"messages": ag_ui_messages(asked)})
        return EventStreamResponse(events, AGUIFormat(thread_id=asked.thread_id, run_id=asked.run_id))
    ```

    Args:
        body: The request, read by `ag_ui_input` or not.
        max_characters: The largest total length of all messages.

    Raises:
        RequestBodyError: It is not such a request: 400 if it is not JSON, 413 if it is too long, 422 for anything else.
    """
    asked = ag_ui_input(body, max_characters=max_characters)
    messages = [message for number, each in enumerate(asked.messages) for message in _messages(each, f"messages[{number}]")]
    if not messages:
        raise RequestBodyError(422, "messages: got none that a model could answer, expected one or more")
    return answered(messages)


def _messages(message: Any, where: str) -> Iterable[BaseMessage]:
    if message.role == "user":
        yield HumanMessage(_content(message.content, where), id=message.id)
    elif message.role in ("system", "developer"):
        yield SystemMessage(message.content, id=message.id)
    elif message.role == "tool":
        content = message.content if isinstance(message.content, str) else _content(message.content, where)
        status = "error" if message.error else "success"
        yield ToolMessage(content, tool_call_id=message.tool_call_id, status=status, id=message.id)
    elif message.role == "assistant":
        calls, broken = [], []
        for call in message.tool_calls or ():
            name, text = call.function.name, call.function.arguments
            arguments = _arguments(text)
            if isinstance(arguments, dict):
                calls.append({"name": name, "args": arguments, "id": call.id, "type": "tool_call"})
            else:
                broken.append({"name": name, "args": text, "id": call.id, "error": None, "type": "invalid_tool_call"})
        yield AIMessage(message.content or "", tool_calls=calls, invalid_tool_calls=broken, id=message.id)


def _arguments(text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except ValueError:
        return None


def _content(content: Any, where: str) -> str | list[Any]:
    if isinstance(content, str):
        return content
    blocks: list[Any] = []
    for number, part in enumerate(content):
        if part.type == "text":
            blocks.append({"type": "text", "text": part.text})
            continue
        source, place = part.source, f"{where}.content[{number}].source"
        media_type = getattr(source, "mime_type", None) or {"image": "image/*"}.get(part.type, "application/octet-stream")
        value = getattr(source, "value", None)
        if not isinstance(value, str):
            raise RequestBodyError(422, f"{place}: got {told(source.type)}, expected 'data' or 'url'")
        blocks.append(
            file_block(f"data:{media_type};base64,{value}" if source.type == "data" else value, media_type, None, place)
        )
    return blocks
