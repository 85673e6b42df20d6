"""A call log reduced to what v2 events can carry: the oracle of the direction from events to callbacks.

Both logs are reduced: the one of a handler attached directly, and the one of a handler driven by the events of the same run.
What is left must be equal. Each thing that is dropped says why it has to be.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from langchain_core.messages import AIMessageChunk

from .recording import LoggedCall

_NOTES = ("on_text", "on_retry", "on_agent_action", "on_agent_finish", "on_stream_event")
_STARTS = ("on_chain_start", "on_chat_model_start", "on_llm_start", "on_tool_start", "on_retriever_start")
_ENDS = ("on_chain_end", "on_llm_end", "on_tool_end", "on_retriever_end")
_ERRORS = ("on_chain_error", "on_llm_error", "on_tool_error", "on_retriever_error")


def lost_errors(calls: Iterable[LoggedCall]) -> set[Any]:
    """The runs of a directly attached log whose error v2 events do not tell: all but those that failed with the whole call.

    When the stream raises, a dispatcher closes the runs that are still open, with that error. So what it can know is the
    run of error callbacks with one and the same exception that ends in the root's. A run that failed earlier (rescued by a
    fallback, retried, caught by user code, interrupted) or otherwise (a generator closed by LangChain when the next step
    broke) has no terminal event, and is closed when its parent ends: at another place, with an exception that nobody knows.
    """
    log = list(calls)
    failed = {call[2]["run_id"] for call in log if call[0] in _ERRORS}
    root = next((call[2]["run_id"] for call in log if call[0] in _STARTS), None)
    ends = [index for index, call in enumerate(log) if call[0] in _ERRORS and call[2]["run_id"] == root]
    if not ends:
        return failed
    final = log[ends[0]][1][0]
    for method, args, kwargs in reversed(log[: ends[0] + 1]):
        if method not in _ERRORS:
            break
        if args[0] is final:
            failed.discard(kwargs["run_id"])
    return failed


def project(
    calls: Iterable[LoggedCall],
    *,
    lost: Collection[Any] = (),
    extended: bool = False,
    root_edited: bool = True,
    root_tokens: bool = True,
) -> list[dict[str, Any]]:
    """What events carry of these calls, as one dict per call.

    Args:
        calls: A log, live objects in it.
        lost: Runs whose error calls are left out, as `lost_errors` gives them; not needed with `extended`.
        extended: The events are those of the extended vocabulary: error calls and notes are carried.
        root_edited: The events come from `astream_events`, which changes the root run's input and takes its chunks from its
            iterator; `False` for those of an attached handler.
        root_tokens: `False` leaves out the tokens of the root run: for models at the root that report others than they stream,
            since a tapped root shows what its iterator yields.

    Raises:
        AssertionError: An unknown callback, or a run's error call before that of a run inside it that was still open.
    """
    projector = _Projector(set(lost), extended, root_edited)
    projected = [seen for call in calls if (seen := projector.one(call)) is not None]
    if not root_tokens:
        projected = [s for s in projected if (s["method"], s["run_id"]) != ("on_llm_new_token", projector.root)]
    return _errors_in_order(projected)


def calls_per_run(projected: Iterable[dict[str, Any]]) -> dict[Any, list[dict[str, Any]]]:
    """The calls of each run in order, for two logs of one call whose runs overlap (`normalise` it afterwards, not before).

    LangChain hands an event to all handlers at the same time, so the order between runs differs from handler to handler.
    """
    runs: dict[Any, list[dict[str, Any]]] = {}
    for seen in projected:
        runs.setdefault(seen["run_id"], []).append(seen)
    return runs


class _Projector:
    def __init__(self, lost: set[Any], extended: bool, root_edited: bool) -> None:
        self.root: Any = None
        self._lost = lost
        self._extended = extended
        self._root_edited = root_edited
        self._inputs: dict[Any, Any] = {}
        self._chat: set[Any] = set()

    def one(self, call: LoggedCall) -> dict[str, Any] | None:
        method, args, kwargs = call
        if method in _NOTES:
            # No v2 event has them.
            return self._note(method, args, kwargs) if self._extended and method != "on_stream_event" else None
        if method in _ERRORS and kwargs["run_id"] in self._lost:
            # v2 has no event for a failing run, except for tools since langchain-core 1.0.
            return None
        seen: dict[str, Any] = {"method": method, "run_id": kwargs["run_id"]}
        # Absent, None and empty are one in events.
        seen["tags"] = kwargs.get("tags") or []
        if method == "on_custom_event":
            return {**seen, "name": args[0], "data": args[1], "metadata": kwargs.get("metadata") or {}}
        seen["parent_run_id"] = kwargs.get("parent_run_id")
        if method in _STARTS:
            return self._start(seen, args, kwargs)
        if method == "on_llm_new_token":
            return self._token(seen, args, kwargs)
        if method in _ERRORS:
            # `response=`, `inputs=` and `tool_call_id=` of error callbacks are on no event of v2.
            return {**seen, "error": args[0]} | self._told_of_error(method, kwargs)
        assert method in _ENDS, f"unknown callback {method}"
        return self._end(seen, args, kwargs)

    def _is_edited(self, run_id: Any) -> bool:
        return self._root_edited and run_id == self.root

    def _start(self, seen: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        # `serialized` gives the name where none is passed, and is lost otherwise. So are `invocation_params`, `options`,
        # `batch_size`, `color`, `verbose`, `defers_inputs` and the tool's own keyword arguments: none is copied here.
        run_id = kwargs["run_id"]
        if self.root is None:
            self.root = run_id
        seen["name"] = _name(args[0], kwargs.get("name"))
        seen["metadata"] = kwargs.get("metadata") or {}
        method = seen["method"]
        if method == "on_chain_start":
            # `run_type=None` and an absent one are the same event.
            seen["run_type"] = kwargs.get("run_type") or "chain"
            # LangChain's placeholder for an unknown input gives no input at all; a real input that equals it disappears.
            seen["inputs"] = {} if args[1] == {"input": ""} else args[1]
            self._inputs[run_id] = seen["inputs"]
        elif method == "on_tool_start":
            # `input_str` is lost: a string input altogether. An empty `inputs` is the same as none.
            seen["inputs"] = kwargs.get("inputs") or {}
            if self._extended:
                seen["tool_call_id"] = kwargs.get("tool_call_id")
                seen["input_str"] = args[1]
                seen["own"] = (args[0]["name"], kwargs.get("name"), kwargs.get("color"))
        else:
            if method == "on_chat_model_start":
                self._chat.add(run_id)
            seen["inputs"] = args[1]
        if self._is_edited(run_id) and method in ("on_chain_start", "on_tool_start"):
            # The first event shows the raw argument of the call in place of what the callback said.
            del seen["inputs"]
        return seen

    def _told_of_error(self, method: str, kwargs: dict[str, Any]) -> dict[str, Any]:
        if not self._extended:
            return {}
        if method == "on_llm_error":
            return {"response": kwargs.get("response")}
        if method == "on_chain_error":
            # Who passes `inputs=` and who leaves it to the start call is lost.
            return {"inputs": kwargs.get("inputs") or self._inputs.get(kwargs["run_id"]) or {}}
        return {}

    def _end(self, seen: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        method, run_id = seen["method"], kwargs["run_id"]
        if method == "on_llm_end":
            told = {"result": _whole(args[0])} if self._extended and run_id in self._chat else {}
            return {**seen, "output": self._model_output(args[0], run_id), **told}
        # `color` and `name` of tool ends are lost.
        seen["output"] = args[0]
        if method == "on_chain_end" and not self._is_edited(run_id):
            # Who passes `inputs=` and who leaves it to the start call is lost, as are falsy inputs; the root's end has none.
            seen["inputs"] = kwargs.get("inputs") or self._inputs.get(run_id) or {}
        return seen

    def _model_output(self, result: Any, run_id: Any) -> Any:
        if run_id not in self._chat:
            # `LLMResult.run` and the class of the generation (chunk or final) are lost; `type` tells a text from a chat one.
            return {
                "generations": [[(g.text, g.generation_info, g.type) for g in row] for row in result.generations],
                "llm_output": result.llm_output,
            }
        # Of a chat model's result only the first message: no `llm_output`, no `generation_info`, no further generations,
        # and not whether the generation was a chunk.
        return next((row[0].message for row in result.generations if row), {})

    def _token(self, seen: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        # Sync managers pass the token by keyword, async ones by position: the event does not say which it was.
        token = args[0] if args else kwargs["token"]
        # A list token is handed out as text, with the blocks in the chunk (a numbered divergence).
        text = token if isinstance(token, str) else _text_of_blocks(token)
        chunk = kwargs.get("chunk")
        if kwargs["run_id"] in self._chat:
            # A token without a chunk gets a plain one.
            message = AIMessageChunk(content=token) if chunk is None else chunk.message
            # `ChatGenerationChunk.generation_info` is lost, at a tapped root in extended events, too.
            return {**seen, "token": text, "chunk": message}
        if self._is_edited(kwargs["run_id"]):
            # The chunks of a string LLM at the root are the strings of its iterator.
            return {**seen, "token": text}
        # A token without a chunk gets a plain one.
        return {**seen, "token": text, "chunk": (text, None) if chunk is None else (chunk.text, chunk.generation_info)}

    def _note(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        # `verbose` says how the run prints, not what happened. A text may come by keyword.
        told = args[0] if args else next(kwargs[key] for key in ("text", "action", "finish", "retry_state") if key in kwargs)
        kept = {key: kwargs[key] for key in ("color", "end") if key in kwargs and method != "on_retry"}
        return {
            "method": method,
            "run_id": kwargs["run_id"],
            "parent_run_id": kwargs.get("parent_run_id"),
            "told": told,
            **kept,
        }


def _name(serialized: Any, explicit: str | None) -> str:
    if explicit is not None:
        return explicit
    if serialized and "name" in serialized:
        return str(serialized["name"])
    return str(serialized["id"][-1]) if serialized and "id" in serialized else "Unnamed"


def _whole(result: Any) -> Any:
    """All that a chat model's result has, but for the class of its generations (chunk or final)."""
    return result.llm_output, [[(one.text, one.message, one.generation_info) for one in group] for group in result.generations]


def _text_of_blocks(blocks: Any) -> str:
    """The text of list content: strings and text blocks, joined."""
    return "".join(
        block if isinstance(block, str) else block.get("text", "") if block.get("type", "text") == "text" else ""
        for block in blocks
    )


def _errors_in_order(projected: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbouring error calls in one order: deeper runs first, then by their start.

    Whoever sees that a run failed only by the end of the stream knows which runs are inside which, and not in which order
    siblings failed.
    """
    place: dict[Any, tuple[int, int]] = {}
    for seen in projected:
        if seen["method"] in _STARTS:
            depth = place.get(seen["parent_run_id"], (1, 0))[0]
            place[seen["run_id"]] = (depth - 1, len(place))
    ordered: list[dict[str, Any]] = []
    block: list[dict[str, Any]] = []
    for seen in [*projected, {"method": ""}]:
        if seen["method"] in _ERRORS:
            parents = [earlier["run_id"] for earlier in block]
            assert seen["parent_run_id"] not in parents, f"run {seen['parent_run_id']} failed before {seen['run_id']} inside it"
            block.append(seen)
            continue
        ordered += sorted(block, key=lambda error: place.get(error["run_id"], (0, 0)))
        block = []
        ordered.append(seen)
    return ordered[:-1]
