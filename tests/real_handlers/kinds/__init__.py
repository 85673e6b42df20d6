"""The handlers: where each is made, what it is installed with, and what the page calls it.

Nothing of theirs is imported here: the page can be looked at without them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Final

from real_handlers.subject import Subject

__all__ = ["KINDS", "Kind"]


@dataclass(frozen=True)
class Kind:
    """One handler."""

    name: str
    module: str
    """Of this package; a function there that is called as the handler makes a `Subject`."""

    environment: str
    """The file of `requirements` that it is installed with."""

    title: str
    """Its heading; `{}` stands for the version of the distribution."""

    distribution: str = "langchain-core"
    left_out: tuple[str, ...] = ()
    """Runs whose branches, that go on in no certain order, it draws into one place."""

    def make(self) -> AbstractContextManager[Subject]:
        """Make the handler, with whatever it needs around it."""
        factory: Callable[[], AbstractContextManager[Subject]] = getattr(
            import_module(f"real_handlers.kinds.{self.module}"), self.name
        )
        return factory()


_ALL = (
    Kind("langfuse", "opentelemetry", "tracing", "Langfuse {}, `CallbackHandler`", "langfuse"),
    Kind(
        "openinference",
        "opentelemetry",
        "tracing",
        "openinference-instrumentation-langchain {}, its tracer",
        "openinference-instrumentation-langchain",
    ),
    Kind(
        "traceloop",
        "opentelemetry",
        "traceloop",
        "opentelemetry-instrumentation-langchain {} (Traceloop), spans",
        "opentelemetry-instrumentation-langchain",
    ),
    Kind("langsmith", "langchain", "community", "`LangChainTracer` of langchain-core {}, against a server on loopback"),
    Kind("opik", "opik", "opik", "Opik {}, `OpikTracer`, against a server on loopback", "opik"),
    Kind("braintrust", "braintrust", "braintrust", "Braintrust {}, `BraintrustCallbackHandler`", "braintrust"),
    Kind("mlflow", "mlflow", "mlflow", "MLflow {}, `MlflowLangchainTracer`", "mlflow"),
    Kind("weave", "weave", "weave", "Weave {}, `WeaveTracer`", "weave"),
    Kind("chainlit", "chainlit", "chainlit", "Chainlit {}, `AsyncLangchainCallbackHandler`", "chainlit"),
    Kind("streamlit", "streamlit", "community", "Streamlit {}, `StreamlitCallbackHandler`", "streamlit", ("parallel",)),
    Kind(
        "cost",
        "langchain",
        "community",
        "langchain-community {}, `OpenAICallbackHandler` (what `get_openai_callback` counts)",
        "langchain-community",
    ),
    Kind("usage", "langchain", "community", "`UsageMetadataCallbackHandler` of langchain-core {}"),
    Kind("stdout", "langchain", "community", "`StdOutCallbackHandler` of langchain-core {}"),
)

KINDS: Final = MappingProxyType({kind.name: kind for kind in _ALL})
"""In the order of the page."""
