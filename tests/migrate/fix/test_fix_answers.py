"""CB306, CB307, CB401: a hook that returns early, and methods with which other code asks for what a handler keeps."""

from __future__ import annotations

import pytest
from fixing import check_noop, check_rewritten
from test_fix_inlining import HEAD, check_same

pytest.importorskip("libcst")

KEEP = """
    class Keep(BaseCallbackHandler):
        def __init__(self, box):
            self.box = box
            self.pieces = []

        def on_llm_new_token(self, token, **kwargs):
            self.pieces.append(token)
            self.box.markdown(token)

        def answer(self):
            '''Return all of it.'''
            return "".join(self.pieces).replace("e", self.mark())

        def whole(self) -> str:
            return "<" + "".join(self.pieces)

        @property
        def count(self) -> int:
            return len(self.pieces)

        def mark(self):
            return "!"

        def seen(self, start):
            return self.pieces[start:]

        def total(self):
            return sum(len(each) for each in self.pieces)
"""


def asking(asked: str) -> str:
    """Return a module whose `ask` returns what it asks of a handler after a call."""
    return f"""{HEAD}{KEEP}
    def ask(box, x):
        keep = Keep(box)
        chat = FakeChatModel(streaming=True, callbacks=[keep])
        chat.invoke(x)
        return {asked}
    """


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("keep.whole()", 'return "<" + "".join(pieces)\n'),
        ("keep.whole().strip()", 'return ("<" + "".join(pieces)).strip()'),
        ("str(keep.whole())", 'return str("<" + "".join(pieces))'),
        ("keep.count", "return len(pieces)"),
        ("keep.count and keep.whole()", 'return len(pieces) and ("<" + "".join(pieces))'),
    ],
)
def test_what_a_method_returns_of_the_handler_is_read_from_the_variables(asked: str, written: str) -> None:
    text = check_same(asking(asked), unsafe=True)
    assert written in text
    assert "class Keep" not in text


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("keep.answer()", "code outside the handler uses its answer"),
        ("keep.seen(1)", "code outside the handler uses its seen"),
        ("keep.total()", "code outside the handler uses its total"),
        ("keep.whole", "code outside the handler uses its whole"),
        ("map(str, keep.whole)", "code outside the handler uses its whole"),
    ],
)
def test_what_a_method_computes_in_another_way_keeps_the_handler(asked: str, reason: str) -> None:
    check_noop(asking(asked), reason)


def test_a_method_that_reads_what_no_hook_reads_keeps_the_handler() -> None:
    check_noop(
        f"""{HEAD}
    class Keep(BaseCallbackHandler):
        def __init__(self, name):
            self.name = name
            self.text = ""

        def on_llm_new_token(self, token, **kwargs):
            self.text += token

        def titled(self):
            return self.name + self.text

    def ask(box, x):
        keep = Keep("tea")
        FakeChatModel(streaming=True, callbacks=[keep]).invoke(x)
        return keep.titled()
    """,
        "its titled, which reads self.name: its hook does not",
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("if not token:\n                return", ""),
        ("if token.isspace(): return", "if token.isspace(): continue\n            "),
        (
            'if token == "e":  # «e»\n                return None',
            'if token == "e":  # «e»\n                continue\n            ',
        ),
    ],
)
def test_a_hook_that_returns_early_goes_on_with_the_next_text(before: str, after: str) -> None:
    text = check_same(
        f"""{HEAD}
    class Show(BaseCallbackHandler):
        def __init__(self, box):
            self.box = box

        def on_llm_new_token(self, token, **kwargs):
            {before}
            self.box.markdown(token)
            return token

    def ask(box, x):
        chat = FakeChatModel(streaming=True, callbacks=[Show(box)])
        return chat.invoke(x)
    """,
        unsafe=True,
    )
    assert f"for token in stream.text():\n            {after}box.markdown(token)\n" in text


def test_a_guard_against_empty_tokens_shows_that_the_handler_leaves_them_out() -> None:
    check_rewritten(
        """
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_openai import ChatOpenAI

    class Lines(BaseCallbackHandler):
        def on_llm_new_token(self, token: str, **kwargs) -> None:
            # nothing to show
            if not token:
                return
            print(f"> {token}")

    def main(x):
        ChatOpenAI(streaming=True, callbacks=[Lines()]).invoke(x)
    """,
        """
    from callbridge import stream_call
    from langchain_openai import ChatOpenAI

    def main(x):
        with stream_call(ChatOpenAI(streaming=True).invoke, x) as stream:
            for token in stream.text():
                print(f"> {token}")
    """,
    )


def test_a_guard_against_none_says_nothing_of_empty_tokens() -> None:
    check_noop(
        """
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_openai import ChatOpenAI

    class Lines(BaseCallbackHandler):
        def on_llm_new_token(self, token: str, **kwargs) -> None:
            if token is None:
                return
            print(f"> {token}")

    def main(x):
        ChatOpenAI(streaming=True, callbacks=[Lines()]).invoke(x)
    """,
        "it also got tokens without text before",
        unsafe=False,
    )


@pytest.mark.parametrize(
    "body",
    [
        "for letter in token:\n                if letter == ' ':\n                    return\n                print(letter)",
        "if token == ' ':\n                return self.text.append(token)\n            print(token)",
        "while token:\n                return\n            print(token)",
    ],
)
def test_a_return_that_does_more_than_leave_out_the_rest_stays(body: str) -> None:
    check_noop(
        f"""
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_openai import ChatOpenAI

    class Lines(BaseCallbackHandler):
        def __init__(self):
            self.text = []

        def on_llm_new_token(self, token: str, **kwargs) -> None:
            {body}

    def main(x):
        ChatOpenAI(streaming=True, callbacks=[Lines()]).invoke(x)
    """,
        "has a `return`",
    )
