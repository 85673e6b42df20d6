"""`settings_of`: what a model's metadata says of its settings, in the words of `invocation_params`.

LangChain puts them there for its own tracer, under names that begin with `ls_`. Handlers of others look in
`invocation_params`, or in `serialized["kwargs"]`, under the names that integrations use.

Source: `_get_ls_params` (`langchain_core/language_models`, 0.3.0 to 1.8.3), and that of the integrations.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

__all__ = ["settings_of"]

_NAMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "ls_model_name": ("model", "model_name"),
        "ls_temperature": ("temperature",),
        "ls_max_tokens": ("max_tokens",),
        "ls_stop": ("stop",),
    }
)
"""LangChain's name of a setting to those that handlers look for."""


def settings_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a model run, in a dict of its own; empty if nothing is said of them."""
    return {name: metadata[key] for key, names in _NAMES.items() if metadata.get(key) is not None for name in names}
