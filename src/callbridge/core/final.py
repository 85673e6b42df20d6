"""`FinalAnswer`: finds the answer in the text that the models of a run produce.

Two kinds of agent need two rules. The rule is chosen for each model call when the call starts:

| rule | the answer is | for |
|---|---|---|
| structure | the text of a model outside tools, in a call that calls no tool | tool-calling agents, LangGraph |
| prefix | the text of a model outside tools, after a text like `Final Answer:` | agents that are steered by text (ReAct) |

If the prompt shows the model the prefix, the second rule applies. Otherwise the first rule applies if tools were offered to the
model, if a tool call or a tool's answer is among its messages, or if a node of a graph is around it. If there is no sign at
all, the caller's choice applies.

The prefix is searched for in the text itself. So it does not matter how the model cuts its text into tokens, or whether it
streams. Text that has been given out cannot be taken back, and a model may speak before it calls a tool. So the first rule
comes in two forms:

| `hold` | the text of a model call comes | text beside a tool call |
|---|---|---|
| yes | when the call has ended; at once, if the model is known to have no tools | is never seen |
| no | at once | is seen, whole, as a paragraph of its own |

The same holds for a model that fails and is retried or replaced by a fallback: without `hold` its text is a paragraph of its
own, and with `hold` it is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from callbridge.core.attempts import PARAGRAPH, Attempts
from callbridge.core.calls import Payload
from callbridge.core.inputs import messages_of, prompts_of
from callbridge.core.runs import MISSING
from callbridge.core.text import UNSEEN_TAGS, chunk_text, output_text

__all__ = ["DEFAULT_PREFIX", "FinalAnswer", "FinalText", "Rule", "calls_tool"]

Rule: TypeAlias = Literal["structure", "prefix"]

DEFAULT_PREFIX: Sequence[str] = ("Final", "Answer", ":")
"""The default of LangChain's `FinalStreamingStdOutCallbackHandler`."""


@dataclass
class _Model:
    """A model call that is open."""

    rule: Rule
    held: bool
    text: str = ""
    """For the prefix rule: text in which the prefix may still begin. For the other rule: text that is held back."""
    reached: bool = False
    streamed: bool = False
    calls_tool: bool = False


@dataclass
class FinalAnswer:
    """Pick the text of the final answer out of the reports of runs. One object serves any number of runs.

    Args:
        prefix: The texts that come before the answer, one after the other.
        strip: Whether to ignore white space around them.
        stream_prefix: Whether the prefix itself is part of the answer.
        otherwise: The rule for a model call that gives no sign.
        always: The rule for all model calls, whatever their signs.
        hold: Whether to hold text back until its model call is known to call no tool.

    Threads: one at a time.
    """

    prefix: Sequence[str] = DEFAULT_PREFIX
    strip: bool = True
    stream_prefix: bool = False
    otherwise: Rule = "structure"
    always: Rule | None = None
    hold: bool = False
    _models: dict[Any, _Model] = field(default_factory=dict)  # removed when the model call ends
    _in_tools: set[Any] = field(default_factory=set)  # tools and all runs below them; removed when they end
    _attempts: Attempts = field(default_factory=Attempts)

    def __post_init__(self) -> None:
        parts = [part.strip() for part in self.prefix if part.strip()] if self.strip else ["".join(self.prefix)]
        gap = r"\s*" if self.strip else ""
        self._pattern = re.compile(gap.join(map(re.escape, parts)))
        self._reach = sum(map(len, parts)) + 64  # how far back an unfinished prefix can begin, in characters

    # -- reports of runs ----------------------------------------------------------------------------------------------

    def start(self, run_id: Payload, parents: Iterable[Payload], *, is_tool: bool = False) -> None:
        """Note that a run has started.

        Args:
            run_id: The run.
            parents: Its ancestors, or its parent alone.
            is_tool: Whether it is a tool.
        """
        if is_tool or not self._in_tools.isdisjoint(parents):
            self._in_tools.add(run_id)

    def start_model(
        self,
        run_id: Payload,
        *,
        prompt: Iterable[Payload],
        metadata: Mapping[str, Any] | None = None,
        has_tools: bool | None = None,
    ) -> None:
        """Note that the run that has just started is a model's.

        Args:
            run_id: The model's run.
            prompt: Its messages, or its prompts as text.
            metadata: The run's metadata.
            has_tools: Whether tools were offered to it; None if that is unknown.
        """
        if run_id in self._in_tools:
            return
        said = list(prompt)
        has_used_tools = any(map(_tells_of_tools, said))
        agentic = bool(has_tools) or has_used_tools or "langgraph_node" in (metadata or ())
        rule = self.always or self._rule(said, agentic)
        # If a model seems to have no tools although there were calls, it has them in an unknown place.
        may_call = has_used_tools or has_tools is not False
        self._attempts.start(run_id)
        self._models[run_id] = _Model(rule, held=self.hold and rule == "structure" and may_call)

    def token(self, run_id: Payload, text: str, *, calls_tool: bool = False) -> str:
        """Return the part of a token that belongs to the answer.

        Args:
            run_id: The model's run.
            text: The token.
            calls_tool: Whether a part of a tool call came with it.
        """
        model = self._models.get(run_id)
        if model is None:
            return ""
        model.streamed = True
        return self._attempts.say(run_id, self._add(model, text, calls_tool))

    def end_model(self, run_id: Payload, text: str = "", *, calls_tool: bool = False) -> str:
        """Note that a model has ended, and return what that adds to the answer.

        Args:
            run_id: The model's run.
            text: All its text, which matters if it did not stream.
            calls_tool: Whether it called a tool.
        """
        model = self._models.pop(run_id, None)
        if model is None:
            return ""
        said = self._attempts.say(run_id, self._at_end(model, text, calls_tool))
        self._attempts.end(run_id)
        is_paragraph = model.rule == "structure" and not model.held and model.reached and (model.calls_tool or calls_tool)
        return said + PARAGRAPH if is_paragraph else said

    def end(self, run_id: Payload) -> None:
        """Note that a run has ended, with success or not."""
        self._in_tools.discard(run_id)
        if self._models.pop(run_id, None) is not None:
            self._attempts.end(run_id, failed=True)

    def forget(self) -> None:
        """Forget all runs: they are over, even if some have not reported their end."""
        self._in_tools.clear()
        self._models.clear()
        self._attempts.forget()

    def knows(self, run_id: Payload) -> bool:
        """Return whether the start of a model call was reported, or the call is part of a tool."""
        return run_id in self._models or run_id in self._in_tools

    def reached(self, run_id: Payload) -> bool:
        """Return whether an open model call has reached the answer, as far as is known."""
        model = self._models.get(run_id)
        return model is not None and model.reached and not model.calls_tool

    # -- rules --------------------------------------------------------------------------------------------------------

    def _rule(self, said: Iterable[Payload], agentic: bool) -> Rule:
        if any(self._pattern.search(chunk_text(each)) for each in said):
            return "prefix"
        return "structure" if agentic else self.otherwise

    def _add(self, model: _Model, text: str, calls_tool: bool) -> str:
        if model.rule == "prefix":
            return self._after_prefix(model, text)
        model.calls_tool = model.calls_tool or calls_tool
        if model.held:
            model.text += text
            return ""
        if model.calls_tool and not model.reached:
            return ""  # an answer that has begun is not cut off
        model.reached = model.reached or bool(text)
        return text

    def _at_end(self, model: _Model, text: str, calls_tool: bool) -> str:
        """Return the text that the end of a model call adds."""
        added = "" if model.streamed else self._add(model, text, calls_tool)
        if model.held and model.rule == "structure":
            return "" if model.calls_tool or calls_tool else model.text
        return added

    def _after_prefix(self, model: _Model, text: str) -> str:
        if model.reached:
            return text
        model.text += text
        found = self._pattern.search(model.text)
        if found is None:
            model.text = model.text[-self._reach :]
            return ""
        model.reached = True
        answer = model.text[found.start() if self.stream_prefix else found.end() :]
        model.text = ""
        # White space in the same token as the end of the prefix has always counted as part of the prefix.
        return "" if self.strip and not answer.strip() else answer


class FinalText:
    """The text of the final answer in a stream of events. Models tagged `nostream` do not count.

    Args:
        answer: The rules.
    """

    def __init__(self, answer: FinalAnswer) -> None:
        self._answer = answer

    def feed(self, event: Mapping[str, Any]) -> str:
        """Return the part of the answer that an event adds; `""` for most."""
        name: str = event["event"]
        run_id, parents = event["run_id"], event["parent_ids"]
        run_type, _, phase = name.removeprefix("on_").rpartition("_")
        is_model = run_type in ("chat_model", "llm")
        if phase == "start":
            self._answer.start(run_id, parents, is_tool=run_type == "tool")
            if is_model and UNSEEN_TAGS.isdisjoint(event["tags"]):
                self._answer.start_model(run_id, prompt=_prompt(run_type, event), metadata=event["metadata"])
            return ""
        if is_model and phase == "stream":
            chunk = event["data"]["chunk"]
            return self._answer.token(run_id, chunk_text(chunk), calls_tool=calls_tool(chunk))
        if phase not in ("end", "error"):
            return ""
        added = self._ended(run_id, event["data"].get("output")) if is_model and phase == "end" else ""
        self._answer.end(run_id)
        if not parents:
            self._answer.forget()
        return added

    def _ended(self, run_id: str, output: Payload) -> str:
        return self._answer.end_model(run_id, output_text(output), calls_tool=calls_tool(output))


def calls_tool(message: Payload) -> bool:
    """Return whether a message or a chunk contains a tool call or a part of one."""
    given = getattr(message, "additional_kwargs", None) or {}
    return bool(
        getattr(message, "tool_call_chunks", None)
        or getattr(message, "tool_calls", None)
        or getattr(message, "invalid_tool_calls", None)
        or given.get("tool_calls")
        or given.get("function_call")
    )


def _tells_of_tools(message: Payload) -> bool:
    return getattr(message, "type", None) in ("tool", "function") or calls_tool(message)


def _prompt(run_type: str, event: Mapping[str, Any]) -> Iterable[Payload]:
    given = event["data"].get("input", MISSING)
    return messages_of(given)[0] if run_type == "chat_model" else prompts_of(given)
