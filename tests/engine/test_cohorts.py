"""Watched cohorts: found as they appear, judged by themselves, paged by name, and never acted upon."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from random import Random
from typing import Any

import pytest

from monitor.core.aggregate import Aggregate
from monitor.core.breakdown import shard_of
from monitor.core.budget import EvidenceMode, Objective, Tier
from monitor.core.cell import CellKey
from monitor.core.cohort import OTHER, OVERALL, by_every, cohort_key
from monitor.core.decision import Decision, Type
from monitor.core.discovery import Discovery
from monitor.engine import cohorts
from monitor.engine.answer import answer
from monitor.engine.cohorts import OPEN_PAGES_MAX
from tests.engine.worlds import (
    ACME,
    BAD,
    BASELINE,
    CANDIDATE,
    GOOD,
    SUCCESS,
    Drive,
    budget,
    cell,
    command,
    handoff,
    names,
    objective,
    only,
)

TENANTS = by_every(OVERALL, ("tenant",))


def watched(**more: Any) -> Objective:
    """Task success, of everybody and of each tenant."""
    return objective(watched_dimensions=("tenant",), **more)


class Tenants(Drive):
    """An evaluator that sees both arms tenant by tenant; the overall view is what they add up to."""

    def tick_tenants(
        self, candidate: Mapping[str, Aggregate], baseline: Mapping[str, Aggregate] | None = None
    ) -> list[Decision]:
        cells: dict[CellKey, Aggregate] = {}
        for release, parts in ((CANDIDATE, candidate), (BASELINE, baseline or candidate)):
            whole = cells[CellKey(self.now, release, OVERALL)] = Aggregate()
            for tenant, part in parts.items():
                key = CellKey(self.now, release, TENANTS, shard=shard_of(tenant))
                cells.setdefault(key, Aggregate()).parts[tenant] = part
                whole.add_total(part)
        return self.tick_cells(cells)

    def run_tenants(
        self, minutes: int, candidate: Mapping[str, Aggregate], baseline: Mapping[str, Aggregate]
    ) -> list[Decision]:
        return [one for _ in range(minutes) for one in self.tick_tenants(candidate, baseline)]


def everybody(*tenants: str, **others: Aggregate) -> dict[str, Aggregate]:
    return dict.fromkeys(tenants, GOOD) | others


BIG = cell(900, task_success=810, human_handoff=180)
FINE = everybody("acme", "globex", "initech", big=BIG)
WORSE = FINE | {"acme": BAD}


def of(decisions: list[Decision], type_: Type) -> list[Decision]:
    return [one for one in decisions if one.type is type_]


# Masking ---------------------------------------------------------------------------------------------------------


def _minute(draw: Random, success: Mapping[str, float], requests: Mapping[str, int]) -> dict[str, Aggregate]:
    return {
        tenant: cell(n, task_success=sum(draw.random() < success[tenant] for _ in range(n)))
        for tenant, n in requests.items()
    }


def test_one_bad_tenant_under_a_healthy_aggregate_is_paged_by_name() -> None:
    """5 % of the traffic at -30 %, among 200 tenants: the whole loses 1.5 %, within its limit of 2 %."""
    draw = Random(7)
    requests = {f"tenant-{n:03d}": 10 for n in range(199)} | {"acme": 105}
    healthy = dict.fromkeys(requests, 0.9)
    drive = Tenants(budget(watched(hold=20, evidence=EvidenceMode.DEFAULT)))
    for _ in range(45):
        drive.tick_tenants(
            _minute(draw, healthy | {"acme": 0.63}, requests), _minute(draw, healthy, requests)
        )
    page = only(drive.log, Type.PAGE_OPENED)
    assert page.data["cohort"] == {"tenant": "acme"}
    assert page.data["cohort_share"] == pytest.approx(105 / 2095, abs=1e-3)
    assert "for tenant=acme" in str(page.data["summary"])
    assert "tenant=acme is 5.0 % of the candidate's traffic" in str(page.data["summary"])
    assert (page.data["tier"], page.data["deadline"]) == ("A", None)  # it escalates, and never acts
    assert names(drive.log).count("rollback.requested") == 0
    assert page.at_ms <= drive.at_ms - 20 * 60_000
    assessed = drive.note(drive.evaluator.finish(drive.now, 0, complete=False))[0]
    data: Any = assessed.data
    (counts,) = data["watched"]
    assert (counts["values"], counts["breach"], counts["shown"]) == (200, 1, 50)
    assert [row["cohort"] for row in data["objectives"] if row["verdict"] == "breach"] == [{"tenant": "acme"}]


# Discovery -------------------------------------------------------------------------------------------------------


def test_a_tenant_is_judged_from_its_first_minute_on() -> None:
    drive = Tenants(budget(watched()))
    drive.run_tenants(3, everybody("acme"), everybody("acme", "globex"))
    assert drive.evaluator.cohorts.watch(SUCCESS, cohort_key({"tenant": "globex"})) is None
    drive.run_tenants(3, everybody("acme", "globex"), everybody("acme", "globex"))
    late = drive.evaluator.cohorts.watch(SUCCESS, cohort_key({"tenant": "globex"}))
    assert late is not None
    assert late.first_minute == drive.now - 3
    assert drive.log == []


def test_requests_without_the_dimension_are_no_cohort() -> None:
    drive = Tenants(budget(watched()))
    drive.run_tenants(10, {"": BAD, "big": cell(900, task_success=810)}, {"": GOOD, "big": GOOD})
    assert [one.watch.view for one in drive.evaluator.cohorts.all()] == [cohort_key({"tenant": "big"})]


def test_a_critical_cohort_acts_by_its_own_rule_and_is_not_watched_besides() -> None:
    drive = Tenants(budget(watched(critical_cohorts=(ACME,))))
    drive.run_tenants(2, FINE, FINE)
    assert ACME not in [one.watch.view for one in drive.evaluator.cohorts.all()]


def test_an_objective_s_own_slice_narrows_its_cohorts() -> None:
    critical = cohort_key({"task": "critical"})
    drive = Drive(budget(watched(where=critical)))
    view = by_every(critical, ("tenant",))
    for _ in range(2):
        drive.tick_cells(
            {
                CellKey(drive.now, CANDIDATE, OVERALL): GOOD,
                CellKey(drive.now, CANDIDATE, view, shard=shard_of("acme")): _holding(acme=GOOD),
            }
        )
    (found,) = drive.evaluator.cohorts.all()
    assert found.watch.view == cohort_key({"task": "critical", "tenant": "acme"})


def _holding(**parts: Aggregate) -> Aggregate:
    whole = Aggregate()
    whole.parts = dict(parts)
    return whole


def test_beyond_the_cap_tenants_are_judged_together_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohorts, "Discovery", partial(Discovery, most=2))
    drive = Tenants(budget(watched()))
    drive.run_tenants(3, everybody("a", "b", "c", "d"), everybody("a", "b", "c", "d", "e"))
    views = [dict(one.watch.view)["tenant"] for one in drive.evaluator.cohorts.all()]
    assert views == ["a", "b", OTHER]
    others = drive.evaluator.cohorts.watch(SUCCESS, cohort_key({"tenant": OTHER}))
    assert others is not None
    assert others.series.counts(drive.now - 3, drive.now).candidate == 60
    assert drive.evaluator.cohorts.newly_capped() == ["tenant"]
    assert drive.evaluator.cohorts.newly_capped() == []
    data: Any = drive.note(drive.evaluator.finish(drive.now, 0, complete=False))[0].data
    assert data["watched"][0]["beyond_cap"] == 2
    assert "tenant has more values" in data["warnings"][0]


# Pages -----------------------------------------------------------------------------------------------------------


def test_a_page_comes_with_its_breach_and_its_debt_and_goes_when_it_clears() -> None:
    drive = Tenants(budget(watched()))
    drive.run_tenants(5, FINE, FINE)
    assert names(drive.run_tenants(4, WORSE, FINE)) == ["breach.started", "page.opened", "evaldebt.created"]
    assert drive.run_tenants(10, WORSE, FINE) == []
    assert names(drive.run_tenants(4, FINE, FINE)) == ["breach.cleared", "page.resolved"]
    assert "tenant=acme" in str(drive.log[-1].data["summary"])


def test_a_tier_b_page_about_a_watched_cohort_has_no_clock() -> None:
    drive = Tenants(budget(handoff(watched_dimensions=("tenant",))))
    drive.run_tenants(5, FINE, FINE)
    drive.run_tenants(60, WORSE, FINE)
    assert only(drive.log, Type.PAGE_OPENED).data["deadline"] is None
    assert not {"page.expired", "rollback.requested"} & set(names(drive.log))


def test_a_commander_who_goes_on_with_a_cohort_does_not_hold_the_release_s_own_breach_back() -> None:
    drive = Tenants(budget(watched()))
    drive.run_tenants(5, FINE, FINE)
    drive.run_tenants(6, WORSE, FINE)
    said = command("decide", drive.at_ms, decision="continue")
    assert names(drive.note(answer(drive.evaluator, said))) == ["page.resolved"]
    assert drive.run_tenants(6, WORSE, FINE) == []  # it was answered, and has not cleared
    drive.run_tenants(6, FINE | {"big": cell(900, task_success=500)}, FINE)
    assert only(drive.log, Type.ROLLBACK_REQUESTED).data["cohort"] == {}


def test_a_tenant_that_goes_quiet_is_no_news() -> None:
    drive = Tenants(budget(watched()))
    drive.run_tenants(5, FINE, FINE)
    assert drive.run_tenants(60, {"big": FINE["big"]}, FINE) == []


def test_pages_are_bounded_and_the_worst_come_first() -> None:
    tenants = [f"t-{n:02d}" for n in range(OPEN_PAGES_MAX + 5)]
    fine = everybody(*tenants, big=cell(90_000, task_success=81_000))
    drive = Tenants(budget(watched()))
    drive.run_tenants(5, fine, fine)
    drive.run_tenants(10, fine | dict.fromkeys(tenants, BAD), fine)
    assert len(of(drive.log, Type.PAGE_OPENED)) == OPEN_PAGES_MAX
    drive.run_tenants(10, fine | dict.fromkeys(tenants[OPEN_PAGES_MAX:], BAD), fine)
    paged = {str(one.data["cohort"]) for one in of(drive.log, Type.PAGE_OPENED)}
    assert len(paged) == OPEN_PAGES_MAX + 5  # there is room now


def test_a_changed_budget_keeps_unchanged_cohorts_and_resolves_the_pages_of_changed_ones() -> None:
    drive = Tenants(budget(watched(), handoff(watched_dimensions=("tenant",))))
    drive.run_tenants(5, FINE, FINE)
    drive.run_tenants(6, WORSE, FINE)
    assert len(of(drive.log, Type.PAGE_OPENED)) == 2
    changed = budget(watched(), handoff(9.0, watched_dimensions=("tenant",)))
    resolved = drive.note(drive.evaluator.change_budget(changed, drive.at_ms))
    assert [(one.type, one.data["objective"]) for one in resolved] == [
        (Type.PAGE_RESOLVED, "escalation.human_handoff_delta_pct")
    ]
    assert drive.run_tenants(3, WORSE, FINE) == []


@pytest.mark.parametrize("tier", Tier)
def test_whatever_its_tier_a_watched_cohort_never_rolls_back(tier: Tier) -> None:
    drive = Tenants(budget(watched(tier=tier)))
    drive.run_tenants(5, FINE, FINE)
    drive.run_tenants(120, WORSE, FINE)
    assert "rollback.requested" not in names(drive.log)


def test_what_a_cohort_shows_can_be_asked_for() -> None:
    drive = Tenants(budget(watched()))
    drive.run_tenants(5, FINE, FINE)
    drive.run_tenants(5, WORSE, FINE)
    found = drive.evaluator.finding(SUCCESS, ACME, drive.now)
    assert found is not None
    assert found.only_pages
    assert found.cohort_share == pytest.approx(10 / 930)
