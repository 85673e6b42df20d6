"""`loads` takes text from anybody: it makes data, or refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from langchain_core.messages import AIMessage

import callbridge
from callbridge import UnknownObject, dumps, loads
from callbridge.errors import JSONFormatError


def constructor(*path: str, **kwargs: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": list(path), "kwargs": kwargs}


REFUSED: dict[str, Any] = {
    "a class of the standard library": constructor("subprocess", "Popen", args="touch /tmp/owned"),
    "a class of LangChain's with effects": constructor("langchain", "prompts", "prompt", "PromptTemplate", template="{a}"),
    "a model that would send requests": constructor("langchain", "chat_models", "openai", "ChatOpenAI", base_url="http://evil"),
    "a document that reads files": constructor("langchain_core", "documents", "base", "Blob", path="/etc/passwd"),
    "a runnable": constructor("langchain", "schema", "runnable", "RunnableLambda", func="print"),
    "a class next to one that is allowed": constructor("langchain_core", "messages", "ai", "subtract_usage"),
    "a function in an optional module that is allowed": constructor("langgraph", "types", "interrupt", value=1),
    "a name with dots": constructor("langgraph.types", "Command"),
    "no name": constructor(),
    "a secret": {"lc": 1, "type": "secret", "id": ["HOME"]},
    "a pickle": {"lc": 1, "type": "pickle", "value": "gASVDQ=="},
    "a reduction": {"lc": 1, "type": "__reduce__", "id": ["os", "system"], "args": ["true"]},
    "an object inside arguments": constructor(
        "langchain", "schema", "messages", "AIMessage", content=constructor("os", "system")
    ),
    "an object inside fields": {
        "lc": 1,
        "type": "not_implemented",
        "id": ["x"],
        "repr": None,
        "fields": {"a": constructor("os")},
    },
    "an id that is no list": {"lc": 1, "type": "constructor", "id": "os.system", "kwargs": {}},
    "an id of no names": {"lc": 1, "type": "constructor", "id": [["os"], 1], "kwargs": {}},
    "arguments that are none": {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "AIMessage"]},
    "a repr that is none": {"lc": 1, "type": "not_implemented", "id": [], "repr": {"a": 1}},
    "a key that has no hash": {"lc": 1, "type": "dict", "value": [[[], 1]]},
    "a pair of three": {"lc": 1, "type": "dict", "value": [[1, 2, 3]]},
    "a set of dicts": {"lc": 1, "type": "set", "value": [{}]},
    "items that are text": {"lc": 1, "type": "tuple", "value": "abc"},
    "bytes that are none": {"lc": 1, "type": "bytes", "value": "~~"},
    "a UUID that is none": {"lc": 1, "type": "uuid", "value": "1"},
    "a date in a list": {"lc": 1, "type": "date", "value": ["2026-01-01"]},
    "a length of time without measure": {"lc": 1, "type": "timedelta", "value": [10**30, 0, 0]},
    "an error without arguments": {"lc": 1, "type": "exception", "id": ["builtins", "ValueError"], "message": ""},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_data_is_refused(name: str) -> None:
    """As a whole, however deep inside the event it is."""
    with pytest.raises(JSONFormatError):
        loads(json.dumps({"event": "on_chain_end", "data": {"output": [{"a": REFUSED[name]}]}}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nothing",
        "[1] [2]",
        b"\xff\xfe\xff",
        '{"a": NaN}',
        "[Infinity]",
        "[-Infinity]",
        "9" * 5000 if sys.version_info >= (3, 11) else "-",
        "[" * 300 + "]" * 300,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
    ],
    ids=range(12),
)
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    """Numbers that JSON does not have, and nesting that would exhaust the stack, included."""
    with pytest.raises(JSONFormatError):
        loads(text)


def test_refusing_neither_imports_nor_calls_anything() -> None:
    """In a fresh interpreter: no module more than before, no file touched, no environment read."""
    code = f"""
import json, os, sys
from callbridge import loads
from callbridge.errors import JSONFormatError
loads("1")
hostile = json.loads({json.dumps(json.dumps(list(REFUSED.values())))})
class Watched(dict):
    def __getitem__(self, key): raise SystemExit("read " + key)
    get = __contains__ = __getitem__
before = set(sys.modules)
audited = []
sys.addaudithook(lambda event, args: audited.append(event)
                 if event.startswith(("open", "os.", "subprocess", "socket", "exec", "compile")) or event == "import" else None)
os.environ, real = Watched(), os.environ
for value in hostile:
    text = json.dumps(value)
    audited.clear()
    try:
        loads(text)
    except JSONFormatError:
        pass
    else:
        raise SystemExit("accepted " + text)
    assert not audited, (text, audited)
os.environ = real
assert set(sys.modules) == before, set(sys.modules) - before
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr


def test_arguments_that_a_class_refuses_are_kept_as_data() -> None:
    """A message of another version, or one whose content somebody replaced: nothing is lost, and nothing is made."""
    thing = loads(json.dumps(constructor("langchain", "schema", "messages", "ToolMessage", content=5)))
    assert thing == UnknownObject(("langchain", "schema", "messages", "ToolMessage"), None, {"content": 5})


def test_a_package_that_is_not_installed_leaves_data() -> None:
    """A recording of a graph can be read where there is no LangGraph."""
    code = """
import sys
sys.modules["langgraph"] = sys.modules["langgraph.types"] = None
from callbridge import loads
text = '{"lc":1,"type":"constructor","id":["langgraph","types","Send"],"kwargs":{"node":"n","arg":[1]}}'
thing = loads(text)
assert thing.fields == {"node": "n", "arg": [1]}, thing
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "value", [{"lc": "left"}, {"lc": 2, "type": "constructor"}, {"lc": 1}, {"type": "constructor", "id": 1}]
)
def test_what_only_looks_a_little_like_a_mark_is_a_dict(value: dict[str, Any]) -> None:
    """Other senders have keys of their own."""
    assert loads(json.dumps(value)) == value
    assert loads(dumps(value)) == value


def test_a_refusal_says_what_it_refuses() -> None:
    """Not more than a part of it."""
    with pytest.raises(JSONFormatError, match=r"subprocess\.Popen is not among the classes") as caught:
        loads(json.dumps(constructor("subprocess", "Popen", args="x" * 100_000)))
    assert len(str(caught.value)) < 1000
    assert isinstance(caught.value, callbridge.CallbridgeError)


def test_objects_of_somebody_elses_json_are_left_to_the_dispatcher() -> None:
    """The plain form of messages that servers send stays a dict: only a mark makes an object."""
    dumped = AIMessage(content="x").model_dump()
    assert loads(json.dumps(dumped)) == dumped
