"""Patches for `git apply`: plain bytes, so any newlines, encoding and end of file work."""

from __future__ import annotations

import difflib
import re

__all__ = ["unified_patch"]

_NO_NEWLINE = b"\n\\ No newline at end of file\n"


def unified_patch(path: str, before: bytes, after: bytes) -> bytes:
    """Return the difference between two versions of a file; empty if there is none.

    Args:
        path: The file, relative to the directory in which you apply the patch, with forward slashes.
        before: Its bytes.
        after: Its bytes after the patch.
    """
    old, new = _quoted(f"a/{path}"), _quoted(f"b/{path}")
    hunks = list(difflib.diff_bytes(difflib.unified_diff, _lines(before), _lines(after), lineterm=b"\n"))[2:]
    if not hunks:
        return b""
    header = b"diff --git %s %s\n--- %s\n+++ %s\n" % (old, new, _ended(old), _ended(new))
    return header + b"".join(line if line.endswith(b"\n") else line + _NO_NEWLINE for line in hunks)


def _lines(data: bytes) -> list[bytes]:
    """Split at line feeds only, as git does: a carriage return is part of its line."""
    return re.findall(rb"[^\n]*\n|[^\n]+", data)


def _quoted(path: str) -> bytes:
    """Return a path as git writes it: in quotes, with escapes, if it has characters that need them."""
    name = path.encode("utf-8", "surrogateescape")
    if not re.search(rb'["\\\x00-\x1f\x7f]', name):
        return name
    escaped = re.sub(rb'["\\]', lambda found: b"\\" + found[0], name)
    return b'"' + re.sub(rb"[\x00-\x1f\x7f]", lambda found: b"\\%03o" % found[0][0], escaped) + b'"'


def _ended(name: bytes) -> bytes:
    """Return a path with a tab behind it if it has spaces. Without the tab, a space would end the path."""
    return name + b"\t" if b" " in name else name
