"""`AnswerWindow`: finds an agent's answer in the old way, by whole tokens.

Source: `FinalStreamingStdOutCallbackHandler` (`langchain/callbacks/streaming_stdout_final_only.py`, 0.2.17). Lanarky's bytes
depend on it, and subclasses of the old handlers call its methods.
"""

from __future__ import annotations

from callbridge.core.final import DEFAULT_PREFIX
from callbridge.errors import ArgumentError

__all__ = ["AnswerWindow"]


class AnswerWindow:
    """Remembers the last few tokens and compares them with the prefix. A mixin for handlers."""

    answer_prefix_tokens: list[str]
    answer_prefix_tokens_stripped: list[str]
    last_tokens: list[str]
    last_tokens_stripped: list[str]
    strip_tokens: bool
    stream_prefix: bool
    answer_reached: bool

    def set_prefix(self, answer_prefix_tokens: list[str] | None, strip_tokens: bool, stream_prefix: bool) -> None:
        """Set all attributes, for a handler that has heard nothing yet.

        Raises:
            ArgumentError: The tokens are one string.
        """
        _check_tokens(answer_prefix_tokens)
        tokens: list[str] = list(DEFAULT_PREFIX) if answer_prefix_tokens is None else answer_prefix_tokens
        self.answer_prefix_tokens = tokens
        self.answer_prefix_tokens_stripped = [token.strip() for token in tokens] if strip_tokens else tokens
        self.strip_tokens = strip_tokens
        self.stream_prefix = stream_prefix
        self.forget_tokens()

    def forget_tokens(self) -> None:
        """Forget all tokens."""
        self.answer_reached = False
        self.last_tokens = [""] * len(self.answer_prefix_tokens)
        self.last_tokens_stripped = [""] * len(self.answer_prefix_tokens)

    def append_to_last_tokens(self, token: str) -> None:
        """Remember a token, and keep as many tokens as the prefix has."""
        for tokens, last in ((self.last_tokens, token), (self.last_tokens_stripped, token.strip())):
            tokens.append(last)
            if len(tokens) > len(self.answer_prefix_tokens):
                del tokens[0]

    def check_if_answer_reached(self) -> bool:
        """Return whether the last tokens are those of the prefix."""
        if self.strip_tokens:
            return self.last_tokens_stripped == self.answer_prefix_tokens_stripped
        return self.last_tokens == self.answer_prefix_tokens


def _check_tokens(tokens: object) -> None:
    if isinstance(tokens, str):
        raise ArgumentError("answer_prefix_tokens", tokens, "None or a list of tokens: ['Final', ' Answer', ':']")
