"""CB301: `AsyncIteratorCallbackHandler`, a task, and a loop over `aiter()`."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.iterator_handlers import Iteration, iterations
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    for each in iterations(context):
        reason = _reason(each, context)
        facts = {
            "handler": each.name,
            "class": each.dotted,
            "loop_line": str(each.loops[0].lineno) if len(each.loops) == 1 else "",
            "task_line": str(each.tasks[0].lineno) if len(each.tasks) == 1 else "",
        }
        message = "an AsyncIteratorCallbackHandler and a task hand over the tokens"
        yield context.finding("CB301", each.place, message, "adapter", "warning", reason, facts)


def _reason(each: Iteration, context: Context) -> str:
    """Return why the code stays if no edit applies."""
    if each.is_given:
        return f"{each.name} is a parameter: wrap the call with `astream_call`, and remove the parameter"
    if not each.is_plain:
        return "the handler's class extends AsyncIteratorCallbackHandler: wrap the call with `astream_call`"
    if not each.name:
        return "no variable holds the handler: wrap the call with `astream_call`"
    if not each.loops:
        return f"the loop over {each.name}.aiter() is in another function than the one that makes {each.name}"
    return "wrap the call with `astream_call`, and read its text in the loop"


RULE = Rule(
    code="CB301",
    name="aiter-task",
    severity="warning",
    fix="auto-safe, auto-review, adapter",
    summary="`AsyncIteratorCallbackHandler` with `create_task` and `aiter()`",
    why=(
        "The loop ends with the first model call, not with the run. If the run fails before a model starts, the loop waits "
        "forever. If the client leaves, the model goes on."
    ),
    before=(
        "handler = AsyncIteratorCallbackHandler()\n"
        "chain = LLMChain(llm=ChatOpenAI(streaming=True, callbacks=[handler]), prompt=p)\n"
        'task = asyncio.create_task(chain.acall({"q": q}))\n'
        "async for token in handler.aiter():\n"
        "    yield token\n"
        "await task"
    ),
    after=(
        "chain = LLMChain(llm=ChatOpenAI(), prompt=p)\n"
        'async with callbridge.astream_call(chain.acall, {"q": q}) as stream:\n'
        "    async for token in stream.text():\n"
        "        yield token"
    ),
    when_not="If you rely on the output ending after the first model call: then break out of the loop there.",
    check=_check,
)
