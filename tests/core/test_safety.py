"""Severe incidents: the first one acts where the reference has none; where they are normal, chance is asked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.budget import Objective
from monitor.core.cohort import OVERALL, CohortKey, cohort_key
from monitor.core.moment import rfc3339
from monitor.core.record import Finding, Observed
from monitor.core.safety import SafetyVerdict, SafetyWatch, alpha_of
from monitor.core.stats.safety import ALPHA_SAFETY
from monitor.core.window import tick_ms
from tests.engine.worlds import ACME, LAWS, MINUTE, START_MS, T0, budget, cell, incident, incidents

QUIET = cell(1_000)
BETA = cohort_key({"tenant": "beta"})


def _watch(
    judged: Objective | None = None, *, baseline_incidents: int | None = 0, minutes: int = 10
) -> SafetyWatch:
    """A watch after some minutes; None: without any request of the baseline."""
    watch = SafetyWatch(incidents() if judged is None else judged)
    baseline = cell(0) if baseline_incidents is None else QUIET
    for minute in range(T0, T0 + minutes):
        first = minute == T0 and baseline_incidents
        watch.append(minute, QUIET, cell(1_000, incidents=baseline_incidents or 0) if first else baseline)
    return watch


def _judge(
    watch: SafetyWatch, *, held: bool = False, at_ms: int = START_MS + 10 * MINUTE
) -> SafetyVerdict | None:
    return watch.judge(budget(watch.objective), at_ms, held=held)


def _hear(watch: SafetyWatch, count: int, *, minute: int = T0 + 10, start: int = 0) -> None:
    for number in range(start, start + count):
        watch.hear(incident(number, tick_ms(minute) + number))


def _outcome(watch: SafetyWatch) -> str:
    verdict = _judge(watch)
    if verdict is None:
        return "quiet"
    return "breach" if verdict.is_breach else "page"


@pytest.mark.parametrize(
    "judged, baseline_incidents, heard, outcome",
    [
        (incidents(), 0, 0, "quiet"),
        (incidents(), 0, 1, "breach"),  # clean reference: the first one acts
        (incidents(2), 0, 2, "quiet"),  # N are allowed
        (incidents(2), 0, 3, "breach"),
        (incidents(), 5, 1, "page"),  # incidents are normal
        (incidents(), None, 1, "page"),  # nothing is known about what is normal
        (incidents(literal=True), 5, 1, "breach"),
        (incidents(literal=True), None, 1, "breach"),
        (incidents(2, literal=True), 5, 2, "quiet"),
        (incidents(2, literal=True), 5, 3, "breach"),
    ],
)
def test_what_an_incident_of_an_open_minute_leads_to(
    judged: Objective, baseline_incidents: int | None, heard: int, outcome: str
) -> None:
    watch = _watch(judged, baseline_incidents=baseline_incidents)
    _hear(watch, heard)
    assert _outcome(watch) == outcome


@pytest.mark.parametrize(
    "judged, baseline_incidents, closed, outcome",
    [
        (incidents(), 0, 1, "breach"),
        (incidents(), 5, 1, "page"),
        (incidents(), 5, 30, "breach"),  # more than chance
        (incidents(100), 5, 30, "quiet"),
        (incidents(), None, 30, "page"),
    ],
)
def test_what_incidents_of_closed_minutes_lead_to(
    judged: Objective, baseline_incidents: int | None, closed: int, outcome: str
) -> None:
    watch = _watch(judged, baseline_incidents=baseline_incidents)
    watch.append(T0 + 10, cell(1_000, incidents=closed), cell(0) if baseline_incidents is None else QUIET)
    assert _outcome(watch) == outcome


def test_an_unknown_reference_pages_and_rolls_back_when_it_turns_out_clean() -> None:
    watch = _watch(baseline_incidents=None)
    _hear(watch, 1)
    assert _outcome(watch) == "page"
    assert _outcome(watch) == "quiet"  # once
    watch.append(T0 + 10, cell(1_000, incidents=1), QUIET)
    assert _outcome(watch) == "breach"
    assert _outcome(watch) == "quiet"


def test_where_incidents_are_normal_open_minutes_are_not_held_against_a_candidate() -> None:
    """Of an open minute the requests are not known yet: expecting none would make every incident one too many."""
    watch = SafetyWatch(incidents())
    for minute in range(T0, T0 + 10):
        watch.append(minute, cell(0), cell(10_000, incidents=10))
    _hear(watch, 6)  # of a candidate that has just begun
    assert _outcome(watch) == "page"
    watch.append(T0 + 10, cell(10_000, incidents=6), cell(10_000, incidents=10))
    assert _outcome(watch) == "quiet"  # ten were to be expected


def test_what_was_heard_is_not_counted_again_when_its_minute_closes() -> None:
    watch = _watch(incidents(2))
    _hear(watch, 2)
    assert _outcome(watch) == "quiet"
    watch.append(T0 + 10, cell(1_000, incidents=2), QUIET)
    assert _outcome(watch) == "quiet"
    _hear(watch, 1)  # heard again, after its minute was closed
    assert _outcome(watch) == "quiet"
    _hear(watch, 1, minute=T0 + 11, start=7)
    assert _outcome(watch) == "breach"


def test_a_repeat_changes_nothing() -> None:
    watch = _watch(incidents(1))
    _hear(watch, 1)
    _hear(watch, 1)
    assert _outcome(watch) == "quiet"


def test_a_late_incident_counts_in_the_minute_that_is_open() -> None:
    watch = _watch()
    watch.hear(incident(1, START_MS - 90 * MINUTE, minute=T0 + 10))
    verdict = _judge(watch)
    assert verdict is not None
    assert verdict.is_breach
    assert verdict.finding.started_ms == tick_ms(T0 + 10)


def test_only_its_slice_counts() -> None:
    watch = _watch(incidents(where=ACME))
    watch.hear(incident(1, START_MS + 10 * MINUTE, tenant="globex"))
    assert _outcome(watch) == "quiet"
    watch.hear(incident(2, START_MS + 10 * MINUTE, tenant="acme"))
    assert _outcome(watch) == "breach"


def test_a_critical_cohort_breaks_alone_but_leaves_the_doubt_to_the_whole() -> None:
    judged = incidents(critical_cohorts=(ACME,))
    whole, acme = SafetyWatch(judged), SafetyWatch(judged, ACME)
    for watch in (whole, acme):
        for minute in range(T0, T0 + 60):
            watch.append(minute, cell(1_000), cell(1_000, incidents=1))
        watch.append(T0 + 60, cell(1_000, incidents=1), QUIET)
    assert _outcome(whole) == "page"
    assert _outcome(acme) == "quiet"
    acme.append(T0 + 61, cell(10, incidents=200), QUIET)
    assert _outcome(acme) == "breach"


def test_an_override_holds_it_and_its_end_lets_it_act() -> None:
    watch = _watch()
    _hear(watch, 1)
    assert _judge(watch, held=True) is None
    assert _outcome(watch) == "breach"
    assert _outcome(watch) == "quiet"
    watch.acted = False  # an override has ended: the rule runs on current evidence
    assert _outcome(watch) == "breach"


def test_a_decision_is_never_dated_before_an_incident_it_counts() -> None:
    watch = _watch()
    _hear(watch, 1, minute=T0 + 12)
    verdict = _judge(watch, at_ms=START_MS + 10 * MINUTE)
    assert verdict is not None
    assert verdict.at_ms == tick_ms(T0 + 12)
    assert verdict.finding.held_min == 0


@settings(LAWS, max_examples=40)
@given(st.permutations(range(4)))
def test_no_order_of_arrival_changes_an_episode_or_its_exemplars(order: list[int]) -> None:
    watch = _watch(incidents(3))
    for number in order:
        watch.hear(incident(number, START_MS + (10 + number) * MINUTE))
    verdict = _judge(watch)
    assert verdict is not None
    assert verdict.episode_ms == 0
    assert [one.trace_id for one in verdict.finding.exemplars] == ["trace-0", "trace-1", "trace-2", "trace-3"]
    assert verdict.finding.seen.candidate == 4.0


@pytest.mark.parametrize(
    "baseline_incidents, closed, verdict",
    [(0, 0, "healthy"), (5, 1, "inconclusive"), (5, 30, "breach"), (0, 1, "breach"), (None, 0, "no_data")],
)
def test_its_row_of_the_assessment(baseline_incidents: int | None, closed: int, verdict: str) -> None:
    watch = _watch(baseline_incidents=baseline_incidents)
    watch.append(T0 + 10, cell(1_000, incidents=closed), cell(0) if baseline_incidents is None else QUIET)
    row = watch.assessed(3)
    assert (row["verdict"], row["late_count"]) == (verdict, 3)


def _counted() -> SafetyWatch:
    """Three incidents in closed minutes, the first in T0 + 1, and two in open ones; 0.3 were to be expected."""
    watch = SafetyWatch(incidents())
    watch.before = (2, 10_000)
    watch.append(T0, cell(1_000), cell(4_000, incidents=1))
    watch.append(T0 + 1, cell(1_000, incidents=2), cell(5_000))
    watch.append(T0 + 2, cell(500, incidents=1), cell(6_000))
    _hear(watch, 1, minute=T0 + 5, start=5)
    _hear(watch, 1, minute=T0 + 4, start=4)
    return watch


def _evidence(judged_to: str | None) -> dict[str, object]:
    return {
        "kind": "incidents",
        "answer": "page",  # five are beyond 0.77 expected ones, and the three of closed minutes are not beyond 0.29
        "judged_to": judged_to,
        "k": 5,
        "mu": pytest.approx(0.3),
        "g_k": pytest.approx(0.773, abs=0.0015),
        "counts": {
            "closed": 3,
            "opened": 2,
            "requests": 2_500,
            "reference_incidents": 3,
            "reference_requests": 25_000,
            "allowed_increase": 0,
            "literal": False,
            "alpha": 0.05,
        },
    }


def _told(found: Finding) -> dict[str, Any]:
    told = found.evidence() if found.evidence is not None else None
    assert isinstance(told, dict)
    return told


def test_a_finding_tells_what_was_counted_and_since_when() -> None:
    first_ms = tick_ms(T0 + 1)
    found = _counted().finding(5, at_ms := first_ms + 8 * MINUTE + 30_000)
    seen = found.seen
    assert (seen.baseline, seen.candidate, seen.delta) == pytest.approx((0.3, 5.0, 4.7))
    assert seen.samples == (25_000, 2_500)
    assert (found.started_ms, found.held_min) == (first_ms, 8)
    assert _told(found) == _evidence(rfc3339(at_ms))
    month_ms = 60_000 * MINUTE
    for at_ms, held_min in ((-90_000, 0), (0, 0), (month_ms - 1, 59_999), (month_ms, 60_000)):
        assert _counted().finding(5, first_ms + at_ms).held_min == held_min


def test_a_row_of_the_assessment_tells_what_was_counted() -> None:
    row = _counted().assessed(3)
    assert row["samples"] == {"baseline": 25_000, "candidate": 2_500}
    assert row["evidence"] == _evidence(None)
    assert (row["phi"], row["mde"], row["minutes_spent"]) == (1.0, None, 0)
    assert row["summary"] == "5 high-severity incidents: inconclusive"


def test_before_its_first_minute_nothing_is_counted() -> None:
    found = SafetyWatch(incidents()).finding(5, START_MS)
    assert found.seen == Observed(baseline=0.0, candidate=0.0, delta=0.0, samples=(0, 0))
    assert (found.started_ms, found.held_min, found.exemplars) == (START_MS, 0, ())
    assert set(_told(found)["counts"].values()) == {0, 0.05}


def test_twenty_incidents_of_closed_minutes_are_kept_as_exemplars() -> None:
    """The first ones: a rank is a time."""
    watch = SafetyWatch(incidents())
    watch.append(T0, cell(1_000, incidents=50), QUIET)
    shown = watch.finding(100, START_MS).exemplars
    assert [one.trace_id for one in shown] == sorted(f"trace-{n}" for n in range(50))[:20]


def test_a_thousand_incidents_of_open_minutes_are_remembered() -> None:
    watch = _watch()
    _hear(watch, 1_001)
    assert watch.finding(5, START_MS).seen.candidate == 1_000.0


def test_what_was_acted_upon_stays_a_breach_when_chance_explains_it_later() -> None:
    watch, paged = _watch(), _watch(baseline_incidents=5)
    for one, outcome in ((watch, "breach"), (paged, "page")):
        _hear(one, 1)
        assert _outcome(one) == outcome
        one.append(T0 + 10, cell(1_000, incidents=1), cell(1_000, incidents=9))
    assert (watch.assessed(0)["verdict"], paged.assessed(0)["verdict"]) == ("breach", "inconclusive")


@pytest.mark.parametrize(
    ("slices", "view", "part"),
    [((), OVERALL, 1.0), ((ACME, BETA), OVERALL, 1 / 2), ((ACME, BETA), ACME, 1 / 4)],
)
def test_the_error_rate_is_shared_by_the_whole_view_and_its_slices(
    slices: tuple[CohortKey, ...], view: CohortKey, part: float
) -> None:
    assert alpha_of(incidents(critical_cohorts=slices), view) == pytest.approx(ALPHA_SAFETY * part)
