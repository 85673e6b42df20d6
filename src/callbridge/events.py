"""The events, typed: one `TypedDict` per event name, and `Event`, the union of them all.

Events are plain dicts in the shape of `astream_events(version="v2")`. The name tells the type of the data:

```python
def show(event: Event) -> None:
    if event["event"] == "on_chat_model_stream":
        print(event["data"]["chunk"].content)  # an AIMessageChunk
    elif event["event"] == "on_tool_start":
        print(event["name"], event["data"]["input"])
```

`match event["event"]:` does the same (mypy: since 1.17). A name put into a variable first tells type checkers nothing.

| names | data | in |
|---|---|---|
| `on_{run type}_start` | `input` | v2 |
| `on_{run type}_stream` | `chunk` | v2 |
| `on_{run type}_end` | `output`, `input` | v2 |
| `on_custom_event` | what was dispatched | v2 |
| `on_tool_error` | `error`, `input`, `tool_call_id` | v2 since langchain-core 1.0, extended on all |
| `on_{run type}_error` | `error`, `status`, `input` | extended |
| `on_agent_action`, `on_agent_finish`, `on_text`, `on_retry` | `action`, `finish`, `text`, `retry_state` | extended |

The run types are chain, prompt, parser, chat_model, llm, tool and retriever. LangChain lets a runnable call itself something
else; its events have names that no type checker knows, and the data of a chain's.

The first event of a stream carries the argument of the call as its `input`, whatever its name; the end of that run has none.

Source: `langchain_core/runnables/schema.py` (`StreamEvent`) and `tracers/event_stream.py`, 0.3.0 to 1.8.1.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypedDict, TypeGuard, cast

# Not for type checkers alone: `typing.get_type_hints(ChatModelStream)` looks them up here.
from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, GenerationChunk, LLMResult

from callbridge.core.check import EVENT_NAMES, EXTENDED_EVENT_NAMES, completed, is_whole
from callbridge.core.status import Status

# fmt: off
__all__ = [
    "EVENT_NAMES", "EXTENDED_EVENT_NAMES", "AgentActionData", "AgentActionEvent", "AgentFinishData", "AgentFinishEvent",
    "ChainEnd", "ChainError", "ChainStart", "ChainStream", "ChatModelEnd", "ChatModelEndData", "ChatModelError",
    "ChatModelInput", "ChatModelStart", "ChatModelStartData", "ChatModelStream", "ChatModelStreamData", "CustomEvent",
    "EndData", "ErrorData", "Event", "EventFields", "LLMEnd", "LLMEndData", "LLMError", "LLMGeneration", "LLMInput",
    "LLMOutput", "LLMStart", "LLMStartData", "LLMStream", "LLMStreamData", "ParserEnd", "ParserError", "ParserStart",
    "ParserStream", "PromptEnd", "PromptError", "PromptStart", "PromptStream", "RetrieverEnd", "RetrieverEndData",
    "RetrieverError", "RetrieverInput", "RetrieverStart", "RetrieverStartData", "RetrieverStream", "RetryData",
    "RetryEvent", "StartData", "Status", "StreamData", "TextData", "TextEvent", "ToolEnd", "ToolEndData", "ToolError",
    "ToolErrorData", "ToolStart", "ToolStartData", "ToolStream", "V2Event", "check_event", "is_event",
]
# fmt: on


class EventFields(TypedDict):
    """What all events have, beside `event` and `data`."""

    name: str
    """The run's name; of a custom event the name it was dispatched under."""

    run_id: str
    """The run's id, a UUID; of a custom event that of the run it was dispatched in."""

    tags: list[str]
    """The run's tags, those it inherits included."""

    metadata: dict[str, Any]
    """The run's metadata, what it inherits included."""

    parent_ids: list[str]
    """The runs above it: root first, immediate parent last; empty for the root."""


# ---------------------------------------------------------------- data that types share


class StartData(TypedDict, total=False):
    """A chain, prompt or parser has started."""

    input: Any
    """What it was given; missing while its input is still streaming in."""


class StreamData(TypedDict):
    """A run has put out a part of its output."""

    chunk: Any
    """The part; chunks of one run add up with `+`."""


class EndData(StartData):
    """A chain, prompt or parser has ended."""

    output: Any
    """What it returned."""


class _Response(TypedDict, total=False):
    response: LLMResult
    """Of a model: what it had said until then."""


class ErrorData(_Response):
    """A run of any type but a tool has raised, was cancelled or was interrupted."""

    error: BaseException
    """What it raised; `RunUnfinishedError` where LangChain reports no end at all."""

    input: Any
    """As at the end; `None` if it never was known."""

    status: Status


# ------------------------------------------------------------------------------- chains


class ChainStart(EventFields):
    """A runnable has started that is none of the other types."""

    event: Literal["on_chain_start"]
    data: StartData


class ChainStream(EventFields):
    """A chain has put out a chunk."""

    event: Literal["on_chain_stream"]
    data: StreamData


class ChainEnd(EventFields):
    """A chain has ended."""

    event: Literal["on_chain_end"]
    data: EndData


class ChainError(EventFields):
    """A chain has not ended well. Extended."""

    event: Literal["on_chain_error"]
    data: ErrorData


# ------------------------------------------------------------------------------ prompts


class PromptStart(EventFields):
    """A prompt template is being filled in; `input` are the variables."""

    event: Literal["on_prompt_start"]
    data: StartData


class PromptStream(EventFields):
    """A prompt template of a kind that streams has put out a chunk."""

    event: Literal["on_prompt_stream"]
    data: StreamData


class PromptEnd(EventFields):
    """A prompt template is filled in; `output` is a `PromptValue`, or the dict of a `DictPromptTemplate`."""

    event: Literal["on_prompt_end"]
    data: EndData


class PromptError(EventFields):
    """A prompt template could not be filled in. Extended."""

    event: Literal["on_prompt_error"]
    data: ErrorData


# ------------------------------------------------------------------------------ parsers


class ParserStart(EventFields):
    """An output parser has started."""

    event: Literal["on_parser_start"]
    data: StartData


class ParserStream(EventFields):
    """An output parser has put out a chunk."""

    event: Literal["on_parser_stream"]
    data: StreamData


class ParserEnd(EventFields):
    """An output parser has ended; `input` is the message, `output` what it was parsed into."""

    event: Literal["on_parser_end"]
    data: EndData


class ParserError(EventFields):
    """An output parser has failed. Extended."""

    event: Literal["on_parser_error"]
    data: ErrorData


# -------------------------------------------------------------------------- chat models


class ChatModelInput(TypedDict):
    """What a chat model is called with."""

    messages: list[list[BaseMessage]]
    """One list of messages, in a list of length one."""


class _ChatModelInput(TypedDict, total=False):
    input: ChatModelInput
    """The messages; missing at the end of the run that began the stream."""


class _Component(TypedDict, total=False):
    component: str
    """The name of its class, or its own, if the run was given another name; in extended streams alone."""


class _ChatModelInfo(TypedDict, total=False):
    generation_info: dict[str, Any] | None
    """What the provider says of this answer, or of this chunk if its metadata does not; in extended streams alone."""


class _ChatModelOutput(_ChatModelInput, _ChatModelInfo, total=False):
    llm_output: dict[str, Any] | None
    """What the provider says of the whole call; in extended streams alone."""

    further: list[ChatGeneration]
    """Other answers to the same prompt, if there are any; in extended streams alone."""


class ChatModelStartData(_Component):
    """A chat model was called."""

    input: ChatModelInput | Any
    """The messages; of the run that begins the stream what the call was given."""


class ChatModelStreamData(_ChatModelInfo):
    """A chat model has said something."""

    chunk: AIMessageChunk


class ChatModelEndData(_ChatModelOutput):
    """A chat model has answered."""

    output: AIMessage
    """The answer, whole; an `AIMessageChunk` if it was streamed."""


class ChatModelStart(EventFields):
    """A chat model was called."""

    event: Literal["on_chat_model_start"]
    data: ChatModelStartData


class ChatModelStream(EventFields):
    """A chat model has streamed a chunk of its answer."""

    event: Literal["on_chat_model_stream"]
    data: ChatModelStreamData


class ChatModelEnd(EventFields):
    """A chat model has answered."""

    event: Literal["on_chat_model_end"]
    data: ChatModelEndData


class ChatModelError(EventFields):
    """A chat model has not answered. Extended."""

    event: Literal["on_chat_model_error"]
    data: ErrorData


# ------------------------------------------------------------------------ string models


class LLMInput(TypedDict):
    """What a string model is called with."""

    prompts: list[str]
    """One prompt, in a list of length one."""


class LLMGeneration(TypedDict):
    """One completion of a prompt."""

    text: str
    generation_info: dict[str, Any] | None
    type: str


class LLMOutput(TypedDict):
    """What a string model returns."""

    generations: list[list[LLMGeneration]]
    """Per prompt its completions."""

    llm_output: dict[str, Any] | None
    """What the provider says beside the text, such as token counts."""


class _LLMInput(TypedDict, total=False):
    input: LLMInput
    """The prompt; missing at the end of the run that began the stream."""


class LLMStartData(_Component):
    """A string model was called."""

    input: LLMInput | Any
    """The prompt; of the run that begins the stream what the call was given."""


class LLMStreamData(TypedDict):
    """A string model has put out text."""

    chunk: GenerationChunk | str
    """A `str` if the model is itself what `astream_events` was called on."""


class LLMEndData(_LLMInput):
    """A string model has ended."""

    output: LLMOutput


class LLMStart(EventFields):
    """A string model was called."""

    event: Literal["on_llm_start"]
    data: LLMStartData


class LLMStream(EventFields):
    """A string model has streamed a chunk of text."""

    event: Literal["on_llm_stream"]
    data: LLMStreamData


class LLMEnd(EventFields):
    """A string model has ended."""

    event: Literal["on_llm_end"]
    data: LLMEndData


class LLMError(EventFields):
    """A string model has not answered. Extended."""

    event: Literal["on_llm_error"]
    data: ErrorData


# -------------------------------------------------------------------------------- tools


class _ToolCall(TypedDict, total=False):
    tool_call_id: str | None
    """The call in the model's message that the tool answers; in v2 at errors alone."""


class _ToolKwargs(_ToolCall, total=False):
    kwargs: dict[str, Any]
    """What an agent passes to the callbacks of its tools besides, such as a color; in extended streams alone."""


class _ToolText(_ToolKwargs, _Component, total=False):
    input_str: str
    """What it was called with as text, unless that is the text of the arguments; in extended streams alone."""


class _ToolInput(_ToolKwargs, total=False):
    input: dict[str, Any] | None
    """The arguments; `None` if the tool was called with a plain string."""


class ToolStartData(_ToolText):
    """A tool was called."""

    input: Any
    """The arguments, a dict; of the run that begins the stream what the call was given."""


class ToolEndData(_ToolInput):
    """A tool has returned."""

    output: Any
    """What it returned: a `ToolMessage` if it was called with a tool call, else the bare value."""


class _ToolStatus(_ToolCall, total=False):
    status: Status
    """In extended streams alone."""


class ToolErrorData(_ToolStatus):
    """A tool has raised, was cancelled or was interrupted."""

    error: BaseException
    input: dict[str, Any] | None


class ToolStart(EventFields):
    """A tool was called."""

    event: Literal["on_tool_start"]
    data: ToolStartData


class ToolStream(EventFields):
    """A tool of a kind that streams has put out a chunk."""

    event: Literal["on_tool_stream"]
    data: StreamData


class ToolEnd(EventFields):
    """A tool has returned."""

    event: Literal["on_tool_end"]
    data: ToolEndData


class ToolError(EventFields):
    """A tool has not returned. In v2 since langchain-core 1.0; extended on all versions."""

    event: Literal["on_tool_error"]
    data: ToolErrorData


# --------------------------------------------------------------------------- retrievers


class RetrieverInput(TypedDict):
    """What a retriever is asked."""

    query: str


class _RetrieverInput(TypedDict, total=False):
    input: RetrieverInput
    """The query; missing at the end of the run that began the stream."""


class RetrieverStartData(TypedDict):
    """A retriever was asked."""

    input: RetrieverInput | Any
    """The query; of the run that begins the stream what the call was given."""


class RetrieverEndData(_RetrieverInput):
    """A retriever has answered."""

    output: list[Document]


class RetrieverStart(EventFields):
    """A retriever was asked."""

    event: Literal["on_retriever_start"]
    data: RetrieverStartData


class RetrieverStream(EventFields):
    """A retriever of a kind that streams has put out a chunk."""

    event: Literal["on_retriever_stream"]
    data: StreamData


class RetrieverEnd(EventFields):
    """A retriever has answered."""

    event: Literal["on_retriever_end"]
    data: RetrieverEndData


class RetrieverError(EventFields):
    """A retriever has not answered. Extended."""

    event: Literal["on_retriever_error"]
    data: ErrorData


# ---------------------------------------------------------------- between start and end


class _Color(TypedDict, total=False):
    color: str
    """What the terminal handlers print it in, if the run says so."""

    verbose: bool
    """Whether the run prints what it does, if it says so."""


class AgentActionData(_Color):
    """An agent has decided on a tool call."""

    action: AgentAction


class AgentFinishData(_Color):
    """An agent has decided that it is done."""

    finish: AgentFinish


class _TextEnd(_Color, total=False):
    end: str
    """What to print after it, if the run says so."""


class TextData(_TextEnd):
    """A legacy chain has something to show."""

    text: str


class RetryData(TypedDict):
    """An attempt has failed and is made again."""

    retry_state: Any
    """A `tenacity.RetryCallState`."""


class CustomEvent(EventFields):
    """Code inside a run has called `dispatch_custom_event`."""

    event: Literal["on_custom_event"]
    data: Any
    """What it dispatched."""


class AgentActionEvent(EventFields):
    """An agent executor is about to call a tool. Extended."""

    event: Literal["on_agent_action"]
    data: AgentActionData


class AgentFinishEvent(EventFields):
    """An agent executor is done. Extended."""

    event: Literal["on_agent_finish"]
    data: AgentFinishData


class TextEvent(EventFields):
    """A legacy chain shows text: a filled-in prompt, a tool's observation. Extended."""

    event: Literal["on_text"]
    data: TextData


class RetryEvent(EventFields):
    """A run tries again. Extended."""

    event: Literal["on_retry"]
    data: RetryData


# ------------------------------------------------------------------------------- unions

# fmt: off
V2Event: TypeAlias = (
    ChainStart | ChainStream | ChainEnd
    | PromptStart | PromptStream | PromptEnd
    | ParserStart | ParserStream | ParserEnd
    | ChatModelStart | ChatModelStream | ChatModelEnd
    | LLMStart | LLMStream | LLMEnd
    | ToolStart | ToolStream | ToolEnd | ToolError
    | RetrieverStart | RetrieverStream | RetrieverEnd
    | CustomEvent
)
"""What `extended=False` yields, and LangChain's own `astream_events(version="v2")`."""

Event: TypeAlias = (
    V2Event
    | ChainError | PromptError | ParserError | ChatModelError | LLMError | RetrieverError
    | AgentActionEvent | AgentFinishEvent | TextEvent | RetryEvent
)
"""What `extended=True` yields."""
# fmt: on


# ------------------------------------------------------------------------------- checks


def is_event(value: object) -> TypeGuard[Event]:
    """Tell whether a value is an event, whole and in the shape that LangChain yields.

    Looks at the outside alone: the keys that all events have, the name, and that the data has what every event of that name
    has. Not whether `run_id` is a UUID nor what kind of object a chunk is. Event names of other run types pass.

    Args:
        value: Anything.
    """
    return is_whole(value)


def check_event(value: object) -> Event:
    """Return a value as an event.

    More is let through than `is_event` does, because events that were JSON on their way come from servers of many kinds:
    any mapping, and without `tags`, `metadata` and `parent_ids` or with null for them, which stands for empty ones.

    Args:
        value: An event, of v2 or extended, or the JSON form of one.

    Returns:
        The value itself if it is an event whole; else a dict of its own with the empty ones filled in. `value` is not
        written to.

    Raises:
        EventFormatError: It is no event. The message says why.
    """
    return value if is_event(value) else cast("Event", completed(value))
