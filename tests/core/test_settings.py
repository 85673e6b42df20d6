"""What a model's metadata says of its settings."""

from __future__ import annotations

from callbridge.core.settings import settings_of


def test_settings_bear_the_names_that_handlers_look_for() -> None:
    """The model under both of its names. Missing settings are left out, settings of 0 are not."""
    metadata = {"ls_model_name": "m-1", "ls_temperature": 0.0, "ls_max_tokens": 5, "ls_stop": ["."], "user": "u"}
    assert settings_of(metadata) == {"model": "m-1", "model_name": "m-1", "temperature": 0.0, "max_tokens": 5, "stop": ["."]}
    assert settings_of({"ls_model_name": None, "ls_provider": "p", "ls_model_type": "chat"}) == {}
