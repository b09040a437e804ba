"""The baseline's past through arming, outages, crashes and a replay: captured once, the same for everybody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from monitor.adapters.kafka.decode import decode
from monitor.config.canonical import canonical
from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget
from monitor.core.decision import Decision, Type
from monitor.core.history import HISTORY_MAX_H, HistoryHour
from monitor.core.ids import canonical_json
from monitor.core.rederive import derive
from monitor.core.sketch import Sketch, bins_of
from monitor.engine.codec import encode_cell
from monitor.engine.control import Control
from monitor.engine.errors import LogUnreachable
from monitor.engine.evaluate import Stage
from monitor.engine.history import RELEASES_MAX, History, HistoryBook, captured, reference_of
from monitor.engine.ports import LedgerEntry
from monitor.engine.replay import Replay
from monitor.wire.cloudevent import of_decision
from monitor.wire.ledger import LedgerLine, to_ledger
from monitor.wire.messages import check
from tests.engine.logs import START_MIN, START_MS
from tests.engine.pasts import START_H, Hours, book_of, candidate_alone, past, usual_hour
from tests.engine.plant import Plant, budget
from tests.engine.worlds import budget as budget_of
from tests.engine.worlds import cell, objective

ALONE = 20  # minutes after which the baseline has no traffic
JUDGED = (
    Type.BREACH_STARTED,
    Type.BREACH_CLEARED,
    Type.ROLLBACK_REQUESTED,
    Type.PAGE_OPENED,
    Type.DEBT_CREATED,
)


async def armed(hours: list[HistoryHour], *budgets: Budget) -> tuple[Plant, Hours]:
    """Return a plant whose release is armed with this past known, before any traffic."""
    made, topic = Plant(budgets=budgets or (budget(),)), Hours(hours)
    arms = made.control("arms", history=topic.history())
    await arms.step()
    await arms.leave()
    return made, topic


async def judged(made: Plant, topic: Hours, name: str = "w1") -> Control:
    """Read what there is, and let a new instance evaluate it."""
    await made.settled(made.feed(made.source()))
    control = made.control(name, history=topic.history())
    for _ in range(3):
        await control.step()
    return control


def full_traffic(made: Plant, minutes: int, *, worse_from: int | None = None, success: int = 20) -> None:
    """Twenty minutes side by side, then the candidate alone, worse from a minute on."""
    made.traffic(0, ALONE)
    until = minutes if worse_from is None else worse_from
    candidate_alone(made, ALONE, until - ALONE)
    candidate_alone(made, until, minutes - until, success=success)


def borne_out(made: Plant) -> bool:
    """Tell whether all that was said fits its schema, and follows again from its own record."""
    for said in made.topics.said:
        check(of_decision(said))
        if said.data.get("evidence"):
            assert derive(said.data).disagreements == []
    return bool(made.topics.said)


def reference_data(made: Plant) -> Mapping[str, object]:
    data = made.topics.entries[0].decision.data["reference"]
    assert made.topics.entries[0].decision.type is Type.ARMING_CREATED
    assert isinstance(data, Mapping)
    return data


async def test_each_closed_hour_of_both_arms_is_recorded_once() -> None:
    """START is twenty minutes past: the first hour has forty minutes, the second is whole, the third goes on."""
    made, topic = await armed([])
    made.traffic(0, 130)
    await judged(made, topic)
    rows = {(one.release, one.hour - START_H): one for one in topic.written}
    assert sorted(rows) == [("v41", 0), ("v41", 1), ("v42", 0), ("v42", 1)]
    assert len(topic.written) == 4
    for (release, hour), one in rows.items():
        per_min, minutes = (40 if release == "v41" else 20), (60 if hour else 40)
        assert (one.minutes, one.breached) == (minutes, False)
        assert one.cell.rate("task_success") == (per_min * minutes * 19 // 20, per_min * minutes)
        assert one.cell.distribution("latency").count == per_min * minutes
        assert one.cell.exemplars == {}
        assert one.cell.parts == {}


async def test_an_hour_in_which_the_candidate_breaks_its_budget_is_marked() -> None:
    made, topic = await armed([])
    made.traffic(0, 45)
    made.traffic(45, 70, success=8)
    await judged(made, topic)
    marked = {(one.release, one.hour - START_H): one.breached for one in topic.written}
    assert marked == {("v41", 0): False, ("v41", 1): False, ("v42", 0): False, ("v42", 1): True}


async def test_whoever_starts_anew_writes_the_same_or_nothing() -> None:
    made, topic = await armed([])
    made.traffic(0, 110)
    await judged(made, topic)
    first = [(one.release, one.hour, encode_cell(one.cell)) for one in topic.written]
    assert len(first) == 4
    made.clock.ms += 60_000
    await judged(made, topic, "knows the topic")
    assert len(topic.written) == 4
    made.clock.ms += 60_000
    blind = Hours()
    await judged(made, blind, "knows nothing")
    assert [(one.release, one.hour, encode_cell(one.cell)) for one in blind.written] == first


async def test_an_outage_of_the_topic_delays_hours_and_loses_none() -> None:
    made, topic = await armed([])
    made.traffic(0, 110)
    await made.settled(made.feed(made.source()))
    control = made.control(history=topic.history())
    topic.away = 2
    for _ in range(2):
        with pytest.raises(LogUnreachable):
            await control.step()
    assert topic.written == []
    await control.step()
    assert len(topic.written) == 4


async def test_arming_captures_the_past_and_nothing_that_comes_later_changes_it() -> None:
    """Restarts and other workers judge by what is on record, whatever the topic holds by then."""
    made, topic = await armed(past())
    data = reference_data(made)
    assert (data["baseline"], data["days"], data["period_h"]) == ("v41", 7, 24)
    assert "7 days of the baseline's past are known" in str(made.topics.entries[0].decision.data["summary"])
    topic.written += past(make=lambda _: cell(2_400, task_success=100), before=START_H + 24)
    made.traffic(0, 10)
    control = await judged(made, topic)
    assert control.live["v42"].evaluator.reference.captured == reference_of(data)


async def test_harm_after_the_baseline_is_gone_is_found_and_rolled_back_against_its_past() -> None:
    made, topic = await armed(past())
    full_traffic(made, 100, worse_from=70)
    control = await judged(made, topic)
    (request,) = made.topics.of(Type.ROLLBACK_REQUESTED)
    assert request.data["baseline_mode"] == "frozen"
    assert "its own past of the same hours" in str(request.data["summary"])
    assert 75 <= (request.at_ms - START_MS) // 60_000 <= 85
    assert control.live["v42"].evaluator.progress.stage is Stage.LOCKED
    assert borne_out(made)


async def test_a_healthy_candidate_alone_is_left_alone_and_called_healthy_by_its_past() -> None:
    """The window goes on to its end at full traffic."""
    made, topic = await armed(past(), budget(("window: 24h", "window: 4h")))
    full_traffic(made, 245)
    await judged(made, topic)
    (assessed,) = made.topics.of(Type.RELEASE_ASSESSED)
    success = assessed.data["objectives"][0]  # type: ignore[index]
    assert (success["verdict"], success["baseline_mode"]) == ("healthy", "frozen")
    assert derive(success).disagreements == []
    assert borne_out(made)
    assert made.topics.of(Type.ROLLBACK_REQUESTED) == []
    assert made.topics.of(Type.PAGE_OPENED) == []


async def test_of_two_days_it_only_pages_and_says_why() -> None:
    made, topic = await armed(past(days=2))
    full_traffic(made, 110, worse_from=70, success=2)
    await judged(made, topic)
    assert made.topics.of(Type.ROLLBACK_REQUESTED) == []
    pages = [one for one in made.topics.of(Type.PAGE_OPENED) if one.data["tier"] == "A"]
    assert [one.data["reason"] for one in pages] == ["breach"]
    assert "no rollback, because 2 days of the baseline's past are too few" in str(pages[0].data["summary"])
    assert borne_out(made)


async def test_without_a_past_nothing_can_be_judged_and_nothing_acts() -> None:
    made, topic = await armed([])
    full_traffic(made, 100, worse_from=70)
    control = await judged(made, topic)
    assert made.topics.of(Type.ROLLBACK_REQUESTED) == []
    assert all(watch.is_unknown for watch in control.live["v42"].evaluator.watches.values())


async def test_concurrent_means_concurrent() -> None:
    never = ("max_duration_min: 5\n  safety", "max_duration_min: 5\n    baseline_mode: concurrent\n  safety")
    made, topic = await armed(past(), budget(never))
    full_traffic(made, 100, worse_from=70)
    await judged(made, topic)
    assert made.topics.of(Type.ROLLBACK_REQUESTED) == []


def replayed(made: Plant, book: HistoryBook | None) -> list[Decision]:
    """What a replay of the plant's log decides, as one partition."""
    replay = Replay(made.budgets, decode, history=book)
    rows = sorted(
        (row.timestamp, at, row.value) for rows in made.log.rows.values() for at, row in enumerate(rows)
    )
    decided = [one for stamp, _, value in rows for one in replay.feed(value, record_ms=stamp)]
    return [one for one in [*decided, *replay.finish()] if one.type in JUDGED]


@pytest.mark.parametrize("days", [7, 2])
async def test_a_replay_with_the_same_past_decides_the_same(days: int) -> None:
    made, topic = await armed(past(days=days))
    full_traffic(made, 100, worse_from=70)
    await judged(made, topic)
    live = {one.decision_id: canonical_json(one.data) for one in made.topics.said if one.type in JUDGED}
    again = {one.decision_id: canonical_json(one.data) for one in replayed(made, book_of(past(days=days)))}
    assert live
    assert again == live
    assert {one.decision_id for one in replayed(made, None)} != set(live)


async def test_another_baseline_has_another_past() -> None:
    """A budget that is changed captures anew, on record; recovery takes the same steps."""
    other = budget(("baseline: v41", "baseline: v40"))
    made, topic = await armed([*past(), *past("v40", days=4)])
    made.traffic(0, 5)
    await made.settled(made.feed(made.source()))
    control = made.control(history=topic.history())
    await control.step()
    control.budgets.put(other)
    await control.step()
    reference = control.live["v42"].evaluator.reference.captured
    assert reference is not None
    assert (reference.baseline, reference.days) == ("v40", 4)
    await control.leave()
    made.clock.ms += 60_000
    after = made.control("w2", files=(other,), history=Hours().history())
    for _ in range(2):
        await after.step()
    assert after.live["v42"].evaluator.reference.captured == reference


INCIDENT_AT = 30


def incident(made: Plant) -> None:
    at_ms = START_MS + INCIDENT_AT * 60_000
    made.log.event(0, "bad", at_ms, "v42", incident_severity="critical", trace_id="t-bad")
    made.log.now_ms += 5 * 60_000


@pytest.mark.parametrize(
    ("hours", "kind"),
    [
        (past(), Type.ROLLBACK_REQUESTED),
        (past(make=lambda hour: cell(2_400, task_success=2_280, incidents=hour % 24 == 0)), Type.PAGE_OPENED),
        ([], Type.PAGE_OPENED),
    ],
    ids=["a clean past", "a past with incidents", "no past, and no baseline about"],
)
async def test_the_week_before_says_whether_an_incident_is_normal(
    hours: list[HistoryHour], kind: Type
) -> None:
    made, topic = await armed(hours)
    candidate_alone(made, 0, INCIDENT_AT)
    incident(made)
    await judged(made, topic)
    said = [one for one in made.topics.said if one.data.get("metric") == "high_severity_incidents"]
    assert [one.type for one in said if one.type in (Type.ROLLBACK_REQUESTED, Type.PAGE_OPENED)] == [kind]


def wide_hour(seed: int) -> Aggregate:
    """Heavy-tailed times of five stages, from microseconds to hours, in an hour of a million requests."""
    draw = np.random.default_rng(seed)
    made = cell(1_000_000, task_success=950_000)
    for name in ("latency", "stage.model", "stage.tool", "stage.retrieval", "stage.rerank"):
        values, counts = np.unique(bins_of(draw.lognormal(13.0, 2.5, 50_000).tolist()), return_counts=True)
        bins = {int(index): int(count) * 20 for index, count in zip(values, counts, strict=True)}
        made.sketches[name] = Sketch(bins, 10**12)
    return made


@pytest.mark.parametrize("days", [4, 28])
def test_a_captured_past_is_bounded_whatever_a_budget_asks_for(days: int) -> None:
    """Five quantiles over the widest distributions: the ledger's record stays below 512 KiB."""
    cells = [wide_hour(seed) for seed in range(7)]
    book = book_of(past(days=days, make=lambda hour: cells[hour % 7]))
    metrics = ("p95", "model_p99", "tool_p95", "retrieval_p95", "rerank_p95")
    asked = replace(budget_of(*(objective(metric, 15.0) for metric in metrics)), baseline="v41")
    data = captured(book, asked, START_MIN)
    assert data["slots"]
    entry = LedgerLine(
        Decision(
            Type.ARMING_CREATED, "0" * 64, "v42", START_MS, {"reference": data, "spec": canonical(asked)}
        ),
        None,
        True,
        None,
    )
    assert len(to_ledger(entry)[1]) < 256 * 1024
    found = reference_of(json.loads(canonical_json(data)))
    assert found is not None
    for slot in found.slots:
        assert slot.distribution("latency").count > 0


def test_a_reference_comes_back_from_the_record_as_it_was() -> None:
    data = captured(book_of(past()), budget(), START_MIN)
    found = reference_of(json.loads(canonical_json(data)))
    assert found is not None
    assert len(found.slots) == 24
    assert captured(book_of(past()[::-1]), budget(), START_MIN) == data
    assert captured(book_of(past(days=6)), budget(), START_MIN)["digest"] != data["digest"]


@pytest.mark.parametrize("of", [None, "none", 3])
def test_an_arming_of_before_there_was_a_past_has_none(of: object) -> None:
    assert reference_of(of) is None


def test_the_book_keeps_the_newest_four_weeks_of_the_releases_seen_last() -> None:
    book = HistoryBook()
    for hour in range(HISTORY_MAX_H + 5):
        book.note(HistoryHour("old", hour, 60, False, cell(10)))
    assert [one.hour for one in book.of("old")] == list(range(5, HISTORY_MAX_H + 5))
    for number in range(RELEASES_MAX):
        book.note(HistoryHour(f"new-{number}", 10_000, 60, False, cell(10)))
    assert book.of("old") == []
    assert book.dropped == HISTORY_MAX_H
    assert len(book.of("new-0")) == 1


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_records_of_an_hour_the_one_that_says_more_stays(order: int) -> None:
    part, whole = HistoryHour("v41", 7, 20, False, cell(10)), HistoryHour("v41", 7, 60, False, cell(30))
    assert book_of([part, whole][::order]).of("v41") == [whole]
    breached = HistoryHour("v41", 7, 20, True, cell(10))
    assert book_of([breached, whole][::order]).of("v41") == [breached]


def test_without_a_topic_nothing_is_kept_for_later() -> None:
    assert History().book.of("v41") == []
    assert usual_hour(0).requests == 2_400


def test_an_entry_keeps_what_was_captured() -> None:
    data = captured(book_of(past()), budget(), START_MIN)
    entry = LedgerEntry(
        Decision(Type.ARMING_CREATED, "1" * 64, "v42", START_MS, {"reference": data}), None, True
    )
    assert reference_of(entry.decision.data["reference"]) == reference_of(data)
