"""Runnables composed with LangChain's expression language, without a model in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.output_parsers import (
    CommaSeparatedListOutputParser,
    JsonOutputParser,
    PydanticOutputParser,
    StrOutputParser,
)
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.runnables import (
    ConfigurableField,
    RouterRunnable,
    Runnable,
    RunnableBranch,
    RunnableConfig,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
    RunnablePick,
    chain,
)
from pydantic import BaseModel

from .models import Flaw, chat
from .registry import ALL, ASYNC, SYNC, Made, scenario


def add_one(x: int) -> int:
    return x + 1


def double(x: int) -> int:
    return x * 2


async def aadd_one(x: int) -> int:
    return x + 1


def shout(text: str) -> str:
    return text.upper()


# -- lambdas and sequences


@scenario("sequence", filtered=True)
def lambda_root() -> Made:
    return RunnableLambda(add_one), 1


@scenario("sequence", modes=ASYNC)
def lambda_async() -> Made:
    return RunnableLambda(aadd_one), 1


@scenario("sequence")
def lambda_both() -> Made:
    return RunnableLambda(add_one, afunc=aadd_one, name="both"), 1


@scenario("sequence", filtered=True)
def sequence_of_two() -> Made:
    return RunnableLambda(add_one) | RunnableLambda(double), 1


@scenario("sequence")
def sequence_of_four() -> Made:
    step = RunnableLambda(add_one)
    return step | double | add_one | RunnableLambda(str), 1


@scenario("sequence")
def sequence_nested() -> Made:
    inner = (RunnableLambda(add_one) | double).with_config(run_name="inner")
    return RunnableLambda(add_one) | inner | add_one, 1


@scenario("sequence")
def lambda_returns_runnable() -> Made:
    def route(x: int) -> Any:
        return RunnableLambda(double).with_config(run_name="chosen") if x > 0 else x

    return RunnableLambda(route) | add_one, 3


@scenario("sequence")
def lambda_takes_config() -> Made:
    def tagged(x: int, config: RunnableConfig) -> list[str]:
        return sorted(config.get("tags") or [])

    return RunnableLambda(tagged).with_config(tags=["seen"]), 1


@scenario("sequence")
def lambda_falsy_values() -> Made:
    return RunnableLambda(lambda _: 0, name="zero") | RunnableLambda(lambda _: None, name="none"), ""


@scenario("sequence")
def lambda_none_input() -> Made:
    return RunnableLambda(lambda _: {}, name="empty") | RunnableLambda(lambda x: [x], name="wrap"), None


@scenario("sequence")
def lambda_input_like_langchains_placeholder() -> Made:
    # A real input that equals what LangChain passes for "not known yet".
    return RunnableLambda(lambda x: x, name="same") | RunnableLambda(lambda x: x, name="again"), {"input": ""}


@scenario("sequence")
def router() -> Made:
    return RouterRunnable({"add": RunnableLambda(add_one), "mul": RunnableLambda(double)}), {"key": "mul", "input": 4}


class Silent(Runnable[int, int]):
    """A runnable that reports nothing itself; its child does."""

    def invoke(self, input: int, config: RunnableConfig | None = None, **kwargs: Any) -> int:
        return RunnableLambda(add_one).invoke(input, config)


@scenario("sequence")
def silent_root() -> Made:
    return Silent(), 1


@scenario("sequence")
def silent_step() -> Made:
    return RunnableLambda(double) | Silent() | double, 1


# -- parallel, assign, pick


@scenario("parallel", concurrent=True, filtered=True)
def parallel_of_two() -> Made:
    return RunnableParallel(a=RunnableLambda(add_one), b=RunnableLambda(double)), 3


@scenario("parallel")
def parallel_of_one() -> Made:
    return RunnableParallel(a=RunnableLambda(add_one)) | RunnableLambda(lambda x: x["a"], name="take"), 3


@scenario("parallel", concurrent=True)
def parallel_nested() -> Made:
    inner = RunnableParallel(c=RunnableLambda(add_one), d=RunnableLambda(double))
    return RunnableParallel(a=inner, b=RunnableLambda(add_one) | double) | RunnableLambda(lambda x: x["a"]["d"]), 3


@scenario("parallel", concurrent=True)
def parallel_of_generators() -> Made:
    def letters(source: Iterator[str]) -> Iterator[str]:
        for text in source:
            yield from text

    async def aletters(source: AsyncIterator[str]) -> AsyncIterator[str]:
        async for text in source:
            for letter in text:
                yield letter

    return RunnableParallel(up=RunnableLambda(shout), spelt=RunnableGenerator(letters, aletters)), "tea"


@scenario("assign", concurrent=True, filtered=True)
def assign_one() -> Made:
    return RunnablePassthrough.assign(more=RunnableLambda(lambda d: d["x"] + 1)), {"x": 1}


@scenario("assign", concurrent=True)
def assign_two() -> Made:
    return (
        RunnablePassthrough.assign(p=RunnableLambda(lambda d: d["x"] + 1), q=RunnableLambda(lambda d: d["x"] * 2)),
        {"x": 1},
    )


@scenario("assign", concurrent=True)
def assign_then_pick() -> Made:
    start = RunnablePassthrough.assign(y=lambda d: d["x"] + 1)
    return start | RunnablePassthrough.assign(z=lambda d: d["y"] * 2) | RunnablePick("z"), {"x": 1}


@scenario("assign")
def pick_many() -> Made:
    return RunnablePassthrough() | RunnablePick(["a", "b"]), {"a": 1, "b": 2, "c": 3}


@scenario("assign", concurrent=True)
def method_pick_and_assign() -> Made:
    return (RunnablePassthrough() | RunnableLambda(dict)).assign(n=lambda d: len(d)).pick("n"), {"a": 1}


@scenario("assign")
def passthrough_root() -> Made:
    return RunnablePassthrough(), {"a": 1}


@scenario("assign")
def passthrough_with_function() -> Made:
    return RunnablePassthrough(lambda x: None) | RunnableLambda(add_one), 1


# -- branch


def fork() -> RunnableBranch[int, str]:
    return RunnableBranch(
        (lambda x: x > 10, RunnableLambda(lambda x: "big", name="big")),
        (lambda x: x > 5, RunnableLambda(lambda x: "middle", name="middle")),
        RunnableLambda(lambda x: "small", name="small"),
    )


@scenario("branch", filtered=True)
def branch_first() -> Made:
    return fork(), 11


@scenario("branch")
def branch_second() -> Made:
    return fork(), 7


@scenario("branch")
def branch_default() -> Made:
    return fork(), 1


@scenario("branch")
def branch_inside_sequence() -> Made:
    return RunnableLambda(add_one) | fork() | RunnableLambda(shout), 6


@scenario("branch")
def branch_streams_model() -> Made:
    return RunnableBranch((lambda x: "tea" in x, chat("green tea")), chat("just water")) | StrOutputParser(), "some tea"


# -- generators


def count_up(source: Iterator[int]) -> Iterator[int]:
    for number in source:
        yield from range(number)


async def acount_up(source: AsyncIterator[int]) -> AsyncIterator[int]:
    async for number in source:
        for i in range(number):
            yield i


@scenario("generator", filtered=True)
def generator_both() -> Made:
    return RunnableGenerator(count_up, acount_up), 3


@scenario("generator", modes=SYNC)
def generator_sync_only() -> Made:
    return RunnableGenerator(count_up), 3


@scenario("generator", modes=ASYNC)
def generator_async_only() -> Made:
    return RunnableGenerator(acount_up), 3


@scenario("generator")
def generator_in_sequence() -> Made:
    return RunnableLambda(add_one) | RunnableGenerator(count_up, acount_up) | RunnableLambda(str), 2


@scenario("generator")
def generator_empty() -> Made:
    return RunnableGenerator(count_up, acount_up), 0


@scenario("generator")
def generator_of_text() -> Made:
    def split(source: Iterator[str]) -> Iterator[str]:
        for text in source:
            yield from text.split(" ")

    async def asplit(source: AsyncIterator[str]) -> AsyncIterator[str]:
        async for text in source:
            for word in text.split(" "):
                yield word

    return chat("one two three") | StrOutputParser() | RunnableGenerator(split, asplit), "count"


@scenario("generator")
def chain_decorator() -> Made:
    @chain
    def decorated(x: int) -> int:
        return x + 5

    return decorated, 1


@scenario("generator", modes=("invoke", "stream", "batch", "ainvoke", "abatch"))
def chain_decorator_generator() -> Made:
    @chain
    def spelling(text: str) -> Iterator[str]:
        yield from text

    return spelling | StrOutputParser(), "tea"


@scenario("generator", modes=ASYNC)
def chain_decorator_async_generator() -> Made:
    @chain
    async def spelling(text: str) -> AsyncIterator[str]:
        for letter in text:
            yield letter

    return spelling, "tea"


# -- bindings, each, configurable


@scenario("binding", filtered=True)
def with_config_scopes() -> Made:
    first = RunnableLambda(add_one).with_config(tags=["first"], metadata={"at": 1}, run_name="first")
    second = RunnableLambda(double).with_config(tags=["second", "shared"], metadata={"at": 2})
    both = (first | second).with_config(tags=["shared"], metadata={"scope": "inner"}, run_name="both")
    return both.with_config(tags=["outer"], metadata={"scope": "outer"}), 1


@scenario(
    "binding",
    config=lambda: {"tags": ["call"], "metadata": {"user": "u1"}, "run_name": "named call"},
    filtered=True,
)
def call_config_scopes() -> Made:
    return RunnableLambda(add_one).with_config(tags=["step"]) | RunnableLambda(double), 1


@scenario("binding", config=lambda: {"configurable": {"session": "s1", "secret": "x"}})
def call_configurable_values() -> Made:
    def read(x: int, config: RunnableConfig) -> str:
        return str(config["configurable"]["session"])

    return RunnableLambda(read), 1


@scenario("binding")
def bound_arguments() -> Made:
    def power(x: int, *, exponent: int) -> int:
        return int(x**exponent)

    return RunnableLambda(power).bind(exponent=3) | add_one, 2


@scenario("binding")
def with_types_and_name() -> Made:
    return RunnableLambda(add_one).with_types(input_type=int, output_type=int) | RunnableLambda(double, name="twice"), 1


@scenario("binding")
def with_listeners() -> Made:
    def ignore(run: Any) -> None:
        """A listener that does nothing."""

    return RunnableLambda(add_one).with_listeners(on_start=ignore, on_end=ignore) | double, 1


@scenario("map", concurrent=True, modes=tuple(mode for mode in ALL if mode != "astream_events"))
def each_lambda() -> Made:
    return RunnableLambda(add_one).map(), [1, 2, 3]


@scenario("map", concurrent=True)
def each_sequence_inside() -> Made:
    return RunnableLambda(lambda n: list(range(n)), name="spread") | (RunnableLambda(add_one) | double).map(), 3


@scenario("map", modes=tuple(mode for mode in ALL if mode != "astream_events"))
def each_empty() -> Made:
    return RunnableLambda(add_one).map(), []


@scenario("configurable", config=lambda: {"configurable": {"pick": "two"}})
def configurable_alternatives() -> Made:
    one = PromptTemplate.from_template("one {x}").configurable_alternatives(
        ConfigurableField(id="pick"), default_key="one", two=PromptTemplate.from_template("two {x}")
    )
    return one | RunnableLambda(lambda value: value.to_string(), name="text"), {"x": 0}


@scenario("configurable", config=lambda: {"configurable": {"template": "Bring {what}"}})
def configurable_fields() -> Made:
    prompt = PromptTemplate.from_template("Fetch {what}").configurable_fields(template=ConfigurableField(id="template"))
    return prompt | RunnableLambda(lambda value: value.to_string(), name="text"), {"what": "tea"}


# -- prompts and parsers


@scenario("prompt", filtered=True)
def prompt_string() -> Made:
    return PromptTemplate.from_template("Tell me about {topic}"), {"topic": "tea"}


@scenario("prompt")
def prompt_chat() -> Made:
    return ChatPromptTemplate.from_messages([("system", "Be {mood}."), ("human", "{q}")]), {"mood": "kind", "q": "why?"}


@scenario("prompt")
def prompt_single_value() -> Made:
    return ChatPromptTemplate.from_messages([("human", "{q}")]) | RunnableLambda(lambda v: v.to_string()), "why?"


@scenario("prompt")
def prompt_placeholder() -> Made:
    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history", optional=True), ("human", "{q}")])
    return prompt, {"history": [("human", "hi"), ("ai", "hello")], "q": "and now?"}


@scenario("prompt")
def prompt_partial() -> Made:
    prompt = PromptTemplate.from_template("{a} and {b}").partial(a="milk")
    return prompt.with_config(tags=["partial"], run_name="duo"), {"b": "tea"}


@scenario("parser", filtered=True)
def parser_str_root() -> Made:
    return StrOutputParser(), "plain"


@scenario("parser")
def parser_str_streams() -> Made:
    return chat("a little tea") | StrOutputParser(), "x"


@scenario("parser")
def parser_json_streams() -> Made:
    return chat('{"tea": "green", "cups": [1, 2, 3]}') | JsonOutputParser(), "x"


@scenario("parser")
def parser_json_diff() -> Made:
    return chat('{"tea": "green", "cups": [1, 2]}') | JsonOutputParser(diff=True), "x"


@scenario("parser")
def parser_list_streams() -> Made:
    return chat("red, green, blue") | CommaSeparatedListOutputParser(), "x"


@scenario("parser")
def parser_mid_chain() -> Made:
    return chat('{"tea": "green"}') | JsonOutputParser() | RunnableLambda(lambda d: d["tea"], name="tea"), "x"


class Cup(BaseModel):
    tea: str
    size: int


@scenario("parser")
def parser_pydantic() -> Made:
    return chat('{"tea": "green", "size": 3}') | PydanticOutputParser(pydantic_object=Cup), "x"


# -- fallbacks and retries


class Flaky:
    """Fails a number of times, then answers."""

    def __init__(self, failures: int) -> None:
        self._left = failures

    def __call__(self, x: int) -> int:
        if self._left:
            self._left -= 1
            raise Flaw(f"{self._left} to go")
        return x + 1


def failing(x: Any) -> Any:
    raise Flaw(f"failed on {x!r}")


@scenario("fallback", filtered=True)
def fallback_not_needed() -> Made:
    return RunnableLambda(add_one).with_fallbacks([RunnableLambda(double)]), 1


@scenario("fallback", filtered=True)
def fallback_rescues() -> Made:
    return RunnableLambda(failing).with_fallbacks([RunnableLambda(double)]), 4


@scenario("fallback")
def fallback_second_rescues() -> Made:
    second = RunnableLambda(failing).with_config(run_name="second")
    return RunnableLambda(failing).with_fallbacks([second, RunnableLambda(double)]), 4


@scenario("fallback")
def fallback_inside_sequence() -> Made:
    return RunnableLambda(add_one) | RunnableLambda(failing).with_fallbacks([RunnableLambda(double)]) | add_one, 4


@scenario("fallback")
def fallback_around_sequence() -> Made:
    broken = RunnableLambda(add_one) | failing | double
    return (broken.with_fallbacks([RunnableLambda(double) | add_one])) | RunnableLambda(str), 4


@scenario("fallback")
def fallback_nested() -> Made:
    inner = RunnableLambda(failing).with_fallbacks([RunnableLambda(failing).with_config(run_name="inner second")])
    return inner.with_fallbacks([RunnableLambda(double)]), 4


@scenario("fallback", raises=Flaw, filtered=True)
def fallback_all_fail() -> Made:
    return RunnableLambda(failing).with_fallbacks([RunnableLambda(failing).with_config(run_name="second")]), 4


@scenario("fallback")
def fallback_with_exception_key() -> Made:
    report = RunnableLambda(lambda d: type(d["error"]).__name__, name="report")
    return RunnableLambda(failing).with_fallbacks([report], exception_key="error"), {"x": 1}


@scenario("fallback", raises=Flaw)
def fallback_for_another_error() -> Made:
    return RunnableLambda(failing).with_fallbacks([RunnableLambda(double)], exceptions_to_handle=(KeyError,)), 4


@scenario("fallback", concurrent=True)
def fallback_in_parallel() -> Made:
    rescued = RunnableLambda(failing).with_fallbacks([RunnableLambda(double)])
    return RunnableParallel(a=RunnableLambda(add_one), b=rescued), 4


@scenario("retry", modes=("invoke", "ainvoke", "stream", "astream", "astream_events"))
def retry_rescues() -> Made:
    # Streaming is never retried by LangChain; invoke inside a stream is.
    flaky = RunnableLambda(Flaky(2), name="flaky").with_retry(wait_exponential_jitter=False, stop_after_attempt=4)

    def call(x: int, config: RunnableConfig) -> int:
        return int(flaky.invoke(x, config))

    return RunnableLambda(call), 1


@scenario("retry", modes=("invoke", "ainvoke"))
def retry_root() -> Made:
    return RunnableLambda(Flaky(1), name="flaky").with_retry(wait_exponential_jitter=False), 1


@scenario("retry")
def retry_not_needed() -> Made:
    return RunnableLambda(add_one).with_retry() | double, 1


@scenario("retry", raises=Flaw, modes=tuple(mode for mode in ALL if "batch" not in mode))
def retry_gives_up() -> Made:
    return RunnableLambda(failing).with_retry(wait_exponential_jitter=False, stop_after_attempt=2) | double, 1


@scenario("retry", modes=("ainvoke", "astream", "astream_events"))
def retry_in_async_lambda() -> Made:
    flaky = RunnableLambda(Flaky(1), name="flaky").with_retry(wait_exponential_jitter=False)

    async def call(x: int, config: RunnableConfig) -> int:
        return int(await flaky.ainvoke(x, config))

    return RunnableLambda(call), 1
