"""A canary fits the contract, is counted, and can change nothing that is judged."""

from __future__ import annotations

import pytest

from monitor.adapters.kafka.decode import TraceRecord, decode
from monitor.core.partition import Fate, PartitionFold
from monitor.core.plan import Plan
from monitor.core.seen import SeenIds
from monitor.wire.canary import BEHIND_MS, CANARY_RELEASE, canary
from monitor.wire.trace_event import TraceEvent, read_trace_event

NOW_MS = 1_795_341_600_000


def test_the_contract_takes_it_and_it_is_no_live_traffic() -> None:
    event = read_trace_event(canary("canary-1", NOW_MS))
    assert isinstance(event, TraceEvent)
    assert (event.release, event.traffic, event.at) == (CANARY_RELEASE, "rehearsal", NOW_MS - BEHIND_MS)


@pytest.mark.parametrize("behind_ms", [0, 30_000, 59_000])
def test_it_is_accepted_in_time_moves_no_clock_ahead_of_live_traffic_and_is_in_no_window(
    behind_ms: int,
) -> None:
    """Beside live events up to a minute old, as a producer with a queue sends them."""
    fold = PartitionFold(Plan({}, {}), SeenIds(100))
    live = TraceRecord(event_id="a", at_ms=NOW_MS - behind_ms, release="model-v41")
    assert fold.fold(live, NOW_MS) is Fate.ACCEPTED
    clock_ms, cells = fold.clock_ms, dict(fold.cells)
    event = decode(canary("canary-1", NOW_MS))
    assert isinstance(event, TraceRecord)
    assert fold.fold(event, NOW_MS) is Fate.ACCEPTED
    assert fold.clock_ms == clock_ms
    assert fold.cells == cells
    assert not fold.incidents
