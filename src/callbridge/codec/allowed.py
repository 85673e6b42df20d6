"""The classes that JSON may name: `dumps` writes only these as constructors, and `loads` constructs no others.

The keys are LangChain's own ids (`Serializable.lc_id`), so LangChain's `load`, in Python and in JavaScript, reads the JSON of
callbridge, and the other way round. All of them are plain data: none opens, fetches or runs anything when you use it.
That is why `langchain_core.load.mapping` is not the list: it has models, whose arguments say where requests go, and prompts,
whose templates are code; and `Blob` is not on it, because it reads the file that it names.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from langchain_core.agents import AgentStep
from langchain_core.documents import Document
from langchain_core.load.serializable import Serializable
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    ChatResult,
    Generation,
    GenerationChunk,
    LLMResult,
    RunInfo,
)
from langchain_core.prompt_values import ChatPromptValue, ChatPromptValueConcrete, ImagePromptValue, StringPromptValue

from callbridge.core.revive import AGENT_STEP_CLASSES, MESSAGE_CLASSES

__all__ = ["Id", "class_of_id", "id_of_class", "interrupt_of_id", "is_known_id", "listed_classes"]

_CLASSES: Final = (
    *MESSAGE_CLASSES,
    *AGENT_STEP_CLASSES,
    AgentStep,
    ChatGeneration,
    ChatGenerationChunk,
    ChatPromptValue,
    ChatPromptValueConcrete,
    ChatResult,
    Document,
    Generation,
    GenerationChunk,
    ImagePromptValue,
    LLMResult,
    RunInfo,
    StringPromptValue,
)

_ELSEWHERE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "langchain.agents.output_parsers.tools": ("ToolAgentAction",),
        "langchain_classic.agents.output_parsers.tools": ("ToolAgentAction",),
        "langgraph.types": ("Command", "Interrupt", "Send"),
    }
)
"""Module to classes, in packages that need not be installed. They are imported when JSON names one of them."""

_INTERRUPTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "GraphBubbleUp": "GraphBubbleUp",
        "GraphInterrupt": "GraphInterrupt",
        "NodeInterrupt": "GraphInterrupt",
        "ParentCommand": "GraphBubbleUp",
    }
)
"""The exceptions by which LangGraph pauses a graph, and the classes that `loads` restores them as. Handlers test for these.
The exception of a command would redirect the graph if code raised it again, so it becomes one without a command."""

Id: TypeAlias = tuple[str, ...]
"""The parts of a module's name, then that of a class."""


def id_of_class(kind: type[Any]) -> Id | None:
    """Return the id for instances of exactly this class; `None` if it is not allowed."""
    found = listed_classes().get(kind)
    if found is not None or kind.__name__ not in _ELSEWHERE.get(kind.__module__, ()):
        return found
    is_that_one = getattr(sys.modules.get(kind.__module__), kind.__name__, None) is kind
    return _own_id(kind) if is_that_one else None


def class_of_id(path: Id) -> type[Any] | None:
    """Return the class that an id names. `None` if it is not allowed, or its package is not installed."""
    found = _by_id().get(path)
    if found is not None or not _is_elsewhere(path):
        return found
    try:
        made: type[Any] | None = getattr(import_module(".".join(path[:-1])), path[-1], None)
    except ImportError:
        return None
    return made


def interrupt_of_id(path: Id) -> type[Exception] | None:
    """Return the class for an exception of LangGraph's that is not a failure. `None` for others, or if it is not installed."""
    name = _INTERRUPTS.get(path[-1]) if path[:-1] == ("langgraph", "errors") else None
    if name is None:
        return None
    try:
        made: type[Exception] | None = getattr(import_module("langgraph.errors"), name, None)
    except ImportError:
        return None
    return made


def is_known_id(path: Id) -> bool:
    """Return whether an id is on the list, installed or not."""
    return path in _by_id() or _is_elsewhere(path)


def _is_elsewhere(path: Id) -> bool:
    return any(path == (*module.split("."), name) for module, names in _ELSEWHERE.items() for name in names)


@cache
def listed_classes() -> Mapping[type[Any], Id]:
    """Return the classes of the list that are always installed, each with its id."""
    return MappingProxyType({kind: _lc_id(kind) for kind in _CLASSES})


@cache
def _by_id() -> Mapping[Id, type[Any]]:
    """Both LangChain's ids and the places where the classes are."""
    return MappingProxyType({_own_id(kind): kind for kind in _CLASSES} | {_lc_id(kind): kind for kind in _CLASSES})


def _lc_id(kind: type[Any]) -> Id:
    if issubclass(kind, Serializable) and kind.is_lc_serializable():
        return tuple(kind.lc_id())
    return _own_id(kind)  # LangChain has no id for results


def _own_id(kind: type[Any]) -> Id:
    return (*kind.__module__.split("."), kind.__name__)
