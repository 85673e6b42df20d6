"""A choice of rules, by codes or beginnings of codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from callbridge.migrate.problems import MigrateError
from callbridge.migrate.rules.table import RULES

__all__ = ["Choice", "chosen_codes"]


@dataclass(frozen=True)
class Choice:
    """A choice of rules.

    Attributes:
        select: Codes, or beginnings of codes; empty for all.
        ignore: Codes, or beginnings of codes, to leave out.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def wants(self, code: str) -> bool:
        """Return whether the choice has a rule."""
        return (not self.select or code.startswith(self.select)) and not code.startswith(self.ignore)

    @property
    def codes(self) -> frozenset[str]:
        """The chosen rules."""
        return frozenset(code for code in RULES if self.wants(code))


def chosen_codes(given: Sequence[str] | None, configured: tuple[str, ...]) -> tuple[str, ...]:
    """Return the codes of an option, which separates them by commas; without the option, those of the configuration.

    Raises:
        MigrateError: If no rule has such a code.
    """
    codes = tuple(code.strip().upper() for each in given for code in each.split(",") if code.strip()) if given else configured
    for code in codes:
        if not any(rule.startswith(code) for rule in RULES):
            raise MigrateError(f"there is no rule {code!r}; `callbridge explain` lists them all")
    return codes
