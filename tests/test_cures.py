"""The cause and the cure of each error."""

from __future__ import annotations

import inspect
import traceback

import pytest

import callbridge
import callbridge.errors
import callbridge.web
from callbridge.cures import CURES
from callbridge.migrate.commands.explain import explain


def error_classes() -> set[type]:
    """Return every error and warning that users can get from callbridge."""
    bases = (callbridge.CallbridgeError, callbridge.CallbridgeWarning)
    return {
        value
        for module in (callbridge.errors, callbridge.web)
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, bases)
    }


def test_each_error_has_a_cause_and_a_cure() -> None:
    """No class is forgotten, and none is described that is gone."""
    assert set(CURES) == {error.__name__ for error in error_classes()}


@pytest.mark.parametrize("name", CURES)
def test_explain_tells_them(name: str) -> None:
    """By the bare name, and as a traceback writes it."""
    told = explain(f"callbridge.errors.{name}")
    assert told == explain(name)
    assert told.startswith(f"{name}\n\nCause\n    ")
    assert "\n\nCure\n    " in told


def test_a_traceback_says_where_to_read_on() -> None:
    """The message stays what it is, and the command below it can be typed."""
    with pytest.raises(callbridge.CapacityError) as caught:
        callbridge.open_channel(0)
    shown = "".join(traceback.format_exception_only(caught.value))
    assert shown.splitlines()[-1] == "`python -m callbridge explain CapacityError` says more."
    assert "explain" not in str(caught.value)
