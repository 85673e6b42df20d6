"""Nearly a million items from every kind of producer to every kind of reader; `python -m proof.stress` does ten million."""

from __future__ import annotations

import pytest

from proof.stress import READERS, stress


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("capacity", "items"), [(7, 12_000), (1024, 300_000)])
def test_no_item_is_lost_or_doubled(reader: str, capacity: int, items: int) -> None:
    """Each producer's numbers arrive in their order, within the bound."""
    assert stress(reader, capacity, items) == items
