"""One handler: which methods it has, and what each is called with."""

from __future__ import annotations

import functools
from contextvars import copy_context
from typing import Any
from unittest.mock import MagicMock
from uuid import uuid4

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler, CallbackManager, StdOutCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage

from callbridge.core.calls import Scope
from callbridge.core.methods import METHODS
from callbridge.dispatch.receiving_handler import ReceivingHandler, as_llm_start, handler_list
from callbridge.errors import HandlerTypeError

RUN_ID = uuid4()
START = (
    "on_chat_model_start",
    ({"name": "m", "id": ["m"]}, [[HumanMessage(content="hi")]]),
    {"run_id": RUN_ID, "invocation_params": {}, "options": {}, "tags": []},
    Scope(None),
)
TOKEN = ("on_llm_new_token", ("tea",), {"run_id": RUN_ID, "chunk": None, "tags": []}, Scope(None))
CONTEXT = copy_context()


def run(context: Any, method: Any, /, *args: Any, **kwargs: Any) -> Any:
    assert context is CONTEXT
    return method(*args, **kwargs)


# -- handlers ---------------------------------------------------------------------------------------------------------


def test_one_handler_several_or_a_manager_may_be_given() -> None:
    """Each handler is taken once, in order, and compared by identity."""
    one, other = BaseCallbackHandler(), BaseCallbackHandler()
    assert handler_list(one) == [one]
    assert handler_list([one, other, one]) == [one, other]
    assert handler_list(iter((other, one))) == [other, one]
    assert handler_list(CallbackManager([one], inheritable_handlers=[other])) == [one]
    assert handler_list([]) == []


def test_handlers_that_are_equal_are_still_two() -> None:
    """A handler may define `==` as it likes."""

    class Equal(BaseCallbackHandler):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    assert len(handler_list([Equal(), Equal()])) == 2


@pytest.mark.parametrize("bad", [None, 5, "handler", {}, print, [print], [None], BaseCallbackHandler, [StdOutCallbackHandler]])
def test_what_is_no_handler_is_named(bad: Any) -> None:
    """The error shows the value and says what was expected."""
    with pytest.raises(HandlerTypeError, match="BaseCallbackHandler") as raised:
        handler_list(bad)
    culprit = bad[0] if isinstance(bad, list) else bad
    assert raised.value.value is culprit
    assert repr(culprit) in str(raised.value)


# -- methods ----------------------------------------------------------------------------------------------------------


class OneMethod(BaseCallbackHandler):
    """Overrides one callback."""

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.token, self.kwargs = token, kwargs


class AsyncOneMethod(AsyncCallbackHandler):
    """The same, async."""

    async def on_llm_new_token(self, token: str, **kwargs: Any) -> None: ...


def test_inherited_methods_are_not_methods_of_a_handler() -> None:
    """What LangChain's base classes do is nothing, so it need not be called."""
    assert ReceivingHandler(BaseCallbackHandler()).methods == ReceivingHandler(AsyncCallbackHandler()).methods == frozenset()
    assert ReceivingHandler(OneMethod()).methods == ReceivingHandler(AsyncOneMethod()).methods == {"on_llm_new_token"}


def test_methods_of_bases_and_instances_count() -> None:
    """A subclass has what its base overrides; so has an instance with an attribute, or one that makes them on demand."""

    class Sub(OneMethod):
        def on_text(self, text: str, **kwargs: Any) -> None: ...

    assert ReceivingHandler(Sub()).methods == {"on_llm_new_token", "on_text"}
    patched = BaseCallbackHandler()
    patched.on_retry = print  # type: ignore[method-assign,assignment]
    assert ReceivingHandler(patched).methods == {"on_retry"}

    class OnDemand(BaseCallbackHandler):
        def __getattribute__(self, name: str) -> Any:
            return print if name.startswith("on_") else super().__getattribute__(name)

    assert ReceivingHandler(OnDemand()).methods >= {name for name in METHODS if hasattr(BaseCallbackHandler, name)}


def test_a_chat_models_start_reaches_handlers_of_completion_models() -> None:
    """They hear of it through `on_llm_start`."""

    class Old(BaseCallbackHandler):
        def on_llm_start(self, serialized: Any, prompts: Any, **kwargs: Any) -> None: ...

    assert ReceivingHandler(Old()).receives("on_chat_model_start")
    assert not ReceivingHandler(Old()).has("on_chat_model_start")
    assert not ReceivingHandler(OneMethod()).receives("on_chat_model_start")


# -- calls ------------------------------------------------------------------------------------------------------------


def test_a_call_has_the_arguments_it_is_given() -> None:
    """By position and by keyword as in the call."""
    handler = OneMethod()
    ReceivingHandler(handler).call(TOKEN, run, CONTEXT)
    assert (handler.token, handler.kwargs) == ("tea", TOKEN[2])


def test_a_method_that_the_handler_lacks_is_not_implemented() -> None:
    """The dispatcher then tries another."""
    with pytest.raises(NotImplementedError):
        ReceivingHandler(OneMethod()).call(START, run, CONTEXT)


@pytest.mark.parametrize("flag", sorted({row.ignored_by for row in METHODS.values() if row.ignored_by}))
def test_flags_switch_methods_off(flag: str) -> None:
    """All methods that LangChain switches off by this flag, and no others; read at each call."""
    handler = MagicMock(spec=BaseCallbackHandler)
    for row in METHODS.values():
        if row.ignored_by:
            setattr(handler, row.ignored_by, False)
    target = ReceivingHandler(handler)
    for value in (False, True):
        setattr(handler, flag, value)
        handler.reset_mock()
        subject = ({"name": "n", "id": ["n"]}, [])
        for name, row in METHODS.items():
            if hasattr(BaseCallbackHandler, name):
                target.call((name, subject if row.phase == "start" else ("x",), {}, Scope(None)), run, CONTEXT)
        called = {name for name in METHODS if getattr(handler, name, None) is not None and getattr(handler, name).called}
        on = {name for name, row in METHODS.items() if not value or row.ignored_by != flag}
        assert called == {name for name in on if hasattr(BaseCallbackHandler, name)}


def with_token(method: Any) -> tuple[BaseCallbackHandler, list[Any]]:
    """A handler whose `on_llm_new_token` is this function of `seen` and the arguments."""
    seen: list[Any] = []
    handler = BaseCallbackHandler()
    handler.on_llm_new_token = functools.partial(method, seen)  # type: ignore[method-assign]
    return handler, seen


def renamed(seen: list[Any], piece: str, **kwargs: Any) -> None:
    seen.append(piece)


def keyword_only(seen: list[Any], *, token: str, **kwargs: Any) -> None:
    seen.append(token)


def keywords(seen: list[Any], **kwargs: Any) -> None:
    seen.append(kwargs["token"])


def anything(seen: list[Any], *args: Any, **kwargs: Any) -> None:
    seen.append(args[0])


def positional_only(seen: list[Any], token: str, /, **kwargs: Any) -> None:
    seen.append(token)


def nothing_else(seen: list[Any], token: str) -> None:
    seen.append(token)


def some(seen: list[Any], token: str, run_id: Any, *, chunk: Any = None) -> None:
    assert run_id == RUN_ID
    seen.append(token)


@pytest.mark.parametrize(
    "method",
    [renamed, keyword_only, keywords, anything, positional_only, nothing_else, some],
    ids=lambda method: method.__name__,
)
def test_tokens_arrive_however_the_method_takes_them(method: Any) -> None:
    """LangChain passes `token` by keyword in sync runs and by position in async ones: each breaks some of these."""
    handler, seen = with_token(method)
    ReceivingHandler(handler).call(TOKEN, run, CONTEXT)
    assert seen == ["tea"]


def test_handlers_own_what_was_made_up_for_them() -> None:
    """Some pop from `invocation_params` and extend the prompts; the next handler must not notice."""

    class Greedy(BaseCallbackHandler):
        def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
            self.saw = (dict(serialized), [list(group) for group in messages], dict(kwargs["invocation_params"]))
            serialized["id"].append("x")
            serialized.clear()
            messages[0].clear()
            messages.clear()
            kwargs["invocation_params"]["x"] = kwargs["options"]["x"] = 1

    first, second = Greedy(), Greedy()
    for handler in (first, second):
        ReceivingHandler(handler).call(START, run, CONTEXT)
    assert first.saw == second.saw
    assert second.saw[1] == [[HumanMessage(content="hi")]]
    assert START[1][0] == {"name": "m", "id": ["m"]}


def test_messages_are_text_for_handlers_of_completion_models() -> None:
    """As `get_buffer_string` writes it; unknown JSON as it is."""
    scope = Scope(None)
    said = [[HumanMessage(content="hi"), AIMessage(content="yes?")]]
    call = ("on_chat_model_start", ({"name": "m"}, said), {"run_id": 1}, scope)
    assert as_llm_start(call) == ("on_llm_start", ({"name": "m"}, ["Human: hi\nAI: yes?"]), {"run_id": 1}, scope)
    odd = ("on_chat_model_start", ({}, [[HumanMessage(content="hi"), {"odd": 1}]]), {}, scope)
    assert "{'odd': 1}" in as_llm_start(odd)[1][1][0]
