"""Configuration: `[tool.callbridge]` in the nearest `pyproject.toml`. An unknown key is an error."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from callbridge.migrate.analysis.files import MAX_BYTES
from callbridge.migrate.problems import MigrateError

__all__ = ["Config", "find_pyproject", "load_config"]

_LISTS = ("include", "exclude", "select", "ignore", "keep")
_KEYS = (*_LISTS, "baseline", "max-file-size")


@dataclass(frozen=True)
class Config:
    """The settings in `pyproject.toml`.

    Attributes:
        root: The directory that paths are relative to: the one with `pyproject.toml`, or the current one.
        include: Patterns of paths to scan; empty for all Python files and notebooks.
        exclude: Patterns of paths to leave out.
        select: Codes, or beginnings of codes; empty for all.
        ignore: Codes, or beginnings of codes, to leave out.
        keep: Patterns of dotted class names whose handlers are observers.
        baseline: The file that holds known findings.
        max_file_size: In bytes.
    """

    root: Path
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    baseline: Path | None = None
    max_file_size: int = MAX_BYTES


def find_pyproject(start: Path) -> Path | None:
    """Return the nearest `pyproject.toml` at a directory or above it."""
    return next((path for each in (start, *start.parents) if (path := each / "pyproject.toml").is_file()), None)


def load_config(path: Path | None, start: Path) -> Config:
    """Read the configuration.

    Args:
        path: The file; None for the nearest `pyproject.toml`.
        start: The current directory.

    Raises:
        MigrateError: If the file cannot be read, is not TOML, or has an unknown key or value.
    """
    found = path or find_pyproject(start)
    if found is None:
        return Config(start)
    try:
        text = found.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise MigrateError(f"cannot read {found}: {error}") from error
    root = found.resolve().parent
    if "callbridge" not in text:
        return Config(root)
    tool = _parse(text, found).get("tool")
    given = tool.get("callbridge") if isinstance(tool, dict) else None
    return _checked(given, root, found) if given is not None else Config(root)


def _parse(text: str, path: Path) -> dict[str, Any]:
    toml = _toml()
    if toml is None:
        raise MigrateError(f"{path} configures callbridge, but this Python cannot read TOML: pip install 'callbridge[migrate]'")
    try:
        document: dict[str, Any] = toml.loads(text)
    except (ValueError, RecursionError) as error:
        raise MigrateError(f"{path} is not valid TOML: {error}") from error
    return document


def _toml() -> Any:
    """Return a module that reads TOML: from CPython 3.11 its own, before that `tomli`; None if there is none."""
    for name in ("tomllib", "tomli"):
        with suppress(ModuleNotFoundError):
            return import_module(name)
    return None


def _checked(given: object, root: Path, path: Path) -> Config:
    if not isinstance(given, Mapping):
        raise MigrateError(f"{path}: tool.callbridge must be a table")
    for key in given:
        if key not in _KEYS:
            near = get_close_matches(str(key), _KEYS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; the keys are {', '.join(_KEYS)}"
            raise MigrateError(f"{path}: tool.callbridge has no key {key!r}{hint}")
    lists = {key: _strings(given.get(key, []), key, path) for key in _LISTS}
    baseline = given.get("baseline")
    if baseline is not None and not isinstance(baseline, str):
        raise MigrateError(f"{path}: tool.callbridge.baseline must be a path")
    size = given.get("max-file-size", MAX_BYTES)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise MigrateError(f"{path}: tool.callbridge.max-file-size must be a number of bytes")
    return Config(root, **lists, baseline=root / baseline if baseline else None, max_file_size=size)


def _strings(value: object, key: str, path: Path) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(each, str) and each for each in value):
        return tuple(value)
    raise MigrateError(f"{path}: tool.callbridge.{key} must be a list of strings, got {value!r}")
