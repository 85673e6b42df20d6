"""Which difference belongs to which row of `docs/divergences.md`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from real_handlers.results import Difference

__all__ = ["LETTERS", "letter_of"]

LETTERS: Final[dict[str, str]] = {
    "A": "`on_text`, `on_retry`, `on_agent_action`, `on_agent_finish`",
    "B": "the input of a streamed root",
    "C": "`run_type=None`, `defers_inputs`",
    "E": "`inputs` of `on_chain_error`, of a chain whose input streams in",
    "F": "`parent_run_id` of the runs of `RunnableWithFallbacks.invoke`, attached by its config",
    "G": "`color` of tools, and what an agent executor passes to them (`llm_prefix`, `observation_prefix`)",
    "I": "`invocation_params`",
    "J": "an exception that went through JSON",
    "L": "payloads as they were when the callback was called",
    "M": "`name=None` of an agent executor that streams",
    "O": "`options`, `batch_size`",
    "R": "the error of a run that a fallback, a retry or a parent rescued",
    "S": "`serialized`",
    "T": "`tool_call_id` of tools",
    "U": "`serialized` of a run without a name",
    "X": "a tool's input that is a plain string",
    "D4": "[D4](divergences.md): tokens are text",
    "D22": "[D22](divergences.md): the callbacks of a run share a context",
}
"""By letter, the first cell of a row of what v2 events do not carry, or the number of a divergence."""


_STREAMED = "live list json xlive xjson"
_STRICT = "live list json call"
_STRICT_STREAMED = "live list json"
_LATE = "list xlive call xcall"
"""Events that wait for their reader, or have been recorded."""

_JSON = "json xjson"


@dataclass(frozen=True)
class Loss:
    """A kind of difference. Patterns match the whole of what they are about; what is not given matches anything."""

    letter: str
    key: str
    """Of what is recorded of the run."""

    change: str = ".*"
    """Of what is there, an arrow, what is here; a dash is nothing."""

    handlers: str = ""
    ways: str = ""
    runs: str = ""
    """Names with bars between them."""

    at: str = ".*"
    """The path of the run, by names with arrows between them."""

    def has(self, handler: str, run: str, way: str, difference: Difference) -> bool:
        """Return whether a difference is of this kind."""
        place, there, here = difference
        path, _, key = place.partition(" | ")
        return (
            (not self.handlers or handler in self.handlers.split())
            and (not self.ways or way in self.ways.split())
            and (not self.runs or run in self.runs.split("|"))
            and re.fullmatch(self.key, key) is not None
            and re.fullmatch(self.at, path) is not None
            and re.fullmatch(self.change, f"{there} -> {here}", re.DOTALL) is not None
        )


_WEATHER = r"(.* > )?(execute_tool |langchain\.Tool\.)?weather"
_TOOLED = "agent|tool error"
_ROOT = r"(?!.* > ).*"
_LOST = ".* -> -"
_GONE = r"(is there|\{\}) -> -"
_MORE = r"- -> (is there|\{\})"
_NEVER = r".* -> .*(RunUnfinishedError|was never reported: it failed, was cancelled or was rescued).*"

_LOSSES: Final = (
    # What models are called with. LangSmith's tracer takes the parameters into the metadata.
    Loss("I", r"(.*\.)?invocation_param(s|eters)(\..*)?"),
    Loss("O", r"(.*\.)?options(\..*)?"),
    Loss(
        "I",
        r"extra\.metadata\.(_type|max_completion_tokens|model|model_name|stop(\[0\])?|stream|temperature)",
        _LOST,
        "langsmith",
    ),
    Loss("I", r"extra\.metadata\.responses\[\d\]", _LOST, "langsmith"),
    Loss("I", r"attributes\.(llm\.tools|gen_ai\.tool\.definitions|mlflow\.chat\.tools).*", _LOST),
    Loss("I", r"attributes\.langfuse\.observation\.model\.parameters\.max(_completion)?_tokens", handlers="langfuse"),
    # Langfuse shows the tools that a model is offered among its messages.
    Loss(
        "I",
        r"attributes\.langfuse\.observation\.input\[\d\]\.(role|content\.(type|function\..*))",
        _LOST,
        "langfuse",
        runs=_TOOLED,
    ),
    Loss("I", r"metadata\.tools\[0\]\..*", _LOST, "braintrust", runs=_TOOLED),
    Loss("I", r"generation\.(settings\.)?tools(\[0\]\..*)?", r".* -> -|- -> null( \| null)?", "chainlit", runs=_TOOLED),
    Loss("I", r"generation\.settings\.(max_completion_tokens|stop|stream)", _LOST, "chainlit"),
    Loss("I", r"generation\.provider", r'.* -> ""( \| "")?', "chainlit"),
    # Chainlit takes settings from both.
    Loss("S", r"generation\.settings\.(max_retries|openai_api_base|stream_usage|responses\[\d\])", _LOST, "chainlit"),
    Loss("S", r"generation\.settings", r"- -> \{\}( \| \{\})?", "chainlit"),
    # Braintrust has a provider from the module of the class; Opik knows OpenAI by the name of its key, and without a
    # provider it has no model and no usage.
    Loss("S", r"metadata\.provider", r'"core"( \| "core")* -> -', "braintrust"),
    Loss(
        "S",
        r"model|provider|usage(\..*)?|metadata\.usage(\..*)?|metadata\.created_from",
        handlers="opik",
        at="(.* > )?ChatOpenAI",
    ),
    # What LangChain says of code.
    Loss("S", r"(.*\.)?serialized(\..*)?"),
    Loss("S", r"attributes\.(llm\.prompt_template\..*|(gen_ai\.)?tool\.description)", _LOST),
    Loss("S", r"metadata\.tool_description", r'"(Tell the weather|Fail)\." -> -', "opik"),
    Loss("C", r"(.*\.)?(defers_inputs|kwargs\.run_type)", r"(true|false|null)( \| (true|false|null))* -> -"),
    # Tools.
    Loss("T", r"(.*\.)?tool_call_id", "null -> -"),
    Loss("T", r"(.*\.)?tool_call_id", r'"(\\")?call_1(\\")?" -> -', ways=_STRICT),
    Loss("G", r"(.*\.)?color", '"blue" -> "green"', ways=_STRICT, runs="react executor"),
    Loss(
        "X",
        r"(.*\.)?(inputs?|input_str|inputs\.input|input\.value|mlflow\.spanInputs)",
        r'"Oslo" -> (-|\{\})|(-|null) -> \{\}',
        ways=_STRICT,
        runs="react executor",
        at=_WEATHER,
    ),
    Loss("U", "name", 'null -> "chain"', "mlflow", runs="graph", at=".* > unnamed"),
    # Roots.
    # LangChain's own tracer finds the run above in a context of its own.
    Loss("F", "parents", "(.*RunnableWithFallbacks) -> (?!.*RunnableWithFallbacks).*", "langsmith", "call xcall", "fallback"),
    Loss("B", r"(.*\.)?inputs?\.input", '"" -> -', ways=_STREAMED, at=_ROOT),
    Loss("B", r"(.*\.)?inputs?\.input", r'"" -> ("sun"|"q"|1)', ways=_STREAMED, at=_ROOT),
    Loss("B", r"(.*\.)?inputs?(\.q)?", r'- -> ("Is it sunny\?"|"sun"|"q"|1)', ways=_STREAMED, at=_ROOT),
    Loss("B", r"(.*\.)?output\.kwargs\.inputs(\.q)?", r'("Is it sunny\?"|"sun"|"q"|1) -> -', ways=_STREAMED, at=_ROOT),
    # Chainlit shows the input of a chain with the models below.
    Loss("B", r"generation\.variables\.(input|q)", r'"" -> (-|"sun"|"q"|1)|- -> "Is it sunny\?"', "chainlit", _STREAMED),
    Loss("M", "", _GONE, "stdout", _STREAMED, "react executor", ".*> Entering new None chain.*"),
    Loss("M", "", _MORE, "stdout", _STREAMED, "react executor", ".*> Entering new AgentExecutor chain.*"),
    Loss("M", r"(.*\.)?kwargs\.name", 'null -> "AgentExecutor"', ways=_STREAMED, at=_ROOT, runs="react executor"),
    # Recorded events hold live objects.
    Loss("L", r"(.*\.)?(intermediate_steps|return_values\.messages)(\[.*)?", ways="list", runs="react executor"),
    Loss("L", r"(.*\.)?id", r'(-|null) -> "<id>"', ways=_LATE, runs="agent", at=_WEATHER),
    # Langfuse gives what it knows of the whole trace to each span that it finds in the context.
    Loss("D22", r"attributes\.langfuse\.trace\.(tags\[\d\]|metadata\.\w+)", "- -> .*", "langfuse"),
    # Streamlit's thoughts are named by the tool, end with the agent, and stand in the order of the callbacks.
    Loss(
        "X",
        r"expandable\.label",
        r'".* \*\*weather:\*\* Oslo" -> ".* \*\*weather:\*\* \{\}"',
        "streamlit",
        _STRICT,
        "react executor",
    ),
    Loss(
        "A",
        r"expandable\.label",
        r'".* \*\*Complete!\*\*" -> ".* \*\*Thinking\.\.\.\*\*"',
        "streamlit",
        _STRICT,
        "react executor",
    ),
    Loss("A", r"expandable\.expanded", "false -> true", "streamlit", _STRICT, "react executor"),
    Loss(
        "R",
        r"(markdown|exception|textAlignmentConfig)?(\..*)?",
        ".*",
        "streamlit",
        _STRICT_STREAMED,
        "fallback",
        ".* > [012] (markdown|exception)",
    ),
    # Braintrust takes what an agent ends with for the output of its chain.
    Loss("A", r"output\.(log|type|return_values\.output)", _LOST, "braintrust", _STRICT, "react executor", "AgentExecutor"),
    Loss("A", r"output\.(output|messages\[0\]\..*)", "- -> .*", "braintrust", _STRICT, "react executor", "AgentExecutor"),
    # What is printed is an entry for each line.
    Loss("A", "", _GONE, "stdout", _STRICT, "react executor", ".*(Action|Thought|Final Answer).*"),
    Loss("A", "", _MORE, "stdout", _STRICT, "react executor", ".*sunny in Oslo.*"),
    Loss(
        "L",
        "",
        f"{_GONE}|{_MORE}",
        "stdout",
        _LATE,
        "agent",
        ".*content='sunny in Oslo' name='weather'( id='<id>')? tool_call_id.*",
    ),
    Loss("D4", r"markdown\.body", '- -> "sunny"', "streamlit", _STREAMED, "content blocks"),
    Loss(
        "L",
        r"markdown\.body",
        r""""(.*'weather')( tool_call_id='call_1'\*\*)" -> "\1 id='<id>'\2\"""",
        "streamlit",
        _LATE,
        "agent",
    ),
    # Errors.
    Loss("J", ".*", ".* -> .*RemoteError.*", ways=_JSON),
    Loss("J", ".*", r'"(?P<said>.*)" -> "\w+: (?P=said)"', ways=_JSON),
    Loss("J", ".*", r'"(?P<said>.*)<traceback>" -> "(?P=said)[\w.]+: .*"', ways=_JSON),
    Loss("R", ".*", _NEVER, ways=_STRICT, runs="fallback|interrupt|retry"),
    Loss("R", r"(.*\.)?(status|level)", '"(OK|UNSET|DEFAULT)" -> "ERROR"', ways=_STRICT, runs="interrupt", at=".* > ask"),
    Loss("R", r"(error_info|output|metadata)(\..*)?", ".*", "opik", _STRICT, "interrupt", "(.* > )?ask"),
    Loss(
        "R",
        r"(.*\.)?(generations\[0\].*|output_messages\.0\.message\.role)",
        r".* -> -|- -> \[\]",
        ways=_STRICT,
        runs="fallback",
        at=r"(.* > )?(langchain\.Llm\.)?ChatOpenAI",
    ),
    Loss(
        "E",
        r"(.*\.)?(inputs?|input\.value|input\.mime_type|mlflow\.spanInputs)(\..*)?",
        ways=_STRICT_STREAMED,
        runs="cut off",
        at=r".* > (execute_task |langchain\.Parser\.)?StrOutputParser",
    ),
)


def letter_of(handler: str, run: str, way: str, difference: Difference) -> str | None:
    """Return the letter of the row that a difference belongs to; None if there is none."""
    return next((loss.letter for loss in _LOSSES if loss.has(handler, run, way, difference)), None)
