"""Which difference belongs to which row of `docs/divergences.md`.

By handler, and `""` for all: a pattern of "way [run]: place = what is there -> what is here", to a short name of the row. A
place is the path of a run, a bar, and the key in what is recorded of it.
"""

from __future__ import annotations

__all__ = ["ROWS"]

_SETTINGS = "invocation_params"
_SERIALIZED = "serialized"
_INPUT = r"\b(inputs?|input\.value)\b[^=]* ="


def _in(ways: str, rest: str, run: str = "[^]]*") -> str:
    return rf"^({ways}) \[{run}\]: {rest}"


_STRICT = "live|list|json|call"
_STREAMED = "live|list|json|xlive|xjson"

ROWS: dict[str, dict[str, str]] = {
    "": {
        r"was never reported|RunUnfinishedError": "rescued",
        _in("x?call", ".*", "fallback"): "parents of fallbacks",
        _in("x?json", r".*(RemoteError|stacktrace|described|status_message|\| error|exception)"): "errors in JSON",
        _in("list", r".*(intermediate_steps|return_values|agent_scratchpad|messages\[|\bid = )"): "live objects",
        r"tool_call_id": "tool_call_id",
        r"serialized|tool\.description": _SERIALIZED,
        r"invocation_param|extra\.(metadata|options)": _SETTINGS,
        r"run_type|defers_inputs": "run_type",
        _in(_STRICT, r".*\bcolor = "): "color of tools",
        _in(_STREAMED, rf"(?!.* > ).*\| .*{_INPUT}"): "streamed root's input",
        _in(_STRICT, rf".*\| .*{_INPUT}", "(cut off|model error)"): "inputs of on_chain_error",
        _in(_STRICT, rf".*\| .*({_INPUT}|arguments|input_str|gen_ai\.tool)", "react executor"): "text of a tool",
        _in(_STRICT, r".*\| (status|described|events|error|output)", "(fallback|interrupt|retry)"): "rescued",
    },
    "langfuse": {
        r"langfuse\.trace\.": "D22",
        r"model\.parameters": _SETTINGS,
        r"input\[\d+\]\.(role|content)": _SETTINGS,  # the tools that were offered stand among the messages
        _in(_STRICT, r".*(observation\.level|status_message)", "(fallback|interrupt|retry)"): "rescued",
        _in(_STRICT, ".*", "react executor"): "agent events",
    },
    "openinference": {
        r"prompt_template": _SERIALIZED,
        r"llm\.tools": _SETTINGS,
        _in(_STRICT, r".*(output|llm\.)", "fallback"): "rescued",
    },
    "traceloop": {
        r"tool\.definitions|gen_ai\.request": _SETTINGS,
        _in(_STREAMED, r".*output\.kwargs\.inputs"): "streamed root's input",
    },
    "langsmith": {
        _in(_STRICT, r".*\| outputs", "(fallback|interrupt|retry)"): "rescued",
    },
    "braintrust": {
        r"metadata\.provider": _SERIALIZED,
        r"metadata\.tools": _SETTINGS,
        r": (.* > )?(weather|broken)( \||:| =)": "not recorded attached",
        _in(_STRICT, ".*", "react executor"): "agent events",
    },
    "mlflow": {},
    "opik": {r"\| (model|provider|usage)": _SERIALIZED, r"\| metadata": _SETTINGS},
    "stdout": {
        r"Entering new None chain": _SERIALIZED,
        _in(_STRICT, ".*", "react executor"): "agent events",
    },
}
