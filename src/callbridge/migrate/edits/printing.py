"""CB305: turns `StreamingStdOutCallbackHandler` into a loop that prints the text of the wrapped call.

```
llm = ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler()])      llm = ChatOpenAI()
answer = LLMChain(llm=llm, prompt=prompt).run(topic)          →     with stream_call(….run, topic) as stream:
                                                                        for token in stream.text():
                                                                            print(token, end="", flush=True)
                                                                    answer = stream.result
```
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.langchain_names import is_langchain
from callbridge.migrate.edits.events_loop import direct
from callbridge.migrate.edits.heard_calls import guarded, heard_runs, kept, with_twins
from callbridge.migrate.edits.imports import import_of
from callbridge.migrate.edits.operations import Change, Operation, Refusal, RemoveStatement
from callbridge.migrate.edits.source import Source
from callbridge.migrate.edits.unfit import UnfitError
from callbridge.migrate.edits.wrapping import wrap

__all__ = ["plan"]

_PRINT = 'print({token}, end="", flush=True)'
_WRITE = "sys.stdout.write({token})\nsys.stdout.flush()"
_UNPRINTED = "nothing was printed before, and all of the text will be now"


def plan(source: Source, level: int, *, unsafe: bool = False) -> Iterator[Change | Refusal]:
    """Return the changes and refusals for the printing handlers of a file. Level 2 needs the same text, or `unsafe`."""
    for call in source.calls():
        origin = source.origin(call.func)
        if is_langchain(origin) and origin.endswith(".StreamingStdOutCallbackHandler"):
            try:
                yield _change(source, call, level, unsafe=unsafe)
            except UnfitError as unfit:
                yield Refusal("CB305", source.span(call), str(unfit))


def _change(source: Source, made: ast.Call, level: int, *, unsafe: bool) -> Change:
    attachment, statement, reads = kept(source, made)
    if made.args or made.keywords or reads:
        raise UnfitError("the handler is made with arguments, or the file reads its attributes")
    attachment = with_twins(source, made, attachment)
    runs, reasons = heard_runs(source, attachment, _UNPRINTED)
    operations: list[Operation] = [*attachment.operations]
    operations += [RemoveStatement(source.span(statement))] if statement is not None else []
    for run in (each.call for each in runs):
        variable = source.fresh(run, "token", "piece")
        body, added = _printing(source, run, variable)
        body = guarded(source, attachment, run, body)
        operations += added
        assumed = direct(source, run) if level == 2 else None
        is_direct = assumed == "" or (bool(assumed) and unsafe)
        done, read = wrap(source, run, variable, body, direct=is_direct, operations=attachment.operations)
        operations += done
        reasons.append(assumed or "" if read else "")
    orphans = tuple(sorted({*attachment.names, *(node.id for node in ast.walk(made.func) if isinstance(node, ast.Name))}))
    message = "print the text of the wrapped call, and drop the handler"
    reason = "; ".join(sorted({*reasons} - {""}))
    return Change("CB305", source.span(made), message, tuple(operations), reason, orphans, attachment.places)


def _printing(source: Source, run: ast.Call, variable: str) -> tuple[str, list[Operation]]:
    """Return the code that prints a token at the call, and the operations that import its names."""
    if source.is_builtin("print", run):
        return _PRINT.format(token=variable), []
    added = import_of(source, "sys", "", run)
    if added is None:
        raise UnfitError("this file uses the names print and sys for something else")
    return _WRITE.format(token=variable), list(added)
