"""Which files a scan looks at. No content of a directory makes the search fail or hang."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from callbridge.migrate.problems import MigrateError
from callbridge.migrate.words import words

__all__ = ["MAX_BYTES", "SKIPPED", "find_files", "is_python", "label", "matches"]

MAX_BYTES = 2_000_000
"""The scan does not parse larger files, and reports that."""

SKIPPED = words(
    "__pycache__ node_modules site-packages dist-packages venv env build dist .git .hg .svn .venv .env .tox .nox .eggs "
    ".mypy_cache .pytest_cache .ruff_cache .ipynb_checkpoints"
)
_SUFFIXES = (".py", ".pyw", ".ipynb")


def is_python(path: str) -> bool:
    """Return whether a path is one of a Python file or notebook."""
    return path.endswith(_SUFFIXES)


def label(path: Path, root: Path) -> str:
    """Return a path for people: posix, relative to the root where it lies below it."""
    absolute = Path(os.path.abspath(path))
    try:
        return absolute.relative_to(root).as_posix()
    except ValueError:
        return absolute.as_posix()


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Return whether a path, or a directory that it lies in, fits one of the patterns of `include` or `exclude`."""
    wanted = [pattern.rstrip("/") for pattern in patterns]
    if not wanted:
        return False
    candidates = [path, *(parent.as_posix() for parent in PurePosixPath(path).parents)]
    return any(fnmatchcase(each, pattern) or fnmatchcase(each, f"*/{pattern}") for pattern in wanted for each in candidates)


def find_files(
    paths: Iterable[str], root: Path, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()
) -> list[tuple[str, Path]]:
    """Return the files to scan as pairs of label and path, sorted, each once.

    The search goes into directories but does not follow links to directories, so loops of links do no harm. If you name a
    file, the scan takes it, whatever its name, unless `exclude` matches it. The search skips pipes, devices and other files
    that are not regular.

    Raises:
        MigrateError: If a path does not exist.
    """
    found: dict[str, Path] = {}
    for given in paths:
        path = Path(given)
        if path.is_dir():
            for name, each in _search(path, root, exclude):
                if (not include or matches(name, include)) and not matches(name, exclude):
                    found[name] = each
        elif os.path.lexists(path):
            name = label(path, root)
            if not matches(name, exclude):
                found[name] = path
        else:
            raise MigrateError(f"no such file or directory: {given}")
    return sorted(found.items())


def _search(top: Path, root: Path, exclude: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """Yield label and path of the Python files below a directory."""
    for directory, below, names in os.walk(top, followlinks=False):
        below[:] = sorted(name for name in below if name not in SKIPPED and not name.endswith(".egg-info"))
        here = label(Path(directory), root)
        prefix = "" if here == "." else f"{here.rstrip('/')}/"
        if exclude:
            below[:] = [name for name in below if not matches(f"{prefix}{name}", exclude)]
        for name in sorted(names):
            path = os.path.join(directory, name)
            if is_python(name) and _is_file(path):
                yield f"{prefix}{name}", Path(path)


def _is_file(path: str) -> bool:
    """Return whether to read a path: it is a regular file, or a broken link, which is worth a finding."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, PermissionError):
        return True
    except OSError:  # a loop of links
        return False
