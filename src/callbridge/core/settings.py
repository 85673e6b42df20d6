"""`settings_of`: finds a model's settings in its metadata, under the names of `invocation_params`.

LangChain puts them there for its own tracer, under names that begin with `ls_`. Third-party handlers look for them in
`invocation_params` or in `serialized["kwargs"]`, under the names that integrations use.

Source: `_get_ls_params` (`langchain_core/language_models`, 0.3.0 to 1.8.3, and the integrations).
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
"""The names that handlers look for, by LangChain's name of the setting."""


def settings_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a model run in a new dict, which is empty if there are none."""
    return {name: metadata[key] for key, names in _NAMES.items() if metadata.get(key) is not None for name in names}
