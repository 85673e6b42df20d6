"""What the tests of whole applications share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _clients_are_collected() -> Iterator[None]:
    """OpenAI's clients close themselves when they are collected: here, where no loop of another test runs."""
    yield
    gc.collect()
