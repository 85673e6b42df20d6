"""`openai_messages`: a request for a chat completion to LangChain's messages."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import BaseMessage, convert_to_messages

from callbridge.web.bodies import MAX_CHARACTERS, RequestBodyError, check_mapping, parsed, told
from callbridge.web.openai import OpenAIFormat
from callbridge.web.projected import plain_json

__all__ = ["openai_format", "openai_messages"]

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def openai_messages(body: Any, *, max_characters: int = MAX_CHARACTERS) -> list[BaseMessage]:
    """Return the messages of a request for a chat completion.

    Args:
        body: The body of the request: text, bytes, or its parsed JSON.
        max_characters: The largest total length of all messages.

    Raises:
        RequestBodyError: It is not such a request: 400 if it is not JSON, 413 if it is too long, 422 for anything else.

    Example:
        ```python
        print(openai_messages({"messages": [{"role": "user", "content": "which tea?"}]})[0].content)
        #> which tea?
        ```
    """
    found = check_mapping(parsed(body, max_characters), "body", "'messages'").get("messages")
    if not isinstance(found, list) or not found:
        raise RequestBodyError(422, f"messages: got {told(found)}, expected a list of one or more messages")
    length = 0
    for number, message in enumerate(found):
        where = f"messages[{number}]"
        role = check_mapping(message, where, "'role' and 'content'").get("role")
        if role not in _ROLES:
            raise RequestBodyError(422, f"{where}.role: got {told(role)}, expected one of {', '.join(map(repr, _ROLES))}")
        length += len(plain_json(message))
        if length > max_characters:
            raise RequestBodyError(413, f"The messages are too long: expected {max_characters} characters at most")
    messages = []
    for number, message in enumerate(found):
        try:
            messages += convert_to_messages([message])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise RequestBodyError(422, f"messages[{number}]: got {told(message)}, expected a chat message: {reason}") from None
    return messages


def openai_format(body: Any, **options: Any) -> OpenAIFormat:
    """Return the format that a request for a chat completion asks for: its `model`, and `stream_options.include_usage`.

    Args:
        body: The parsed JSON of the request.
        **options: More options of `OpenAIFormat`.

    Raises:
        RequestBodyError: It asks for an answer that is not a stream, or it is not such a request.

    Example:
        ```python
        format = openai_format({"model": "tea", "stream": True, "messages": []})
        print(format.model)
        #> tea
        ```
    """
    asked = check_mapping(body, "body", "'model', 'messages' and 'stream'")
    if asked.get("stream") is not True:
        raise RequestBodyError(422, f"stream: got {told(asked.get('stream'))}, expected true: answers are streams")
    stream_options = asked.get("stream_options")
    wanted = check_mapping(stream_options, "stream_options", "'include_usage'") if stream_options is not None else {}
    model = asked.get("model", OpenAIFormat.model)
    if not isinstance(model, str):
        raise RequestBodyError(422, f"model: got {told(model)}, expected a text")
    return OpenAIFormat(model=model, include_usage=bool(wanted.get("include_usage")), **options)
