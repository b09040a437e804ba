"""What every state store refuses before it writes: one rule for the real store and its twin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from monitor.engine.errors import FlushTooLarge
from monitor.engine.ports import MAX_FLUSH_BYTES, MAX_FLUSH_FIELDS

TOKEN = "token"  # noqa: S105 - a field's name; who may write: set by a claim, compared by a flush
BATCH = "batch"  # the last batch written: a retry of it is recognised
OFFSET = "offset"  # the next offset to read: set by a flush, compared by the next one
CONDEMNED = "condemned"  # an offset that was struck out: equal to none that a flush expects


def check_flush(batch: str, expected_offset: int, fields: Mapping[str, bytes]) -> None:
    """Refuse a flush that a store could not write at once, or that would overwrite the store's own fields.

    Raises:
        FlushTooLarge: Too many fields or bytes for one atomic write.
        ValueError: No `offset` among the fields, a reserved field, an empty batch name, a negative offset:
            our own mistake, never the input's.
    """
    if len(fields) > MAX_FLUSH_FIELDS:
        raise FlushTooLarge(
            f"a flush has {len(fields)} fields; at most {MAX_FLUSH_FIELDS} fit into one atomic write: "
            "end the batch at an earlier record"
        )
    size = sum(len(name) + len(value) for name, value in fields.items())
    if size > MAX_FLUSH_BYTES:
        raise FlushTooLarge(
            f"a flush has {size} bytes; at most {MAX_FLUSH_BYTES} are written at once: "
            "end the batch at an earlier record"
        )
    if OFFSET not in fields or TOKEN in fields or BATCH in fields:
        raise ValueError(
            f"a flush sets {OFFSET!r} and never {TOKEN!r} or {BATCH!r}; got {sorted(fields)[:8]}"
        )
    if not batch or expected_offset < 0:
        raise ValueError(f"a flush names its batch and a past offset; got {batch!r}, {expected_offset}")


def check_drop(fields: Iterable[str]) -> None:
    """Refuse to drop what the store itself needs to fence a writer.

    Raises:
        ValueError: A reserved field is among them: our own mistake.
    """
    reserved = {TOKEN, BATCH, OFFSET}.intersection(fields)
    if reserved:
        raise ValueError(f"{sorted(reserved)} fence the writer and are never dropped")
