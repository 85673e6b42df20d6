"""Where the names of `langchain.callbacks*` live now: a table keyed by name, and a look at what is installed.

Source: the re-exports of `langchain.callbacks` in langchain 0.3 and of `langchain_classic.callbacks` 1.0.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

__all__ = ["CLASSIC", "COMMUNITY", "home_of", "is_callbacks_module", "provides"]

Installed: TypeAlias = Literal["yes", "no", "not installed"]

CLASSIC = "langchain_classic"
COMMUNITY = "langchain_community"

_NAMES = MappingProxyType(
    {
        "langchain_core.callbacks": (
            "AsyncCallbackHandler AsyncCallbackManager AsyncCallbackManagerForChainGroup "
            "AsyncCallbackManagerForChainRun AsyncCallbackManagerForLLMRun AsyncCallbackManagerForRetrieverRun "
            "AsyncCallbackManagerForToolRun AsyncParentRunManager AsyncRunManager BaseCallbackHandler "
            "BaseCallbackManager BaseRunManager CallbackManager CallbackManagerForChainGroup "
            "CallbackManagerForChainRun CallbackManagerForLLMRun CallbackManagerForRetrieverRun "
            "CallbackManagerForToolRun CallbackManagerMixin Callbacks ChainManagerMixin FileCallbackHandler "
            "LLMManagerMixin ParentRunManager RetrieverManagerMixin RunManager RunManagerMixin "
            "StdOutCallbackHandler StreamingStdOutCallbackHandler ToolManagerMixin"
        ),
        "langchain_core.callbacks.manager": "ahandle_event atrace_as_chain_group handle_event trace_as_chain_group",
        "langchain_core.tracers": (
            "BaseTracer ConsoleCallbackHandler EvaluatorCallbackHandler LangChainTracer LogStreamCallbackHandler "
            "Run RunLog RunLogPatch"
        ),
        "langchain_core.tracers.context": "collect_runs tracing_v2_enabled",
        "langchain_core.tracers.langchain": "wait_for_all_tracers",
        "langchain_core.tracers.run_collector": "RunCollectorCallbackHandler",
        "langchain_core.tracers.stdout": "FunctionCallbackHandler",
        "langchain_core.utils.env": "env_var_is_set",
        "langchain_classic.callbacks": "AsyncIteratorCallbackHandler FinalStreamingStdOutCallbackHandler",
        "langchain_classic.callbacks.streaming_aiter_final_only": "AsyncFinalIteratorCallbackHandler",
        "langchain_classic.callbacks.tracers.logging": "LoggingCallbackHandler",
        "langchain_community.callbacks": (
            "AimCallbackHandler ArgillaCallbackHandler ArizeCallbackHandler ArthurCallbackHandler "
            "ClearMLCallbackHandler CometCallbackHandler ContextCallbackHandler FlyteCallbackHandler "
            "HumanApprovalCallbackHandler InfinoCallbackHandler LLMThoughtLabeler LLMonitorCallbackHandler "
            "LabelStudioCallbackHandler MlflowCallbackHandler OpenAICallbackHandler PromptLayerCallbackHandler "
            "SageMakerCallbackHandler StreamlitCallbackHandler TrubricsCallbackHandler WandbCallbackHandler "
            "WhyLabsCallbackHandler get_openai_callback wandb_tracing_enabled"
        ),
    }
)

_HOMES = MappingProxyType({name: module for module, names in _NAMES.items() for name in names.split()})


def is_callbacks_module(module: str) -> bool:
    """Return whether a module is `langchain.callbacks` or below, which langchain 1.x does not have."""
    return module == "langchain.callbacks" or module.startswith("langchain.callbacks.")


def home_of(name: str) -> str | None:
    """Return the module that a name of `langchain.callbacks*` is imported from now, or None if it has no successor."""
    return _HOMES.get(name)


@cache
def provides(module: str, name: str) -> Installed:
    """Return whether a module of what is installed here binds a name; read from its source, nothing is imported.

    Args:
        module: Dotted name of a module.
        name: What is to be imported from it.
    """
    file = _file(module)
    if file is None:
        return "no" if "." in module and _file(module.partition(".")[0]) is not None else "not installed"
    return "yes" if name in _bound(ast.parse(file.read_bytes())) or _file(f"{module}.{name}") is not None else "no"


def _file(module: str) -> Path | None:
    """Return the source of a module, found without importing its packages."""
    top, *below = module.split(".")
    spec = PathFinder.find_spec(top)
    places = [] if spec is None else [*(spec.submodule_search_locations or [])]
    for place in places:
        path = Path(place).joinpath(*below)
        for candidate in (path / "__init__.py", path.with_suffix(".py")):
            if candidate.is_file():
                return candidate
    return None


def _bound(tree: ast.Module) -> set[str]:
    """Return the names that a module binds, under conditions as well, and those that `__all__` lists for lazy imports."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Assign) and any(ast.unparse(target) == "__all__" for target in node.targets):
            names.update(str(each.value) for each in ast.walk(node.value) if isinstance(each, ast.Constant))
    return names
