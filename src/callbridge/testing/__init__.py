"""For tests, support cases and migrations: parity of old and new code, recordings and their replay."""

from __future__ import annotations

from callbridge.testing.comparing import Report, aparity, parity
from callbridge.testing.differences import Difference
from callbridge.testing.recording import Recorded, Recording, read_recording, record
from callbridge.testing.replaying import areplay, replay
from callbridge.testing.sampling import sampled

__all__ = [
    "Difference",
    "Recorded",
    "Recording",
    "Report",
    "aparity",
    "areplay",
    "parity",
    "read_recording",
    "record",
    "replay",
    "sampled",
]
