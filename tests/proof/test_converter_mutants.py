"""Whether the checks of the conversions would notice a fault: small changes of their code, each of which a check must find.

Each fault is made in a copy of one file, which is executed here; the unchanged code has to pass first. Only a failed assertion,
or an error of ours about the order of events, counts.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from langchain_core.messages import AIMessageChunk

import callbridge
from callbridge import compat
from core.protocol.validity import assert_valid_message
from scripted import SCRIPTS, call, model, needs_v3, quiet_beta, read_v3

pytestmark = [
    needs_v3,
    quiet_beta,
    pytest.mark.skipif(not compat.HAS_TOOL_CALL_DELTA, reason="the messages compared with are those of langchain-core 1.7"),
]

CHECKED = [*SCRIPTS.values(), [call(0, "", None, "c1"), call(0, "{}", "weather")]]
"""The scripts, and a call whose name comes late."""

HOME = Path(callbridge.__file__).parent / "core" / "protocol"


class Fault(NamedTuple):
    """In a file, `old` becomes `new`."""

    file: str
    old: str
    new: str


INTO_V3 = [
    Fault("from_chunks.py", "wire = len(self._blocks)\n", "wire = 0\n"),
    Fault("from_chunks.py", "if not self._started:\n            self._started", "if True:\n            self._started"),
    Fault("from_chunks.py", "if key in self._blocks:", "if False:"),
    Fault("from_chunks.py", "_accumulate(state, block)\n", "pass\n"),
    Fault("from_chunks.py", 'yield {"event": "content-block-start"', 'yield {"event": "content-block-begin"'),
    Fault("from_chunks.py", "if delta is not None:\n            yield", "if delta is None:\n            yield"),
    Fault("from_chunks.py", "return [*ends, _message_finish", "return [_message_finish"),
    Fault("from_chunks.py", "for wire, block in self._blocks.values()]", "for wire, block in list(self._blocks.values())[1:]]"),
    Fault("from_chunks.py", '(state.get(field) or "") + (block.get(field) or "")', '(block.get(field) or "")'),
    Fault("from_chunks.py", '(state.get(field) or "") + (block.get(field) or "")', '(state.get(field) or "")'),
    Fault(
        "from_chunks.py", 'return {"type": kind, name: part, **encoding}', 'return {"type": kind, name: part[1:], **encoding}'
    ),
    Fault(
        "from_chunks.py", 'return {"type": kind, name: part, **encoding}', 'return {"type": kind, name: part * 2, **encoding}'
    ),
    Fault("from_chunks.py", '(block.get("type"), place) if index is None else index', "place if index is None else index"),
    Fault("from_chunks.py", "if kind in CHUNK_TYPES else dict(block)", "if False else dict(block)"),
    Fault("from_chunks.py", 'block.get("args") or "")', '"{}")'),
    Fault("from_chunks.py", 'key not in ("id", "name"))', 'key not in ("id",))'),
    Fault("from_chunks.py", "self._usage.get(key, 0) + value", "value * 2"),
    Fault("from_chunks.py", "self._metadata.update(chunk.response_metadata)", "pass"),
    Fault("from_chunks.py", '"id": message_id or message.id or ""', '"id": ""'),
]

FROM_V3 = [
    Fault("to_chunks.py", "block.add(part)\n        kind", "kind"),
    Fault("to_chunks.py", "block.add(part)\n        return part", "return part"),
    Fault("to_chunks.py", "block.add(part)\n        return part", "block.add(part)\n        return part * 2"),
    Fault("to_chunks.py", 'part = "" if self._as_blocks else', "part ="),
    Fault("to_chunks.py", "return [text_message(part, self.id)] if part", "return [] if part"),
    Fault("to_chunks.py", "return [text_message(part, self.id)] if part", "return [text_message(part, None)] if part"),
    Fault("to_chunks.py", 'for _, block in sorted(self._open.items()) if block.kind == "text"', "for block in ()"),
    Fault("to_chunks.py", "return [self._told(block, content)]", "return []"),
    Fault("to_chunks.py", '"name": named.get("name"), "args"', '"name": None, "args"'),
    Fault("to_chunks.py", 'told = {"id": named.get("id")', 'told = {"id": None'),
    Fault("to_chunks.py", '"usage_metadata": event.get("usage") or None', '"usage_metadata": None'),
    Fault("to_chunks.py", '"chunk_position": "last"', '"chunk_position": None'),
    Fault("to_chunks.py", "self._metadata = {theirs: told[ours]", "self._metadata = {ours: told[ours]"),
    Fault("to_chunks.py", "tail = whole[len(block.seen) :]", "tail = whole"),
    Fault("to_chunks.py", "and value is not None and key not in block.told", "and value is not None"),
    Fault("to_chunks.py", "block.end = content\n", "block.end = {}\n"),
    Fault("to_chunks.py", "wire, one in sorted(self._open.items())", "wire, one in sorted(self._open.items(), reverse=True)"),
    Fault("to_chunks.py", "wire if self._as_blocks or given is None else given", "0"),
    Fault("to_chunks.py", "if field is None or block is None or PAYLOADS.get(block.kind) != field:", "if True:"),
]


def faulty(fault: Fault | None, file: str) -> ModuleType:
    """Return a file's module, executed anew with a fault in it."""
    text = (HOME / file).read_text(encoding="utf-8")
    if fault is not None:
        assert text.count(fault.old) >= 1, f"the text to be changed is not there: {fault.old!r}"
        text = text.replace(fault.old, fault.new, 1)
    name = f"callbridge.core.protocol.faulty_{file[:-3]}"
    module = sys.modules[name] = ModuleType(name)
    try:
        exec(compile(text, file, "exec"), module.__dict__)
    finally:
        del sys.modules[name]
    return module


def check_into_v3(module: ModuleType) -> None:
    """Check that the events of all scripts are valid, and are LangChain's own."""
    for script in CHECKED:
        wanted = read_v3(model(script))
        translator = module.ChunksToMessage(wanted[0]["id"])
        events: list[Any] = [event for chunk in model(script).stream("hi") for event in translator.feed(chunk)]
        events += translator.finish()
        assert_valid_message(events)
        assert events == wanted


def check_from_v3(module: ModuleType) -> None:
    """Check that the chunks of all scripts add up to LangChain's own message, and tell the pieces of its text."""
    for script in CHECKED:
        stream = model(script).stream_events("hi", version="v3")
        events, output = list(stream), stream.output
        if not output.invalid_tool_calls:
            assert total(chunks_of(module.MessageToChunks(blocks=True, strict=True), events)).content == output.content
        plain = module.MessageToChunks(strict=True)
        chunks = chunks_of(plain, events)
        whole = total(chunks)
        assert {chunk.id for chunk in chunks} == {output.id}
        assert [chunk.text for chunk in chunks if chunk.text] == [one.text for one in model(script).stream("hi") if one.text]
        assert plain.message() == output
        assert plain.text == output.text
        assert plain.skipped == 0
        assert whole.text == output.text
        assert whole.id == output.id
        assert whole.usage_metadata == output.usage_metadata
        assert [call["id"] for call in whole.tool_calls] == [
            call["id"] for call in output.tool_calls + output.invalid_tool_calls
        ]
        given = {key: value for key, value in output.response_metadata.items() if key != "output_version"}
        assert whole.response_metadata == given
        assert whole.chunk_position == "last"


def chunks_of(translator: Any, events: list[Any]) -> list[AIMessageChunk]:
    return [chunk for event in events for chunk in translator.feed(event)]


def total(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole


def test_the_code_as_it_is_passes() -> None:
    """Otherwise a failure would mean nothing."""
    check_into_v3(faulty(None, "from_chunks.py"))
    check_from_v3(faulty(None, "to_chunks.py"))


@pytest.mark.parametrize("fault", INTO_V3, ids=lambda fault: fault.old[:40])
def test_a_fault_on_the_way_to_version_3_is_noticed(fault: Fault) -> None:
    with pytest.raises((AssertionError, KeyError)):
        check_into_v3(faulty(fault, fault.file))


@pytest.mark.parametrize("fault", FROM_V3, ids=lambda fault: fault.old[:40])
def test_a_fault_on_the_way_from_version_3_is_noticed(fault: Fault) -> None:
    with pytest.raises((AssertionError, KeyError)):
        check_from_v3(faulty(fault, fault.file))
