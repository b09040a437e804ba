"""Severe incidents among records that wait to be folded: heard at once, counted when their turn comes.

A worker under load is in the middle of thousands of requests when an incident is read, and folding what lies before it
would take longer than judging it. So what was just read is searched for the few bytes that every such incident has, and
what has them is decoded ahead. It is a hint: what is not found here, or might not count as it looks, is heard when it
is folded, as ever; and who hears an incident twice counts it once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final

from monitor.core.cell import Incident
from monitor.core.event import HIGH_SEVERITIES, Observation
from monitor.core.partition import PartitionFold
from monitor.core.placing import incident_of
from monitor.core.rehearsal import traffic_of
from monitor.core.window import BUCKET_MS, FUTURE_MS, LATENESS_MS
from monitor.engine.ports import SourceRecord
from monitor.engine.replay import Decode

DECODED_MAX: Final = 64  # of what was read at once: nobody is to have everything decoded twice
_value_of: Final = attrgetter("value")
# How a severe incident is usually written. One may be written in another way, or mean nothing of the kind.
_SEVERE: Final = re.compile(rb'"incident_severity":\s*"(?:%b)"' % "|".join(sorted(HIGH_SEVERITIES)).encode())


def incidents_ahead(
    fold: PartitionFold, records: Sequence[SourceRecord], decode: Decode, event_time: Callable[[int], int]
) -> list[Incident]:
    """Return the severe incidents among records that are to be folded next, as far as each surely counts."""
    # All at once first: most of what is read has no severe incident anywhere in it.
    read = b"".join(filter(None, map(_value_of, records)))
    if _SEVERE.search(read) is None:
        return []
    heard, found = [], [one for one in records if _SEVERE.search(one.value or b"") is not None]
    for record in found[:DECODED_MAX]:
        event = decode(record.value)
        if not isinstance(event, str) and _is_once(event.event_id, read):
            incident = _surely(fold, event, event_time(record.timestamp))
            heard += [] if incident is None else [incident]
    return heard


def _is_once(event_id: str, read: bytes) -> bool:
    """Tell whether no other record has this id: of two, the first counts, whatever the second says."""
    return len(re.findall(rb'"event_id":\s*"%b"' % re.escape(event_id.encode()), read)) == 1


def _surely(fold: PartitionFold, event: Observation, record_ms: int) -> Incident | None:
    """The incident where the fold as it stands would count it: watched, on time, not ahead of itself, and not seen."""
    horizon_ms = fold.horizon_ms
    if event.incident_severity not in HIGH_SEVERITIES or horizon_ms is None:
        return None
    counts = event.release in fold.plan.views and event.traffic == traffic_of(event.release)
    minute = event.at_ms // BUCKET_MS
    is_on_time = event.at_ms <= record_ms + FUTURE_MS and minute >= (horizon_ms - LATENESS_MS) // BUCKET_MS
    if not counts or not is_on_time or event.event_id in fold.seen:
        return None
    return incident_of(event, minute)
