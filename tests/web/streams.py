"""Event streams of any shape, made of choices; what a user has to see of them; and the same streams spoilt in any way.

`Program` plays any number of models and tools at once below one chain, as chat and agent loops do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage

from web.protocols import Seen

__all__ = ["Program", "spoilt"]

WORDS = ("a", "tea ", "\n\n", "ü", '"', "\\", "🍵", "<b>", " ")
DISGUISED = "lookup"
"""A tool whose runs get other arguments than their calls have."""
NAMES = ("search", "weather", "weather", DISGUISED)
HIDDEN = "swordfish"


class Program:
    """A run, played event by event.

    Args:
        choose: Makes the choices.
    """

    def __init__(self, choose: Random) -> None:
        self.choose = choose
        self.seen = Seen()
        self._count = 0
        self._calls = 0
        self._models: list[list[str]] = []  # of shown models: the pieces of text, in order of their beginning
        self.root = self._run_id()

    def events(self) -> list[dict[str, Any]]:
        """Return the events of a run that ends well."""
        actors = [self._branch((self.root,)) for _ in range(self.choose.randint(1, 3))]
        made = [self._event("on_chain_start", self.root, (), input=HIDDEN)]
        while actors:
            actor = self.choose.choice(actors)
            event = next(actor, None)
            if event is None:
                actors.remove(actor)
            else:
                made.append(event)
        made.append(self._event("on_chain_end", self.root, (), output={"answer": HIDDEN}, input=HIDDEN))
        self.seen.texts = ["".join(pieces) for pieces in self._models]
        return made

    def _run_id(self) -> str:
        self._count += 1
        return f"00000000-0000-7000-8000-{self._count:012}"

    def _event(self, name: str, run_id: str, parents: Any, shown: str = "chain", tags: Any = (), **data: Any) -> dict[str, Any]:
        return {
            "event": name,
            "run_id": run_id,
            "parent_ids": list(parents),
            "name": shown,
            "tags": list(tags),
            "metadata": {"secret": HIDDEN},
            "data": data,
        }

    # -- actors

    def _branch(self, parents: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        """A node in which models and what they call follow each other."""
        node = self._run_id()
        yield self._event("on_chain_start", node, parents, "node", input=HIDDEN)
        inside = (*parents, node)
        for _ in range(self.choose.randint(1, 2)):
            kind = self.choose.randrange(8)
            if kind == 0:
                yield self._event("on_custom_event", self.root, parents, "progress", done=(step := self.choose.randrange(9)))
                self.seen.custom.append(("progress", {"done": step}))
            elif kind == 1:
                yield from self._retriever(inside)
            else:
                yield from self._model(inside)
        yield self._event("on_chain_end", node, parents, "node", output=HIDDEN, input=HIDDEN)

    def _retriever(self, parents: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        run_id = self._run_id()
        yield self._event("on_retriever_start", run_id, parents, input={"query": HIDDEN})
        found = Document(HIDDEN, metadata={"title": f"note {self.choose.randrange(3)}", "path": HIDDEN})
        if found.metadata["title"] not in self.seen.sources:
            self.seen.sources.append(found.metadata["title"])
        yield self._event("on_retriever_end", run_id, parents, output=[found], input={"query": HIDDEN})

    def _model(self, parents: tuple[str, ...], *, shown: bool = True) -> Iterator[dict[str, Any]]:
        run_id = self._run_id()
        silent = shown and self.choose.randrange(8) == 0
        tags = ["nostream"] if silent else []
        visible = shown and not silent

        def event(phase: str, **data: Any) -> dict[str, Any]:
            return self._event(f"on_chat_model_{phase}", run_id, parents, "model", tags, **data)

        yield event("start", input={"messages": [[HIDDEN]]})
        words = [self.choose.choice(WORDS) for _ in range(self.choose.randint(0, 4))]
        calls = [self._call() for _ in range(self.choose.choice((0, 0, 1, 1, 2, 3)))] if shown else []
        pieces: list[str] = []
        streams = self.choose.random() < 0.8
        if streams:
            for word in words:
                yield event("stream", chunk=AIMessageChunk(content=word))
                if visible and not pieces:
                    self._models.append(pieces)
                pieces.append(word)
            for chunk in self._call_chunks(calls):
                yield event("stream", chunk=chunk)
        elif visible and words:
            self._models.append(pieces)
            pieces.extend(words)
        given = [{"name": call["name"], "args": call["input"], "id": call["id"], "type": "tool_call"} for call in calls]
        if streams and not calls and not silent and self.choose.randrange(10) == 0:
            return  # given up for another one; its end never comes
        if visible:
            self.seen.tools += calls
        yield event("end", output=AIMessage("".join(words), tool_calls=given), input={"messages": [[HIDDEN]]})
        yield from self._tools(calls, parents)
        if silent:
            self.seen.tools += calls

    def _call(self) -> dict[str, Any]:
        self._calls += 1
        arguments = {"q": self.choose.choice(WORDS), "n": self._calls}
        given_id = self.choose.choice((f"call_{self._calls}", f"call_{self._calls}", None, "call_same"))
        name = self.choose.choice(NAMES)
        return {"name": name, "input": arguments, "id": f"call_{self._calls}" if name == DISGUISED else given_id}

    def _call_chunks(self, calls: list[dict[str, Any]]) -> Iterator[AIMessageChunk]:
        left = [json.dumps(call["input"]) for call in calls]
        begun: set[int] = set()
        while any(left):
            index = self.choose.choice([index for index, rest in enumerate(left) if rest])
            size = self.choose.randint(1, 12)
            part: Any = {"index": index, "args": left[index][:size], "id": None, "name": None, "type": "tool_call_chunk"}
            if index not in begun:
                begun.add(index)
                part.update(id=calls[index]["id"], name=calls[index]["name"])
            left[index] = left[index][size:]
            yield AIMessageChunk(content="", tool_call_chunks=[part])

    def _tools(self, calls: list[dict[str, Any]], parents: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        actors = [self._tool(call, parents) for call in calls]
        while actors:
            actor = self.choose.choice(actors)
            event = next(actor, None)
            if event is None:
                actors.remove(actor)
            else:
                yield event

    def _tool(self, call: dict[str, Any], parents: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        for attempt in range(self.choose.choice((1, 1, 2))):
            run_id = self._run_id()
            given = {**call["input"], "injected": HIDDEN} if self.choose.random() < 0.3 else call["input"]
            has_id = call["id"] not in (None, "call_same")
            if call["name"] == DISGUISED:
                given = {"other": HIDDEN}  # so that its end alone tells whose it is
            yield self._event("on_tool_start", run_id, parents, call["name"], input=given)
            if self.choose.randrange(4) == 0:
                yield from self._model((*parents, run_id), shown=False)
            if attempt == 0 and self.choose.randrange(3) == 0:
                yield self._event(
                    "on_tool_error", run_id, parents, call["name"], error=ValueError(HIDDEN), tool_call_id=call["id"]
                )
                call["output"] = "Tool failed"
                continue
            result = f"result {call['input']['n']}"
            as_message = has_id and (call["name"] == DISGUISED or self.choose.random() < 0.7)
            output = ToolMessage(result, tool_call_id=call["id"]) if as_message else result
            call["output"] = result
            yield self._event("on_tool_end", run_id, parents, call["name"], output=output, input=given)
            return


def spoilt(events: list[dict[str, Any]], choose: Random) -> list[Any]:
    """Return events as they should not come: some missing, twice, in another order, of no run, or no events at all."""
    made: list[Any] = list(events)
    for _ in range(choose.randint(1, 6)):
        if not made:
            break
        at = choose.randrange(len(made))
        fault = choose.randrange(7)
        if fault == 0:
            del made[at]
        elif fault == 1:
            made.insert(choose.randrange(len(made) + 1), made[at])
        elif fault == 2:
            other = choose.randrange(len(made))
            made[at], made[other] = made[other], made[at]
        elif fault == 3:  # a filter
            kind = choose.choice(("chat_model", "tool", "chain", "on_chain_start", "_start", "_end", "_stream"))
            made = [event for event in made if not isinstance(event, dict) or kind not in event["event"]]
        elif fault == 4:
            made[at] = {**made[at], "parent_ids": []} if isinstance(made[at], dict) else made[at]
        elif fault == 5:
            made = made[:at]
        elif isinstance(made[at], dict):
            made[at] = {**made[at], "data": choose.choice(({}, {"chunk": None, "output": None}, {"output": [1], "chunk": "x"}))}
    return made
