"""Where the names of `langchain.callbacks*` live now. `scan` and `fix` share this table; it also checks what is installed.

Source: the re-exports of `langchain.callbacks` in langchain 0.3 and of `langchain_classic.callbacks` 1.0, each name imported
from its home in langchain-core 0.3.0 and 1.8, langchain-classic 1.0 and langchain-community 0.4. If several modules have
a name, the table has the one nearest to the top.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from callbridge.migrate.words import words

__all__ = ["REMOVED_NAMES", "Home", "home_of", "is_legacy_callback_module", "provides", "rule_of"]

Installed: TypeAlias = Literal["yes", "no", "not installed"]

_LEGACY_MODULE = re.compile(r"langchain\.callbacks(\.|$)")
_RULES = MappingProxyType({"langchain-core": "CB101", "langchain-classic": "CB102", "langchain-community": "CB103"})


class Home(NamedTuple):
    """Where a name of `langchain.callbacks` lives now.

    Attributes:
        module: The module to import it from.
        distribution: The distribution that has the module.
    """

    module: str
    distribution: str


_NAMES = MappingProxyType(
    {
        "langchain_core.callbacks": (
            "AsyncCallbackHandler AsyncCallbackManager AsyncCallbackManagerForChainGroup AsyncCallbackManagerForChainRun "
            "AsyncCallbackManagerForLLMRun AsyncCallbackManagerForRetrieverRun AsyncCallbackManagerForToolRun "
            "AsyncParentRunManager AsyncRunManager BaseCallbackHandler BaseCallbackManager BaseRunManager CallbackManager "
            "CallbackManagerForChainGroup CallbackManagerForChainRun CallbackManagerForLLMRun "
            "CallbackManagerForRetrieverRun CallbackManagerForToolRun CallbackManagerMixin Callbacks ChainManagerMixin "
            "FileCallbackHandler LLMManagerMixin ParentRunManager RetrieverManagerMixin RunManager RunManagerMixin "
            "StdOutCallbackHandler StreamingStdOutCallbackHandler ToolManagerMixin"
        ),
        "langchain_core.callbacks.manager": "ahandle_event atrace_as_chain_group handle_event trace_as_chain_group",
        "langchain_core.tracers": (
            "BaseTracer ConsoleCallbackHandler EvaluatorCallbackHandler LangChainTracer LogStreamCallbackHandler Run RunLog "
            "RunLogPatch"
        ),
        "langchain_core.tracers.context": "collect_runs register_configure_hook tracing_v2_callback_var tracing_v2_enabled",
        "langchain_core.tracers.evaluation": "wait_for_all_evaluators",
        "langchain_core.tracers.langchain": "wait_for_all_tracers",
        "langchain_core.tracers.log_stream": "LogEntry RunState",
        "langchain_core.tracers.root_listeners": "RootListenersTracer",
        "langchain_core.tracers.run_collector": "RunCollectorCallbackHandler",
        "langchain_core.tracers.stdout": "FunctionCallbackHandler elapsed try_json_stringify",
        "langchain_core.utils.env": "env_var_is_set",
        "langchain_classic.callbacks": "AsyncIteratorCallbackHandler FinalStreamingStdOutCallbackHandler",
        "langchain_classic.callbacks.streaming_aiter_final_only": "AsyncFinalIteratorCallbackHandler",
        "langchain_classic.callbacks.tracers.logging": "LoggingCallbackHandler",
        "langchain_community.callbacks": (
            "AimCallbackHandler ArgillaCallbackHandler ArizeCallbackHandler ArthurCallbackHandler ClearMLCallbackHandler "
            "CometCallbackHandler ContextCallbackHandler FlyteCallbackHandler HumanApprovalCallbackHandler "
            "InfinoCallbackHandler LLMThoughtLabeler LLMonitorCallbackHandler LabelStudioCallbackHandler "
            "MlflowCallbackHandler OpenAICallbackHandler PromptLayerCallbackHandler SageMakerCallbackHandler "
            "StreamlitCallbackHandler TrubricsCallbackHandler WandbCallbackHandler WhyLabsCallbackHandler "
            "get_openai_callback wandb_tracing_enabled"
        ),
        "langchain_community.callbacks.aim_callback": "import_aim",
        "langchain_community.callbacks.confident_callback": "DeepEvalCallbackHandler",
        "langchain_community.callbacks.human": "AsyncHumanApprovalCallbackHandler HumanRejectedException",
        "langchain_community.callbacks.labelstudio_callback": "LabelStudioMode get_default_label_configs",
        "langchain_community.callbacks.manager": "openai_callback_var wandb_tracing_callback_var",
        "langchain_community.callbacks.mlflow_callback": "MlflowLogger analyze_text",
        "langchain_community.callbacks.openai_info": (
            "MODEL_COST_PER_1K_TOKENS get_openai_token_cost_for_model standardize_model_name"
        ),
        "langchain_community.callbacks.streamlit.mutable_expander": "ChildRecord ChildType MutableExpander",
        "langchain_community.callbacks.streamlit.streamlit_callback_handler": (
            "CHECKMARK_EMOJI EXCEPTION_EMOJI HISTORY_EMOJI LLMThought LLMThoughtState THINKING_EMOJI ToolRecord"
        ),
        "langchain_community.callbacks.tracers.comet": "CometTracer import_comet_llm_api",
        "langchain_community.callbacks.tracers.wandb": "WandbRunArgs WandbTracer",
        "langchain_community.callbacks.utils": (
            "BaseMetadataCallbackHandler flatten_dict hash_string import_pandas import_spacy import_textstat load_json"
        ),
    }
)


def _home(module: str) -> Home:
    return Home(module, module.partition(".")[0].replace("_", "-"))


_HOMES = MappingProxyType({name: _home(module) for module, names in _NAMES.items() for name in names.split()})

# The class, which others extend. The modules above it have a function of this name, which makes one.
_STREAMLIT = "callbacks.streamlit.streamlit_callback_handler"
_HOMES_BY_PLACE = MappingProxyType(
    {(f"langchain.{_STREAMLIT}", "StreamlitCallbackHandler"): _home(f"langchain_community.{_STREAMLIT}")}
)

REMOVED_NAMES = words(
    "CallbackManagerClass SharedCallbackManager SharedTracer TracerSession TracerSessionBase TracerSessionCreate "
    "TracerSessionV1 TracerSessionV1Base TracerSessionV1Create LangChainTracerV1 Tracer get_callback_manager "
    "get_child_callbacks get_tracing_callback_manager set_callback_manager set_default_callback_manager set_handler "
    "set_tracing_callback_manager tracing_enabled tracing_callback_var StreamlitCallbackHandlerV1 GPTCacheCallbackHandler"
)
"""Names that `langchain.callbacks` once had, and that have no successor."""


def is_legacy_callback_module(module: str) -> bool:
    """Return whether a module is `langchain.callbacks` or below it, which LangChain 1.x does not have."""
    return _LEGACY_MODULE.match(module) is not None


def home_of(name: str, place: str = "") -> Home | None:
    """Return where a name of `langchain.callbacks*` lives now; None if nowhere, or unknown.

    Args:
        name: The imported name.
        place: The module that the code imports it from.
    """
    return _HOMES_BY_PLACE.get((place, name)) or _HOMES.get(name)


def rule_of(name: str) -> str:
    """Return the code of the rule for importing a name from `langchain.callbacks*`."""
    home = home_of(name)
    if home is not None:
        return _RULES[home.distribution]
    return "CB104" if name in REMOVED_NAMES else "CB101"


@cache
def provides(module: str, name: str) -> Installed:
    """Return whether an installed module binds a name. Reads its source and imports nothing.

    Args:
        module: Dotted name of a module.
        name: The name to import from it.
    """
    file = _file(module)
    if file is None:
        return "no" if "." in module and _file(module.partition(".")[0]) is not None else "not installed"
    return "yes" if name in _bound(ast.parse(file.read_bytes())) or _file(f"{module}.{name}") is not None else "no"


def _file(module: str) -> Path | None:
    """Return the source file of a module. Finds it without importing its packages."""
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
    """Return the names that a module binds, also under conditions, and those that `__all__` lists for lazy imports."""
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
