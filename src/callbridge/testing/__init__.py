"""For tests, support cases and the time of a migration: parity of old and new, recordings and their replay."""

from __future__ import annotations

from callbridge.testing.recording import Recorded, Recording, read_recording, record
from callbridge.testing.replaying import areplay, replay

__all__ = [
    "Recorded",
    "Recording",
    "areplay",
    "read_recording",
    "record",
    "replay",
]
