"""The contents of files: bytes as text and back, and writes that are complete or not at all."""

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
    """A file's bytes, and the text that they are.

    Attributes:
        data: As it is on disk.
        text: Decoded, without a byte order mark, with the newlines that it has.
        encoding: Of the declaration in its first lines, or UTF-8; `utf-8-sig` if it begins with a byte order mark.
    """

    data: bytes
    text: str
    encoding: str

    @property
    def is_exact(self) -> bool:
        """Whether the text gives the same bytes again: some encodings have several ways to write a character."""
        try:
            return self.encoded(self.text) == self.data
        except UnicodeError:
            return False

    def encoded(self, text: str) -> bytes:
        """Return another text as bytes of this file's encoding.

        Raises:
            UnicodeEncodeError: The encoding does not have one of its characters.
        """
        return text.encode(self.encoding)


def read_source(path: Path) -> SourceFile:
    """Read a Python file or notebook.

    Args:
        path: A file, or a link to one.

    Raises:
        UnparsableError: It is no regular file, may not be read, or its bytes are not of the encoding that it declares.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnparsableError("cannot be read: no regular file")
        data = path.read_bytes()
    except OSError as error:
        raise UnparsableError(f"cannot be read: {error.strerror or error}") from error
    return decoded(data, notebook=path.suffix == ".ipynb")


def decoded(data: bytes, *, notebook: bool = False) -> SourceFile:
    """Return bytes as a source file: decoded by their byte order mark, their coding comment, or as UTF-8.

    Args:
        data: Of the file.
        notebook: Whether it is one, which has no coding comment.

    Raises:
        UnparsableError: The encoding is unknown, or the bytes are not of it.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnparsableError("encoded as utf-16, which Python does not read")
    try:
        if notebook:
            encoding = "utf-8-sig" if data.startswith(codecs.BOM_UTF8) else "utf-8"
        else:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return SourceFile(data, data.decode(encoding), encoding)
    except (SyntaxError, LookupError, ValueError) as error:  # an unknown coding, or bytes that are not of it
        raise UnparsableError(f"cannot be decoded: {re.sub(r'<.*?>', '', str(error))}") from error


def write_atomically(path: Path, data: bytes, *, expected: bytes | None = None) -> None:
    """Put new bytes in the place of a file's: whoever reads it sees all of the old or all of the new ones.

    The bytes go to a temporary file in the same directory, which gets the old file's permissions and then its name. A link
    stays a link; the file that it leads to is replaced. If there is no file yet, there is one afterwards.

    Args:
        path: The file.
        data: What comes.
        expected: What is there now; None for whatever there is.

    Raises:
        OSError: It cannot be written; the file is as it was, and the temporary file is gone.
        BlockingIOError: Somebody else has changed the file since it was read.
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
