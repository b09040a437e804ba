"""The history's records: what a release, or a slice of it, did in one whole closed hour."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from datetime import datetime
from typing import Final, NamedTuple

from pydantic import Field, ValidationError

from monitor.core.cohort import OVERALL, CohortKey, cohort_key
from monitor.core.errors import MonitorError
from monitor.core.ids import canonical_json
from monitor.core.moment import rfc3339
from monitor.wire.shared import Cohort, Message, Moment, Release

_HOUR_MS: Final = 3_600_000


class HistoryHour(Message):
    """One record of `rollback.history.v1`; compacted, key = `<release>/<hours since the epoch>[/<cohort>]`."""

    release: Release
    hour: Moment = Field(description="When the hour began.")
    minutes: int = Field(ge=1, le=60, description="How many of its minutes had requests.")
    breached: bool = Field(
        description="The release was in a breach as a candidate: this hour is nobody's reference."
    )
    cell: str = Field(
        min_length=4,
        max_length=262_144,
        pattern=r"^[A-Za-z0-9+/]+={0,2}$",
        description="All its requests added up, as the monitor packs a cell of its state, in Base64.",
    )
    cohort: Cohort = Field(
        default_factory=dict, description="The slice, one that a budget names; absent is everybody."
    )


class NoHistoryRecord(MonitorError):
    """A record of the history that this version cannot read; the text says why."""


class HistoryLine(NamedTuple):
    """What a record holds; `hour` counts from the epoch, `packed` is the cell's bytes, `view` the slice."""

    release: str
    hour: int
    minutes: int
    breached: bool
    packed: bytes
    view: CohortKey = OVERALL


def to_history(line: HistoryLine) -> tuple[str, bytes]:
    """Return key and value of an hour's record; everybody's is what it was before slices had records of their own."""
    record: dict[str, object] = {
        "release": line.release,
        "hour": rfc3339(line.hour * _HOUR_MS),
        "minutes": line.minutes,
        "breached": line.breached,
        "cell": b64encode(line.packed).decode(),
    }
    key = f"{line.release}/{line.hour}"
    if line.view != OVERALL:
        record["cohort"] = dict(line.view)
        key = f"{key}/{canonical_json(record['cohort'])}"
    return key, canonical_json(record).encode()


def from_history(value: bytes) -> HistoryLine:
    """Return what a record of the history holds.

    Raises:
        NoHistoryRecord: It is none.
    """
    try:
        record = HistoryHour.model_validate_json(value)
        begin_ms = round(datetime.fromisoformat(record.hour).timestamp() * 1000)
        packed = b64decode(record.cell, validate=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "record"
        raise NoHistoryRecord(f"history: {place}: {first['msg']}") from error
    except (NoBase64, ValueError) as error:
        raise NoHistoryRecord(f"history: {error}") from error
    if begin_ms % _HOUR_MS:
        raise NoHistoryRecord(f"history: hour: {record.hour} is not the beginning of an hour")
    view = cohort_key(record.cohort)
    return HistoryLine(record.release, begin_ms // _HOUR_MS, record.minutes, record.breached, packed, view)
