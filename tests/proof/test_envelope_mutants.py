"""Whether the checks of the conversions would notice a fault in what is around messages: envelopes, namespaces, ids, graphs.

As in `test_converter_mutants`: each fault is made in a copy of one file, and a check must find it.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

import callbridge as cb
from proof.test_converter_mutants import Fault, faulty

ROOT, NODE, CHILD, MODEL, TOOL = (f"00000000-0000-0000-0000-00000000000{number}" for number in range(1, 6))
INSIDE = {"langgraph_node": "talk", "langgraph_checkpoint_ns": "child:t1|talk:t2"}


def v2(name: str, run_id: str, parents: list[str], data: dict[str, Any], metadata: Any = None, called: str = "x") -> Any:
    fields = {"run_id": run_id, "name": called, "tags": [], "metadata": metadata or {}, "parent_ids": parents}
    return {**fields, "event": name, "data": data}


def run(root: str = ROOT, ending: str = "end") -> list[Any]:
    """Return the events of a graph with a subgraph, in which a model speaks and a tool is called."""
    around = [root, NODE, CHILD]
    of_child = {"langgraph_node": "child", "langgraph_checkpoint_ns": "child:t1"}
    error = {"error": ConnectionError("no net"), "status": "interrupted" if ending == "interrupted" else "failed"}
    last = "on_chain_end" if ending == "end" else "on_chain_error"
    over = {"output": {"a": 2}} if ending == "end" else error
    return [
        v2("on_chain_start", root, [], {"input": {"a": 1}}),
        v2("on_chain_start", NODE, [root], {"input": {}}, {**of_child, "langgraph_checkpoint_ns": "child:t1"}),
        v2("on_chain_start", CHILD, [root, NODE], {"input": {}}, of_child),
        v2("on_chat_model_start", MODEL, around, {"input": {"messages": [[]]}}, INSIDE),
        v2("on_tool_start", TOOL, around, {"input": {"city": "Oslo"}, "tool_call_id": "c1"}, INSIDE, "weather"),
        v2("on_chat_model_stream", MODEL, around, {"chunk": spoken("Yes.")}, INSIDE),
        v2("on_tool_stream", TOOL, around, {"chunk": "ra"}, INSIDE, "weather"),
        v2("on_tool_end", TOOL, around, {"output": "rain"}, INSIDE, "weather"),
        v2("on_chat_model_end", MODEL, around, {"output": spoken("Yes.")}, INSIDE),
        v2(last, CHILD, [root, NODE], over, of_child),
        v2(last, NODE, [root], over, of_child),
        v2("on_retriever_start", NODE, [root], {"input": {"query": "q"}}),
        v2(last, root, [], over),
    ]


def spoken(text: str) -> Any:
    from langchain_core.messages import AIMessageChunk

    return AIMessageChunk(content=text)


FAULTS_INTO_V3 = [
    Fault("encode.py", "self._seq += 1", "self._seq += 2"),
    Fault("encode.py", '"seq": self._seq', '"seq": 1'),
    Fault("encode.py", '"namespace": list(namespace),\n            "timestamp"', '"namespace": [],\n            "timestamp"'),
    Fault("encode.py", '"run_id": event["run_id"],', '"run_id": (event["parent_ids"] or [event["run_id"]])[-1],'),
    Fault("encode.py", 'params["node"] = node', "pass"),
    Fault("encode.py", '{"type": "event", "seq"', '{"type": "message", "seq"'),
    Fault("encode.py", 'self._envelope("lifecycle", graph[:-1], told | (', 'self._envelope("lifecycle", graph, told | ('),
    Fault("encode.py", "if (root, graph) not in self._graphs:", "if True:"),
    Fault("encode.py", "range(1, len(namespace) + 1)", "range(1, len(namespace))"),
    Fault("encode.py", "owner in (None, self._graphs[of, graph])", "owner is None"),
    Fault("encode.py", "if of == root and", "if"),
    Fault("encode.py", 'if is_end and not checked["parent_ids"]:', "if False:"),
    Fault("encode.py", "del self._graphs[of, graph]", "pass"),
    Fault(
        "encode.py",
        'told = {"event": _ending(event), "namespace": list(graph)',
        'told = {"event": "completed", "namespace": []',
    ),
    Fault("encode.py", 'LIFECYCLE_ENDS[data.get("status")', 'LIFECYCLE_ENDS["failed"'),
    Fault("encode.py", '{"start": "input", "end": "output"}', '{"start": "output", "end": "input"}'),
    Fault("encode.py", 'if not event["parent_ids"] and name', "if name"),
    Fault("encode.py", 'message_id = RUN_PREFIX + event["run_id"]', 'message_id = event["run_id"]'),
    Fault("encode.py", 'run.tool_call_id or data.get("tool_call_id") or', "run.tool_call_id or"),
    Fault("encode.py", '{"event": TOOL_EVENTS[name]', '{"event": "tool-started"'),
    Fault("encode.py", '"input": data.get("input")}', '"input": None}'),
    Fault("encode.py", '"trigger_call_id": task', '"call_id": task'),
    Fault("encode.py", 'self._envelope("messages", run.namespace, one, event)', 'self._envelope("messages", (), one, event)'),
    Fault("encode.py", 'self._envelope("tools", run.namespace', 'self._envelope("tools", ()'),
    Fault("encode.py", "told = run.message.finish()", "told = []"),
    Fault("encode.py", "self._runs.pop(run_id, None)\n        if not", "if not"),
    Fault("encode.py", "self._families.pop(run_id, ())", "self._families.get(run_id, ())"),
    Fault("encode.py", "if not made:\n            self.skipped += 1", "if not made:\n            pass"),
    Fault("envelope.py", "told.split(_SEPARATOR)[:-1]", "told.split(_SEPARATOR)"),
    Fault("envelope.py", "told.split(_SEPARATOR)[:-1]", "told.split(_SEPARATOR)[1:]"),
]

FAULTS_FROM_V3 = [
    Fault("decode.py", "if told.method not in CHANNELS:\n            self.skipped += 1", "if told.method not in CHANNELS:"),
    Fault("decode.py", "if root is not None or _is_alone(told)", "if True"),
    Fault("decode.py", "if root is not None or _is_alone(told)", "if _is_alone(told)"),
    Fault("decode.py", '{"input": told.data} if is_root else {}', "{}"),
    Fault("decode.py", 'run_id = told.metadata.get("run_id") if is_root else None', "run_id = None"),
    Fault("decode.py", "self._values[told.namespace] = told.data", "self._values[()] = told.data"),
    Fault("decode.py", "or error is not None or self._messages or self._tools or self._graphs:", "or error is not None:"),
    Fault("decode.py", "root is None or error is not None or", "root is None or"),
    Fault("decode.py", '{"output": self._values.get(())}', '{"output": None}'),
    Fault("decode.py", "if graph in self._graphs or not graph:", "if not graph:"),
    Fault("decode.py", "self._graphs.pop(graph, None) if graph", "self._graphs.get(graph) if graph"),
    Fault("decode.py", "output = self._values.pop(graph, None)", "output = None"),
    Fault("decode.py", 'status = "interrupted" if name == "interrupted" else "failed"', 'status = "failed"'),
    Fault("decode.py", "(self._root, *graphs) if run is not None]", "(self._root,) if run is not None]"),
    Fault("decode.py", "(self._root, *graphs) if run is not None]", "(*graphs,) if run is not None]"),
    Fault("decode.py", "run_id = message_id.removeprefix(RUN_PREFIX) if", "run_id = message_id if"),
    Fault(
        "decode.py",
        'run_id = told.metadata.get("run_id")\n        if run_id is None:\n            run_id = message',
        "run_id = message",
    ),
    Fault("decode.py", "run.namespace == told.namespace and (", "("),
    Fault("decode.py", "(node is None or run.node in (None, node))", "True"),
    Fault("decode.py", "if len(found) != 1:", "if not found:"),
    Fault(
        "decode.py",
        "if run.message.finished:\n            self._messages.pop",
        "if run.message.finished:\n            self._messages.get",
    ),
    Fault("decode.py", "run = self._tools.pop(call_id)", "run = self._tools[call_id]"),
    Fault("decode.py", '"input": run.input, "tool_call_id": call_id})]\n\n\n#', '"tool_call_id": call_id})]\n\n\n#'),
    Fault("decode.py", "self._root = root\n            raise\n        except (Attr", "raise\n        except (Attr"),
    Fault("envelope.py", "metadata = data[0], {**metadata, **data[1]}", "metadata = data[0], metadata"),
    Fault("envelope.py", 'for key in ("run_id", "node")', 'for key in ("node",)'),
    Fault("envelope.py", 'for key in ("run_id", "node")', 'for key in ("run_id",)'),
    Fault("envelope.py", "return tuple(namespace)", "return ()"),
]


def with_fault(fault: Fault | None, file: str) -> ModuleType:
    """Return the module of a conversion with a fault in it, or in the envelopes that it reads."""
    if fault is None or fault.file == file:
        return faulty(fault, file)
    module, envelope = faulty(None, file), faulty(fault, fault.file)
    for name in envelope.__all__:
        if hasattr(module, name):
            setattr(module, name, getattr(envelope, name))
    return module


def check_into_v3(module: ModuleType) -> None:
    """Check the envelopes of a run that ends well, of ones that do not, and of two that go on at the same time."""
    translator = module.EventsToProtocol(clock=lambda: 5)
    *events, end = run()
    made = [one for event in events for one in translator.feed(event)]
    assert translator._runs.keys() == {ROOT, NODE}, "what is over is forgotten, though its root goes on"
    made += translator.feed(end)
    assert [one["seq"] for one in made] == list(range(1, len(made) + 1))
    assert {one["type"] for one in made} == {"event"}
    child, graph = ("child:t1",), {"namespace": ["child:t1"]}
    tool = {"tool_call_id": "c1"}
    assert [told(one) for one in made if one["method"] != "messages"] == [
        ("values", (), {"a": 1}, ROOT, None),
        ("lifecycle", (), {"event": "started", **graph, "graph_name": "child", "trigger_call_id": "t1"}, MODEL, "talk"),
        ("tools", child, {"event": "tool-started", **tool, "tool_name": "weather", "input": {"city": "Oslo"}}, TOOL, "talk"),
        ("tools", child, {"event": "tool-output-delta", **tool, "delta": "ra"}, TOOL, "talk"),
        ("tools", child, {"event": "tool-finished", **tool, "output": "rain"}, TOOL, "talk"),
        ("lifecycle", (), {"event": "completed", **graph}, CHILD, "child"),
        ("values", (), {"a": 2}, ROOT, None),
    ]
    messages = [told(one) for one in made if one["method"] == "messages"]
    assert {(one[1], one[3], one[4]) for one in messages} == {(child, MODEL, "talk")}
    assert [one[2]["event"] for one in messages][-1] == "message-finish"
    assert messages[0][2]["id"] == f"lc_run--{MODEL}"
    assert translator.skipped == 4, "the starts of node and subgraph, the end of the node, a retriever"
    assert [translator._runs, translator._families, translator._graphs] == [{}, {}, {}]
    for ending in ("failed", "interrupted"):
        ends = [told(one) for one in protocol(module, run(ending=ending)) if one["method"] == "lifecycle"]
        assert [one[2] for one in ends[1:]] == [
            {"event": ending, **graph, "error": "no net"},
            {"event": ending, "namespace": [], "error": "no net"},
        ]
    check_two_roots(module)


def check_two_roots(module: ModuleType) -> None:
    """Check that the end of one run ends no graph of another, and that what is left open ends with its root."""
    other = "00000000-0000-0000-0000-000000000009"
    first, second = run(), run(other)
    stream = [*first[:4], second[0], second[-1], first[-1]]
    made = [told(one) for one in protocol(module, stream)]
    assert [(one[2]["event"], one[3]) for one in made if one[0] == "lifecycle"] == [("started", MODEL), ("completed", ROOT)]
    assert [one[3] for one in made if one[0] == "values"] == [ROOT, other, other, ROOT]


def protocol(module: ModuleType, events: list[Any]) -> list[Any]:
    translator = module.EventsToProtocol()
    return [one for event in events for one in translator.feed(event)]


def told(one: Any) -> tuple[Any, ...]:
    params = one["params"]
    return one["method"], tuple(params["namespace"]), params["data"], params["run_id"], params.get("node")


def check_from_v3(module: ModuleType) -> None:
    """Check the v2 events of a graph's run: in the form of the wire, in process, cut off, and with messages side by side."""
    wire = cb.EventsToProtocol()
    stream = [one for event in run() for one in wire.feed(event)]
    states = {"type": "event", "method": "values", "params": {"namespace": ["child:t1"], "data": {"inner": 1}}}
    custom = {"type": "event", "method": "custom", "params": {"namespace": [], "data": 1}}
    stream[-2:-2] = [states, custom]
    live = [
        {**one, "params": {"namespace": one["params"]["namespace"], "data": (one["params"]["data"], metadata_of(one))}}
        if one["method"] == "messages"
        else one
        for one in stream
    ]
    for form in (stream, live):
        check_graph(module, form)
    translator = module.ProtocolToEvents()
    for one in stream[:-2]:
        translator.feed(one)
    assert translator.close() == []  # the subgraph goes on
    translator = module.ProtocolToEvents()
    translator.feed(stream[0])
    assert translator.close(ConnectionError()) == []
    check_ends(module)
    check_side_by_side(module)


def metadata_of(one: Any) -> dict[str, Any]:
    return {"run_id": one["params"]["run_id"], **INSIDE}


def check_graph(module: ModuleType, stream: list[Any]) -> None:
    translator = module.ProtocolToEvents()
    events = [event for one in stream for event in translator.feed(one)]
    assert translator.skipped == 1
    events += translator.close()
    assert translator.close() == []
    names = [event["event"] for event in events if not event["event"].endswith("_stream")]
    assert names == [
        "on_chain_start",
        "on_chain_start",
        "on_tool_start",
        "on_chat_model_start",
        "on_tool_end",
        "on_chat_model_end",
        "on_chain_end",
        "on_chain_end",
    ]
    root, child = events[0], events[1]
    assert (root["run_id"], root["parent_ids"], root["data"]) == (ROOT, [], {"input": {"a": 1}})
    assert (child["name"], child["parent_ids"]) == ("child", [ROOT])
    inside = [event for event in events if event["event"].startswith(("on_chat_model", "on_tool"))]
    assert all(event["parent_ids"] == [ROOT, child["run_id"]] for event in inside)
    assert {event["run_id"] for event in inside} == {MODEL, TOOL}
    assert all(event["metadata"]["langgraph_node"] == "talk" for event in inside)
    assert next(event for event in events if event["event"] == "on_tool_end")["data"] == {
        "output": "rain",
        "input": {"city": "Oslo"},
        "tool_call_id": "c1",
    }
    assert [event["data"].get("output") for event in events[-2:]] == [{"inner": 1}, {"a": 2}]


def check_ends(module: ModuleType) -> None:
    """Check how a subgraph ends that does not end well, that it starts once, and that an error begins no root."""
    for ending in ("failed", "interrupted"):
        translator = module.ProtocolToEvents()
        started = lifecycle({"event": "started", "namespace": ["child:t1"]})
        assert len(translator.feed(started)) == 2
        assert translator.feed(started) == []
        ended = lifecycle({"event": ending, "namespace": ["child:t1"], "error": "no net"})
        (error,) = translator.feed(ended)
        assert (error["event"], error["data"]["status"]) == ("on_chain_error", ending)
        assert translator.feed(ended) == []
    translator = module.ProtocolToEvents()
    with pytest.raises(cb.EventSequenceError):
        translator.feed(message({"event": "message-finish"}, node="talk"))
    begun = translator.feed(message({"event": "message-start", "id": "m"}, node="talk", run_id="7"))
    assert [event["event"] for event in begun] == ["on_chain_start", "on_chat_model_start"]
    assert begun[1]["run_id"] == "7"


def lifecycle(data: Any) -> dict[str, Any]:
    return {"type": "event", "method": "lifecycle", "params": {"namespace": [], "data": data}}


def message(data: Any, namespace: tuple[str, ...] = (), **params: Any) -> dict[str, Any]:
    return {"type": "event", "method": "messages", "params": {"namespace": list(namespace), "data": data, **params}}


def check_side_by_side(module: ModuleType) -> None:
    """Check that messages are told apart by their graph and node, that what cannot be is an error, and that ids are read."""
    places: list[Any] = [((), "talk"), ((), "think"), (("child:t1",), "talk")]
    translator = module.ProtocolToEvents()
    for number, (namespace, node) in enumerate(places):
        translator.feed(message({"event": "message-start", "id": f"lc_run--{number}"}, namespace, node=node))
    begun = {"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}}
    part = {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": "x"}}
    for number, (namespace, node) in reversed(list(enumerate(places))):
        translator.feed(message(begun, namespace, node=node))
        (event,) = translator.feed(message(part, namespace, node=node))
        assert event["run_id"] == str(number)
    with pytest.raises(cb.EventSequenceError, match="2 messages are open"):
        translator.feed(message(part))
    ended = translator.feed(message({"event": "message-finish"}, (), node="talk"))
    assert ended[-1]["event"] == "on_chat_model_end"
    with pytest.raises(cb.EventSequenceError, match="no messages are open"):
        translator.feed(message(part, (), node="talk"))
    tool = {"event": "tool-started", "tool_call_id": "c1", "tool_name": "weather", "input": {}}
    for _ in range(2):  # over, it may start again
        translator.feed({"method": "tools", "params": {"namespace": [], "data": tool}})
        translator.feed({"method": "tools", "params": {"namespace": [], "data": {**tool, "event": "tool-finished"}}})


def test_the_code_as_it_is_passes() -> None:
    """Otherwise a failure would mean nothing."""
    check_into_v3(with_fault(None, "encode.py"))
    check_from_v3(with_fault(None, "decode.py"))


NOTICED = (AssertionError, KeyError, IndexError, ValueError, cb.EventSequenceError, pytest.fail.Exception)


@pytest.mark.parametrize("fault", FAULTS_INTO_V3, ids=lambda fault: fault.old[:40])
def test_a_fault_on_the_way_to_version_3_is_noticed(fault: Fault) -> None:
    with pytest.raises(NOTICED):
        check_into_v3(with_fault(fault, "encode.py"))


@pytest.mark.parametrize("fault", FAULTS_FROM_V3, ids=lambda fault: fault.old[:40])
def test_a_fault_on_the_way_from_version_3_is_noticed(fault: Fault) -> None:
    with pytest.raises(NOTICED):
        check_from_v3(with_fault(fault, "decode.py"))
