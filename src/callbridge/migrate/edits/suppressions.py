"""CB901: removes suppression comments that suppress nothing. Comments are text, so this needs no LibCST."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from callbridge.migrate.analysis.suppressions import Suppression
from callbridge.migrate.edits.operations import Change, ReplaceText
from callbridge.migrate.edits.source import Source, Span
from callbridge.migrate.finding import Finding

__all__ = ["apply", "plan"]


def plan(source: Source, suppressions: Sequence[Suppression], findings: Sequence[Finding]) -> Iterator[Change]:
    """Return the changes for the suppressions of a file.

    Args:
        source: The file.
        suppressions: The well-formed suppressions.
        findings: All findings in the file.
    """
    for each in suppressions:
        here = {finding.rule for finding in findings if finding.line <= each.target <= max(finding.line, finding.end_line)}
        used = [code for code in each.codes if code in here]
        if len(used) == len(each.codes):
            continue
        place = Span(each.line, each.column, each.line, each.column + len(each.text))
        text = each.text.replace(each.text[each.text.index("[") : each.text.index("]") + 1], f"[{', '.join(used)}]", 1)
        unused = ", ".join(code for code in each.codes if code not in used)
        operation = ReplaceText(place, text if used else "")
        yield Change("CB901", place, f"remove the suppression of {unused}, which is not here", (operation,))


def apply(source: Source, operations: Sequence[ReplaceText]) -> str:
    """Return the text with comments replaced. A line without other code goes with its comment."""
    lines = [source.line(number) for number in range(1, source.line_count + 1)]
    for operation in sorted(operations, key=lambda each: each.span, reverse=True):
        index = operation.span.line - 1
        before, after = lines[index][: operation.span.column], lines[index][operation.span.end_column :]
        if operation.text:
            lines[index] = before + operation.text + after
        elif before.strip():
            lines[index] = before.rstrip() + after
        else:
            del lines[index]
    return "".join(lines)
