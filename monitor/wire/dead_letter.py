"""Dead letters: an input that does not fit, kept as where it stands and why, never with its content."""

from __future__ import annotations

from hashlib import sha256

from pydantic import Field

from monitor.core.ids import canonical_json
from monitor.core.moment import rfc3339
from monitor.wire.shared import Count, Message, Moment, Name, Sha256


class DeadLetter(Message):
    """One record of `rollback.dead-letters.v1`; keyed by source topic and partition."""

    source_topic: Name
    source_partition: Count
    source_offset: Count
    reason: str = Field(
        pattern=r"^[a-z0-9_]+(:[a-z_]+)?$", description="As `not_json` or `missing_field:release`."
    )
    sha256: Sha256 = Field(description="Of the record's value, to recognise it by.")
    size: Count = Field(description="Bytes of the value; 0 for a tombstone.")
    at: Moment = Field(description="The record's own time.")


def dead_letter(
    topic: str, partition: int, offset: int, *, reason: str, digest: str, size: int, at_ms: int
) -> tuple[bytes, bytes]:
    """Return key and value of a dead letter.

    Args:
        reason: A reason of `monitor.wire.rejection`.
        digest: `digest_of` the record's value.
        at_ms: The record's own time, epoch milliseconds.
    """
    letter = {
        "source_topic": topic,
        "source_partition": partition,
        "source_offset": offset,
        "reason": reason,
        "sha256": digest,
        "size": size,
        "at": rfc3339(at_ms),
    }
    return f"{topic}/{partition}".encode(), canonical_json(letter).encode()


def digest_of(value: bytes | None) -> str:
    """Return the SHA-256 of a record's value; a tombstone has that of no bytes."""
    return sha256(value or b"").hexdigest()
