"""The past of the slices that a budget names: recorded, captured and judged by at full traffic, each by its own."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget, Tier
from monitor.core.cell import CellKey
from monitor.core.cohort import OVERALL, CohortKey, cohort_key
from monitor.core.decision import Decision, Type
from monitor.core.history import SLICES_MAX, HistoryHour
from monitor.core.ids import canonical_json
from monitor.core.rederive import derive
from monitor.core.sketch import Sketch
from monitor.engine.history import REFERENCE_MAX, SLICES_KEPT, HistoryBook, captured, reference_of
from monitor.engine.reading import Reading, reads_of
from monitor.wire.cloudevent import of_decision
from monitor.wire.messages import check
from tests.engine.logs import START_MIN, START_MS
from tests.engine.pasts import START_H, Hours, book_of, past
from tests.engine.plant import Plant, budget
from tests.engine.test_history import JUDGED, armed, judged, reference_data, replayed
from tests.engine.worlds import ACME, BASELINE, CANDIDATE, cell, handoff, incidents, objective
from tests.engine.worlds import budget as budget_of

SIDE_BY_SIDE = 10  # minutes, after which the baseline has no traffic
WORSE_FROM = 55
CRITICAL = ("max_duration_min: 5\n  safety", "max_duration_min: 5\n    cohorts: [tenant=acme]\n  safety")
WHERE = ("max_duration_min: 5\n  safety", "max_duration_min: 5\n    where: {tenant: acme}\n  safety")
WATCHED = ("max_duration_min: 5\n  safety", "max_duration_min: 5\n    cohorts: [tenant]\n  safety")


def acme_hour(hour: int) -> Aggregate:
    """A slice's hour of the plant's baseline: 600 requests, 95 % successes."""
    return cell(600, task_success=570 - hour % 2)


def with_slice(days: int = 7) -> list[HistoryHour]:
    """A week of everybody's past, and so many days of one tenant's."""
    return [*past(), *past(days=days, make=acme_hour, view=ACME)]


def harm_to_a_tenant(made: Plant, minutes: int = 85) -> None:
    """A tenth of the requests are acme's; from a minute on all of them fail, and everybody else's are done.

    Everybody's successes fall from 95 to 90 %, which is within their limit.
    """
    for minute in range(minutes):
        for number in range(60):
            is_acme = number % 10 == 3
            if minute < WORSE_FROM:
                good = not (minute % 3 == 0 if number == 3 else number % 20 == 1)
            else:
                good = not is_acme
            made.log.event(
                number % made.log.partitions,
                f"s{minute}-{number}",
                START_MS + minute * 60_000 + number * 1_000,
                "v41" if minute < SIDE_BY_SIDE and number // 10 % 2 else "v42",
                task_success=good,
                latency_ms=800 + number,
                cohort={"tenant": "acme" if is_acme else "others"},
            )
    made.log.now_ms = max(made.log.now_ms, START_MS + minutes * 60_000)


def borne_out(made: Plant) -> None:
    for said in made.topics.said:
        check(of_decision(said))
        if said.data.get("evidence"):
            assert derive(said.data).disagreements == []


@pytest.mark.parametrize("change", [CRITICAL, WHERE], ids=["a critical cohort", "where"])
async def test_harm_to_a_slice_alone_is_found_against_its_own_past_at_full_traffic(
    change: tuple[str, str],
) -> None:
    made, topic = await armed(with_slice(), budget(change))
    harm_to_a_tenant(made)
    await judged(made, topic)
    (request,) = made.topics.of(Type.ROLLBACK_REQUESTED)
    assert (request.data["cohort"], request.data["baseline_mode"]) == ({"tenant": "acme"}, "frozen")
    assert "its own past of the same hours" in str(request.data["summary"])
    assert (request.at_ms - START_MS) // 60_000 >= WORSE_FROM + 4
    borne_out(made)


@pytest.mark.parametrize(
    "hours",
    [past(), [*past(), *past("v40", make=acme_hour, view=ACME)]],
    ids=["records of before slices had any", "another release's"],
)
async def test_without_a_past_of_the_slice_nothing_acts_and_that_is_said(hours: list[HistoryHour]) -> None:
    made, topic = await armed(hours, budget(CRITICAL, ("window: 24h", "window: 80m")))
    words = str(made.topics.entries[0].decision.data["summary"])
    assert "7 days of the baseline's past are known, nothing for tenant=acme" in words
    harm_to_a_tenant(made)
    await judged(made, topic)
    assert made.topics.of(Type.ROLLBACK_REQUESTED) == []
    (assessed,) = made.topics.of(Type.RELEASE_ASSESSED)
    rows = {
        canonical_json(row["cohort"]): row
        for row in assessed.data["objectives"]  # type: ignore[attr-defined]
        if row["metric"] == "task_success"
    }
    slice_row = rows['{"tenant":"acme"}']
    assert slice_row["verdict"] in ("no_data", "inconclusive")
    assert slice_row["baseline_mode"] == "concurrent"
    assert "nothing is known of this slice's past" in slice_row["summary"]
    assert rows["{}"]["baseline_mode"] == "frozen"
    assert "nothing is known" not in rows["{}"]["summary"]
    borne_out(made)


async def test_of_two_days_of_a_slice_it_only_pages_whatever_is_known_of_everybody() -> None:
    made, topic = await armed(with_slice(days=2), budget(CRITICAL))
    harm_to_a_tenant(made, 110)
    await judged(made, topic)
    assert made.topics.of(Type.ROLLBACK_REQUESTED) == []
    pages = [one for one in made.topics.of(Type.PAGE_OPENED) if one.data["cohort"] == {"tenant": "acme"}]
    assert [(one.data["reason"], one.data["baseline_mode"]) for one in pages] == [("breach", "frozen")]
    assert "no rollback, because 2 days of the baseline's past are too few" in str(pages[0].data["summary"])
    borne_out(made)


async def test_discovered_cohorts_have_no_past_and_say_so() -> None:
    made, topic = await armed(with_slice(), budget(WATCHED, ("window: 24h", "window: 80m")))
    assert reference_data(made)["slices"] == []
    harm_to_a_tenant(made)
    await judged(made, topic)
    assert made.topics.of(Type.ROLLBACK_REQUESTED) == []
    (assessed,) = made.topics.of(Type.RELEASE_ASSESSED)
    found = [row for row in assessed.data["objectives"] if row["cohort"]]  # type: ignore[attr-defined]
    assert {row["cohort"]["tenant"] for row in found} == {"acme", "others"}
    for row in found:
        assert row["baseline_mode"] == "concurrent"
        assert row["summary"].endswith("compared with the baseline's traffic of the same minutes only")
    borne_out(made)


@pytest.mark.parametrize("days", [7, 2])
async def test_a_replay_and_a_restart_judge_a_slice_by_the_same_past(days: int) -> None:
    made, topic = await armed(with_slice(days), budget(CRITICAL))
    harm_to_a_tenant(made)
    control = await judged(made, topic)
    reference = control.live["v42"].evaluator.reference.captured
    assert reference == reference_of(reference_data(made))
    assert reference is not None
    assert reference.of(ACME) is not None

    def told(decisions: list[Decision]) -> dict[str, str]:
        return {one.decision_id: canonical_json(one.data) for one in decisions if one.type in JUDGED}

    live = told(made.topics.said)
    assert live
    assert told(replayed(made, book_of(with_slice(days)))) == live
    await control.leave()
    made.clock.ms += 60_000
    said = len(made.topics.said)
    await judged(made, Hours(), "knows nothing of the topic")
    assert told(made.topics.said[said:]).items() <= live.items()


async def test_hours_of_named_slices_are_recorded_for_both_arms_and_marked_like_their_release() -> None:
    """START is twenty minutes past: the harm and its rollback are in the candidate's second hour."""
    made, topic = await armed(with_slice(), budget(CRITICAL))
    harm_to_a_tenant(made, 105)
    await judged(made, topic)
    written = [one for one in topic.written if one.hour >= START_H]
    rows = {(one.release, one.hour - START_H, one.view): one for one in written}
    assert len(rows) == len(written)
    assert {(key[0], key[1], key[2]): one.breached for key, one in rows.items()} == {
        ("v41", 0, OVERALL): False,
        ("v41", 0, ACME): False,
        ("v42", 0, OVERALL): False,
        ("v42", 0, ACME): False,
        ("v42", 1, OVERALL): True,
        ("v42", 1, ACME): True,
    }
    for release, requests, minutes in (("v41", 30, SIDE_BY_SIDE), ("v42", 210, 40)):
        one = rows[release, 0, ACME]
        assert (one.minutes, one.cell.requests, one.cell.exemplars) == (minutes, requests, {})
    assert rows["v42", 0, ACME].cell.rate("task_success") == (210 - 14, 210)


def test_an_hour_with_a_breach_is_no_past_of_any_slice() -> None:
    """Whoever marked the hour may not have looked at this slice."""
    hours = with_slice()
    book = book_of([*hours, replace(hours[10], breached=True)])
    assert hours[10].view == OVERALL
    assert [one.hour for one in book.of("v41", ACME) if one.breached] == [hours[10].hour]
    data = captured(book, budget(CRITICAL), START_MIN)
    assert [one["requests"] for one in data["slices"]] == [600 * (7 * 24 - 1)]


@pytest.mark.parametrize(
    ("hours", "kind"),
    [(with_slice(), Type.ROLLBACK_REQUESTED), (past(), Type.PAGE_OPENED)],
    ids=["a clean past of the slice", "none"],
)
async def test_a_slices_incident_is_held_against_its_own_week(hours: list[HistoryHour], kind: Type) -> None:
    where = ("action: immediate_rollback", "action: immediate_rollback\n    where: {tenant: acme}")
    made, topic = await armed(hours, budget(where))
    for minute in range(30):
        made.log.event(
            0, f"e{minute}", START_MS + minute * 60_000, "v42", task_success=True, cohort={"tenant": "acme"}
        )
    made.log.event(
        0, "bad", START_MS + 30 * 60_000, "v42", incident_severity="critical", cohort={"tenant": "acme"}
    )
    made.log.now_ms += 5 * 60_000
    await judged(made, topic)
    said = [one for one in made.topics.said if one.data.get("metric") == "high_severity_incidents"]
    assert [one.type for one in said if one.type in (Type.ROLLBACK_REQUESTED, Type.PAGE_OPENED)] == [kind]


def tenants(count: int) -> tuple[CohortKey, ...]:
    return tuple(cohort_key({"tenant": f"t{number:02}"}) for number in range(count))


def wide(views: tuple[CohortKey, ...]) -> Budget:
    asked = (objective(critical_cohorts=views), objective("p95", 15.0, critical_cohorts=views))
    return replace(budget_of(*asked), baseline="v41")


def wide_hour(hour: int) -> Aggregate:
    """Every bin of a day's latencies: no distribution is wider."""
    made = cell(2_000_000, task_success=1_900_000)
    made.sketches["latency"] = Sketch(dict.fromkeys(range(1, 1_200), 1_000 + hour % 24), 10**12)
    return made


def test_a_captured_past_of_slices_is_bounded_and_says_what_it_leaves_out() -> None:
    views = tenants(SLICES_MAX + 3)
    book = book_of([one for view in views for one in past(days=3, make=wide_hour, view=view)])
    data = captured(book, wide(views), START_MIN)
    assert [one["cohort"] for one in data["slices"]] == [dict(view) for view in views[:SLICES_MAX]]
    assert data["slices_beyond"] == 3
    assert 0 < sum(len(slot) for one in data["slices"] for slot in one["slots"]) <= REFERENCE_MAX
    found = reference_of(json.loads(canonical_json(data)))
    assert found is not None
    for view in views[:SLICES_MAX]:
        known = found.of(view)
        assert known is not None
        assert known.slots[0].distribution("latency").count > 0
    assert found.of(views[-1]) is None


def test_a_book_keeps_the_slices_seen_last() -> None:
    book, views = HistoryBook(), tenants(SLICES_KEPT + 1)
    for number, view in enumerate(views):
        book.note(HistoryHour("v41", number, 60, False, cell(10), view))
    book.note(HistoryHour("v41", 0, 60, False, cell(10)))
    assert book.of("v41", views[0]) == []
    assert book.dropped == 1
    assert len(book.of("v41", views[1])) == len(book.of("v41")) == 1


def test_a_slice_that_is_folded_in_two_ways_is_recorded_with_all_that_is_kept_of_it() -> None:
    """One objective looks at nothing else, stratified and with late labels; to another it is a critical cohort."""
    late = handoff(where=ACME, label_delay_min=3)
    asked = budget_of(late, objective("p95", 15.0, critical_cohorts=(ACME,)), strata=("workflow",))
    now = START_MIN + 10
    minute = now - 1 - late.label_delay_min
    stratified = next(
        one.view for one in reads_of(asked) if dict(one.view) == {"tenant": "acme", "workflow": "*"}
    )
    keys = {one.key(now) for one in reads_of(asked)}
    both = {
        CellKey(minute, release, view, shard=0)
        for release in (CANDIDATE, BASELINE)
        for view in (ACME, stratified)
    }
    assert both <= keys
    parts, plain = Aggregate(), cell(10, human_handoff=2)
    parts.parts = {"chat": cell(6, human_handoff=1), "mail": cell(4, human_handoff=1)}
    plain.sketches["latency"] = Sketch({300: 10}, 10)
    cells = {
        CellKey(minute, CANDIDATE, stratified): parts,
        CellKey(minute, CANDIDATE, ACME): plain,
        CellKey(minute, CANDIDATE, ACME, later=True): cell(0),
    }
    candidate, baseline = Reading(asked, cells).slice(minute, ACME, with_labels=True)
    assert (candidate.requests, candidate.rate("human_handoff")) == (10, (2, 10))
    assert candidate.distribution("latency").count == 10
    assert baseline == Aggregate()
    assert plain.sketches.keys() == {"latency"}


def test_tier_a_comes_first_where_there_are_too_many() -> None:
    views = tenants(SLICES_MAX)
    asked = replace(budget_of(handoff(critical_cohorts=views), incidents(where=ACME)), baseline="v41")
    assert asked.objectives[1].tier is Tier.A
    data = captured(book_of([]), asked, START_MIN)
    assert [one["cohort"] for one in data["slices"]] == [dict(view) for view in (ACME, *views[:-1])]
