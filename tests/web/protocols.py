"""The three protocols as state machines, written from their specifications: what a client does with each frame.

A reader raises `AssertionError` for a stream that some client would not read, and collects what its user sees.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ag_ui.core import Event as AGUIEvent
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter

__all__ = ["READERS", "Seen", "read_ag_ui", "read_ai_sdk", "read_openai"]


@dataclass
class Seen:
    """What the user sees."""

    texts: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    custom: list[tuple[str, Any]] = field(default_factory=list)
    end: str = ""
    """`finish`, `error`, `cancelled` or `interrupt`."""
    error: str | None = None
    reason: str | None = None
    usage: Any = None


# -- AI SDK: the keys are those of 5.0.115, which refuses others -------------------------------------------------------

AI_KEYS = {
    "start": {"messageId"},
    "start-step": set(),
    "finish-step": set(),
    "text-start": {"id"},
    "text-delta": {"id", "delta"},
    "text-end": {"id"},
    "reasoning-start": {"id"},
    "reasoning-delta": {"id", "delta"},
    "reasoning-end": {"id"},
    "tool-input-start": {"toolCallId", "toolName", "dynamic"},
    "tool-input-delta": {"toolCallId", "inputTextDelta"},
    "tool-input-available": {"toolCallId", "toolName", "input", "dynamic"},
    "tool-input-error": {"toolCallId", "toolName", "input", "errorText", "dynamic"},
    "tool-output-available": {"toolCallId", "output", "dynamic"},
    "tool-output-error": {"toolCallId", "errorText", "dynamic"},
    "source-url": {"sourceId", "url", "title"},
    "source-document": {"sourceId", "mediaType", "title"},
    "abort": set(),
    "error": {"errorText"},
    "finish": {"finishReason", "messageMetadata"},
}
REASONS = {"stop", "length", "content-filter", "tool-calls", "error", "other"}


class AIReader:
    """`processUIMessageStream`, at its strictest."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.in_step = False
        self.open: dict[str, tuple[str, list[str]]] = {}
        self.used: set[str] = set()
        self.tools: dict[str, dict[str, Any]] = {}

    def read(self, texts: list[str]) -> Seen:
        assert texts[-1] == "[DONE]"
        assert texts.count("[DONE]") == 1
        chunks = [json.loads(text) for text in texts[:-1]]
        kinds = [chunk["type"] for chunk in chunks]
        assert kinds[-1] in ("finish", "error")
        assert kinds.count("finish") + kinds.count("error") == 1
        assert "abort" not in kinds or (kinds.index("abort") == len(kinds) - 2 and kinds[-1] == "error")
        assert kinds[0] == "start" or kinds in (["error"], ["abort", "error"])
        assert kinds.count("start") <= 1
        for chunk in chunks:
            kind = chunk.pop("type")
            allowed = {"id", "data"} if kind.startswith("data-") else AI_KEYS[kind]
            assert set(chunk) <= allowed, (kind, chunk)
            getattr(self, "on_" + kind.partition("-")[0])(kind, **chunk)
        self.seen.end = "cancelled" if "abort" in kinds else kinds[-1]
        return self.seen

    def on_start(self, kind: str, messageId: str = "m") -> None:  # noqa: N803 - their names
        assert messageId
        if kind == "start-step":
            assert not self.in_step
            self.in_step = True

    def on_finish(self, kind: str, finishReason: str = "", messageMetadata: Any = None) -> None:  # noqa: N803
        assert not self.open, "the end of a step takes away what is open, and a finished message has nothing open"
        if kind == "finish-step":
            assert self.in_step
            self.in_step = False
            return
        assert not self.in_step
        assert finishReason in REASONS
        assert all(tool["state"] != "streaming" for tool in self.tools.values())
        self.seen.reason, self.seen.usage = finishReason, messageMetadata

    def on_text(self, kind: str, id: str, delta: str = "") -> None:
        piece, _, phase = kind.partition("-")
        shown = self.seen.texts if piece == "text" else self.seen.reasoning
        if phase == "start":
            assert self.in_step
            assert id not in self.used
            self.used.add(id)
            self.open[id] = (piece, [])
            shown.append("")
            self.open[id][1].append(str(len(shown) - 1))
        elif phase == "delta":
            assert self.open[id][0] == piece
            assert delta
            shown[int(self.open[id][1][0])] += delta
        else:
            assert self.open.pop(id)[0] == piece

    on_reasoning = on_text

    def on_tool(self, kind: str, toolCallId: str, **rest: Any) -> None:  # noqa: N803
        assert rest.pop("dynamic", kind == "tool-input-delta")
        tool = self.tools.get(toolCallId)
        if kind == "tool-input-start":
            assert tool is None
            assert rest["toolName"]
            tool = self.tools[toolCallId] = {"name": rest["toolName"], "state": "streaming", "streamed": ""}
            self.seen.tools.append(tool)
            return
        assert tool is not None, "a call that was never begun"
        if kind.startswith("tool-input"):
            assert tool["state"] == "streaming"
        else:
            assert tool["state"] == "called", "one answer per call"
        if kind == "tool-input-delta":
            tool["streamed"] += rest["inputTextDelta"]
        elif kind == "tool-input-available":
            assert tool["name"] == rest["toolName"]
            tool.update(state="called", input=rest["input"])
        elif kind == "tool-input-error":
            tool.update(state="broken", input=rest["input"])
        elif kind == "tool-output-available":
            tool.update(state="answered", output=rest["output"])
        else:
            tool.update(state="failed", output=rest["errorText"])

    def on_source(self, kind: str, sourceId: str, title: str, url: str = "https://", mediaType: str = "") -> None:  # noqa: N803
        assert url.startswith(("https://", "http://"))
        assert f"source {sourceId}" not in self.used
        self.used.add(f"source {sourceId}")
        self.seen.sources.append(title)

    def on_data(self, kind: str, data: Any, id: str = "") -> None:
        self.seen.custom.append((kind.removeprefix("data-"), data))

    def on_abort(self, kind: str) -> None:
        assert self.seen.error is None

    def on_error(self, kind: str, errorText: str) -> None:  # noqa: N803
        self.seen.error = errorText


def read_ai_sdk(texts: list[str]) -> Seen:
    """Read a UI message stream."""
    return AIReader().read(texts)


# -- AG-UI: `verifyEvents` --------------------------------------------------------------------------------------------

_agui: TypeAdapter[Any] = TypeAdapter(AGUIEvent)


class AGUIReader:
    """What the client's verifier demands, and what its store makes of it."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.open: dict[str, str] = {}
        self.messages: dict[str, int] = {}
        self.tools: dict[str, dict[str, Any]] = {}

    def read(self, texts: list[str]) -> Seen:
        events = [_agui.validate_json(text) for text in texts]
        for event, text in zip(events, texts, strict=True):
            assert not event.model_extra, "a key that the protocol does not know"
            assert json.loads(text) == json.loads(event.model_dump_json(by_alias=True))
        kinds = [event.type.value for event in events]
        assert kinds[-1] in ("RUN_FINISHED", "RUN_ERROR")
        assert kinds.count("RUN_FINISHED") + kinds.count("RUN_ERROR") == 1
        assert kinds[0] == "RUN_STARTED" or kinds == ["RUN_ERROR"]
        assert kinds.count("RUN_STARTED") <= 1
        for kind, event in zip(kinds, events, strict=True):
            getattr(self, "on_" + kind.partition("_")[0].lower())(kind, event)
        return self.seen

    def on_run(self, kind: str, event: Any) -> None:
        if kind == "RUN_FINISHED":
            assert not self.open, "a run that ends has nothing open"
            assert all(tool["state"] != "streaming" for tool in self.tools.values())
            outcome = event.outcome.type if event.outcome else "finish"
            self.seen.end = outcome
        elif kind == "RUN_ERROR":
            self.seen.end, self.seen.error = "error", event.message
        if kind != "RUN_STARTED":
            self.seen.usage = event.usage

    def on_text(self, kind: str, event: Any) -> None:
        shown = self.seen.texts if kind.startswith("TEXT") else self.seen.reasoning
        name, phase = event.message_id, kind.rpartition("_")[2]
        key = f"{kind.partition('_')[0]} {name}"
        if phase == "START":
            assert name not in self.messages, "a second message of one id"
            self.messages[name] = len(shown)
            self.open[key] = name
            shown.append("")
        elif phase == "CONTENT":
            assert key in self.open
            assert event.delta
            shown[self.messages[name]] += event.delta
        else:
            del self.open[key]

    def on_reasoning(self, kind: str, event: Any) -> None:
        if "MESSAGE" in kind:
            assert f"lane {event.message_id}" in self.open
            self.on_text(kind, event)
        elif kind == "REASONING_START":
            assert f"lane {event.message_id}" not in self.open
            self.open[f"lane {event.message_id}"] = event.message_id
        else:
            assert f"REASONING {event.message_id}" not in self.open
            del self.open[f"lane {event.message_id}"]

    def on_tool(self, kind: str, event: Any) -> None:
        tool = self.tools.get(event.tool_call_id)
        if kind == "TOOL_CALL_START":
            assert tool is None
            assert event.tool_call_name
            assert f"TEXT {event.parent_message_id}" not in self.open
            if event.parent_message_id is not None:
                self.messages.setdefault(event.parent_message_id, -1)
            tool = self.tools[event.tool_call_id] = {"name": event.tool_call_name, "state": "streaming", "streamed": ""}
            self.seen.tools.append(tool)
            return
        assert tool is not None
        assert tool["state"] == ("called" if kind == "TOOL_CALL_RESULT" else "streaming")
        if kind == "TOOL_CALL_ARGS":
            tool["streamed"] += event.delta
        elif kind == "TOOL_CALL_END":
            tool["state"] = "called"
            try:
                tool["input"] = json.loads(tool["streamed"] or "{}")
            except ValueError:
                tool["input"] = tool["streamed"]
        else:
            assert event.message_id not in self.messages
            self.messages[event.message_id] = -1
            tool.update(state="answered", output=event.content)

    def on_custom(self, kind: str, event: Any) -> None:
        if event.name == "source":
            self.seen.sources.append(event.value["title"])
        else:
            self.seen.custom.append((event.name, event.value))


def read_ag_ui(texts: list[str]) -> Seen:
    """Read AG-UI events."""
    return AGUIReader().read(texts)


# -- OpenAI -----------------------------------------------------------------------------------------------------------


def read_openai(texts: list[str]) -> Seen:
    """Read chat completion chunks as both SDKs do: an object with `error` raises."""
    assert texts[-1] == "[DONE]"
    assert texts.count("[DONE]") == 1
    seen = Seen(texts=[""], reasoning=[""])
    objects = [json.loads(text) for text in texts[:-1]]
    for number, found in enumerate(objects):
        if "error" in found:
            assert number == len(objects) - 1
            assert set(found["error"]) == {"message", "type", "param", "code"}
            seen.error, kind = found["error"]["message"], found["error"]["type"]
            seen.end = {"cancelled": "cancelled", "interrupted": "interrupt"}.get(kind, "error")
            assert seen.reason is None, "a run that has failed says no reason to finish"
            return seen
        chunk = ChatCompletionChunk.model_validate(found)
        assert not chunk.model_extra
        assert (found["id"], found["created"], found["model"]) == tuple(objects[0][key] for key in ("id", "created", "model"))
        if not found["choices"]:
            assert number == len(objects) - 1
            assert seen.reason is not None
            seen.usage = found["usage"]
            continue
        (choice,) = found["choices"]
        assert seen.reason is None, "nothing follows the reason to finish"
        delta = choice["delta"]
        assert set(delta) <= {"role", "content", "reasoning_content", "tool_calls"}
        assert (delta.get("role") == "assistant") is (number == 0)
        seen.texts[0] += delta.get("content") or ""
        seen.reasoning[0] += delta.get("reasoning_content") or ""
        seen.tools += delta.get("tool_calls") or []
        seen.reason = choice["finish_reason"]
    assert seen.reason in ("stop", "length", "tool_calls", "content_filter")
    seen.end = "finish"
    return seen


READERS = {"ai-sdk": read_ai_sdk, "ag-ui": read_ag_ui, "openai": read_openai}
