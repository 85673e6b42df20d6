"""The whole project: finds the class or function behind a dotted name in any file. Reads a file only when needed."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from itertools import repeat, takewhile
from pathlib import PurePosixPath
from typing import NamedTuple

from callbridge.migrate.analysis.cross_file_uses import ForeignUses
from callbridge.migrate.analysis.langchain_names import is_langchain
from callbridge.migrate.analysis.module import Function, Module, UnparsableError, parse

__all__ = ["Found", "Project", "module_name"]

Found = tuple[Module, ast.ClassDef | Function]
"""A definition and its module."""


class _Onward(NamedTuple):
    """The name that an alias or re-export stands for, and the module of that alias."""

    module: Module
    dotted: str


_HOPS = 12
_CACHED = 64


def module_name(path: str) -> str:
    """Return the dotted name of a file by its path: `app/handlers.py` is `app.handlers`, `app/__init__.py` is `app`."""
    parts = [part for part in PurePosixPath(path).with_suffix("").parts if part not in ("/", ".", "..")]
    if parts and parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts) or "__main__"


class Project:
    """The files that imports can lead to.

    The project reads and parses a file once, when a rule asks for a name in it. You can pickle a project if you can pickle
    its reader; a worker process then fills its own cache.

    Args:
        paths: The paths of all Python files.
        read: Returns a file's text; None if it cannot be read.
    """

    def __init__(self, paths: Iterable[str], read: Callable[[str], str | None]) -> None:
        self._read = read
        self._modules: dict[str, Module | None] = {}
        self._held: Module | None = None
        self._nearest: dict[tuple[str, str], str | None] = {}
        self._by_suffix: dict[str, list[str]] = {}
        self._tops: set[str] = set()
        self._uses: ForeignUses | None = None
        self._paths = frozenset(paths)
        for path in sorted(self._paths):
            parts = module_name(path).split(".")
            self._tops.update(parts)
            for start in range(len(parts)):
                self._by_suffix.setdefault(".".join(parts[start:]), []).append(path)

    @classmethod
    def build(cls, sources: Iterable[tuple[str, str]]) -> Project:
        """Return a project from texts in memory: pairs of path and text."""
        texts: Mapping[str, str] = dict(sources)
        return cls(texts, texts.get)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_modules": {}, "_held": None, "_nearest": {}, "_uses": None}

    def loaded(self, path: str, text: str) -> Module | None:
        """Return a file's module if it is already loaded and has this text."""
        known = (self._held, self._modules.get(path))
        return next((each for each in known if each is not None and each.path == path and each.text == text), None)

    def hold(self, module: Module) -> None:
        """Keep the module that is being worked on, to parse each text once. Imports in other files do not see it."""
        self._held = module

    def foreign_uses(self, path: str) -> frozenset[str]:
        """Return the names of a file that other files of the project use; `*` stands for all of them."""
        if self._uses is None:
            self._uses = ForeignUses((each, text) for each in sorted(self._paths) if (text := self._read(each)) is not None)
        return self._uses.of(path)

    def provides(self, name: str, origin: Module) -> bool:
        """Return whether a file belongs to a source tree that has a module with this dotted name."""
        return any(origin.path.startswith(root) for root in map(self._root, self._fitting(name), repeat(name)))

    def find(self, dotted: str, origin: Module) -> Found | None:
        """Return the definition behind a dotted name, through re-exports and aliases; None if there is none.

        Args:
            dotted: A resolved name.
            origin: The file that uses it. If several files fit a module's name, the one nearest to this file counts.
        """
        if dotted.partition(".")[0] not in self._tops and not dotted.startswith(f"{origin.name}."):
            return None
        for _ in range(_HOPS):
            step = self._step(dotted, origin)
            if not isinstance(step, _Onward):
                return step
            origin, dotted = step
        return None

    def find_value(self, home: str, name: str, origin: Module) -> tuple[Module, ast.expr] | None:
        """Return the module of the project and the value that it binds to a name; None for imports and definitions."""
        module = self._module(home, origin)
        found = module.binding(name, module.tree) if module is not None else None
        values = [value for value in found[1] if value is not None] if found else []
        return (module, values[-1]) if module is not None and values else None

    def _step(self, dotted: str, origin: Module) -> Found | _Onward | None:
        parts = dotted.split(".")
        for cut in range(len(parts) - 1, 0, -1):
            module = self._module(".".join(parts[:cut]), origin)
            if module is None:
                continue
            name = parts[cut]
            definition = module.definition(name, module.tree)
            if definition is None:
                onward = _onward(module, name)
                return _Onward(module, ".".join([onward, *parts[cut + 1 :]])) if onward and onward != dotted else None
            for inner in parts[cut + 1 :]:
                if not isinstance(definition, ast.ClassDef):
                    return None
                definition = module.definition(inner, definition)
                if definition is None or module.scopes[definition] is module.tree:
                    return None
            return module, definition
        return None

    def _module(self, name: str, origin: Module) -> Module | None:
        if name == origin.name:
            return origin
        path = self._path(name, origin)
        if path is None:
            return None
        if path == origin.path:
            return origin
        if path not in self._modules:
            if len(self._modules) >= _CACHED:
                del self._modules[next(iter(self._modules))]
            self._modules[path] = self._load(path)
        return self._modules[path]

    def _path(self, name: str, origin: Module) -> str | None:
        """Return the file of a module's name; the nearest if there are several."""
        key = (name, origin.path.rpartition("/")[0])
        if key not in self._nearest:
            fitting = self._fitting(name)
            self._nearest[key] = max(fitting, key=lambda each: (_shared(each, origin.path), -len(each)), default=None)
        return self._nearest[key]

    def _fitting(self, name: str) -> list[str]:
        """Return the files that a module's name can mean.

        `langchain.callbacks` is not the `adapters/langchain/callbacks.py` of a project, as long as `adapters` is a package.
        """
        paths = self._by_suffix.get(name, [])
        if not paths or not is_langchain(name):
            return paths
        return [path for path in paths if f"{self._root(path, name)}__init__.py" not in self._paths]

    @staticmethod
    def _root(path: str, name: str) -> str:
        """Return the directory, with a slash at its end, that must be on the path to import a module by a name."""
        inside = name.replace(".", "/")
        return path[: path.rindex(inside)] if inside in path else ""

    def _load(self, path: str) -> Module | None:
        text = self._read(path)
        if text is None:
            return None
        try:
            return Module(text, path, module_name(path), parse(text))
        except (UnparsableError, RecursionError):
            return None


def _onward(module: Module, name: str) -> str | None:
    found = module.binding(name, module.tree)
    for value in reversed(found[1]) if found else ():
        target = module.resolve(value, module.tree) if value is not None else None
        if target:
            return target
    if name in module.imports:
        return module.imports[name]
    stars = [module.absolute(node) for node in module.of(ast.ImportFrom) if node.names[0].name == "*"]
    return f"{stars[-1]}.{name}" if stars else None


def _shared(one: str, other: str) -> int:
    """Return how many leading directories two paths share."""
    directories = zip(one.split("/")[:-1], other.split("/")[:-1], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], directories))
