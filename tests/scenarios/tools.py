"""Tools: every shape of input and output, failing, handled, with runs inside."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.messages import ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import BaseTool, StructuredTool, Tool, ToolException, create_retriever_tool, tool

from .models import Flaw, ListRetriever, ScriptedChatModel, chat, quiet, tool_call_chunks
from .registry import ASYNC, ASYNC_UNBATCHED, Made, scenario


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
async def aadd(a: int, b: int) -> int:
    """Add two numbers, later."""
    return a + b


@tool
def broken(a: int) -> int:
    """Always fail."""
    raise Flaw(f"no {a}")


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "args": arguments, "id": "call_7", "type": "tool_call"}


@scenario("tool", filtered=True)
def tool_dict_input() -> Made:
    return add, {"a": 1, "b": 2}


@scenario("tool")
def tool_string_input() -> Made:
    return Tool(name="echo", func=lambda text: text * 2, description="Echo."), "tea"


@scenario("tool")
def tool_string_input_in_chain() -> Made:
    return RunnableLambda(str.upper, name="up") | Tool(name="echo", func=lambda text: text * 2, description="Echo."), "tea"


@scenario("tool", filtered=True)
def tool_call_input() -> Made:
    return add, call("add", a=1, b=2)


@scenario("tool", modes=ASYNC)
def tool_async() -> Made:
    return aadd, {"a": 1, "b": 2}


@scenario("tool")
def tool_both_ways() -> Made:
    async def asub(a: int, b: int) -> int:
        return a - b

    def sub(a: int, b: int) -> int:
        return a - b

    return StructuredTool.from_function(sub, coroutine=asub, description="Subtract.", tags=["sums"], metadata={"m": 1}), {
        "a": 5,
        "b": 2,
    }


@scenario("tool")
def tool_no_arguments() -> Made:
    @tool
    def now() -> str:
        """Tell a time that never changes."""
        return "noon"

    return now, {}


@scenario("tool")
def tool_content_and_artifact() -> Made:
    @tool(response_format="content_and_artifact")
    def draw(n: int) -> tuple[str, list[int]]:
        """Draw numbers."""
        return f"{n} numbers", list(range(n))

    return draw, call("draw", n=3)


@scenario("tool")
def tool_returns_message() -> Made:
    @tool
    def answer(q: str) -> ToolMessage:
        """Answer as a message."""
        return ToolMessage(content=f"about {q}", tool_call_id="call_7", name="answer")

    return answer, call("answer", q="tea")


@scenario("tool")
def tool_returns_blocks() -> Made:
    @tool
    def look(q: str) -> list[dict[str, str]]:
        """Look something up."""
        return [{"type": "text", "text": q}]

    return look, call("look", q="tea")


@scenario("tool")
def tool_subclass() -> Made:
    class Multiply(BaseTool):
        name: str = "multiply"
        description: str = "Multiply."

        def _run(self, a: int, b: int) -> int:
            return a * b

    return Multiply(), {"a": 3, "b": 4}


@scenario("tool", raises=Flaw, filtered=True)
def tool_fails() -> Made:
    return broken, {"a": 1}


@scenario("tool", raises=Flaw)
def tool_call_fails() -> Made:
    return broken, call("broken", a=1)


@scenario("tool", raises=Flaw, modes=ASYNC_UNBATCHED)
def tool_async_fails() -> Made:
    @tool
    async def abroken(a: int) -> int:
        """Always fail."""
        raise Flaw(f"no {a}")

    return RunnableLambda(lambda x: {"a": x}, name="wrap") | abroken, 1


@scenario("tool")
def tool_error_handled() -> Made:
    def refuse(a: int) -> int:
        raise ToolException(f"not {a}")

    refusing = StructuredTool.from_function(refuse, name="refuse", description="Refuse.", handle_tool_error=True)
    return RunnableLambda(lambda x: {"a": x}, name="wrap") | refusing, 1


@scenario("tool")
def tool_call_error_handled() -> Made:
    def refuse(a: int) -> int:
        raise ToolException(f"not {a}")

    return StructuredTool.from_function(refuse, name="refuse", description="Refuse.", handle_tool_error="sorry"), call(
        "refuse", a=1
    )


@scenario("tool")
def tool_bad_arguments_handled() -> Made:
    def half(a: int) -> int:
        return a // 2

    return StructuredTool.from_function(half, name="half", description="Half.", handle_validation_error="give me a number"), {
        "a": "many"
    }


@scenario("tool", raises=ValueError)
def tool_bad_arguments() -> Made:
    return add, {"a": "many", "b": 1}


@scenario("tool")
def tool_fallback() -> Made:
    return broken.with_fallbacks([RunnableLambda(lambda x: -1, name="give_up")]), {"a": 1}


@scenario("tool")
def tool_runs_chain_with_config() -> Made:
    model = chat("inner words") | StrOutputParser()

    @tool
    def think(q: str, config: RunnableConfig) -> str:
        """Think about it."""
        return str(model.invoke(q, config))

    return RunnableLambda(lambda q: {"q": q}, name="wrap") | think, "tea"


@scenario("tool")
def tool_runs_chain_without_config() -> Made:
    model = chat("inner words") | StrOutputParser()

    @tool
    def think(q: str) -> str:
        """Think about it."""
        return str(model.invoke(q))

    return think, {"q": "tea"}


@scenario("tool", modes=ASYNC)
def tool_async_streams_chain() -> Made:
    model = chat("inner words here") | StrOutputParser()

    @tool
    async def think(q: str, config: RunnableConfig) -> str:
        """Think about it."""
        return "".join([piece async for piece in model.astream(q, config)])

    return think, {"q": "tea"}


@scenario("tool", filtered=True)
def tool_dispatches_event() -> Made:
    @tool
    def progress(n: int, config: RunnableConfig) -> int:
        """Report progress."""
        for i in range(n):
            dispatch_custom_event("dict_event", {"at": i}, config=config)
        return n

    return RunnableLambda(lambda n: {"n": n}, name="wrap") | progress, 2


@scenario("tool", modes=ASYNC)
def tool_async_dispatches_event() -> Made:
    @tool
    async def progress(n: int, config: RunnableConfig) -> int:
        """Report progress."""
        await adispatch_custom_event("text_event", f"{n} to go", config=config)
        return n

    # Tools hand their parent's config on: at the root there is no run to report for.
    return RunnableLambda(lambda n: {"n": n}, name="wrap") | progress, 2


@scenario("tool")
def tool_of_a_chain() -> Made:
    double = RunnableLambda(lambda d: d["a"] * 2, name="double")
    with quiet("This API is in beta"):
        return double.as_tool(name="doubler", description="Double it.", arg_types={"a": int}), {"a": 4}


@scenario("tool")
def tool_of_a_retriever() -> Made:
    return create_retriever_tool(ListRetriever(), "library", "Search the library."), {"query": "tea"}


@scenario("tool", filtered=True)
def tool_called_by_model() -> Made:
    model = ScriptedChatModel(scripts=[tool_call_chunks("add", '{"a": 1', ', "b": 2}')]).bind_tools([add])
    first = RunnableLambda(lambda message: message.tool_calls[0], name="first_call")
    return model | first | add, "1 + 2?"


@scenario("tool", concurrent=True)
def tool_each_call() -> Made:
    spread = RunnableLambda(lambda n: [call("add", a=i, b=1) for i in range(n)], name="spread")
    return spread | add.map(), 2


@scenario("tool")
def tool_named_run() -> Made:
    return add.with_config(run_name="sum", tags=["sums"], metadata={"of": "two"}), {"a": 1, "b": 2}
