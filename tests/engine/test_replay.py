"""Replay: the same traffic gives the same decisions, in whatever order and over however many partitions it came."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.adapters.kafka.decode import TraceRecord, decode
from monitor.core.budget import OnSilence, Tier
from monitor.core.decision import Decision, Type
from monitor.core.moment import rfc3339
from monitor.core.partition import PartitionFold
from monitor.core.plan import plan_for
from monitor.core.record import Arming
from monitor.core.seen import SeenIds
from monitor.core.window import tick_ms
from monitor.engine.evaluate import Evaluator
from monitor.engine.replay import Replay
from tests.engine.worlds import (
    BASELINE,
    CANDIDATE,
    HANDOFF,
    LAWS,
    MINUTE,
    SECOND,
    START_MS,
    SUCCESS,
    T0,
    budget,
    handoff,
    held,
    incidents,
    minute_of,
    names,
    objective,
    only,
    replayed,
    seen,
)

BUDGET = budget(handoff(), objective("error", 5.0), incidents())
MINUTES = 34


def _traffic(*, bad_from: int = 8, minutes: int = MINUTES) -> list[TraceRecord]:
    """Both arms, six requests a minute; from a minute on the candidate hands half of them over, then it ends."""
    events: list[TraceRecord] = []
    for minute in range(T0, T0 + minutes):
        bad = bad_from <= minute - T0 < bad_from + 6 or minute - T0 >= bad_from + 10
        events += minute_of(
            minute, CANDIDATE, 6, 3 if bad else 1, label="human_handoff", trace_id=f"t-{minute}"
        )
        events += minute_of(minute, BASELINE, 6, 1, label="human_handoff")
    return sorted(events, key=lambda one: (one.at_ms, one.event_id))


TRAFFIC = _traffic()
PLAIN = replayed(BUDGET, TRAFFIC)[1]


def _told(decisions: Sequence[Decision]) -> list[tuple[str, str, int, dict[str, object]]]:
    return [(one.type.value, one.decision_id, one.at_ms, dict(one.data)) for one in decisions]


def test_the_story_that_is_told_again_and_again() -> None:
    assert names(PLAIN) == [
        "breach.started", "page.opened", "evaldebt.created", "breach.cleared", "page.resolved",
        "breach.started", "page.opened", "evaldebt.created",
        "release.assessed",
    ]  # fmt: skip
    opened = [one for one in PLAIN if one.type is Type.PAGE_OPENED]
    assert len({one.data["page_id"] for one in opened}) == 1
    assert PLAIN[-1].at_ms == tick_ms(T0 + MINUTES)


@settings(LAWS, max_examples=12)
@given(st.randoms(use_true_random=False), st.sampled_from([10 * SECOND, 60 * SECOND, 120 * SECOND]))
def test_no_order_within_the_lateness_changes_a_decision(chance: Any, jitter_ms: int) -> None:
    arrived = sorted(TRAFFIC, key=lambda one: one.at_ms + chance.random() * jitter_ms)
    replay, decisions = replayed(BUDGET, arrived)
    assert replay.counts().late == 0
    assert _told(decisions) == _told(PLAIN)


@settings(LAWS, max_examples=8)
@given(st.integers(1, 4), st.integers(0, 1 << 16), st.randoms(use_true_random=False))
def test_no_number_of_partitions_changes_a_decision(partitions: int, salt: int, chance: Any) -> None:
    arrived = sorted(TRAFFIC, key=lambda one: one.at_ms + chance.random() * 60 * SECOND)
    _, decisions = replayed(
        BUDGET, arrived, partitions=partitions, place=lambda number: (number * 7919 + salt) % partitions
    )
    assert _told(decisions) == _told(PLAIN)


def test_an_empty_partition_delays_a_decision_and_changes_none() -> None:
    _, decisions = replayed(BUDGET, TRAFFIC, partitions=3, place=lambda number: number % 2)
    assert _told(decisions) == _told(PLAIN)


def test_one_partition_after_the_other_changes_no_decision() -> None:
    """Each partition's events are judged by its own clock: nothing is late because another is ahead."""
    half = len(TRAFFIC) // 2
    order = [*range(0, len(TRAFFIC), 2), *range(1, len(TRAFFIC), 2)]
    events = [TRAFFIC[index] for index in order]
    replay, decisions = replayed(BUDGET, events, partitions=2, place=lambda number: int(number >= half))
    assert replay.counts().late == 0
    assert _told(decisions) == _told(PLAIN)


def test_replay_is_the_evaluator_over_the_fold_s_cells() -> None:
    """There is no second path: ticking an evaluator over the same cells gives the same decisions."""
    fold = PartitionFold(plan_for([BUDGET]), SeenIds(1_000_000))
    for event in TRAFFIC:
        fold.fold(event, None)
    evaluator = Evaluator(BUDGET, Arming(CANDIDATE, 1, BUDGET.digest, at_ms=0), delivered_when_opened=True)
    decisions = [one for now in range(T0 + 1, T0 + MINUTES + 1) for one in evaluator.tick(now, fold.cells)]
    decisions += evaluator.finish(T0 + MINUTES, 0, complete=False)
    assert _told(decisions) == _told(PLAIN)


@pytest.mark.parametrize(
    "noise",
    [
        [seen("s", START_MS + 9 * MINUTE, traffic="shadow", human_handoff=True, incident_severity="high")],
        [seen("r", START_MS + 9 * MINUTE, traffic="rehearsal", human_handoff=True)],
        [seen(f"o-{n}", START_MS + 9 * MINUTE, "model-v7", incident_severity="high") for n in range(9)],
        TRAFFIC[90:108],  # repeats
    ],
)
def test_what_is_not_live_not_ours_or_not_new_changes_no_decision(noise: list[TraceRecord]) -> None:
    events = [*TRAFFIC[:108], *noise, *TRAFFIC[108:]]
    assert _told(replayed(BUDGET, events)[1]) == _told(PLAIN)


def test_late_events_change_no_decision_and_are_told_in_the_assessment() -> None:
    late = [seen(f"late-{n}", START_MS, human_handoff=True) for n in range(50)]
    replay, decisions = replayed(BUDGET, [*TRAFFIC[:200], *late, *TRAFFIC[200:]])
    assert _told(decisions[:-1]) == _told(PLAIN[:-1])
    assert replay.counts().late == decisions[-1].data["late_count"] == 50


def test_budgets_beside_each_other_do_not_touch() -> None:
    other = replace(budget(objective(), handoff(limit=500.0)), release="model-v43", digest="1" * 64)
    mine = [one for one in replayed([other, BUDGET], TRAFFIC)[1] if one.release == CANDIDATE]
    assert _told(mine) == _told(PLAIN)


def test_an_earlier_event_may_come_second() -> None:
    """The first record of a log need not be its earliest minute."""
    first = next(number for number, one in enumerate(TRAFFIC) if one.at_ms >= START_MS + MINUTE)
    events = [TRAFFIC[first], *TRAFFIC[:first], *TRAFFIC[first + 1 :]]
    assert _told(replayed(BUDGET, events)[1]) == _told(PLAIN)


# Time order ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_min", [0, 2, 3, 12, 20, 33])
@pytest.mark.parametrize("late_min", [0, 1, 9])
@pytest.mark.parametrize("silence", OnSilence)
def test_decisions_come_out_in_time_order(at_min: int, late_min: int, silence: OnSilence) -> None:
    """Also where an incident lies ahead of the ticks, or comes long after its minute was closed."""
    watched = replace(BUDGET, on_silence=silence, decide_within_min=2)
    at = next(number for number, one in enumerate(TRAFFIC) if one.at_ms >= START_MS + at_min * MINUTE)
    one = seen(
        "i-1", START_MS + max(0, at_min - late_min) * MINUTE + 500, incident_severity="high", trace_id="i"
    )
    replay = Replay([watched], lambda value: events[int(value or b"")])
    events = [*TRAFFIC[: at + 1], one, *TRAFFIC[at + 1 :]]
    out: list[Decision] = []
    for number in range(len(events)):
        due = replay.feed(str(number).encode())
        assert all(decision.at_ms <= (replay._folds[0].clock_ms or 0) for decision in due)
        out += due
    out += replay.finish()
    moments = [decision.at_ms for decision in out]
    assert moments == sorted(moments)
    assert names(out).count("rollback.requested") == 1
    assert replay.decisions == {name: names(out).count(name) for name in names(out)}
    opened = {str(one.data["page_id"]) for one in out if one.type is Type.PAGE_OPENED}
    for decision in out:
        held(decision)
        if decision.type is Type.PAGE_RESOLVED:
            assert decision.data["page_id"] in opened


def test_an_immediate_rollback_carries_its_incident_s_time() -> None:
    one = seen("i-1", START_MS + 20 * MINUTE + 777, incident_severity="critical", trace_id="trace-i")
    at = next(number for number, event in enumerate(TRAFFIC) if event.at_ms > one.at_ms)
    _, decisions = replayed(BUDGET, [*TRAFFIC[:at], one, *TRAFFIC[at:]])
    request = only(decisions, Type.ROLLBACK_REQUESTED)
    assert request.at_ms == one.at_ms
    assert request.data["decided_at"] == rfc3339(one.at_ms)
    assert request.data["exemplars"] == ["trace-i"]


@settings(LAWS, max_examples=8)
@given(st.randoms(use_true_random=False), st.integers(1, 3))
def test_an_immediate_rollback_has_the_same_id_in_any_order(chance: Any, partitions: int) -> None:
    several = [
        seen(f"i-{n}", START_MS + 20 * MINUTE + n * 10 * SECOND, incident_severity="high", trace_id=f"i-{n}")
        for n in range(4)
    ]
    arrived = sorted([*TRAFFIC, *several], key=lambda one: one.at_ms + chance.random() * 60 * SECOND)
    _, decisions = replayed(BUDGET, arrived, partitions=partitions, place=lambda number: number % partitions)
    plain = replayed(BUDGET, sorted(arrived, key=lambda one: one.at_ms))[1]
    kept = [one for one in decisions if one.type is not Type.RELEASE_ASSESSED]
    assert {one.decision_id for one in kept} == {
        one.decision_id for one in plain if one.type is not Type.RELEASE_ASSESSED
    }
    assert len({one.decision_id for one in decisions}) == len(decisions)


def test_ticks_come_before_an_incident_that_the_same_record_brings() -> None:
    """After a gap the baseline's minutes are closed by the record itself: they are what is known then."""
    calm = minute_of(T0, BASELINE, 5, 1) + minute_of(T0, CANDIDATE, 5, 1)
    one = seen("i", START_MS + 30 * MINUTE, incident_severity="high")
    _, decisions = replayed(budget(incidents()), sorted([*calm, one], key=lambda event: event.at_ms))
    assert names(decisions) == ["evaldebt.created", "rollback.requested", "release.assessed"]


# The input's ends and its dregs ----------------------------------------------------------------------------------


def test_an_empty_input_decides_nothing() -> None:
    replay, decisions = replayed(BUDGET, [])
    assert decisions == []
    assert replay.counts().accepted == 0


@pytest.mark.parametrize("events", [minute_of(T0, BASELINE, 3, 1), minute_of(T0, "model-v7", 3, 1)])
def test_a_candidate_that_never_came_is_assessed_as_no_data(events: list[TraceRecord]) -> None:
    (assessed,) = replayed(BUDGET, events)[1]
    rows = assessed.data["objectives"]
    assert isinstance(rows, list)
    assert {row["verdict"] for row in rows} == {"no_data"}
    assert len(rows) == 3
    assert assessed.data["complete"] is False


def test_the_last_minutes_are_closed_at_the_end() -> None:
    """Four bad minutes at the very end of a file are four bad minutes."""
    traffic = _traffic(bad_from=10, minutes=14)
    assert "page.opened" in names(replayed(BUDGET, traffic)[1])
    assert "page.opened" not in names(replayed(BUDGET, _traffic(bad_from=10, minutes=13))[1])


def test_a_window_that_ends_within_the_input_ends_the_watch() -> None:
    _, decisions = replayed(replace(BUDGET, window_min=12), TRAFFIC)
    assessed = only(decisions, Type.RELEASE_ASSESSED)
    assert decisions[-1] is assessed
    assert (assessed.data["complete"], assessed.at_ms) == (True, tick_ms(T0 + 12))


@pytest.mark.parametrize("delay_min", [1, 5, 60])
def test_labels_that_come_later_count_where_the_objective_waits(delay_min: int) -> None:
    """Bare requests, and their labels as outcomes just within the delay."""
    watched = budget(handoff(label_delay_min=delay_min))
    events: list[tuple[int, TraceRecord]] = []
    for one in _traffic(bad_from=8, minutes=20):
        events.append((one.at_ms, seen(one.event_id, one.at_ms, one.release)))
        label = seen(
            f"l-{one.event_id}"[:64], one.at_ms, one.release, kind="outcome", human_handoff=one.human_handoff
        )
        events.append((one.at_ms + delay_min * MINUTE, label))
    until = START_MS + (20 + delay_min) * MINUTE
    events += [(at, seen(f"b-{at}", at, BASELINE)) for at in range(START_MS + 20 * MINUTE, until, MINUTE)]
    ordered = [one for _, one in sorted(events, key=lambda pair: pair[0])]
    replay, decisions = replayed(watched, ordered)
    assert replay.counts().late == 0
    opened = next(one for one in decisions if one.type is Type.PAGE_OPENED)
    assert opened.data["objective"] == HANDOFF
    assert opened.at_ms == tick_ms(T0 + 12 + delay_min)
    assert opened.data["breach_started_at"] == rfc3339(tick_ms(T0 + 8))


def test_everything_that_is_read_is_counted_once() -> None:
    lines = [
        json.dumps({"event_id": f"e-{n}", "at": START_MS + n * SECOND, "release": CANDIDATE}).encode()
        for n in range(10)
    ]
    bad = [b"", b"{", b'{"event_id": "x"}', b"\xff", lines[3], lines[4]]
    old = json.dumps({"event_id": "old", "at": START_MS - 3 * MINUTE, "release": CANDIDATE}).encode()
    other = json.dumps({"event_id": "other", "at": START_MS, "release": "model-v7"}).encode()
    replay = Replay([BUDGET], decode)
    for line in [*lines, *bad, old, other]:
        replay.feed(line)
    replay.finish()
    counts = replay.counts()
    assert (counts.accepted, counts.late, counts.duplicates, counts.other_releases) == (11, 1, 2, 1)
    assert sum(counts.rejected.values()) == 4
    assert counts.accepted + counts.late + counts.duplicates + sum(counts.rejected.values()) == 18
    assert counts.decisions == {"release.assessed": 1}


def test_a_record_with_its_own_time_may_be_from_the_future() -> None:
    replay = Replay([BUDGET], lambda _: seen("e", START_MS + 5 * MINUTE + 1))
    assert replay.feed(b"", record_ms=START_MS) == []
    assert replay.counts().rejected == {"future": 1}


def test_tier_a_rolls_back_in_a_replay_too() -> None:
    _, decisions = replayed(replace(BUDGET, objectives=(handoff(tier=Tier.A),)), TRAFFIC)
    request = only(decisions, Type.ROLLBACK_REQUESTED)
    assert request.at_ms == tick_ms(T0 + 12)
    assert names(decisions)[-1] == "release.assessed"
    assert SUCCESS not in str(request.data)


@settings(LAWS, max_examples=25)
@given(st.lists(st.integers(0, 400), max_size=6), st.randoms(use_true_random=False))
def test_lines_taken_in_many_at_a_time_are_decided_on_alike(cuts: list[int], chance: Any) -> None:
    """Wherever a file is cut: a minute closes at the line that closes it, an incident is heard at its own."""
    traffic = _traffic()
    for index in range(5, len(traffic), 61):
        traffic[index] = seen(
            f"i-{index}", traffic[index].at_ms, incident_severity="high", trace_id=f"i-{index}"
        )
    jumbled = sorted(traffic, key=lambda one: one.at_ms + chance.random() * 90 * SECOND)
    lines = [*range(len(jumbled))]

    def made() -> Replay:
        return Replay([BUDGET], lambda value: "not_json" if value is None else jumbled[int(value)])

    single, many = made(), made()
    values = [None if number % 50 == 7 else str(number).encode() for number in lines]
    expected = [decision for value in values for decision in single.feed(value)]
    edges = [0, *sorted(cuts), len(values)]
    found = [decision for start, end in pairwise(edges) for decision in many.feed_many(values[start:end])]
    assert names(found + many.finish()) == names(expected + single.finish())
    assert many.counts() == single.counts()
