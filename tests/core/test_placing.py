"""Where many records belong at once is where each belongs by itself, by the rules of the contract's section 2."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.adapters.kafka.decode import TraceRecord
from monitor.core.event import HIGH_SEVERITIES
from monitor.core.placing import Placed, Told, incident_of
from monitor.core.shape import Kinds, Shapes
from tests.engine.worlds import (
    BASELINE,
    CANDIDATE,
    LAWS,
    MINUTE,
    T0,
    objective,
    plan_of,
    seen,
)

DELAY_MIN = 3
PLANS = {"no delay": plan_of(objective()), "delay": plan_of(objective(label_delay_min=DELAY_MIN))}
NOW = T0 * MINUTE
# Moments around each boundary: the lateness is two minutes, and the delay three more.
STEPS = st.sampled_from(
    [0, -1, 1, -MINUTE, -2 * MINUTE, -2 * MINUTE - 1, -5 * MINUTE, -5 * MINUTE - 1, -6 * MINUTE]
)
EVENT = st.builds(
    seen,
    event_id=st.sampled_from("abcdef"),
    at_ms=STEPS.map(lambda step: NOW + 30_000 + step)
    | st.integers(-7, 1).map(lambda minute: NOW + minute * MINUTE),
    release=st.sampled_from([CANDIDATE, CANDIDATE, BASELINE, "stray"]),
    kind=st.sampled_from(["request", "outcome"]),
    traffic=st.sampled_from(["live", "live", "shadow"]),
    status=st.sampled_from(["ok", "error"]),
    incident_severity=st.sampled_from([None, "low", "high"]),
    task_success=st.sampled_from([True, None]),
)
RECORDS = st.lists(st.tuples(EVENT, st.sampled_from([0, 30_000, 30_001, MINUTE])), min_size=1, max_size=7)
COMPLETE = st.sampled_from([None, NOW - MINUTE, NOW + 30_000, NOW + MINUTE, NOW + 2 * MINUTE])


def fate(event: TraceRecord, clock_ms: int, complete_ms: int | None, delay_min: int) -> str:
    """What the contract says of one record: on time, late, or labels that may come later."""
    read_to = clock_ms if complete_ms is None else max(clock_ms, complete_ms)
    wait = delay_min if event.kind == "outcome" and event.release != "stray" else 0
    for fate, more in (("on time", 0), ("later", wait)):
        is_old = event.at_ms < clock_ms - (2 + more) * MINUTE
        is_closed = event.at_ms // MINUTE < (read_to // MINUTE) - 2 - more
        if not is_old and not is_closed:
            return fate
    return "late"


@pytest.mark.parametrize("name", PLANS)
@settings(LAWS, max_examples=80)
@given(records=RECORDS, complete_ms=COMPLETE, cut=st.integers(0, 7))
def test_many_records_are_placed_as_each_by_itself(
    name: str, records: list[tuple[TraceRecord, int]], complete_ms: int | None, cut: int
) -> None:
    hold_each(name, records, complete_ms, cut)


@pytest.mark.parametrize("complete_ms", [None, NOW + 2 * MINUTE])
@pytest.mark.parametrize("releases", [[CANDIDATE], [CANDIDATE, BASELINE], [BASELINE, "stray", CANDIDATE]])
def test_no_two_rows_of_a_batch_are_taken_for_one(releases: list[str], complete_ms: int | None) -> None:
    """Every release, minute and kind near the clock is in one batch: none may end up in another one's row."""
    grid = [
        (seen("e", NOW + minute * MINUTE, release, kind=kind), 0)
        for release in releases
        for minute in range(-6, 5)
        for kind in ("request", "outcome")
    ]
    hold_each("delay", grid, complete_ms, 9)


def hold_each(name: str, records: list[tuple[TraceRecord, int]], complete_ms: int | None, cut: int) -> None:
    """Hold what becomes of many records against what the contract says of each."""
    plan = PLANS[name]
    events = [event for event, _ in records]
    clocks = np.array([NOW + past for _, past in records], dtype=np.int64)
    kinds = Kinds()
    found = Placed(Told.of(events, Shapes(plan, kinds)), clocks, complete_ms)
    delay_min = DELAY_MIN if name == "delay" else 0
    fates = [fate(event, NOW + past, complete_ms, delay_min) for event, past in records]
    minutes = [event.at_ms // MINUTE for event in events]
    late = [event for event, one in zip(events, fates, strict=True) if one == "late"]
    assert found.late == len(late)
    assert found.late_by_release() == Counter(one.release for one in late if one.release != "stray")
    assert found.first_minute == min(
        (minute for minute, one in zip(minutes, fates, strict=True) if one != "late"), default=None
    )
    assert list(found.others()) == [
        index for index, event in enumerate(events) if event.release == "stray" and fates[index] != "late"
    ]
    assert list(found.incidents()) == [
        (index, max(minutes[index], (max(NOW + past, complete_ms or 0) // MINUTE) - 2))
        for index, (event, past) in enumerate(records)
        if counted(event) and event.incident_severity in HIGH_SEVERITIES
    ]
    for start, end in ((0, len(events)), (min(cut, len(events)), len(events)), (0, cut)):
        rows: dict[tuple[int, str, bool], list[TraceRecord]] = {}
        for event, minute, one in list(zip(events, minutes, fates, strict=True))[start:end]:
            if counted(event) and one != "late":
                rows.setdefault((minute, event.release, one == "later"), []).append(event)
        assert_rows(list(found.rows(start, end)), rows, kinds)


def counted(event: TraceRecord) -> bool:
    return event.release != "stray" and event.traffic == "live"


def assert_rows(
    found: list[Any], expected: dict[tuple[int, str, bool], list[TraceRecord]], kinds: Kinds
) -> None:
    """Hold rows against records that were put together one by one."""
    assert [(key, list(events)) for key, events, _, _ in found] == list(expected.items())
    for (_, events, of_kind, ats), own in zip(found, expected.values(), strict=True):
        assert ats.tolist() == [event.at_ms for event in own]
        labels = [None if kind < 0 else kinds.labels[kind] for kind in of_kind.tolist()]
        assert labels == [None if event.kind == "outcome" else event.labels() for event in events]


def test_an_incident_is_told_with_what_is_known_of_it() -> None:
    whole = seen(
        "e-1",
        NOW,
        incident_severity="high",
        trace_id="t-1",
        failure_class="leak",
        cohort={"b": "2", "a": "1"},
    )
    told = incident_of(whole, T0 + 1)
    assert (told.release, told.event_id, told.at_ms, told.minute) == (CANDIDATE, "e-1", NOW, T0 + 1)
    assert (told.severity, told.exemplar, told.failure_class) == ("high", "t-1", "leak")
    assert told.cohort == (("a", "1"), ("b", "2"))
    bare = incident_of(seen("e-1", NOW), T0)
    assert (bare.severity, bare.exemplar, bare.failure_class, bare.cohort) == ("", "e-1", "", ())
