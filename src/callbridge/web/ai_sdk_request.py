"""`ui_messages`: a request of the AI SDK's `useChat` to LangChain's messages.

| part | becomes |
|---|---|
| `text` | text |
| `file` | an image or a file, by its `data:`, `https:` or `http:` address |
| `dynamic-tool`, `tool-NAME` | a call and its answer; without an answer, an error, since providers require one |
| `step-start` | the beginning of another message |
| `reasoning`, `source-...`, `data-...` | nothing, since they are for people |

Source: `UIMessage` and `convertToModelMessages` (npm `ai`, 5.0.115 to 7.0.173).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from callbridge.web.bodies import MAX_CHARACTERS, RequestBodyError, answered, check_length, check_mapping, parsed, told
from callbridge.web.projected import plain_json

__all__ = ["file_block", "ui_messages"]

_FOR_PEOPLE: Final = ("reasoning", "reasoning-file", "custom", "source-url", "source-document", "step-start")
_KNOWN: Final = (
    "'text', 'file', 'dynamic-tool', 'tool-NAME', 'data-NAME', 'reasoning', 'source-url', 'source-document', 'step-start'"
)
_STATES: Final = (
    "input-streaming",
    "input-available",
    "approval-requested",
    "approval-responded",
    "output-available",
    "output-error",
    "output-denied",
)
_ADDRESS: Final = re.compile(r"(data:|https?://)", re.IGNORECASE)
_DATA: Final = re.compile(r"data:(?P<type>[^;,]*)(?:;[^;,]*)*;base64,(?P<data>.*)", re.IGNORECASE | re.DOTALL)


def ui_messages(body: Any, *, allow_system: bool = True, max_characters: int = MAX_CHARACTERS) -> list[BaseMessage]:
    """Return the messages of a `useChat` request.

    Do not trust them: the client has made them up, including the answers of tools.

    Args:
        body: The body of the request: text, bytes, or its parsed JSON; or the list of messages in it.
        allow_system: Whether a client may send system messages.
        max_characters: The largest total length of all messages.

    Raises:
        RequestBodyError: It is not such a request: 400 if it is not JSON, 413 if it is too long, 422 for anything else.
            Starlette answers with that status.
        ArgumentError: `max_characters` is not a positive number.

    Example:
        ```python
        body = {"messages": [{"id": "1", "role": "user", "parts": [{"type": "text", "text": "which tea?"}]}]}
        print(ui_messages(body)[0].content)
        #> which tea?
        ```
    """
    check_length("max_characters", max_characters)
    found = parsed(body, max_characters)
    if not isinstance(found, list):
        found = check_mapping(found, "body", "'messages'").get("messages")
    if not isinstance(found, list) or not found:
        raise RequestBodyError(422, f"messages: got {told(found)}, expected a list of one or more UI messages")
    budget = _Budget(max_characters)
    messages = [message for number, each in enumerate(found) for message in _messages(each, f"messages[{number}]", budget)]
    if not messages:
        raise RequestBodyError(422, "messages: got none with a text, a file or a tool, expected one or more")
    if not allow_system and any(isinstance(message, SystemMessage) for message in messages):
        raise RequestBodyError(422, "messages: got role 'system', expected 'user' or 'assistant'")
    return answered(messages)


@dataclass
class _Budget:
    """The number of characters that are left."""

    left: int
    whole: int = 0

    def __post_init__(self) -> None:
        self.whole = self.left

    def take(self, text: str) -> str:
        self.left -= len(text)
        if self.left < 0:
            raise RequestBodyError(413, f"The messages are too long: expected {self.whole} characters at most")
        return text


def _messages(message: Any, where: str, budget: _Budget) -> Iterable[BaseMessage]:
    checked = check_mapping(message, where, "'role' and 'parts'")
    role, parts = checked.get("role"), checked.get("parts")
    if role not in ("user", "assistant", "system"):
        raise RequestBodyError(422, f"{where}.role: got {told(role)}, expected 'user', 'assistant' or 'system'")
    if not isinstance(parts, list):
        raise RequestBodyError(422, f"{where}.parts: got {told(parts)}, expected a list of parts")
    read = [_part(part, f"{where}.parts[{number}]", role, budget) for number, part in enumerate(parts)]
    if role == "assistant":
        return _steps(read, _text(checked.get("id")))
    content: list[Any] = [block for part in read for block in part.blocks]
    if not content:
        return []
    if role == "system":
        return [SystemMessage("".join(block.get("text", "") for block in content))]
    only_text = all(block["type"] == "text" for block in content)
    return [HumanMessage("".join(block["text"] for block in content) if only_text else content, id=_text(checked.get("id")))]


@dataclass
class _Part:
    """A part of a message, converted."""

    begins_step: bool = False
    blocks: list[dict[str, Any]] = field(default_factory=list)
    call: dict[str, Any] | None = None
    answer: ToolMessage | None = None


def _part(part: Any, where: str, role: str, budget: _Budget) -> _Part:
    checked = check_mapping(part, where, "'type'")
    kind = checked.get("type")
    if kind == "text":
        return _Part(blocks=[{"type": "text", "text": budget.take(_required(checked, "text", where))}])
    if kind == "file":
        url = budget.take(_required(checked, "url", where))
        media_type = _required(checked, "mediaType", where)
        return _Part(blocks=[file_block(url, media_type, _text(checked.get("filename")), f"{where}.url")])
    if isinstance(kind, str) and (kind == "dynamic-tool" or kind.startswith("tool-")):
        if role != "assistant":
            raise RequestBodyError(
                422, f"{where}.type: got {told(kind)} in a message of role {role!r}, expected it in an assistant's"
            )
        return _tool(checked, kind, where, budget)
    if kind in _FOR_PEOPLE or (isinstance(kind, str) and kind.startswith("data-")):
        return _Part(begins_step=kind == "step-start")
    raise RequestBodyError(422, f"{where}.type: got {told(kind)}, expected one of {_KNOWN}")


def _tool(part: Mapping[str, Any], kind: str, where: str, budget: _Budget) -> _Part:
    name = _required(part, "toolName", where) if kind == "dynamic-tool" else kind.removeprefix("tool-")
    call_id = _required(part, "toolCallId", where)
    state, given = part.get("state"), part.get("input")
    if state not in _STATES:
        raise RequestBodyError(422, f"{where}.state: got {told(state)}, expected one of {', '.join(map(repr, _STATES))}")
    if state == "input-streaming":
        return _Part()  # the stream ended before the call was complete
    arguments = given if isinstance(given, dict) else {} if given is None else {"input": given}
    budget.take(plain_json(arguments))
    call = {"name": name, "args": arguments, "id": call_id, "type": "tool_call"}
    if state == "output-available":
        output = part.get("output")
        text = output if isinstance(output, str) else plain_json(output)
        return _Part(call=call, answer=ToolMessage(budget.take(text), tool_call_id=call_id, name=name))
    if state in ("output-error", "output-denied"):
        text = _text(part.get("errorText")) or ("The call was refused" if state == "output-denied" else "Tool failed")
        return _Part(call=call, answer=ToolMessage(budget.take(text), tool_call_id=call_id, name=name, status="error"))
    return _Part(call=call)


def _steps(parts: list[_Part], message_id: str | None) -> Iterable[BaseMessage]:
    """Return the messages of an assistant's turn, step by step: a text, calls, and their answers."""
    text = ""
    calls: list[dict[str, Any]] = []
    answers: list[ToolMessage] = []
    for part in [*parts, _Part(begins_step=True)]:
        if (part.begins_step or (part.blocks and calls)) and (text or calls):
            yield AIMessage(text, tool_calls=calls, id=message_id)
            yield from answers
            text, calls, answers, message_id = "", [], [], None
        text += "".join(block.get("text", "") for block in part.blocks)
        calls += [part.call] if part.call is not None else []
        answers += [part.answer] if part.answer is not None else []


def file_block(url: str, media_type: str, name: str | None, where: str) -> dict[str, Any]:
    """Return a file as a content block that models of all LangChain versions accept.

    Args:
        url: Its address; `data:...;base64,...` for its content.
        media_type: Its media type.
        name: Its name.
        where: Its place in the request, for errors.

    Raises:
        RequestBodyError: The address has another scheme, which a server must not open.
    """
    if not _ADDRESS.match(url):
        raise RequestBodyError(
            422, f"{where}: got {told(url)}, expected an address that begins with 'data:', 'https:' or 'http:'"
        )
    if media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    named = {} if name is None else {"filename": name}
    data = _DATA.fullmatch(url)
    if data is not None:
        return {"type": "file", "source_type": "base64", "mime_type": media_type, "data": data["data"], **named}
    return {"type": "file", "source_type": "url", "mime_type": media_type, "url": url, **named}


def _required(part: Mapping[str, Any], key: str, where: str) -> str:
    value = part.get(key)
    if not isinstance(value, str) or not (value or key == "text"):
        raise RequestBodyError(422, f"{where}.{key}: got {told(value)}, expected a text")
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
