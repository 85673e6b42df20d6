"""The events, typed: one `TypedDict` per event name, and `Event`, the union of them all.

Events are plain dicts in the shape of `astream_events(version="v2")`. The name tells the type of the data:

```python
def show(event: Event) -> None:
    if event["event"] == "on_chat_model_stream":
        print(event["data"]["chunk"].content)  # an AIMessageChunk
    elif event["event"] == "on_tool_start":
        print(event["name"], event["data"]["input"])
```

`match event["event"]:` does the same (mypy: since 1.17). If you put the name into a variable first, type checkers learn nothing
from it.

| names | data | in |
|---|---|---|
| `on_{run type}_start` | `input` | v2 |
| `on_{run type}_stream` | `chunk` | v2 |
| `on_{run type}_end` | `output`, `input` | v2 |
| `on_custom_event` | what was dispatched | v2 |
| `on_tool_error` | `error`, `input`, `tool_call_id` | v2 since langchain-core 1.0, extended on all |
| `on_{run type}_error` | `error`, `status`, `input` | extended |
| `on_agent_action`, `on_agent_finish`, `on_text`, `on_retry` | `action`, `finish`, `text`, `retry_state` | extended |

The run types are chain, prompt, parser, chat_model, llm, tool and retriever. LangChain also lets a runnable choose another run
type. The names of its events are unknown to type checkers, and their data is that of a chain.

The first event of a stream carries the argument of the call as its `input`, whatever its name. The end of that run has no
`input`.

Source: `langchain_core/runnables/schema.py` (`StreamEvent`) and `tracers/event_stream.py`, 0.3.0 to 1.8.1.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypedDict, TypeGuard, cast

# Not only type checkers need these: `typing.get_type_hints(ChatModelStream)` looks them up here.
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
    """The keys that all events have, besides `event` and `data`."""

    name: str
    """The run's name. For a custom event, the name under which it was dispatched."""

    run_id: str
    """The run's id, a UUID. For a custom event, the id of the run in which it was dispatched."""

    tags: list[str]
    """The run's tags, including those it inherits."""

    metadata: dict[str, Any]
    """The run's metadata, including what it inherits."""

    parent_ids: list[str]
    """The ids of the runs above it: root first, immediate parent last. Empty for the root."""


# ---------------------------------------------------------------- data that types share


class StartData(TypedDict, total=False):
    """A chain, prompt or parser has started."""

    input: Any
    """The run's input. Missing while the input is still streaming in."""


class StreamData(TypedDict):
    """A run has put out a part of its output."""

    chunk: Any
    """The part. The chunks of one run add up with `+`."""


class EndData(StartData):
    """A chain, prompt or parser has ended."""

    output: Any
    """What it returned."""


class _Response(TypedDict, total=False):
    response: LLMResult
    """For a model: what it had said until then."""


class ErrorData(_Response):
    """A run of any type but tool has raised, was cancelled or was interrupted."""

    error: BaseException
    """The error that it raised; `RunUnfinishedError` if LangChain reports no end at all."""

    input: Any
    """As at the end. `None` if it was never known."""

    status: Status


# ------------------------------------------------------------------------------- chains


class ChainStart(EventFields):
    """A runnable of none of the other types has started."""

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
    """A chain did not end well: it raised, was cancelled or was interrupted. Extended."""

    event: Literal["on_chain_error"]
    data: ErrorData


# ------------------------------------------------------------------------------ prompts


class PromptStart(EventFields):
    """A prompt template is being filled in. `input` holds the variables."""

    event: Literal["on_prompt_start"]
    data: StartData


class PromptStream(EventFields):
    """A prompt template of a kind that streams has put out a chunk."""

    event: Literal["on_prompt_stream"]
    data: StreamData


class PromptEnd(EventFields):
    """A prompt template was filled in. `output` is a `PromptValue`, or the dict of a `DictPromptTemplate`."""

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
    """An output parser has ended. `input` is the message, `output` the parsed value."""

    event: Literal["on_parser_end"]
    data: EndData


class ParserError(EventFields):
    """An output parser has failed. Extended."""

    event: Literal["on_parser_error"]
    data: ErrorData


# -------------------------------------------------------------------------- chat models


class ChatModelInput(TypedDict):
    """The input of a chat model."""

    messages: list[list[BaseMessage]]
    """A list with one item: the list of messages."""


class _ChatModelInput(TypedDict, total=False):
    input: ChatModelInput
    """The messages. Missing at the end of the run that began the stream."""


class _Component(TypedDict, total=False):
    component: str
    """The name of its class, or its own name, if the run was given another name. Only in extended streams."""


class _ChatModelInfo(TypedDict, total=False):
    generation_info: dict[str, Any] | None
    """What the provider says about this answer, or about this chunk if its metadata does not. Only in extended streams."""


class _ChatModelOutput(_ChatModelInput, _ChatModelInfo, total=False):
    llm_output: dict[str, Any] | None
    """What the provider says about the whole call. Only in extended streams."""

    further: list[ChatGeneration]
    """Other answers to the same prompt, if there are any. Only in extended streams."""


class ChatModelStartData(_Component):
    """A chat model was called."""

    input: ChatModelInput | Any
    """The messages. For the run that begins the stream, the argument of the call."""


class ChatModelStreamData(_ChatModelInfo):
    """A chat model has streamed a chunk of its answer."""

    chunk: AIMessageChunk


class ChatModelEndData(_ChatModelOutput):
    """A chat model has answered."""

    output: AIMessage
    """The whole answer; an `AIMessageChunk` if it was streamed."""


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
    """A chat model did not end well: it raised, was cancelled or was interrupted. Extended."""

    event: Literal["on_chat_model_error"]
    data: ErrorData


# ------------------------------------------------------------------------ string models


class LLMInput(TypedDict):
    """The input of a string model."""

    prompts: list[str]
    """A list with one item: the prompt."""


class LLMGeneration(TypedDict):
    """One completion of a prompt."""

    text: str
    generation_info: dict[str, Any] | None
    type: str


class LLMOutput(TypedDict):
    """The output of a string model."""

    generations: list[list[LLMGeneration]]
    """The completions of each prompt."""

    llm_output: dict[str, Any] | None
    """What the provider says besides the text, such as token counts."""


class _LLMInput(TypedDict, total=False):
    input: LLMInput
    """The prompt. Missing at the end of the run that began the stream."""


class LLMStartData(_Component):
    """A string model was called."""

    input: LLMInput | Any
    """The prompt. For the run that begins the stream, the argument of the call."""


class LLMStreamData(TypedDict):
    """A string model has put out text."""

    chunk: GenerationChunk | str
    """A `str` if `astream_events` was called on the model itself."""


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
    """A string model did not end well: it raised, was cancelled or was interrupted. Extended."""

    event: Literal["on_llm_error"]
    data: ErrorData


# -------------------------------------------------------------------------------- tools


class _ToolCall(TypedDict, total=False):
    tool_call_id: str | None
    """The id of the tool call, in the model's message, that the tool answers. In v2, only at errors."""


class _ToolKwargs(_ToolCall, total=False):
    kwargs: dict[str, Any]
    """What else an agent passes to the callbacks of its tools, such as a color. Only in extended streams."""


class _ToolText(_ToolKwargs, _Component, total=False):
    input_str: str
    """The input as text, unless that is the text of the arguments. Only in extended streams."""


class _ToolInput(_ToolKwargs, total=False):
    input: dict[str, Any] | None
    """The arguments. `None` if the tool was called with a plain string."""


class ToolStartData(_ToolText):
    """A tool was called."""

    input: Any
    """The arguments, a dict. For the run that begins the stream, the argument of the call."""


class ToolEndData(_ToolInput):
    """A tool has returned."""

    output: Any
    """The return value: a `ToolMessage` if the tool was called with a tool call, else the bare value."""


class _ToolStatus(_ToolCall, total=False):
    status: Status
    """Only in extended streams."""


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
    """A tool did not end well: it raised, was cancelled or was interrupted.

    In v2 since langchain-core 1.0; extended on all versions.
    """

    event: Literal["on_tool_error"]
    data: ToolErrorData


# --------------------------------------------------------------------------- retrievers


class RetrieverInput(TypedDict):
    """The input of a retriever."""

    query: str


class _RetrieverInput(TypedDict, total=False):
    input: RetrieverInput
    """The query. Missing at the end of the run that began the stream."""


class RetrieverStartData(TypedDict):
    """A retriever was called."""

    input: RetrieverInput | Any
    """The query. For the run that begins the stream, the argument of the call."""


class RetrieverEndData(_RetrieverInput):
    """A retriever has returned documents."""

    output: list[Document]


class RetrieverStart(EventFields):
    """A retriever was called."""

    event: Literal["on_retriever_start"]
    data: RetrieverStartData


class RetrieverStream(EventFields):
    """A retriever of a kind that streams has put out a chunk."""

    event: Literal["on_retriever_stream"]
    data: StreamData


class RetrieverEnd(EventFields):
    """A retriever has returned documents."""

    event: Literal["on_retriever_end"]
    data: RetrieverEndData


class RetrieverError(EventFields):
    """A retriever did not end well: it raised, was cancelled or was interrupted. Extended."""

    event: Literal["on_retriever_error"]
    data: ErrorData


# ---------------------------------------------------------------- between start and end


class _Color(TypedDict, total=False):
    color: str
    """The color in which terminal handlers print it, if the run names one."""

    verbose: bool
    """Whether the run prints what it does, if the run says so."""


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
    """An attempt has failed, and another one follows."""

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
    """Return whether a value is a complete event, in the shape that LangChain yields.

    Checks only the outside: the keys that all events have, the name, and that the data has what every event of that name has.
    Does not check whether `run_id` is a UUID, nor what kind of object a chunk is. Event names of other run types pass.

    Args:
        value: Anything.
    """
    return is_whole(value)


def check_event(value: object) -> Event:
    """Return a value as an event.

    Accepts more than `is_event`, because events that travelled as JSON come from servers of many kinds. An event may be any
    mapping. `tags`, `metadata` and `parent_ids` may be missing or null, which stands for empty ones.

    Args:
        value: An event, of v2 or extended, or the JSON form of one.

    Returns:
        The value itself if it is a complete event; else a new dict with the empty ones filled in. `value` is not changed.

    Raises:
        EventFormatError: The value is not an event. The message says why.
    """
    return value if is_event(value) else cast("Event", completed(value))
