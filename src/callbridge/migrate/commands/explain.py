"""`callbridge explain`: explains a rule, with code before and after, or an error, with cause and cure."""

from __future__ import annotations

from difflib import get_close_matches
from textwrap import fill, indent

from callbridge.cures import CURES
from callbridge.migrate.problems import MigrateError
from callbridge.migrate.rules.rule import Rule
from callbridge.migrate.rules.table import RULES

__all__ = ["explain", "find_rule", "list_rules", "rules_table"]

_WIDTH = 100


def list_rules() -> str:
    """Return a list of all rules, one line each."""
    return "".join(f"{rule.code}  {rule.name:<26} {rule.fix:<34} {rule.summary}\n" for rule in RULES.values())


def rules_table() -> str:
    """Return a Markdown table of all rules."""
    rows = [f"| {rule.code} | {rule.name} | {rule.severity} | {rule.fix} | {rule.summary} |" for rule in RULES.values()]
    return "\n".join(["| code | name | severity | verdicts | finds |", "|---|---|---|---|---|", *rows]) + "\n"


def find_rule(name: str) -> Rule:
    """Return the rule with this code or name.

    Raises:
        MigrateError: If no rule has it.
    """
    wanted = name.strip()
    for rule in RULES.values():
        if wanted.upper() == rule.code or wanted.lower() == rule.name:
            return rule
    near = (
        get_close_matches(wanted.upper(), RULES, 1)
        or get_close_matches(wanted.lower(), [rule.name for rule in RULES.values()], 1)
        or get_close_matches(wanted, CURES, 1)
    )
    hint = f"did you mean {near[0]}? " if near else ""
    raise MigrateError(f"there is no rule or error {name!r}; {hint}`callbridge explain` lists the rules")


def explain(name: str) -> str:
    """Return the documentation of one rule, or of one error.

    Raises:
        MigrateError: If there is no such rule and no such error.
    """
    error = name.strip().rpartition(".")[2]  # a traceback names an error with its module
    if error in CURES:
        return f"{error}\n\nCause\n{_paragraph(CURES[error].cause)}\n\nCure\n{_paragraph(CURES[error].cure)}\n"
    rule = find_rule(name)
    parts = [
        f"{rule.code} {rule.name}  ({rule.severity}; {rule.fix})",
        fill(f"Finds {rule.summary}.", _WIDTH, break_on_hyphens=False, break_long_words=False),
        "Why\n" + _paragraph(rule.why),
        *(["Before\n" + indent(rule.before, "    ")] if rule.before else []),
        *(["After\n" + indent(rule.after, "    ")] if rule.after else []),
        "When not to\n" + _paragraph(rule.when_not),
        f"Suppress one place\n    # callbridge: ignore[{rule.code}] the reason",
    ]
    return "\n\n".join(parts) + "\n"


def _paragraph(text: str) -> str:
    return indent(fill(text, _WIDTH - 4, break_on_hyphens=False, break_long_words=False), "    ")
