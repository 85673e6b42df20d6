"""CB703 to CB705, CB707 and CB708: edits of code that reads version 3."""

from __future__ import annotations

import pytest
from fixing import check_noop, check_rewritten, code

from callbridge.migrate.commands.scan import scan_source
from callbridge.migrate.edits.rewriting import Options, rewrite

pytest.importorskip("libcst")

HEAD = "import langchain_core\n\n"


def check(before: str, after: str, *, unsafe: bool = False) -> None:
    check_rewritten(HEAD + code(before), HEAD + code(after), unsafe=unsafe)


# -- CB703: not awaited


def test_a_loop_over_the_coroutine_awaits_it() -> None:
    safe = Options()
    before = """
        async def read(model):
            async for event in model.astream_events("q", version="v3"):  # all of it
                show(event)
        """
    rewritten = rewrite(HEAD + code(before), safe)
    assert 'async for event in await model.astream_events("q", version="v3"):  # all of it' in rewritten.text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "events = model.astream_events(q, version='v3')\n    async for event in events:\n        show(event)",
            "events = await model.astream_events(q, version='v3')\n    async for event in events:\n        show(event)",
        ),
        (
            "return [event async for event in model.astream_events(q, version='v3')]",
            "return [event async for event in await model.astream_events(q, version='v3')]",
        ),
    ],
    ids=["a variable", "a comprehension"],
)
def test_so_does_what_reads_it_otherwise(before: str, after: str) -> None:
    check(f"async def read(model, q):\n    {before}\n", f"async def read(model, q):\n    {after}\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "async def read(model, q):\n    events = model.astream_events(q, version='v3')\n    keep(events)\n"
            "    async for event in events: ...\n",
            "the code does more with",
        ),
        (
            "def start(model, q):\n    events = model.astream_events(q, version='v3')\n    async def read():\n"
            "        async for event in events: ...\n    return read\n",
            "not in an `async def`",
        ),
    ],
)
def test_what_cannot_be_awaited_stays(text: str, reason: str) -> None:
    check_noop(HEAD + text, reason, rule="CB703")


def test_an_own_method_of_that_name_may_be_meant() -> None:
    text = (
        HEAD + "class Own:\n    async def astream_events(self, q, version):\n        yield q\n\n"
        "async def read(own):\n    async for event in own.astream_events(1, version='v3'):\n        show(event)\n"
    )
    check_noop(text, "of its own", rule="CB703", unsafe=False)
    assert "with await own.astream_events(1, version='v3')" in rewrite(text, Options(unsafe=True)).text


# -- CB704, CB707: not closed


def test_a_loop_over_a_stream_enters_it() -> None:
    check(
        """
        async def read(model, q):
            # Read it.
            async for event in await model.astream_events(q, version="v3"):
                show(event)  # each
                if enough(event):
                    break
            return 1
        """,
        """
        async def read(model, q):
            # Read it.
            async with await model.astream_events(q, version="v3") as stream:
                async for event in stream:
                    show(event)  # each
                    if enough(event):
                        break
            return 1
        """,
        unsafe=True,
    )


def test_a_stream_that_the_next_statement_reads_is_entered_for_it() -> None:
    check(
        """
        async def read(model, q):
            message = await model.astream_events(q, version="v3")
            async for text in message.text:
                show(text)
            return 1
        """,
        """
        async def read(model, q):
            async with await model.astream_events(q, version="v3") as message:
                async for text in message.text:
                    show(text)
            return 1
        """,
        unsafe=True,
    )


def test_an_end_that_handlers_would_not_hear_of_is_waited_for() -> None:
    check(
        """
        async def ask(model, q, config):
            message = await model.astream_events(q, config, version="v3")
            return [text async for text in message.text]
        """,
        """
        async def ask(model, q, config):
            async with await model.astream_events(q, config, version="v3") as message:
                return [text async for text in message.text]
        """,
        unsafe=True,
    )


@pytest.mark.parametrize(
    "text",
    [
        "async def read(model, q):\n    message = await model.astream_events(q, version='v3')\n    prepare()\n"
        "    async for text in message.text: ...\n",
        "async def read(model, q):\n    message = await model.astream_events(q, version='v3')\n"
        "    async for text in message.text: ...\n    show(message.usage)\n",
        "async def read(model, q):\n    message = None\n    message = await model.astream_events(q, version='v3')\n"
        "    async for text in message.text: ...\n",
    ],
    ids=["a statement between", "one after it", "assigned twice"],
)
def test_a_stream_that_more_than_that_reads_stays(text: str) -> None:
    check_noop(HEAD + text, "by hand", rule="CB704")


def test_leaving_ends_the_run_which_takes_unsafe() -> None:
    text = HEAD + "async def f(m):\n    async for e in await m.astream_events(1, version='v3'):\n        show(e)\n"
    check_noop(text, "which went on before", rule="CB704", unsafe=False)


def test_a_stream_of_an_else_stays() -> None:
    text = (
        HEAD + "async def f(m):\n    async for e in await m.astream_events(1, version='v3'): ...\n    else:\n        show(1)\n"
    )
    check_noop(text, "`else`", rule="CB704")


# -- CB705: handlers without tokens


@pytest.mark.parametrize(
    "body",
    [
        '    return graph.stream_events(q, {"callbacks": [HANDLER]}, version="v3").output\n',
        '    handler = HANDLER\n    return graph.stream_events(q, {"callbacks": [handler]}, version="v3").output\n',
    ],
    ids=["where it is attached", "a variable"],
)
def test_a_handler_of_a_v3_call_gets_its_tokens(body: str) -> None:
    head, handler = "from langchain_core.callbacks import StreamingStdOutCallbackHandler\n", "StreamingStdOutCallbackHandler()"
    before = f"{head}\n\ndef ask(graph, q):\n{body.replace('HANDLER', handler)}"
    after = f"{head}\n\ndef ask(graph, q):\n{body.replace('HANDLER', f'with_tokens({handler})')}"
    check_noop(before, "the handler heard none before", rule="CB705", unsafe=False)
    check_rewritten(before, "from callbridge import with_tokens\n" + after, unsafe=True)


def test_a_name_that_means_something_else_stays() -> None:
    check_noop(
        """
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from elsewhere import with_tokens

        def ask(graph, q):
            show(with_tokens(q))
            return graph.stream_events(q, {"callbacks": [StreamingStdOutCallbackHandler()]}, version="v3").output
        """,
        "uses the name with_tokens",
        rule="CB705",
    )


# -- CB708: content taken for text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("return m.stream_events(q, version='v3').output.content.strip()", "…output.text.strip()"),
        ("run = m.stream_events(q, version='v3')\n    return 'A: ' + run.output.content", "…'A: ' + run.output.text"),
        (
            "run = m.stream_events(q, version='v3')\n    state = run.output\n    return state['messages'][-1].content.upper()",
            "…state['messages'][-1].text.upper()",
        ),
        (
            "run = m.stream_events(q, version='v3')\n    for one in run.output['messages']:\n        show(one.content.strip())",
            "…show(one.text.strip())",
        ),
    ],
)
def test_the_text_of_a_message_is_taken(before: str, after: str) -> None:
    old, new = before.rpartition(".content")[::2]
    assert after.endswith(new)
    check(f"def ask(m, q):\n    {before}\n", f"def ask(m, q):\n    {old}.text{new}\n")


def test_what_may_be_no_message_takes_unsafe() -> None:
    text = HEAD + "def ask(m, q):\n    run = m.stream_events(q, version='v3')\n    return run.output['draft'].content.strip()\n"
    check_noop(text, "this file does not show that this is", rule="CB708", unsafe=False)
    assert "run.output['draft'].text.strip()" in rewrite(text, Options(unsafe=True)).text


# -- what is said


def test_a_scan_says_what_fix_does() -> None:
    """The verdict of each finding is that of its edit."""
    text = HEAD + code(
        """
        async def read(model, q):
            async for event in model.astream_events(q, version="v3"):
                show(event)

        async def leave(model, q):
            async for event in await model.astream_events(q, version="v3"):
                break

        def ask(model, q):
            return model.stream_events(q, version="v3").output.content.strip()

        def left(model, q):
            for event in model.stream_events(q, version="v3"):
                break
        """
    )
    found = {(each.rule, each.line): each.verdict for each in scan_source(text, "app.py")}
    assert found == {
        ("CB703", 4): "auto-safe",
        ("CB704", 8): "auto-review",
        ("CB708", 12): "auto-safe",
        ("CB704", 15): "adapter",
    }
