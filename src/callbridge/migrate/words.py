"""Words: tables of names, written as text with one word after the other, and nouns with their number."""

from __future__ import annotations

__all__ = ["counted", "words"]


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


def counted(number: int, noun: str) -> str:
    """Return a number and what it counts: `1 file`, `2 files`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
