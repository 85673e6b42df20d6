"""Source files as text and back: encodings, byte order marks and newlines kept, writes complete or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tempfile
import tokenize
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SourceFile", "UnreadableError", "decoded", "read_source", "write_atomically"]


class UnreadableError(Exception):
    """A file cannot be read as Python source.

    Attributes:
        problem: Why, in one line.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


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

    def encoded(self, text: str) -> bytes:
        """Return another text as bytes of this file's encoding.

        Raises:
            UnicodeEncodeError: The encoding does not have one of its characters.
        """
        return text.encode(self.encoding)


def read_source(path: Path) -> SourceFile:
    """Read a file.

    Args:
        path: A file, or a link to one.

    Raises:
        UnreadableError: It is no file, may not be read, or its bytes are not of the encoding that it declares.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableError("not a regular file")
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableError(error.strerror or type(error).__name__) from error
    return decoded(data)


def decoded(data: bytes) -> SourceFile:
    """Return bytes as a source file.

    Raises:
        UnreadableError: They are not of the encoding that they declare, or would not come back as they are.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
        same = text.encode(encoding) == data
    except (SyntaxError, UnicodeError, LookupError, ValueError) as error:
        raise UnreadableError(f"its bytes cannot be decoded: {error}") from error
    if not same:
        raise UnreadableError(f"its bytes are ambiguous in {encoding}")
    return SourceFile(data, text, encoding)


def write_atomically(path: Path, data: bytes, *, expected: bytes) -> None:
    """Put new bytes in the place of a file's: whoever reads it sees all of the old or all of the new ones.

    The bytes go to a temporary file in the same directory, which gets the old file's permissions and then its name. A link
    stays a link; the file that it leads to is replaced.

    Args:
        path: The file.
        data: What comes.
        expected: What is there now.

    Raises:
        OSError: It cannot be written; the file is as it was, and the temporary file is gone.
        BlockingIOError: Somebody else has changed the file since it was read.
    """
    path = Path(os.path.realpath(path))
    mode = stat.S_IMODE(path.stat().st_mode)
    if path.read_bytes() != expected:
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
