"""Agents: the executors of old, `create_agent`, and LangGraph's prebuilt one."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import ToolException, tool

from .legacy import build, old
from .models import Flaw, ScriptedChatModel, chat, quiet, text_chunks, tool_call_chunks
from .registry import ASYNC, ASYNC_UNBATCHED, LEGACY, UNBATCHED, Made, scenario


@tool
def search(query: str) -> str:
    """Search for something."""
    return f"found {query}"


@tool
async def asearch(query: str) -> str:
    """Search for something, later."""
    return f"found {query} at last"


@tool
def broken_search(query: str) -> str:
    """Search, and fail."""
    raise Flaw("the index is gone")


@tool
def thinking_search(query: str, config: RunnableConfig) -> str:
    """Search with a model's help."""
    return str(chat("a hint").invoke(query, config).content)


REACT = PromptTemplate.from_template("Tools: {tools} ({tool_names})\nQuestion: {input}\nThought:{agent_scratchpad}")
CALLING = ChatPromptTemplate.from_messages([("human", "{input}"), MessagesPlaceholder("agent_scratchpad")])
ACT = "I should look\nAction: search\nAction Input: tea"
FINISH = "I know it\nFinal Answer: green"


def calls_then_text(tool_name: str, *texts: str) -> ScriptedChatModel:
    """A model that first calls the tool and then speaks."""
    return ScriptedChatModel(scripts=[tool_call_chunks(tool_name, '{"query":', ' "tea"}'), text_chunks(*texts)])


def react_executor(*responses: str, tools: Any = (search,), **options: Any) -> Any:
    agent = old("agents", "create_react_agent")(FakeListLLM(responses=list(responses)), list(tools), REACT)
    return build("agents", "AgentExecutor", agent=agent, tools=list(tools), **options)


def calling_executor(model: Any, *tools: Any, **options: Any) -> Any:
    agent = old("agents", "create_tool_calling_agent")(model, list(tools), CALLING)
    return build("agents", "AgentExecutor", agent=agent, tools=list(tools), **options)


# -- agent executors: their agents assign the scratchpad beside the input, which is concurrent


@scenario("agent executor", needs=LEGACY, concurrent=True, filtered=True)
def executor_react() -> Made:
    return react_executor(ACT, FINISH), {"input": "which tea?"}


@scenario("agent executor", needs=LEGACY, concurrent=True)
def executor_react_finishes_at_once() -> Made:
    return react_executor(FINISH), {"input": "which tea?"}


@scenario("agent executor", needs=LEGACY, concurrent=True)
def executor_react_intermediate_steps() -> Made:
    return react_executor(ACT, ACT, FINISH, return_intermediate_steps=True), {"input": "which tea?"}


@scenario("agent executor", needs=LEGACY, concurrent=True)
def executor_react_parsing_error_handled() -> Made:
    return react_executor("no format at all", FINISH, handle_parsing_errors=True), {"input": "which tea?"}


@scenario("agent executor", needs=LEGACY, concurrent=True, raises=ValueError)
def executor_react_parsing_error() -> Made:
    return react_executor("no format at all"), {"input": "which tea?"}


@scenario("agent executor", needs=LEGACY, concurrent=True)
def executor_react_unknown_tool() -> Made:
    return react_executor("Hm\nAction: dance\nAction Input: tea", FINISH), {"input": "which tea?"}


@scenario("agent executor", needs=LEGACY, concurrent=True)
def executor_react_gives_up() -> Made:
    return react_executor(ACT, ACT, ACT, max_iterations=2), {"input": "which tea?"}


@scenario("agent executor", needs=LEGACY, concurrent=True)
def executor_react_without_stream_runnable() -> Made:
    agent = old("agents", "create_react_agent")(FakeListLLM(responses=[ACT, FINISH]), [search], REACT)
    wrapped = build("agents.agent", "RunnableAgent", runnable=agent, stream_runnable=False)
    return build("agents", "AgentExecutor", agent=wrapped, tools=[search]), {"input": "which tea?"}


@scenario("agent executor", needs=LEGACY, concurrent=True, filtered=True)
def executor_tool_calling() -> Made:
    return calling_executor(calls_then_text("search", "green ", "tea"), search), {"input": "which tea?"}


@scenario("agent executor", needs=LEGACY, concurrent=True, modes=ASYNC)
def executor_tool_calling_async_tool() -> Made:
    return calling_executor(calls_then_text("asearch", "green ", "tea"), asearch), {"input": "which tea?"}


@scenario("agent executor", needs=LEGACY, concurrent=True)
def executor_tool_calling_model_in_tool() -> Made:
    return calling_executor(calls_then_text("thinking_search", "green"), thinking_search), {"input": "which tea?"}


@scenario("agent executor", needs=LEGACY, concurrent=True, raises=Flaw, filtered=True)
def executor_tool_fails() -> Made:
    return calling_executor(calls_then_text("broken_search", "never"), broken_search), {"input": "which tea?"}


@scenario("agent executor", needs=LEGACY, concurrent=True)
def executor_tool_error_handled() -> Made:
    @tool
    def refuse(query: str) -> str:
        """Refuse."""
        raise ToolException("not today")

    refuse.handle_tool_error = True
    return calling_executor(calls_then_text("refuse", "too bad"), refuse), {"input": "which tea?"}


@scenario("agent executor", needs=LEGACY, concurrent=True, raises=Flaw)
def executor_model_fails_mid_stream() -> Made:
    model = ScriptedChatModel(scripts=[text_chunks("gr", "een")], fail_at=1)
    return calling_executor(model, search), {"input": "which tea?"}


@scenario("agent executor", needs=LEGACY, concurrent=True, modes=UNBATCHED)
def executor_in_sequence() -> Made:
    from langchain_core.runnables import RunnableLambda

    take = RunnableLambda(lambda d: d["output"], name="take")
    return RunnableLambda(lambda q: {"input": q}, name="wrap") | react_executor(ACT, FINISH) | take, "which tea?"


@scenario("agent executor", needs=LEGACY, concurrent=True, modes=UNBATCHED)
def executor_initialize_agent() -> Made:
    model = FakeListLLM(responses=[ACT, FINISH])
    kind = old("agents", "AgentType").ZERO_SHOT_REACT_DESCRIPTION
    return build("agents", "initialize_agent", tools=[search], llm=model, agent=kind), {"input": "which tea?"}


@scenario("agent executor", needs=LEGACY, concurrent=True, modes=UNBATCHED)
def executor_with_memory() -> Made:
    memory = build("memory", "ConversationBufferMemory", memory_key="chat_history", output_key="output")
    return react_executor(ACT, FINISH, memory=memory), {"input": "which tea?"}


# -- create_agent

ASKED: Any = {"messages": [HumanMessage("which tea?", id="h1")]}
MODERN = "langchain>=1.0"


def create_agent(model: Any, *tools: Any, **options: Any) -> Any:
    from langchain.agents import create_agent as create

    return create(model, list(tools), **options)


@scenario("create_agent", needs=MODERN, filtered=True)
def agent_with_tool() -> Made:
    return create_agent(calls_then_text("search", "green ", "tea"), search, name="agent"), ASKED


@scenario("create_agent", needs=MODERN)
def agent_without_tools() -> Made:
    return create_agent(chat("just an answer"), system_prompt="Be brief."), ASKED


@scenario("create_agent", needs=MODERN, modes=ASYNC)
def agent_with_async_tool() -> Made:
    return create_agent(calls_then_text("asearch", "green"), asearch), ASKED


@scenario("create_agent", needs=MODERN)
def agent_with_model_in_tool() -> Made:
    return create_agent(calls_then_text("thinking_search", "green"), thinking_search), ASKED


@scenario("create_agent", needs=MODERN, concurrent=True, modes=ASYNC)
def agent_with_two_calls_at_once() -> Made:
    calls = [
        {"name": "asearch", "args": f'{{"query": "{what}"}}', "id": f"call_{index}", "index": index, "type": "tool_call_chunk"}
        for index, what in enumerate(("tea", "milk"))
    ]
    first = [AIMessageChunk(content="", tool_call_chunks=[piece]) for piece in calls]
    # Async tools: sync ones would end in an order that the threads decide.
    return create_agent(ScriptedChatModel(scripts=[first, text_chunks("both")]), asearch), ASKED


@scenario("create_agent", needs=MODERN, raises=Flaw, filtered=True)
def agent_tool_fails() -> Made:
    return create_agent(calls_then_text("broken_search", "never"), broken_search), ASKED


@scenario("create_agent", needs=MODERN)
def agent_with_middleware() -> Made:
    from langchain.agents.middleware import AgentMiddleware

    class Counting(AgentMiddleware[Any, Any]):
        """Hooks before and after the model, sync; async runs use them as well."""

        def before_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
            return None

        def after_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
            return {"messages": []}

    return create_agent(calls_then_text("search", "green"), search, middleware=[Counting()]), ASKED


@scenario("create_agent", needs=MODERN)
def agent_with_fallback_model() -> Made:
    from langchain.agents.middleware import ModelFallbackMiddleware

    broken = ScriptedChatModel(scripts=[text_chunks("a", "b")], fail_at=0)
    second = ScriptedChatModel(scripts=[text_chunks("second ", "choice")])
    return create_agent(broken, search, middleware=[ModelFallbackMiddleware(second)]), ASKED


@scenario(
    "create_agent", needs=f"{MODERN}, python>=3.11", modes=UNBATCHED, config=lambda: {"configurable": {"thread_id": "t1"}}
)
def agent_interrupted_for_approval() -> Made:
    from langchain.agents.middleware import HumanInTheLoopMiddleware
    from langgraph.checkpoint.memory import InMemorySaver

    ask = HumanInTheLoopMiddleware(interrupt_on={"search": True})
    model = calls_then_text("search", "green")
    return create_agent(model, search, middleware=[ask], checkpointer=InMemorySaver()), ASKED


@scenario("create_agent", needs=MODERN)
def agent_structured_response() -> Made:
    from langchain.agents.structured_output import ToolStrategy
    from pydantic import BaseModel

    class Tea(BaseModel):
        """A tea."""

        color: str

    script = tool_call_chunks("Tea", '{"color": "green"}')
    return create_agent(ScriptedChatModel(scripts=[script]), response_format=ToolStrategy(Tea)), ASKED


# -- LangGraph's prebuilt agent


def prebuilt(model: Any, *tools: Any, **options: Any) -> Any:
    # Deprecated by langgraph 1.0 in favour of `create_agent`, and what the lowest version has.
    with quiet(r"(.|\n)*create_react_agent"):
        from langgraph.prebuilt import create_react_agent

        return create_react_agent(model, list(tools), **options)


@scenario("prebuilt agent", needs="langgraph", filtered=True)
def prebuilt_with_tool() -> Made:
    return prebuilt(calls_then_text("search", "green ", "tea"), search), ASKED


@scenario("prebuilt agent", needs="langgraph", modes=ASYNC)
def prebuilt_with_async_tool() -> Made:
    return prebuilt(calls_then_text("asearch", "green"), asearch), ASKED


@scenario("prebuilt agent", needs="langgraph")
def prebuilt_with_model_in_tool() -> Made:
    return prebuilt(calls_then_text("thinking_search", "green"), thinking_search), ASKED


@scenario("prebuilt agent", needs="langgraph", raises=Flaw, modes=ASYNC_UNBATCHED)
def prebuilt_model_fails() -> Made:
    return prebuilt(ScriptedChatModel(scripts=[text_chunks("gr", "een")], fail_at=1), search), ASKED
