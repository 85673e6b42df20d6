"""What the tests of the web share: real clients, one process of them for all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from web.node_clients import Clients


@pytest.fixture(scope="session")
def clients() -> Iterator[Clients]:
    """Give the clients; skip, or fail in CI, if they cannot be had."""
    made = Clients()
    yield made
    made.close()
