"""The differences between the output of the old and the new code, and what they mean.

Pure: sequences in, differences out. The kinds, and their verdicts:

| kind | verdict | is |
|---|---|---|
| `empty token` | harmless | the old side put out empty strings: the role of a message, parts of a tool call |
| `split` | harmless | the same text, cut into other pieces |
| `truncated` | legacy bug | the old side stopped when the first model call did, or lost the last token at its end |
| `list token` | legacy bug | the old side had a list of content blocks, or lost its text; the new side has the text |
| `order` | regression | the same items in another order |
| `missing` | regression | only the old side has the item |
| `extra` | regression | only the new side has the item |
| `changed` | regression | both sides have an item at the same place, and it is not the same |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from callbridge.core.text import text_of

__all__ = ["Difference", "Kind", "Run", "Verdict", "compare", "is_list_token"]

Kind: TypeAlias = Literal["empty token", "split", "truncated", "list token", "order", "missing", "extra", "changed"]
Verdict: TypeAlias = Literal["harmless", "legacy bug", "regression"]

_VERDICTS: Final = MappingProxyType[Kind, Verdict](
    {
        "empty token": "harmless",
        "split": "harmless",
        "truncated": "legacy bug",
        "list token": "legacy bug",
        "order": "regression",
        "missing": "regression",
        "extra": "regression",
        "changed": "regression",
    }
)

_ALIGNED: Final = 2000
"""The most items to align, because alignment takes the square of their number. A longer stretch is one difference."""

_SHOWN: Final = 60
"""How many characters of an item a report shows."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One stretch in which the two sides differ.

    Example:
        ```python
        report = parity(chain.invoke, {"drink": "tea"}, handler=Collect([]), old=["Without"], new=lambda events: events.text())
        print([difference.kind for difference in report.differences])
        #> ['changed']
        ```
    """

    kind: Kind
    """The kind of difference."""

    position: int
    """The index of the first item, in the old side's output. Empty tokens do not count, except for their own kind."""

    old: tuple[Any, ...]
    """The items of the old side there."""

    new: tuple[Any, ...]
    """The items of the new side there."""

    why: str
    """The explanation, in a sentence."""

    @property
    def verdict(self) -> Verdict:
        """Whether it is harmless, a bug of the legacy code that the new code does not have, or a regression."""
        return _VERDICTS[self.kind]

    def __str__(self) -> str:
        sides = [f"{side} {_listed(items)}" for side, items in (("old", self.old), ("new", self.new)) if items]
        return f"{self.kind} at {self.position} ({self.verdict}): {'; '.join(sides)}\n    {self.why}"


@dataclass(frozen=True, slots=True)
class Run:
    """Facts about the run that both sides saw."""

    models: int = 0
    """Model calls that ended."""

    new_at_first_end: int | None = None
    """The number of items of the new side when the first of them ended."""

    list_texts: Collection[str] = ()
    """The texts of tokens that came as lists of content blocks."""


def is_list_token(item: Any) -> bool:
    """Return whether an item is a token from a model with content blocks."""
    return isinstance(item, list) and all(isinstance(block, (str, dict)) for block in item)


def compare(old: Sequence[Any], new: Sequence[Any], run: Run | None = None) -> list[Difference]:
    """Find the differences.

    Args:
        old: The items of the old side.
        new: The items of the new side.
        run: Facts about the run, which help to tell a bug of the old side from one of the new side.

    Returns:
        The differences, by position. Items are equal if they compare so, or else look the same (`repr`).
    """
    run = run or Run()
    if _same(old, new):
        return []
    found, old, new, cut = _without_empty(old, new, run.new_at_first_end)
    lists, old = _with_text(old, run.list_texts)
    found += lists
    if _same(old, new):
        return found
    whole = _explained(old, new, run, cut) or _reordered(old, new)
    return found + ([whole] if whole else _aligned(old, new, run))


def _without_empty(
    old: Sequence[Any], new: Sequence[Any], cut: int | None
) -> tuple[list[Difference], Sequence[Any], Sequence[Any], int | None]:
    """Leave out empty strings on both sides. Report those of the old side if it has more."""
    full_old, full_new = [item for item in old if not _is_empty(item)], [item for item in new if not _is_empty(item)]
    cut = None if cut is None else sum(1 for item in new[:cut] if not _is_empty(item))
    more = (len(old) - len(full_old)) - (len(new) - len(full_new))
    if more <= 0:
        return [], full_old, full_new, cut
    position, empty = next((place, item) for place, item in enumerate(old) if _is_empty(item))
    why = f"{more} empty tokens (the role of a message, parts of a tool call) that carry no text; `text()` leaves them out"
    return [Difference("empty token", position, (empty,) * more, (), why)], full_old, full_new, cut


def _is_empty(item: Any) -> bool:
    return isinstance(item, (str, bytes, list)) and not item


def _with_text(old: Sequence[Any], list_texts: Collection[str]) -> tuple[list[Difference], Sequence[Any]]:
    """Replace content blocks of the old side, as lists or as `str` shows them, by their text."""
    places = [place for place, item in enumerate(old) if is_list_token(item) or (list_texts and _is_shown_list(item))]
    if not places:
        return [], old
    items = tuple(old[place] for place in places)
    texts = {place: _text_in(old[place], list_texts) for place in places}
    why = "the model's tokens are lists of content blocks; the old side passes them on as lists, the new side has their text"
    told = [Difference("list token", places[0], items, tuple(texts.values()), why)]
    replaced = [texts.get(place, item) for place, item in enumerate(old)]
    return told, [item for item in replaced if not _is_empty(item)]


def _is_shown_list(item: Any) -> bool:
    return isinstance(item, str) and item.startswith("[{") and item.endswith("}]")


def _text_in(item: Any, list_texts: Collection[str]) -> str:
    """Return the text of content blocks; for a string made of them, the longest known text in it."""
    if isinstance(item, list):
        return text_of(item)
    return max((text for text in list_texts if repr(text) in item), key=len, default=item)


def _explained(old: Sequence[Any], new: Sequence[Any], run: Run, cut: int | None) -> Difference | None:
    """Return the one cause that explains all differences, if there is one."""
    old_text, new_text = _joined(old), _joined(new)
    if old_text is not None and old_text == new_text:
        return Difference("split", 0, tuple(old), tuple(new), "the same text, cut into other pieces")
    begins = len(old) < len(new) and _same(old, new[: len(old)])
    if cut is not None and run.models > 1 and 0 < cut < len(new):
        is_prefix = (begins and len(old) == cut) or (old_text is not None and old_text == _joined(new[:cut]))
        if is_prefix:
            why = (
                f"the old side ends with the first of {run.models} model calls: it takes `on_llm_end` for the end of the run, "
                "and loses everything after it"
            )
            return Difference("truncated", len(old), (), tuple(new[cut:]), why)
    if begins and cut is not None and len(old) == cut - 1:
        why = "the old side loses the last token when it and the end come together, as `AsyncIteratorCallbackHandler` does"
        return Difference("truncated", len(old), (), tuple(new[len(old) :]), why)
    return None


def _reordered(old: Sequence[Any], new: Sequence[Any]) -> Difference | None:
    if Counter(map(_key, old)) != Counter(map(_key, new)):
        return None
    first = next(place for place, (one, other) in enumerate(zip(old, new, strict=True)) if not _equal(one, other))
    last = next(place for place in range(len(old), 0, -1) if not _equal(old[place - 1], new[place - 1]))
    return Difference("order", first, tuple(old[first:last]), tuple(new[first:last]), "the same items in another order")


def _aligned(old: Sequence[Any], new: Sequence[Any], run: Run) -> list[Difference]:
    """Find the stretches that differ, between the equal items at both ends."""
    head = 0
    while head < min(len(old), len(new)) and _equal(old[head], new[head]):
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and _equal(old[-1 - tail], new[-1 - tail]):
        tail += 1
    left, right = old[head : len(old) - tail], new[head : len(new) - tail]
    if max(len(left), len(right)) > _ALIGNED:
        return [_stretch(head, left, right, run)]
    matcher = SequenceMatcher(None, [_key(item) for item in left], [_key(item) for item in right], autojunk=False)
    return [
        _stretch(head + start, left[start:end], right[begin:stop], run)
        for kind, start, end, begin, stop in matcher.get_opcodes()
        if kind != "equal"
    ]


def _stretch(position: int, old: Sequence[Any], new: Sequence[Any], run: Run) -> Difference:
    if not old and new and all(any(text in str(item) for text in run.list_texts) for item in new):
        why = "the model's tokens are lists of content blocks, on which the old side fails; LangChain logs that and goes on"
        return Difference("list token", position, (), tuple(new), why)
    if not old:
        return Difference("extra", position, (), tuple(new), "only the new side has this")
    if not new:
        return Difference("missing", position, tuple(old), (), "only the old side has this")
    return Difference("changed", position, tuple(old), tuple(new), "both sides have something here, and it is not the same")


def _same(old: Sequence[Any], new: Sequence[Any]) -> bool:
    return len(old) == len(new) and all(map(_equal, old, new))


def _equal(one: Any, other: Any) -> bool:
    return one is other or _key(one) == _key(other)


def _key(item: Any) -> Any:
    """Return the form in which to compare an item: a string itself, for anything else its `repr`."""
    return item if isinstance(item, (str, bytes, int)) else repr(item)


def _joined(items: Sequence[Any]) -> str | None:
    return "".join(items) if all(isinstance(item, str) for item in items) else None


def _listed(items: tuple[Any, ...]) -> str:
    shown = [text if len(text := repr(item)) <= _SHOWN else f"{text[:_SHOWN]}…" for item in items[:3]]
    return ", ".join(shown) + (f" and {len(items) - 3} more" if len(items) > 3 else "")
