"""What the file does not show takes `--unsafe`, with the assumption as the reason; what is seen to go wrong is not done."""

from __future__ import annotations

import pytest
from fixing import check_noop, check_rewritten, code

from callbridge.migrate.commands.scan import scan_source
from callbridge.migrate.edits.rewriting import Options, rewrite

pytest.importorskip("libcst")

HEAD = """
    import asyncio

    from langchain_classic.callbacks import AsyncIteratorCallbackHandler
    from langchain_classic.chains import LLMChain
    from langchain_core.callbacks import BaseCallbackHandler, StreamingStdOutCallbackHandler
    from langchain_openai import ChatOpenAI
    from langchain_community.llms import GPT4All, LlamaCpp

    class Printer(BaseCallbackHandler):
        def on_llm_new_token(self, token, **kwargs):
            print(token, end="")
"""


def printing(model: str, call: str = "llm.invoke(q)", before: str = "") -> str:
    return f"{HEAD}{before}\n    def ask(q, flag, options):\n        llm = {model}\n        return {call}\n"


def reading(model: str, call: str = "llm.ainvoke(q)") -> str:
    made = f"cb = AsyncIteratorCallbackHandler()\n        llm = {model}\n        task = asyncio.create_task({call})"
    loop = "async for token in cb.aiter():\n            yield token\n        await task\n"
    return f"{HEAD}\n    async def ask(q, flag, options, prompt):\n        {made}\n        {loop}"


def reasons(text: str) -> list[str]:
    """Return why a snippet takes `--unsafe`; it is rewritten with it, and not without."""
    safe = rewrite(code(text))
    assert not safe.changes, safe.text
    assert rewrite(code(text), Options(unsafe=True)).changes
    return [each.reason for each in safe.refusals]


STDOUT = "callbacks=[StreamingStdOutCallbackHandler()]"
UNSURE = [
    ("ChatOpenAI(streaming=flag, {0})", "`streaming=flag`, which may be off"),
    ("ChatOpenAI(streaming=False, {0})", "ChatOpenAI has `streaming=False`"),
    ("ChatOpenAI(streaming=None, {0})", "ChatOpenAI has `streaming=None`"),
    ("ChatOpenAI(stream=flag, {0})", "`stream=flag`"),
    ("ChatOpenAI({0})", "ChatOpenAI has no `streaming=True`"),
    ("ChatOpenAI(**options, {0})", "arguments that this file does not show"),
    ("ChatOpenAI(model_kwargs=options, {0})", "arguments that this file does not show"),
    ("ChatOpenAI(streaming=True, disable_streaming=True, {0})", "`disable_streaming=True`"),
    ("LlamaCpp(streaming=False, {0})", "LlamaCpp has `streaming=False`"),
]


@pytest.mark.parametrize(("model", "said"), UNSURE)
def test_a_printing_handler_on_a_model_that_may_not_stream_takes_unsafe(model: str, said: str) -> None:
    found = reasons(printing(model.format(STDOUT)))
    assert any(said in reason and "nothing was printed before" in reason for reason in found), found


@pytest.mark.parametrize(("model", "said"), UNSURE)
def test_an_iterator_on_a_model_that_may_not_stream_takes_unsafe(model: str, said: str) -> None:
    found = reasons(reading(model.format("callbacks=[cb]")))
    assert any(said in reason and "the loop got no tokens before" in reason for reason in found), found


@pytest.mark.parametrize(
    "model", ["ChatOpenAI(streaming=True, {0})", "ChatOpenAI(stream=1, {0})", "LlamaCpp({0})", "GPT4All(streaming=False, {0})"]
)
def test_a_model_that_is_seen_to_stream_is_safe(model: str) -> None:
    assert rewrite(code(printing(model.format(STDOUT)))).changes
    assert rewrite(code(reading(model.format("callbacks=[cb]")))).changes


def test_a_variable_that_holds_one_literal_is_seen() -> None:
    before = "\n    def other(): pass\n    STREAM = {}\n"
    model = f"ChatOpenAI(streaming=STREAM, {STDOUT})"
    assert rewrite(code(printing(model, before=before.format("True")))).changes
    assert any("STREAM" in reason for reason in reasons(printing(model, before=before.format("False"))))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("llm.invoke(q, stream=flag)", "`stream=flag` may turn streaming off"),
        ("llm.bind(stream=False).invoke(q)", "`stream=False` may turn streaming off"),
        ("llm.invoke(q, **options)", "`**options` may turn streaming off"),
    ],
)
def test_a_switch_after_the_model_is_made_takes_unsafe(call: str, said: str) -> None:
    found = reasons(printing(f"ChatOpenAI(streaming=True, {STDOUT})", call))
    assert any(said in reason for reason in found), found


def test_a_switch_that_is_set_as_an_attribute_takes_unsafe() -> None:
    call = "llm.invoke(q, config={'callbacks': [StreamingStdOutCallbackHandler()]})"
    text = printing("ChatOpenAI(streaming=True)", call).replace("return llm", "llm.streaming = flag\n        return llm")
    assert any("`llm.streaming = …` may turn streaming off" in reason for reason in reasons(text))


def test_models_that_cannot_be_seen_may_not_stream() -> None:
    call = "chain.invoke(q, config={'callbacks': [StreamingStdOutCallbackHandler()]})"
    text = f"{HEAD}\n    def ask(q, chain):\n        return {call}\n"
    assert any("this file does not show whether the call's models stream" in reason for reason in reasons(text))


def test_a_handler_of_the_call_that_hears_several_models_hears_what_is_read() -> None:
    pair = "LLMChain(llm=ChatOpenAI(streaming=True), prompt=q, memory=flag_memory(ChatOpenAI(streaming=True)))"
    text = printing(pair, "llm.invoke(q, config={'callbacks': [StreamingStdOutCallbackHandler()]})")
    assert any("this file does not show" in reason for reason in reasons(text))


@pytest.mark.parametrize(
    ("chain", "before"),
    [
        ("LLMChain(llm=ChatOpenAI(streaming=True, {0}), prompt=q, verbose=True)", ""),
        ("LLMChain(llm=ChatOpenAI(streaming=True, {0}), prompt=q, verbose=flag)", ""),
        ("ChatOpenAI(streaming=True, {0})", "\n    from langchain_core.globals import set_debug\n    set_debug(True)\n"),
        ("ChatOpenAI(streaming=True, {0})", "\n    import langchain\n    langchain.verbose = True\n"),
    ],
)
def test_what_else_is_printed_during_the_call_takes_unsafe(chain: str, before: str) -> None:
    found = reasons(printing(chain.format(STDOUT), before=before))
    assert any("may swap places with the text" in reason for reason in found), found


@pytest.mark.parametrize(
    "others", ["StdOutCallbackHandler()", "given", "imported()", "Told()", "StreamingStdOutCallbackHandler(), Quiet(), given"]
)
def test_another_handler_that_may_print_takes_unsafe(others: str) -> None:
    before = """
    from langchain_core.callbacks import StdOutCallbackHandler
    from .handlers import imported

    class Quiet(BaseCallbackHandler):
        def on_llm_end(self, response, **kwargs): self.response = response

    class Told(BaseCallbackHandler):
        def on_llm_end(self, response, **kwargs): print(response)
    """
    handlers = f"callbacks=[StreamingStdOutCallbackHandler(), {others.removeprefix('StreamingStdOutCallbackHandler(), ')}]"
    found = reasons(printing(f"ChatOpenAI(streaming=True, {handlers})", before=before))
    assert any("which is also attached, prints may swap places" in reason for reason in found), found
    quiet = printing(f"ChatOpenAI(streaming=True, {handlers.replace('given', 'Quiet()')})", before=before)
    assert bool(rewrite(code(quiet)).changes) is ("given" in others)


# -- what `print` is


@pytest.mark.parametrize(
    ("first", "signature"),
    [
        ("from rich import print", "q"),
        ("from rich import *", "q"),
        ("def print(*a): pass", "q"),
        ("x = 1", "q, print"),
        ("from .output import show as print", "q"),
    ],
)
def test_where_print_may_be_another_one_the_token_is_written_as_the_handler_wrote_it(first: str, signature: str) -> None:
    before = f"""
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_openai import ChatOpenAI
        {first}

        def ask({signature}):
            llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
            return llm.invoke(q)
    """
    text = rewrite(code(before)).text
    assert "sys.stdout.write(token)\n            sys.stdout.flush()" in text
    assert "import sys\n" in text
    assert "print(token" not in text


def test_print_that_is_the_builtin_is_used() -> None:
    before = """
        from os.path import *
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_openai import ChatOpenAI

        class Page:
            def print(self): pass

        def ask(q):
            llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
            return llm.invoke(q)
    """
    assert 'print(token, end="", flush=True)' in rewrite(code(before)).text


def test_a_handler_that_prints_with_another_print_takes_unsafe() -> None:
    """Its errors were logged, and are raised in the loop."""
    text = printing("ChatOpenAI(streaming=True, callbacks=[Printer()])", before="\n    from rich import print\n")
    assert any("`print` is not the builtin" in reason for reason in reasons(text))


def test_a_name_of_the_handler_that_is_another_one_where_the_model_is_run_stays() -> None:
    text = printing("ChatOpenAI(streaming=True, callbacks=[Printer()])").replace("(q, flag", "(q, print, flag")
    check_noop(text, "the name print means something else where the call is", rule="CB306")


# -- what runs a model


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("llm.stream(q, config={0})", "stream() returns a stream"),
        ("llm.astream(q, config={0})", "astream() returns a stream"),
        ("llm.with_config(callbacks=[StreamingStdOutCallbackHandler()])", "no call that runs the llm.with_config"),
        ("make(callbacks=[StreamingStdOutCallbackHandler()])", "makes something that runs later"),
        ("Printer(callbacks=[StreamingStdOutCallbackHandler()])", "makes something that runs later"),
        ("llm.batch([q], config={0})", "makes something that runs later"),
    ],
)
def test_a_call_that_is_not_known_to_run_a_model_is_not_wrapped(call: str, said: str) -> None:
    handlers = "{'callbacks': [StreamingStdOutCallbackHandler()]}"
    text = f"{HEAD}\n    def ask(q, llm):\n        return {call.format(handlers)}\n"
    check_noop(text, said, rule="CB305")


@pytest.mark.parametrize("method", ["stream_events", "astream_events"])
def test_a_call_of_version_3_keeps_its_handler_and_is_not_wrapped(method: str) -> None:
    """A stream of version 3 that nobody has started has no text: wrapping what makes it destroys the output."""
    handler = "StreamingStdOutCallbackHandler()"
    call = f"return show(llm.{method}(q, version='v3', config={{'callbacks': [HANDLER]}}))"
    before = code(f"{HEAD}\n    def ask(q, llm):\n        {call.replace('HANDLER', handler)}\n")
    rewritten = rewrite(before, Options(unsafe=True))
    assert rewritten.text.endswith(f"    {call.replace('HANDLER', f'with_tokens({handler})')}\n")
    assert "stream_call" not in rewritten.text


def test_a_task_that_makes_a_stream_is_not_wrapped() -> None:
    check_noop(
        reading("ChatOpenAI(streaming=True, callbacks=[cb])", "llm.astream_events(q, version='v3')"),
        "returns a stream",
        rule="CB301",
    )


# -- level 2


@pytest.mark.parametrize(
    ("model", "before"),
    [
        ("ChatOpenAI(streaming=True, cache=flag, {0})", ""),
        ("ChatOpenAI(streaming=True, cache=True, {0})", ""),
        (
            "ChatOpenAI(streaming=True, {0})",
            "\n    from langchain_core.globals import set_llm_cache\n    set_llm_cache(make())\n",
        ),
        ("ChatOpenAI(streaming=True, {0})", "\n    import langchain\n    langchain.llm_cache = make()\n"),
        ("ChatOpenAI(streaming=True, cache=False, {0}).with_retry()", ""),
    ],
)
@pytest.mark.parametrize("unsafe", [False, True])
def test_a_call_with_a_cache_or_a_retry_stays_a_call(model: str, before: str, unsafe: bool) -> None:
    text = printing(model.format(STDOUT), before=before).replace("return llm", "llm")
    rewritten = rewrite(code(text), Options(level=2, unsafe=unsafe)).text
    assert "with stream_call(llm.invoke, q) as stream:" in rewritten
    assert "stream_events" not in rewritten


def test_that_nobody_sets_a_cache_is_assumed_only_with_unsafe() -> None:
    text = code(printing(f"ChatOpenAI(streaming=True, {STDOUT})").replace("return llm", "llm"))
    assert "with stream_call(llm.invoke, q)" in rewrite(text, Options(level=2)).text
    rewritten = rewrite(text, Options(level=2, unsafe=True))
    assert "with stream_events(llm, q)" in rewritten.text
    assert any("sets one" in change.reason for change in rewritten.changes)
    loop = code(reading("ChatOpenAI(streaming=True, callbacks=[cb])"))
    assert "astream_call(llm.ainvoke, q)" in rewrite(loop, Options(level=2)).text
    assert "llm.astream_events(q" in rewrite(loop, Options(level=2, unsafe=True)).text


def test_a_legacy_chain_asks_the_cache_when_it_is_streamed() -> None:
    """Its stream is its call, so that level 2 is the same."""
    chain = "LLMChain(llm=ChatOpenAI(streaming=True, callbacks=[cb]), prompt=prompt)"
    assert "llm.astream_events(q" in rewrite(code(reading(chain, "llm.acall(q)")), Options(level=2)).text


# -- what a scan has found


def test_only_what_a_scan_finds_is_edited() -> None:
    before = code("""
        from langchain_core.callbacks import BaseCallbackHandler

        class Audit(BaseCallbackHandler):
            def on_llm_end(self, response, **kwargs): print("audited")

        def first(chain, q):
            return chain.invoke(q, callbacks=[Audit()])

        def second(chain, q, handlers):
            return chain.invoke(q, callbacks=handlers)
    """)
    text = rewrite(before, Options(scan=lambda text: scan_source(text, "app.py"))).text
    assert 'chain.invoke(q, config={"callbacks": [Audit()]})' in text
    assert "chain.invoke(q, callbacks=handlers)" in text


def test_a_handler_that_is_kept_or_suppressed_at_its_class_stays() -> None:
    text = code("""
        from langchain_core.callbacks import BaseCallbackHandler
        from langchain_openai import ChatOpenAI

        class Printer(BaseCallbackHandler):
            def on_llm_new_token(self, token, **kwargs):
                print(token, end="")

        class Kept(BaseCallbackHandler):
            def on_llm_new_token(self, token, **kwargs):{}
                print(token, end="")

        def ask(q):
            llm = ChatOpenAI(streaming=True, callbacks=[Printer()])
            llm.invoke(q)

        def tell(q):
            llm = ChatOpenAI(streaming=True, callbacks=[Kept()])
            llm.invoke(q)
    """)
    plain = text.format("")
    kept = Options(unsafe=True, scan=lambda text: scan_source(text, "app.py", keep=("*Kept",)))
    assert "callbacks=[Kept()]" in rewrite(plain, kept).text
    assert "callbacks=[Printer()]" not in rewrite(plain, kept).text
    suppressed = text.format("  # callbridge: ignore[CB306] shown in the log")
    assert "callbacks=[Kept()]" in rewrite(suppressed, Options(unsafe=True)).text


def test_a_producers_import_in_a_statement_of_its_own_stays() -> None:
    before = """
        from langchain.callbacks.manager import CallbackManagerForLLMRun
        from langchain.callbacks.base import BaseCallbackHandler

        class H(BaseCallbackHandler):
            def on_llm_end(self, response, **kwargs): log(response)
    """
    text = rewrite(code(before), Options(scan=lambda text: scan_source(text, "app.py"))).text
    assert "from langchain.callbacks.manager import CallbackManagerForLLMRun\n" in text
    assert "from langchain_core.callbacks import BaseCallbackHandler\n" in text


def test_the_usual_case_is_still_safe() -> None:
    check_rewritten(
        """
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_openai import ChatOpenAI

        def ask(q):
            llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
            return llm.invoke(q)
        """,
        """
        from callbridge import stream_call
        from langchain_openai import ChatOpenAI

        def ask(q):
            llm = ChatOpenAI(streaming=True)
            with stream_call(llm.invoke, q) as stream:
                for token in stream.text():
                    print(token, end="", flush=True)
            return stream.result
        """,
    )
