"""How differences are told apart, and that nothing is called the same that is not."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from callbridge.testing.differences import Run, compare

TOKENS = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=12)


@given(old=TOKENS, new=TOKENS, models=st.integers(0, 3), cut=st.none() | st.integers(0, 12))
def test_no_difference_means_the_same_and_a_difference_means_another(old: Any, new: Any, models: int, cut: int | None) -> None:
    found = compare(old, new, Run(models, cut))
    assert bool(found) or [item for item in old if item] == [item for item in new if item]
    if old == new:
        assert not found


@given(old=TOKENS, new=TOKENS)
def test_the_differences_lead_from_one_side_to_the_other(old: Any, new: Any) -> None:
    """What is missing, extra or changed, applied to the old side, gives the new side."""
    found = [each for each in compare(old, new) if each.kind != "empty token"]
    items = [item for item in old if item]
    for each in reversed(found):
        assert items[each.position : each.position + len(each.old)] == list(each.old)
        items[each.position : each.position + len(each.old)] = each.new
    assert items == [item for item in new if item]


@given(new=st.lists(st.sampled_from("abc"), min_size=2, max_size=12), data=st.data())
def test_what_ends_with_the_first_of_several_models_is_truncated(new: Any, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(new) - 1))
    (found,) = compare(new[:cut], new, Run(2, cut))
    assert found.kind == "truncated"
    assert found.new == tuple(new[cut:])
    (found,) = compare(new[:cut], new, Run(1))
    assert found.kind == "extra"


def test_a_last_token_that_is_lost_at_the_end_of_the_model_is_a_legacy_bug() -> None:
    (found,) = compare(["a"], ["a", "b"], Run(1, 2))
    assert found.kind == "truncated"
    assert "last token" in found.why


def test_something_more_after_the_end_of_the_model_is_no_legacy_bug() -> None:
    (found,) = compare(["a", "b"], ["a", "b", "[DONE]"], Run(1, 2))
    assert found.kind == "extra"


def test_long_outputs_are_compared_in_little_time() -> None:
    old = [str(number) for number in range(50_000)]
    (found,) = compare(old, [*old[:100], "x", *old[100:]])
    assert (found.kind, found.position, found.new) == ("extra", 100, ("x",))
    (found,) = compare(old, [*(["x"] * 30_000), *old[40_000:]])
    assert (found.kind, len(found.old)) == ("changed", 40_000)
    assert len(str(found)) < 1000


def test_items_that_are_no_strings_are_compared_by_value() -> None:
    (found,) = compare([{"text": "a"}, {"text": "b"}], [{"text": "a"}, {"text": "c"}])
    assert (found.kind, found.old, found.new) == ("changed", ({"text": "b"},), ({"text": "c"},))
    assert compare([{"text": "a"}], [{"text": "a"}]) == []
