"""Suppressions: a comment with a code and a reason, on the line or above it; those that do nothing are reported."""

from __future__ import annotations

import pytest

from callbridge.migrate.commands.scan import Settings, scan_text

IMPORT = "from langchain.callbacks import StdOutCallbackHandler"


def outcome(text: str, **given: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the codes that are reported and those that are suppressed."""
    result = scan_text(text, "a.py", None, Settings(**given))
    return [finding.rule for finding in result.findings], [finding.rule for finding in result.suppressed]


COUNTING = {
    "on the line": f"{IMPORT}  # callbridge: ignore[CB101] the old page goes in May\n",
    "above it": f"# callbridge: ignore[CB101] the old page goes in May\n{IMPORT}\n",
    "above it, with others between": f"# callbridge: ignore[CB101] old\n# noqa\n\n{IMPORT}\n",
    "with another code": f"{IMPORT}, get_openai_callback  # callbridge: ignore[CB101, CB103] old\n",
    "after another comment": f"{IMPORT}  # noqa  # callbridge: ignore[CB101] x\n",
    "in a call of several lines": (
        "from langchain_openai import ChatOpenAI\nllm = ChatOpenAI(\n    callback_manager=[\n        x,\n"
        "    ],  # callbridge: ignore[CB201,CB203] kept for the demo\n)\n"
    ),
}


@pytest.mark.parametrize("text", COUNTING.values(), ids=COUNTING)
def test_a_suppression_with_a_reason_counts(text: str) -> None:
    reported, suppressed = outcome(text)
    assert reported == []
    assert suppressed


USELESS = {
    "no reason": (f"{IMPORT}  # callbridge: ignore[CB101]\n", ["CB101", "CB901"]),
    "no code": (f"{IMPORT}  # callbridge: ignore because\n", ["CB101", "CB901"]),
    "a code that is none": (f"{IMPORT}  # callbridge: ignore[E501] long\n", ["CB101", "CB901"]),
    "another rule": (f"{IMPORT}  # callbridge: ignore[CB301] old\n", ["CB101", "CB901"]),
    "one of two": (f"{IMPORT}  # callbridge: ignore[CB101,CB301] old\n", ["CB901"]),
    "nothing there": ("# callback\nx = 1  # callbridge: ignore[CB101] old\n", ["CB901"]),
    "another line": (f"x = 1  # callbridge: ignore[CB101] old\n{IMPORT}\n", ["CB901", "CB101"]),
    "itself": ("# callback\nx = 1  # callbridge: ignore[CB901] old\n", ["CB901"]),
}


@pytest.mark.parametrize(("text", "expected"), USELESS.values(), ids=USELESS)
def test_what_suppresses_nothing_is_reported(text: str, expected: list[str]) -> None:
    assert outcome(text)[0] == expected


def test_strings_are_no_suppressions() -> None:
    """Only comments count."""
    assert outcome(f'{IMPORT}; x = "# callbridge: ignore[CB101] old"\n') == (["CB101"], [])
    assert outcome('"""\n# callbridge: ignore[CB101] old\n"""\n# callback\n') == ([], [])


def test_rules_that_are_not_looked_for_make_no_suppression_unused() -> None:
    """`--select CB3` says nothing about a suppression of CB101."""
    text = f"{IMPORT}  # callbridge: ignore[CB101] old\n"
    assert outcome(text, select=("CB3", "CB9")) == ([], [])
    assert outcome(text, ignore=("CB101",)) == ([], [])
    assert outcome("# callback\nx = 1  # callbridge: ignore[CB101] old\n", ignore=("CB901",)) == ([], [])
