"""Severe incidents are heard before what was read ahead of them is folded, and only those that the fold will count."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.adapters.kafka.decode import decode
from monitor.core.cell import Incident
from monitor.core.partition import PartitionFold
from monitor.core.plan import plan_for
from monitor.core.seen import SeenIds
from monitor.engine.ahead import DECODED_MAX, incidents_ahead
from monitor.engine.ports import Partition
from tests.engine.logs import START_MS, TOPIC, Row
from tests.engine.plant import Plant, budget
from tests.engine.worlds import LAWS

EVENTS = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from([f"e{number}" for number in range(9)] + ['"quoted"', "ümlaut"]),
        "at": st.integers(START_MS, START_MS + 400_000),
        "release": st.sampled_from(["v42", "v41", "other"]),
    },
    optional={
        "incident_severity": st.sampled_from(["low", "high", "critical", None]),
        "traffic": st.sampled_from(["live", "rehearsal"]),
    },
)


def fold_of() -> PartitionFold:
    return PartitionFold(plan_for([budget()]), SeenIds(1_000))


def row(number: int, event: dict[str, Any], *, lag_ms: int = 0, spaces: bool = False) -> Row:
    packed = json.dumps(event) if spaces else json.dumps(event, separators=(",", ":"))
    return Row(number, event["at"] + lag_ms, packed.encode())


def heard_of(fold: PartitionFold, rows: list[Row]) -> list[Incident]:
    return incidents_ahead(fold, rows, decode, lambda at_ms: at_ms)


def take(fold: PartitionFold, rows: list[Row]) -> list[Incident]:
    for one in rows:
        event = decode(one.value)
        assert not isinstance(event, str)
        fold.fold(event, one.timestamp)
    return list(fold.take_incidents())


@LAWS
@given(
    st.lists(EVENTS, max_size=12),
    st.lists(EVENTS, min_size=1, max_size=12),
    st.integers(-600_000, 9_000),
    st.booleans(),
)
def test_whatever_is_heard_ahead_is_counted_by_the_fold(
    before: list[dict[str, Any]], events: list[dict[str, Any]], lag_ms: int, spaces: bool
) -> None:
    """Also among repeats, latecomers, other releases and clocks that are wrong; a minute may move on meanwhile."""
    fold = fold_of()
    take(fold, [row(number, one) for number, one in enumerate(before)])
    rows = [row(number, one, lag_ms=lag_ms, spaces=spaces) for number, one in enumerate(events)]
    ahead = heard_of(fold, rows)
    counted = {one.event_id: one for one in take(fold, rows)}
    assert {one.event_id for one in ahead} <= counted.keys()
    for one in ahead:
        assert one == counted[one.event_id] or one.minute < counted[one.event_id].minute


@pytest.mark.parametrize("spaces", [False, True])
@pytest.mark.parametrize("severity", ["high", "critical"])
def test_a_severe_incident_is_heard_as_the_fold_will_tell_of_it(severity: str, spaces: bool) -> None:
    fold = fold_of()
    take(fold, [row(0, {"event_id": "a", "at": START_MS, "release": "v41"})])
    quiet = [row(n, {"event_id": f"q{n}", "at": START_MS + n, "release": "v42"}) for n in range(1, 50)]
    loud = {"event_id": "i", "at": START_MS + 60, "release": "v42", "incident_severity": severity}
    rows = [*quiet, row(50, loud, spaces=spaces)]
    ahead = heard_of(fold, rows)
    assert ahead == take(fold, rows)
    assert len(ahead) == 1


def test_a_flood_of_incidents_is_not_decoded_twice() -> None:
    fold, decoded = fold_of(), count()
    take(fold, [row(0, {"event_id": "a", "at": START_MS, "release": "v41"})])
    loud = {"at": START_MS, "release": "v42", "incident_severity": "high"}
    rows = [row(n, {"event_id": f"i{n}", **loud}) for n in range(1_000)]
    ahead = incidents_ahead(fold, rows, lambda value: (next(decoded), decode(value))[1], lambda at_ms: at_ms)
    assert len(ahead) == next(decoded) == DECODED_MAX


async def test_an_incident_of_one_partition_is_told_before_the_other_one_is_folded() -> None:
    """And once: when its turn comes it is not told again."""
    made = Plant(budgets=(budget(),))
    for number in range(500):
        made.log.event(number % 2, f"e{number}", START_MS + number, "v41")
    feed = made.feed(made.source())
    await made.settled(feed)
    before = {one: ingest.offset for one, ingest in feed.ingests.items()}
    for number in range(500):
        made.log.event(0, f"more{number}", START_MS + 500 + number, "v42")
    made.log.event(1, "incident", START_MS + 1_000, "v42", incident_severity="high")
    told: list[tuple[str, int]] = []
    publish = made.topics.publish_incident

    async def noted(incident: Incident) -> None:
        told.append((incident.event_id, feed.ingests[Partition(TOPIC, 0)].offset))
        await publish(incident)

    made.topics.publish_incident = noted  # type: ignore[method-assign]  # of this one instance
    await made.settled(feed)
    assert told == [("incident", before[Partition(TOPIC, 0)])]
    assert [one.event_id for one in made.topics.incidents] == ["incident"]
