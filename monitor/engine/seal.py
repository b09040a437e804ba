"""The seal of a stored value: a checksum over its field's name and its bytes, in front of them.

CRC-32 finds what storage does to bytes, not what an attacker does: whoever can write the store can seal.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

from monitor.core.errors import MonitorError

MARK: Final = 0xC1  # the one byte that begins no MessagePack value: what has no seal is of an older version
SEAL_BYTES: Final = 5


class StateDamaged(MonitorError):
    """A stored field cannot be what this product wrote; the partition has to be rebuilt from the log."""


def seal(field: str, packed: bytes) -> bytes:
    """Return the bytes to store under a field's name."""
    return bytes((MARK,)) + _checksum(field, packed).to_bytes(4, "big") + packed


def is_sealed(stored: bytes) -> bool:
    """Tell whether a value carries a seal."""
    return stored[:1] == bytes((MARK,))


def seal_of(field: str, stored: bytes) -> int:
    """Return a value's checksum: the one it carries, or the one it would have."""
    return int.from_bytes(stored[1:SEAL_BYTES], "big") if is_sealed(stored) else _checksum(field, stored)


def unseal(field: str, stored: bytes) -> bytes:
    """Return the bytes that were sealed; a value of an older version comes back as it is.

    Raises:
        StateDamaged: They are not what was stored under this name.
    """
    if not is_sealed(stored):
        return stored
    packed = stored[SEAL_BYTES:]
    if seal_of(field, stored) != _checksum(field, packed):
        raise StateDamaged(
            f"the field {field!r} of {len(stored)} bytes is not what was written: its seal is broken"
        )
    return packed


def opened(stored: bytes) -> bytes:
    """Return the bytes behind a seal that somebody else has checked, or that nobody needs checked."""
    return stored[SEAL_BYTES:] if is_sealed(stored) else stored


def _checksum(field: str, packed: bytes) -> int:
    return crc32(packed, crc32(field.encode()))
