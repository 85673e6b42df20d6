"""The old handlers' window over the last tokens."""

from __future__ import annotations

import pytest

from callbridge.core.window import AnswerWindow


def reached(prefix: list[str] | None, tokens: list[str], *, strip: bool = True) -> list[bool]:
    """Return after which tokens the prefix is there."""
    window = AnswerWindow()
    window.set_prefix(prefix, strip, stream_prefix=False)
    told = []
    for token in tokens:
        window.append_to_last_tokens(token)
        assert len(window.last_tokens) == len(window.last_tokens_stripped) <= max(1, len(window.answer_prefix_tokens))
        told.append(window.check_if_answer_reached())
    return told


@pytest.mark.parametrize(
    ("prefix", "strip", "want"),
    [
        (None, True, [False, False, False, True, False]),
        (None, False, [False, False, False, False, False]),
        ([" Answer", ":\n"], False, [False, False, False, True, False]),
        (["Answer", ":"], True, [False, False, False, True, False]),
        ([], True, [True] * 5),
    ],
)
def test_the_prefix_is_found_token_by_token(prefix: list[str] | None, strip: bool, want: list[bool]) -> None:
    """Stripped or as it is; a prefix of nothing is always there, and nothing is kept for it."""
    assert reached(prefix, ["I know", "Final", " Answer", ":\n", "tea"], strip=strip) == want
