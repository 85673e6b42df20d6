"""Which difference belongs to which row of `docs/divergences.md`.

By handler, and `""` for all: a pattern of "way: place = what is there -> what is here", to a short name of the row.
"""

from __future__ import annotations

__all__ = ["ROWS"]

_SETTINGS = "invocation_params"
_SERIALIZED = "serialized"
_STRICT = "^(live|list|json|call)"
_STREAMED = "^(live|list|json|xlive|xjson)"

ROWS: dict[str, dict[str, str]] = {
    "": {
        r"was never reported|RunUnfinishedError": "rescued",
        r"^x?json: .*(RemoteError|stacktrace|described|status_message|\| error|exception)": "errors in JSON",
        r"^list: .*(intermediate_steps|return_values|\.agent_scratchpad|messages\[)": "live objects",
        r"tool_call_id": "tool_call_id",
        r"serialized|tool\.description": _SERIALIZED,
        r"invocation_param|extra\.(metadata|options)": _SETTINGS,
        r"run_type|defers_inputs": "run_type",
        _STRICT + r": .*\| (on_)?(agent|action)": "agent events",
        _STREAMED + r": [^>]*\| .*\b(inputs?|input\.value)\b": "streamed root's input",
        r"^(live|list|json): .*\| .*\binputs?\b": "inputs of on_chain_error, text of a tool",
        r"^call: .*\| .*\binputs?\b": "text of a tool",
    },
    "langfuse": {
        r"langfuse\.trace\.": "D22",
        r"model\.parameters": _SETTINGS,
        r"input\[\d+\]\.(role|content)": _SETTINGS,  # the tools that were offered stand among the messages
        r"^(live|list|json|call): .*\| (status|described|.*observation\.level|.*status_message)": "rescued",
    },
    "openinference": {
        r"prompt_template": _SERIALIZED,
        r"llm\.tools": _SETTINGS,
        _STRICT + r": fallback|^(live|list|json|call): .*\| (status|events|.*output)": "rescued",
    },
    "traceloop": {
        r"tool\.definitions|gen_ai\.request": _SETTINGS,
        r"^(live|list|json|call): .*\| (status|described|events)": "rescued",
        _STREAMED + r": .*output\.kwargs\.inputs": "streamed root's input",
    },
    "langsmith": {
        r"^x?call: .*(fallback|RunnableWithFallbacks|ChatOpenAI)": "parents of fallbacks",
        _STRICT + r": .*\| (outputs|error|events)": "rescued",
    },
    "braintrust": {
        r"metadata\.provider": _SERIALIZED,
        r": (.* > )?(weather|broken)\b": "fails attached",
        _STRICT + r": .*\| (output|error)": "agent events",
    },
    "mlflow": {},
    "opik": {r"\| (model|provider|usage)": _SERIALIZED, r"\| metadata": _SETTINGS},
}
