"""Which names of a file other files of the project use: those stay, whatever an edit leaves behind."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

__all__ = ["ForeignUses"]

_EVERYTHING = "*"
"""Among the names of a file: another file imports all of them, or the module under a name of its own."""

_FROM = re.compile(r"^[ \t]*from[ \t]+(?P<module>\.*[\w.]*)[ \t]+import[ \t]*(?P<names>\([^)]*\)|[^\n]*)", re.MULTILINE)
_IMPORT_AS = re.compile(r"^[ \t]*import[ \t]+(?P<module>[\w.]+)[ \t]+as\b", re.MULTILINE)
_ATTRIBUTE = re.compile(r"\b(?P<module>[A-Za-z_]\w*)\.(?P<name>[A-Za-z_]\w*)")


class ForeignUses:
    """An index over texts, by the last part of a module's name: `handlers` for `app/handlers.py`.

    Read with patterns, not parsed: files that do not parse count as well, and what looks like a use is taken for one.
    """

    def __init__(self, sources: Iterable[tuple[str, str]]) -> None:
        """Read all files once.

        Args:
            sources: Pairs of path and text.
        """
        self._uses: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for path, text in sources:
            for module, name in _mentioned(text):
                self._uses[module][name].add(path)

    def of(self, path: str) -> frozenset[str]:
        """Return the names that files other than this one use of it."""
        uses: Mapping[str, set[str]] = self._uses.get(_stem(path), {})
        return frozenset(name for name, paths in uses.items() if paths - {path})


def _stem(path: str) -> str:
    pure = PurePosixPath(path)
    return pure.parent.name if pure.name == "__init__.py" else pure.name.partition(".")[0]


def _mentioned(text: str) -> Iterable[tuple[str, str]]:
    for found in _FROM.finditer(text):
        module = found["module"].rpartition(".")[2]
        names = re.findall(r"(\w+|\*)(?:\s+as\s+(\w+))?", re.sub(r"#[^\n]*", "", found["names"]))
        for name, alias in names:
            yield module, name
            if alias:
                yield name, _EVERYTHING  # in case it is a module
    for found in _IMPORT_AS.finditer(text):
        yield found["module"].rpartition(".")[2], _EVERYTHING
    for found in _ATTRIBUTE.finditer(text):
        yield found["module"], found["name"]
