"""Small faults of the projection and the encoders, each of which the checks of `test_protocols` must notice."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

__all__ = ["MUTANTS", "Mutant", "mutated"]

CHAIN = (
    "callbridge.core.toolcalls",
    "callbridge.core.sources",
    "callbridge.core.blocks",
    "callbridge.core.projection",
    "callbridge.web.projected",
    "callbridge.web.ai_sdk",
    "callbridge.web.ag_ui",
    "callbridge.web.openai",
)
"""Modules in the order in which they stand on each other."""

CLASSES = {
    "ai-sdk": ("callbridge.web.ai_sdk", "AISDKFormat"),
    "ag-ui": ("callbridge.web.ag_ui", "AGUIFormat"),
    "openai": ("callbridge.web.openai", "OpenAIFormat"),
}


@dataclass(frozen=True)
class Mutant:
    """A text of a module and what takes its place."""

    name: str
    module: str
    old: str
    new: str
    formats: tuple[str, ...] = ("ai-sdk",)


@contextlib.contextmanager
def mutated(mutant: Mutant) -> Iterator[Callable[[str], Any]]:
    """Give what begins an encoder of a format's name, with a fault in it. The modules are others meanwhile."""
    before = {name: sys.modules[name] for name in CHAIN}
    wrong = next(name for name in CHAIN if name.endswith("." + mutant.module))
    try:
        for name in CHAIN[CHAIN.index(wrong) :]:
            spec = importlib.util.find_spec(name)
            assert spec is not None
            assert spec.origin is not None
            with open(spec.origin, encoding="utf-8") as file:
                source = file.read()
            if name == wrong:
                assert source.count(mutant.old) == 1, f"{mutant.old!r} is {source.count(mutant.old)} times there"
                source = source.replace(mutant.old, mutant.new)
            module = ModuleType(name)
            sys.modules[name] = module
            exec(compile(source, spec.origin, "exec"), module.__dict__)
        made = {name: getattr(sys.modules[module], kind) for name, (module, kind) in CLASSES.items()}
        yield lambda name: made[name]().begin()
    finally:
        sys.modules.update(before)


ALL = ("ai-sdk", "ag-ui", "openai")
PARTS = ("ai-sdk", "ag-ui")

MUTANTS = (
    Mutant("text told again at the end", "projection", "if said.kind not in streamed:", "if True:", PARTS),
    Mutant("text that was not streamed is lost", "projection", "            self._say_rest(model, output, facts)\n", "", PARTS),
    Mutant(
        "models in tools are shown", "projection", "outside = self._inside.isdisjoint(parents) and", "outside = True and", PARTS
    ),
    Mutant(
        "nostream is shown", "projection", 'shown = outside and UNSEEN_TAGS.isdisjoint(event["tags"])', "shown = outside", PARTS
    ),
    Mutant(
        "a piece is left open",
        "projection",
        "        self._over.add(model.run_id)\n        self._end_piece(model, facts)\n",
        "        self._over.add(model.run_id)\n",
    ),
    Mutant(
        "a call begins inside of a text",
        "projection",
        "        self._end_piece(model, facts)\n        call.shown = True",
        "        call.shown = True",
        ("ag-ui",),
    ),
    Mutant(
        "models are never closed",
        "projection",
        "        for model in list(self._models.values()):\n            self._close_model(model, facts)\n",
        "",
        PARTS,
    ),
    Mutant(
        "inputs are shown",
        "projection",
        "shown = given if self._inputs or _is_said(given, self._said) else {}",
        "shown = given",
        PARTS,
    ),
    Mutant(
        "held errors are lost",
        "projection",
        "            for call in self._calls.run_over(run_id):\n                self._tell_failure(call, facts)\n",
        "            self._calls.run_over(run_id)\n",
        PARTS,
    ),
    Mutant(
        "a failure that a retry follows is told",
        "toolcalls",
        "        if error is not None:\n            self._held.append(ToolRun(call, parents))",
        "        if error is not None:\n            self._held.append(ToolRun(call, ()))",
        PARTS,
    ),
    Mutant("calls are bound by name alone", "toolcalls", "for fits in (_equal, _among, _any)", "for fits in (_any,)", PARTS),
    Mutant(
        "injected arguments make another call",
        "toolcalls",
        "for fits in (_equal, _among, _any)",
        "for fits in (_equal,)",
        PARTS,
    ),
    Mutant(
        "answers do not name their call", "toolcalls", "        named = self.named(given_id)\n", "        named = None\n", PARTS
    ),
    Mutant("ids are shown twice", "toolcalls", "while shown in self._ids:", "while False:", PARTS),
    Mutant("calls are answered twice", "toolcalls", "            self._open.remove(call)", "            pass", PARTS),
    Mutant(
        "chunks go to the last call",
        "projection",
        "        call = model.by_index.get(index)\n",
        "        call = model.calls[-1] if model.calls else None\n",
        PARTS,
    ),
    Mutant("sources are told again", "sources", "            if key not in self._known:", "            if True:", PARTS),
    Mutant("steps end with each model", "ai_sdk", "        if fact.last:\n", "        if True:\n"),
    Mutant("steps begin with each model", "ai_sdk", "        if fact.first:\n", "        if True:\n"),
    Mutant(
        "no error after an abort",
        "ai_sdk",
        '            self.send(\'{"type":"abort"}\')\n',
        '            self.send(\'{"type":"abort"}\')\n            return\n',
    ),
    Mutant("no finish", "projected", "            self.finished()\n", "", ALL),
    Mutant("a failed run finishes, too", "projected", "        if self.failure is None:\n", "        if True:\n", ALL),
    Mutant(
        "what is open is not closed at the end",
        "projected",
        "            self._tell(self.projection.close())\n            self.finished()",
        "            self.finished()",
        PARTS,
    ),
    Mutant("errors of tools are shown", "ai_sdk", "self._options.show_errors and fact.error", "fact.error"),
    Mutant("errors of tools are shown by AG-UI", "ag_ui", "self._options.show_errors and fact.error", "fact.error", ("ag-ui",)),
    Mutant(
        "arguments that were not streamed are lost",
        "ag_ui",
        "        if not fact.streamed:\n",
        "        if False:\n",
        ("ag-ui",),
    ),
    Mutant(
        "messages of one id",
        "ag_ui",
        'name = first if first not in self._used else f"{first}-{fact.id}"',
        "name = first",
        ("ag-ui",),
    ),
    Mutant(
        "a cancelled run is finished",
        "ag_ui",
        '            self._finish(RunFinishedCancelledOutcome(type="cancelled"))\n',
        "            self._finish(None)\n",
        ("ag-ui",),
    ),
    Mutant(
        "no message ends",
        "ag_ui",
        "            self._event(TextMessageEndEvent(message_id=name))\n",
        "            pass\n",
        ("ag-ui",),
    ),
    Mutant(
        "waiting text is lost",
        "openai",
        "            for text in piece.waiting:\n                self._text(text)\n            piece.waiting.clear()",
        "            piece.waiting.clear()",
        ("openai",),
    ),
    Mutant(
        "a failure looks like an end",
        "openai",
        "        self.send(_error(failure.detail, kind, failure.status_code))\n",
        "        self._delta('{}', '\"stop\"')\n",
        ("openai",),
    ),
    Mutant("the role comes never", "openai", '        self._delta(\'{"role":"assistant","content":""}\')\n', "", ("openai",)),
)
