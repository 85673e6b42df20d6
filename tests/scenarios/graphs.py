"""LangGraph: nodes of every kind, branches, subgraphs, interrupts, errors."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Annotated, Any, TypedDict

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool

from .models import Flaw, ScriptedChatModel, chat, quiet, text_chunks
from .registry import ASYNC, ASYNC_UNBATCHED, UNBATCHED, Made, scenario

GRAPH = "langgraph"
THREAD: Any = {"config": lambda: {"configurable": {"thread_id": "t1"}}, "modes": UNBATCHED}


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]


def builder(schema: Any = State) -> Any:
    from langgraph.graph import StateGraph

    return StateGraph(schema)


def line(*nodes: tuple[str, Any], schema: Any = State, **options: Any) -> Any:
    """A compiled graph whose nodes follow each other."""
    graph = builder(schema)
    names = ["__start__", *(name for name, _ in nodes), "__end__"]
    for name, node in nodes:
        graph.add_node(name, node)
    for before, after in pairwise(names):
        graph.add_edge(before, after)
    return graph.compile(**options)


def note(text: str) -> Callable[[State], State]:
    def node(state: State) -> State:
        return {"n": state.get("n", 0) + 1, "log": [text]}

    return node


def anote(text: str) -> Any:
    async def node(state: State) -> State:
        return {"n": state.get("n", 0) + 1, "log": [text]}

    return node


def fail(state: State) -> State:
    raise Flaw("the node broke")


START: State = {"n": 0, "log": []}


# -- nodes and edges


@scenario("graph", needs=GRAPH, filtered=True)
def graph_sync_nodes() -> Made:
    return line(("first", note("a")), ("second", note("b"))), START


@scenario("graph", needs=GRAPH, modes=ASYNC, filtered=True)
def graph_async_nodes() -> Made:
    return line(("first", anote("a")), ("second", anote("b"))), START


@scenario("graph", needs=GRAPH, modes=ASYNC)
def graph_mixed_nodes() -> Made:
    return line(("first", note("a")), ("second", anote("b"))), START


@scenario("graph", needs=GRAPH, config=lambda: {"tags": ["call"], "metadata": {"user": "u"}, "run_name": "my graph"})
def graph_named_and_tagged() -> Made:
    return line(("first", note("a"))).with_config(tags=["own"]), START


@scenario("graph", needs=GRAPH, filtered=True)
def graph_conditional_edges() -> Made:
    graph = builder()
    graph.add_node("count", note("c"))
    graph.add_node("done", note("d"))
    graph.add_edge("__start__", "count")
    graph.add_conditional_edges("count", lambda state: "count" if state["n"] < 3 else "done", ["count", "done"])
    graph.add_edge("done", "__end__")
    return graph.compile(), START


@scenario("graph", needs=GRAPH)
def graph_conditional_entry() -> Made:
    graph = builder()
    graph.add_node("left", note("l"))
    graph.add_node("right", note("r"))
    graph.add_conditional_edges("__start__", lambda state: "left" if state["n"] else "right", ["left", "right"])
    return graph.compile(), START


def fan_out(left: Any, right: Any) -> Any:
    graph = builder()
    graph.add_node("begin", note("begin"))
    graph.add_node("left", left)
    graph.add_node("right", right)
    graph.add_node("join", note("join"))
    graph.add_edge("__start__", "begin")
    graph.add_edge("begin", "left")
    graph.add_edge("begin", "right")
    graph.add_edge(["left", "right"], "join")
    return graph.compile()


@scenario("graph", needs=GRAPH, concurrent=True)
def graph_parallel_branches() -> Made:
    return fan_out(lambda state: {"log": ["left"]}, lambda state: {"log": ["right"]}), START


@scenario("graph", needs=GRAPH, concurrent=True, modes=ASYNC)
def graph_parallel_async_branches() -> Made:
    async def left(state: State) -> State:
        return {"log": ["left"]}

    async def right(state: State) -> State:
        return {"log": ["right"]}

    return fan_out(left, right), START


def send_two(state: State) -> list[Any]:
    try:
        from langgraph.types import Send
    except ImportError:
        from langgraph.constants import Send
    # To different nodes: those of one node would be told apart by nothing but their order, which is a matter of luck.
    return [Send("left", {"n": 1}), Send("right", {"n": 2})]


@scenario("graph", needs=GRAPH, concurrent=True)
def graph_send() -> Made:
    graph = builder()
    for name in ("left", "right"):
        graph.add_node(name, lambda state, name=name: {"log": [f"{name} {state['n']}"]})
    graph.add_conditional_edges("__start__", send_two, ["left", "right"])
    return graph.compile(), START


@scenario("graph", needs="langgraph>=0.2.54")
def graph_command_goto() -> Made:
    from langgraph.types import Command

    def jump(state: State) -> Any:
        return Command(update={"log": ["jump"]}, goto="landing")

    graph = builder()
    graph.add_node("jump", jump, destinations=("landing",)) if _knows_destinations(graph) else graph.add_node("jump", jump)
    graph.add_node("landing", note("landed"))
    graph.add_edge("__start__", "jump")
    return graph.compile(), START


def _knows_destinations(graph: Any) -> bool:
    import inspect

    return "destinations" in inspect.signature(graph.add_node).parameters


@scenario("graph", needs=GRAPH)
def graph_lcel_node() -> Made:
    chain = RunnableLambda(lambda state: state["n"] + 5, name="plus") | RunnableLambda(lambda n: {"n": n}, name="pack")
    return line(("chain", chain)), START


@scenario("graph", needs=GRAPH, modes=ASYNC)
def graph_generator_node() -> Made:
    async def pieces(source: AsyncIterator[State]) -> AsyncIterator[State]:
        async for _ in source:
            yield {"log": ["one"]}
            yield {"log": ["two"]}

    from langchain_core.runnables import RunnableGenerator

    return line(("pieces", RunnableGenerator(pieces)), ("after", anote("b"))), START


@scenario("graph", needs=GRAPH)
def graph_in_sequence() -> Made:
    # A graph streams its updates by node, so that the last step gets something else than with `invoke`.
    keys = RunnableLambda(sorted, name="keys")
    return RunnableLambda(lambda n: {"n": n, "log": []}, name="pack") | line(("first", note("a"))) | keys, 1


@scenario("graph", needs=GRAPH, concurrent=True)
def graph_pydantic_state() -> Made:
    from pydantic import BaseModel

    class Cup(BaseModel):
        size: int = 0
        tea: str = "none"

    return line(("fill", lambda state: {"tea": "green"}), ("grow", lambda state: {"size": 3}), schema=Cup), {"size": 1}


@scenario("graph", needs=GRAPH, config=lambda: {"configurable": {"who": "Ann"}})
def graph_node_takes_config() -> Made:
    def greet(state: State, config: RunnableConfig) -> State:
        return {"log": [str(config["configurable"]["who"])]}

    return line(("greet", greet)), START


# -- models in graphs


def chat_schema() -> Any:
    from langgraph.graph.message import add_messages

    return TypedDict("ChatState", {"messages": Annotated[list[AnyMessage], add_messages]})


ASKED: Any = {"messages": [HumanMessage("hi", id="h1")]}


@scenario("graph", needs=GRAPH, filtered=True)
def graph_model_node() -> Made:
    model = chat("hello to you")

    def speak(state: Any, config: RunnableConfig) -> Any:
        return {"messages": [model.invoke(state["messages"], config)]}

    return line(("speak", speak), schema=chat_schema()), ASKED


@scenario("graph", needs=GRAPH, modes=ASYNC)
def graph_async_model_node() -> Made:
    model = chat("hello to you")

    async def speak(state: Any, config: RunnableConfig) -> Any:
        return {"messages": [await model.ainvoke(state["messages"], config)]}

    return line(("speak", speak), schema=chat_schema()), ASKED


@scenario("graph", needs=GRAPH, modes=ASYNC)
def graph_async_node_without_config() -> Made:
    model = chat("hello to you")

    async def speak(state: Any) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return line(("speak", speak), schema=chat_schema()), ASKED


@scenario("graph", needs=GRAPH)
def graph_model_chain_node() -> Made:
    pack = RunnableLambda(lambda text: {"log": [text]}, name="pack")
    chain = ChatPromptTemplate.from_template("number {n}") | chat("it is small") | StrOutputParser() | pack
    return line(("chain", chain)), START


@scenario("graph", needs=GRAPH)
def graph_nostream_model() -> Made:
    hidden = chat("not shown").with_config(tags=["nostream", "langsmith:nostream"])

    def speak(state: Any, config: RunnableConfig) -> Any:
        hidden.invoke("plan", config)
        return {"messages": [AIMessage("shown", id="a1")]}

    return line(("speak", speak), schema=chat_schema()), ASKED


def calling(name: str, **arguments: Any) -> Any:
    call = {"name": name, "args": arguments, "id": "call_1", "type": "tool_call"}
    return {"messages": [HumanMessage("go", id="h1"), AIMessage("", tool_calls=[call], id="a1")]}


@tool
def halve(n: int) -> int:
    """Halve an even number."""
    if n % 2:
        raise Flaw(f"{n} is odd")
    return n // 2


@scenario("graph", needs=GRAPH)
def graph_tool_node() -> Made:
    from langgraph.prebuilt import ToolNode

    return line(("tools", ToolNode([halve])), schema=chat_schema()), calling("halve", n=4)


@scenario("graph", needs=GRAPH, filtered=True)
def graph_tool_node_handles_error() -> Made:
    from langgraph.prebuilt import ToolNode

    return line(("tools", ToolNode([halve], handle_tool_errors="odd!")), schema=chat_schema()), calling("halve", n=3)


# Tasks run in threads of their own: how their ends lie between the chunks of the graph is a matter of luck.
@scenario("graph", needs="langgraph>=0.3", modes=("invoke", "stream"), concurrent=True)
def graph_functional() -> Made:
    from langgraph.func import entrypoint, task

    @task
    def grow(n: int) -> int:
        return n + 1

    @entrypoint()
    def flow(n: int) -> int:
        return int(grow(grow(n).result()).result())

    return flow, 1


# Never in a batch: with `max_concurrency` 1 the flow would hold the only place that its tasks could run in.
@scenario("graph", needs="langgraph>=0.3, python>=3.11", modes=ASYNC_UNBATCHED, concurrent=True)
def graph_functional_async() -> Made:
    from langgraph.func import entrypoint, task

    @task
    async def grow(n: int) -> int:
        return n + 1

    @entrypoint()
    async def flow(n: int) -> int:
        return int(await grow(await grow(n)))

    return flow, 1


# -- subgraphs


@scenario("subgraph", needs=GRAPH, filtered=True)
def subgraph_as_node() -> Made:
    return line(("before", note("a")), ("sub", line(("inner", note("i")))), ("after", note("z"))), START


@scenario("subgraph", needs=GRAPH, modes=ASYNC)
def subgraph_async_as_node() -> Made:
    return line(("before", anote("a")), ("sub", line(("inner", anote("i"))))), START


@scenario("subgraph", needs=GRAPH)
def subgraph_called_in_node() -> Made:
    inner = line(("inner", note("i")))

    def call(state: State, config: RunnableConfig) -> State:
        return {"n": inner.invoke({"n": state["n"], "log": []}, config)["n"]}

    return line(("call", call)), START


@scenario("subgraph", needs=GRAPH)
def subgraph_two_deep() -> Made:
    return line(("outer", line(("middle", line(("inner", note("i"))))))), START


@scenario("subgraph", needs=GRAPH, raises=Flaw)
def subgraph_fails() -> Made:
    return line(("before", note("a")), ("sub", line(("inner", fail)))), START


# -- interrupts and checkpoints


def saver() -> Any:
    from langgraph.checkpoint.memory import MemorySaver

    return MemorySaver()


@scenario("interrupt", needs=GRAPH, **THREAD)
def interrupt_before_node() -> Made:
    return line(("first", note("a")), ("second", note("b")), checkpointer=saver(), interrupt_before=["second"]), START


@scenario("interrupt", needs=GRAPH, **THREAD)
def interrupt_after_node() -> Made:
    return line(("first", note("a")), ("second", note("b")), checkpointer=saver(), interrupt_after=["first"]), START


@scenario("interrupt", needs=GRAPH, **THREAD)
def interrupt_resumed_after_static() -> Made:
    graph = line(("first", note("a")), ("second", note("b")), checkpointer=saver(), interrupt_before=["second"])
    graph.invoke(START, {"configurable": {"thread_id": "t1"}})
    return graph, None


@scenario("interrupt", needs=GRAPH, **THREAD)
def interrupt_raised_by_node() -> Made:
    with quiet(r"(.|\n)*NodeInterrupt"):
        from langgraph.errors import NodeInterrupt

    def ask(state: State) -> State:
        # Deprecated since langgraph 1.0, the only one that the lowest version has.
        with quiet(r"(.|\n)*NodeInterrupt"):
            raise NodeInterrupt("which tea?")

    return line(("first", note("a")), ("ask", ask), checkpointer=saver()), START


def asking(state: State) -> State:
    from langgraph.types import interrupt

    return {"log": [str(interrupt("which tea?"))]}


INTERRUPT = "langgraph>=0.4, python>=3.11"
"""Before CPython 3.11 `interrupt()` cannot find its config in async nodes: LangGraph's own limit."""


@scenario("interrupt", needs=INTERRUPT, filtered=True, **THREAD)
def interrupt_in_node() -> Made:
    return line(("first", note("a")), ("ask", asking), checkpointer=saver()), START


@scenario("interrupt", needs=INTERRUPT, **THREAD)
def interrupt_resumed() -> Made:
    from langgraph.types import Command

    graph = line(("first", note("a")), ("ask", asking), ("after", note("z")), checkpointer=saver())
    graph.invoke(START, {"configurable": {"thread_id": "t1"}})
    return graph, Command(resume="green")


@scenario("interrupt", needs=INTERRUPT, **THREAD)
def interrupt_in_subgraph() -> Made:
    return line(("sub", line(("ask", asking))), checkpointer=saver()), START


@scenario("interrupt", needs="langgraph>=0.4", **THREAD)
def interrupt_in_tool() -> Made:
    from langgraph.types import interrupt

    @tool
    def ask(question: str) -> str:
        """Ask the user."""
        return str(interrupt(question))

    def work(state: State, config: RunnableConfig) -> State:
        return {"log": [str(ask.invoke({"question": "which tea?"}, config))]}

    return line(("work", work), checkpointer=saver()), START


@scenario("interrupt", needs=GRAPH, **THREAD)
def checkpointed_second_turn() -> Made:
    graph = line(("first", note("a")), checkpointer=saver())
    graph.invoke(START, {"configurable": {"thread_id": "t1"}})
    return graph, {"log": ["again"]}


# -- custom events and errors in graphs


@scenario("graph custom", needs=GRAPH, filtered=True)
def graph_custom_event() -> Made:
    def work(state: State, config: RunnableConfig) -> State:
        dispatch_custom_event("dict_event", {"n": state["n"]}, config=config)
        return {"log": ["worked"]}

    return line(("work", work)), START


@scenario("graph custom", needs=GRAPH, modes=ASYNC)
def graph_async_custom_event() -> Made:
    async def work(state: State, config: RunnableConfig) -> State:
        await adispatch_custom_event("text_event", "half way", config=config)
        return {"log": ["worked"]}

    return line(("work", work)), START


@scenario("graph error", needs=GRAPH, raises=Flaw, filtered=True)
def graph_node_fails() -> Made:
    return line(("first", note("a")), ("broken", fail)), START


@scenario("graph error", needs=GRAPH, raises=Flaw, modes=ASYNC_UNBATCHED)
def graph_async_node_fails() -> Made:
    async def afail(state: State) -> State:
        raise Flaw("the node broke later")

    return line(("first", anote("a")), ("broken", afail)), START


@scenario("graph error", needs=GRAPH, raises=Flaw)
def graph_model_fails_mid_stream() -> Made:
    model = ScriptedChatModel(scripts=[text_chunks("a ", "b ", "c")], fail_at=2)

    def speak(state: Any, config: RunnableConfig) -> Any:
        return {"messages": [model.invoke(state["messages"], config)]}

    return line(("speak", speak), schema=chat_schema()), ASKED


@scenario("graph error", needs=GRAPH)
def graph_node_rescued_by_fallback() -> Made:
    node = RunnableLambda(fail).with_fallbacks([RunnableLambda(note("rescued"), name="rescue")])
    return line(("risky", node)), START


@scenario("graph error", needs=GRAPH, raises=RecursionError, config=lambda: {"recursion_limit": 3})
def graph_recursion_limit() -> Made:
    graph = builder()
    graph.add_node("again", note("x"))
    graph.add_edge("__start__", "again")
    graph.add_conditional_edges("again", lambda state: "again", ["again", "__end__"])
    return graph.compile(), START


@scenario("graph error", needs=GRAPH)
def graph_node_retried() -> Made:
    try:
        from langgraph.types import RetryPolicy
    except ImportError:
        from langgraph.pregel.types import RetryPolicy
    left = [1]

    def flaky(state: State) -> State:
        if left:
            left.pop()
            raise ConnectionError("try again")
        return {"log": ["worked"]}

    import inspect

    graph = builder()
    policy = RetryPolicy(initial_interval=0.0, jitter=False)
    named = "retry_policy" if "retry_policy" in inspect.signature(graph.add_node).parameters else "retry"
    graph.add_node("flaky", flaky, **{named: policy})
    graph.add_edge("__start__", "flaky")
    return graph.compile(), START
