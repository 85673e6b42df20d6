"""File contents: decode bytes, encode text, and write a file completely or not at all."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import stat
import tempfile
import tokenize
from dataclasses import dataclass
from pathlib import Path

from callbridge.migrate.analysis.module import UnparsableError

__all__ = ["SourceFile", "decoded", "read_source", "write_atomically"]

_NEW_FILE = 0o644


@dataclass(frozen=True)
class SourceFile:
    """A file's bytes and their text.

    Attributes:
        data: The bytes on disk.
        text: The decoded text without a byte order mark; its newlines are unchanged.
        encoding: What the first lines declare, or UTF-8; `utf-8-sig` if the file starts with a byte order mark.
    """

    data: bytes
    text: str
    encoding: str

    @property
    def is_exact(self) -> bool:
        """Whether encoding the text restores the same bytes: some encodings can write a character in several ways."""
        try:
            return self.encoded(self.text) == self.data
        except UnicodeError:
            return False

    def encoded(self, text: str) -> bytes:
        """Return another text as bytes in this file's encoding.

        Raises:
            UnicodeEncodeError: The encoding lacks one of its characters.
        """
        return text.encode(self.encoding)


def read_source(path: Path) -> SourceFile:
    """Read a Python file or notebook.

    Args:
        path: A file, or a link to one.

    Raises:
        UnparsableError: It is not a regular file, cannot be read, or its bytes do not fit the encoding that it declares.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnparsableError("cannot be read: it is not a regular file")
        data = path.read_bytes()
    except OSError as error:
        raise UnparsableError(f"cannot be read: {error.strerror or error}") from error
    return decoded(data, notebook=path.suffix == ".ipynb")


def decoded(data: bytes, *, notebook: bool = False) -> SourceFile:
    """Decode bytes by their byte order mark, by their coding comment, or as UTF-8.

    Args:
        data: The file's bytes.
        notebook: Whether the file is a notebook, which has no coding comment.

    Raises:
        UnparsableError: The encoding is unknown, or the bytes do not fit it.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnparsableError("encoded as UTF-16, which Python does not read: save it as UTF-8")
    try:
        if notebook:
            encoding = "utf-8-sig" if data.startswith(codecs.BOM_UTF8) else "utf-8"
        else:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return SourceFile(data, data.decode(encoding), encoding)
    except (SyntaxError, LookupError, ValueError) as error:  # an unknown encoding, or bytes that do not fit it
        raise UnparsableError(f"cannot be decoded: {re.sub(r'<.*?>', '', str(error))}") from error


def write_atomically(path: Path, data: bytes, *, expected: bytes | None = None) -> None:
    """Replace a file's bytes: a reader sees either all of the old or all of the new ones.

    The bytes go to a temporary file in the same directory, which gets the old file's permissions and then its name. A link
    stays a link, and its target is replaced. If the file does not exist yet, this creates it.

    Args:
        path: The file.
        data: The new bytes.
        expected: The bytes that the file must have now; None accepts any.

    Raises:
        OSError: The write failed; the file is unchanged, and the temporary file is gone.
        BlockingIOError: Something else has changed the file since it was read.
    """
    path = Path(os.path.realpath(path))
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() or expected is not None else _NEW_FILE
    if expected is not None and path.read_bytes() != expected:
        raise BlockingIOError(None, "it has been changed since it was read", str(path))
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
