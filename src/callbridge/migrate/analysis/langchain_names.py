"""Names that the rules know in LangChain and related packages: hooks, methods, observers and models."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Literal, TypeAlias, TypeGuard

from callbridge.migrate.words import words

__all__ = [
    "BASES",
    "CALL_METHODS",
    "DEAD_HOOKS",
    "HOOKS",
    "HOOKS_WITHOUT_EVENT",
    "MANAGERS",
    "OTHER_CALLBACKS",
    "REMOVED_METHODS",
    "STREAM_METHODS",
    "Role",
    "builtin_role",
    "is_langchain",
    "is_other_callbacks",
    "is_producer_name",
    "owner_of",
]

Role: TypeAlias = Literal["stdout", "aiter", "final", "streamlit-agent", "approval", "observer", "token", "steps", "unknown"]
"""The role of a handler. `token`: a class of the project that handles tokens; `steps`: a class that shows an agent's steps;
`unknown`: the scan did not find the class."""


BASES = frozenset({"BaseCallbackHandler", "AsyncCallbackHandler", "BaseTracer", "AsyncBaseTracer", "CallbackManagerMixin"})
MANAGERS = frozenset({"CallbackManager", "AsyncCallbackManager", "BaseCallbackManager"})

HOOKS = words(
    "on_llm_start on_chat_model_start on_llm_new_token on_llm_end on_llm_error on_chain_start on_chain_end on_chain_error "
    "on_tool_start on_tool_end on_tool_error on_retriever_start on_retriever_end on_retriever_error on_agent_action "
    "on_agent_finish on_text on_retry on_custom_event on_stream_event on_interrupt on_resume"
)
HOOKS_WITHOUT_EVENT = MappingProxyType(
    {
        "on_text": "text that a chain logs",
        "on_retry": "a retry of a call",
        "on_agent_action": "the tool calls of the model's end carry it",
        "on_agent_finish": "the end of the root run carries it",
        "on_llm_error": "the exception leaves the iterator",
        "on_chain_error": "the exception leaves the iterator",
        "on_retriever_error": "the exception leaves the iterator",
    }
)
DEAD_HOOKS = words(
    "handle_llm_new_token handle_llm_start handle_llm_end handle_chain_start handle_chain_end handle_tool_start "
    "handle_tool_end on_new_token on_llm_token on_token on_llm_stream on_stream on_llm_finish on_chain_finish on_tool_finish "
    "on_agent_start on_agent_end on_agent_error on_chat_model_end on_chat_model_new_token on_chat_model_error "
    "on_chat_model_stream"
)
"""Methods that look like callbacks, but LangChain never calls them."""

CALL_METHODS = words(
    "run arun acall invoke ainvoke stream astream batch abatch predict apredict predict_messages apredict_messages generate "
    "agenerate generate_prompt agenerate_prompt apply aapply get_relevant_documents aget_relevant_documents astream_log "
    "combine_docs acombine_docs plan aplan call_as_llm __call__ transform atransform iter aiter"
)
STREAM_METHODS = frozenset({"stream", "astream", "astream_events", "stream_events", "astream_log"})
REMOVED_METHODS = words("predict apredict predict_messages apredict_messages call_as_llm")

_PRODUCER = re.compile(r"\w*(ManagerFor\w+(Run|Group)|RunManager)$|Callbacks$")
_LANGCHAIN = re.compile(r"(langchain|langchain_\w+|langgraph|langserve|langsmith)(\.|$)")
_OF_PROJECTS = re.compile(
    r"langchain_(agents?|api|app|bot|chains?|chatbot|client|code|config|demo|functions?|handlers?|helpers?|llms?|logic|main|manager"
    r"|module|pipeline|prompts?|qa|rag|service|setup|tools?|utilit(y|ies)|utils?|wrapper)(\.|$)"
)
"""Modules that projects name so; no package of LangChain's partners has such a name."""

OTHER_CALLBACKS = words(
    "keras tensorflow tf_keras tf lightning pytorch_lightning lightning_fabric torch pl transformers sklearn xgboost "
    "lightgbm catboost optuna ray fastai skorch flax optax stable_baselines3 sb3_contrib gymnasium setfit "
    "sentence_transformers trl diffusers ultralytics skopt hyperopt scipy aiogram telegram dash tornado discord boto3 "
    "llama_index gpt_index semantic_kernel haystack autogen dspy litellm openai mlx paddle mxnet chainer jax tpot bokeh dask "
    "distributed"
)
"""Packages with their own callbacks or callback managers."""

# These report, count or draw, and pass tokens to nobody.
_OBSERVER_PACKAGES = words(
    "langfuse langsmith wandb mlflow aim comet_ml comet_llm arize phoenix openinference traceloop helicone llmonitor lunary "
    "promptlayer chainlit deepeval trulens trulens_eval context argilla clearml whylogs langkit infino sagemaker trubrics "
    "uptrain label_studio_sdk fiddler flytekitplugins opik agentops literalai langtrace_python_sdk weave ragas giskard "
    "ddtrace zep posthog athina_logger portkey_ai nemoguardrails honeyhive graphsignal log10 pezzo xpander parea baserun "
    "langwatch judgeval galileo galileo_observe maxim patronus keywordsai langchain_decorators sentry_sdk elasticapm "
    "newrelic"
)
_ELSEWHERE = re.compile(r"llama_?index|haystack", re.I)
_OBSERVING_CONTEXTS = words(
    "get_openai_callback get_usage_metadata_callback get_bedrock_anthropic_callback collect_runs tracing_v2_enabled "
    "wandb_tracing_enabled"
)
_ROLES: MappingProxyType[str, Role] = MappingProxyType(
    {
        "StreamingStdOutCallbackHandler": "stdout",
        "AsyncIteratorCallbackHandler": "aiter",
        "AsyncFinalIteratorCallbackHandler": "final",
        "FinalStreamingStdOutCallbackHandler": "final",
        "StreamlitCallbackHandler": "streamlit-agent",
        "HumanApprovalCallbackHandler": "approval",
        "AsyncHumanApprovalCallbackHandler": "approval",
    }
)


def is_langchain(dotted: str | None) -> TypeGuard[str]:
    """Return whether a dotted name belongs to LangChain's packages; None does not."""
    return dotted is not None and _LANGCHAIN.match(dotted) is not None and _OF_PROJECTS.match(dotted) is None


def is_producer_name(name: str) -> bool:
    """Return whether a name belongs to the producer side: run managers, and the type of callback arguments."""
    return _PRODUCER.match(name) is not None


def is_other_callbacks(dotted: str) -> bool:
    """Return whether a dotted name belongs to a package with its own callbacks."""
    return dotted.partition(".")[0] in OTHER_CALLBACKS


def builtin_role(dotted: str) -> Role | None:
    """Return the role of a handler that LangChain or an observability package ships; None for other names."""
    package, name = dotted.partition(".")[0], dotted.rpartition(".")[2]
    if package in _OBSERVER_PACKAGES and package != "langsmith":
        for_langchain = "langchain" in dotted.lower() and name.endswith(("Handler", "Tracer", "Callback"))
        return "observer" if (name.endswith("CallbackHandler") or for_langchain) and not _ELSEWHERE.search(dotted) else None
    if not is_langchain(dotted) or name in BASES or name in MANAGERS:
        return None
    if name in _ROLES:
        return _ROLES[name]
    observing = name.endswith(("CallbackHandler", "Tracer")) or name in _OBSERVING_CONTEXTS
    return "observer" if observing and "Base" not in name else None


_MODEL_MODULES = re.compile(r"langchain(_community|_classic)?\.(llms|chat_models)(\.|$)")
_CHAIN_MODULES = re.compile(
    r"langchain(_community|_classic|_experimental)?\.(chains|agents|retrievers|memory|document_loaders|graphs)(\.|$)"
)
_TOOL_MODULES = re.compile(r"langchain(_community|_classic|_core)?\.(tools|utilities|agents\.agent_toolkits)(\.|$)")
_NO_MODEL = re.compile(r"Embedding|Retriev|Store|Loader|Splitter|Parser|Index|Search|Tool|Message|Handler|Prompt|Memory")
_TOP_MODELS = words("OpenAI AzureOpenAI Anthropic Cohere HuggingFaceHub LlamaCpp VertexAI OpenAIChat Bedrock Ollama")


def owner_of(dotted: str) -> Literal["model", "chain", "tool", "unknown"]:
    """Return the kind of object that a LangChain class or factory makes, by its resolved name."""
    package, _, rest = dotted.partition(".")
    name = next((part for part in rest.split(".") if part[:1].isupper()), rest.rpartition(".")[2])
    if _MODEL_MODULES.match(dotted) or name == "init_chat_model":
        return "model"
    if _TOOL_MODULES.match(dotted):
        return "tool"
    if _CHAIN_MODULES.match(dotted):
        return "chain"
    if package == "langchain" and rest:
        return "model" if name in _TOP_MODELS else "chain" if name.endswith(("Chain", "Agent", "Executor")) else "unknown"
    partner = package.startswith("langchain_") and package not in ("langchain_core", "langchain_classic", "langchain_community")
    return "model" if partner and name[:1].isupper() and not _NO_MODEL.search(name) else "unknown"
