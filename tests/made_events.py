"""Events made by hand, for tests that need one of a certain kind more than a real run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk

__all__ = ["Run", "chat_run", "uuid_of"]


def uuid_of(number: int) -> str:
    """A readable UUID."""
    return f"00000000-0000-4000-8000-{number:012d}"


_numbers: Iterator[int] = count(1)


class Run:
    """Makes the events of one run.

    Args:
        run_type: As in `on_{run_type}_start`.
        name: The run's name.
        parent: The run it is below.
        **fields: Other fields of its events.
    """

    def __init__(self, run_type: str = "chain", name: str = "thing", parent: Run | None = None, **fields: Any) -> None:
        self.run_type = run_type
        self.fields = {
            "name": name,
            "run_id": uuid_of(next(_numbers)),
            "tags": ["seq:step:1"],
            "metadata": {"user": "u"},
            "parent_ids": [] if parent is None else [*parent.fields["parent_ids"], parent.fields["run_id"]],
            **fields,
        }

    @property
    def id(self) -> str:
        """Its run id."""
        return str(self.fields["run_id"])

    def event(self, name: str, data: Any) -> dict[str, Any]:
        """Any event."""
        return {"event": name, "data": data, **self.fields}

    def start(self, **data: Any) -> dict[str, Any]:
        """Its start event."""
        return self.event(f"on_{self.run_type}_start", data)

    def stream(self, chunk: Any) -> dict[str, Any]:
        """One of its chunks."""
        return self.event(f"on_{self.run_type}_stream", {"chunk": chunk})

    def end(self, output: Any = None, **data: Any) -> dict[str, Any]:
        """Its end event."""
        return self.event(f"on_{self.run_type}_end", {"output": output, **data})

    def error(self, error: Any, **data: Any) -> dict[str, Any]:
        """Its error event, of the extended vocabulary."""
        return self.event(f"on_{self.run_type}_error", {"error": error, "status": "failed", **data})


def chat_run(*tokens: str) -> list[dict[str, Any]]:
    """The events of a chain around a chat model that streams these tokens."""
    chain = Run("chain", "RunnableSequence")
    model = Run("chat_model", "FakeChatModel", chain)
    answer = "".join(tokens)
    return [
        chain.start(input="hi"),
        model.start(input={"messages": [[]]}),
        *(model.stream(AIMessageChunk(content=token)) for token in tokens),
        model.end(AIMessage(content=answer), input={"messages": [[]]}),
        chain.end(answer),
    ]
