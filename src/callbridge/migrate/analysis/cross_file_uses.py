"""Which names of a file other files of the project use. An edit never removes these names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

__all__ = ["ForeignUses"]

_EVERYTHING = "*"
"""Stands for all names of a file: another file uses `import *`, or imports the module under another name."""

_FROM = re.compile(r"^[ \t]*from[ \t]+(?P<module>\.*[\w.]*)[ \t]+import[ \t]*(?P<names>\([^)]*\)|[^\n]*)", re.MULTILINE)
_IMPORT_AS = re.compile(r"^[ \t]*import[ \t]+(?P<module>[\w.]+)[ \t]+as\b", re.MULTILINE)
_ATTRIBUTE = re.compile(r"\b(?P<module>[A-Za-z_]\w*)\.(?P<name>[A-Za-z_]\w*)")


class ForeignUses:
    """An index over texts, by the last part of a module's name: `handlers` for `app/handlers.py`.

    It finds uses by patterns and does not parse, so files with syntax errors count as well. Text that looks like a use
    counts as one.
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
                yield name, _EVERYTHING  # it may be a module
    for found in _IMPORT_AS.finditer(text):
        yield found["module"].rpartition(".")[2], _EVERYTHING
    for found in _ATTRIBUTE.finditer(text):
        yield found["module"], found["name"]
