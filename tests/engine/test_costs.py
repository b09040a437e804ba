"""Costs from the minute to the page: the tail is paged for, told of, computed again, and never called healthy."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.cli.explain_words import facts
from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget, EvidenceMode, Tier
from monitor.core.decision import Type
from monitor.core.rederive import derive
from monitor.core.sketch import Sketch
from tests.engine.worlds import Drive, budget, cell, objective, only

COST = "cost.cost_per_request_delta_pct"
USUAL = range(4_000, 6_000, 10)  # millionths of a dollar: the p99 is 5,980


def bills(costs: list[int]) -> Aggregate:
    """A minute of requests that cost so much."""
    made = cell(len(costs))
    made.sketches["cost"] = Sketch()
    for one in costs:
        made.sketches["cost"].add(one)
    return made


BASELINE = bills([*USUAL, *USUAL])
EQUAL = bills(list(USUAL))
DEAR_TAIL = bills([*list(USUAL)[:-40], *[15_000] * 40])  # a fifth costs 2.5 times the baseline's p99
ENORMOUS = bills([*list(USUAL)[:-1], 400_000])  # one in 200 costs eighty times as much


def judged(evidence: EvidenceMode = EvidenceMode.DEFAULT) -> Budget:
    found = objective("cost_per_request", 20.0, group="cost", tier=Tier.B, hold=20, evidence=evidence)
    return budget(found)


@pytest.mark.parametrize("mode", [EvidenceMode.DEFAULT, EvidenceMode.STRICT, EvidenceMode.OFF])
def test_a_dear_tail_is_paged_for_and_says_what_it_is(mode: EvidenceMode) -> None:
    drive = Drive(judged(mode))
    drive.run(30, EQUAL, BASELINE)
    drive.run(19, DEAR_TAIL, BASELINE)
    assert not [one for one in drive.log if one.type is Type.PAGE_OPENED]  # not before its minutes are over
    drive.run(15, DEAR_TAIL, BASELINE)
    page = only(drive.log, Type.PAGE_OPENED)
    seen = page.data["observed"]
    assert isinstance(seen, dict)
    assert seen["delta"] == pytest.approx(36.9, abs=0.2)
    assert seen["capped"]["delta"] == pytest.approx(1.6, abs=1.5)  # nothing to see for the capped mean
    assert seen["capped"]["cap"] == pytest.approx(0.006, rel=0.02)
    assert seen["capped"]["above_candidate"] == 0.2
    assert seen["capped"]["above_baseline"] <= 0.01
    said = str(page.data["summary"])
    assert "cost per request is 36.9 % above the baseline" in said
    assert "; 20.0 % of requests cost more than the baseline's p99 of 0.00" in said
    assert derive(page.data).disagreements == []
    told = dict(facts(page.data))
    assert told["judged"].startswith("the plain mean")
    assert told["above p99"].startswith("20.0 % of the candidate's requests lie above it")


def test_a_row_of_a_dear_tail_is_a_breach_and_follows_from_its_evidence() -> None:
    drive = Drive(judged())
    drive.run(30, EQUAL, BASELINE)
    drive.run(40, DEAR_TAIL, BASELINE)
    row = _row(drive)
    assert row["verdict"] == "breach"
    assert derive(row).disagreements == []


@pytest.mark.parametrize("candidate, verdict", [(EQUAL, "healthy"), (ENORMOUS, "inconclusive")])
def test_only_a_tail_that_is_shown_within_is_healthy(candidate: Aggregate, verdict: str) -> None:
    """Up to the cap both are the same; of the enormous ones there are too few to say anything about the rest."""
    drive = Drive(judged())
    drive.run(60, candidate, BASELINE)
    row = _row(drive)
    assert row["verdict"] == verdict
    assert derive(row).disagreements == []
    assert ("not with what lies above (+3" in str(row["summary"])) is (verdict == "inconclusive")
    assert row["mde"] is not None


def test_minutes_that_are_overspent_are_not_healthy() -> None:
    """Paged for more bad minutes than granted, it does not end as if nothing had been."""
    drive = Drive(judged())
    for _ in range(5):
        drive.run(5, bills([15_000] * 200), BASELINE)
        drive.run(25, EQUAL, BASELINE)
    drive.run(900, EQUAL, BASELINE)
    pages = [one.data["reason"] for one in drive.log if one.type is Type.PAGE_OPENED]
    assert pages == ["cumulative"]
    row = _row(drive)
    assert row["minutes_spent"] == 25
    evidence = row["evidence"]
    assert evidence["overspent"]
    assert min(evidence["within"], evidence["within_recent"]) >= evidence["needed"]
    assert row["verdict"] == "inconclusive"
    assert str(row["summary"]).endswith(
        "inconclusive, because it was evidently beyond its limit for 25 min in all, more than the 20 granted"
    )
    assert derive(row).disagreements == []
    assert derive({**row, "verdict": "healthy"}).disagreements


def _row(drive: Drive) -> dict[str, Any]:
    (assessed,) = drive.note(drive.evaluator.finish(drive.now, 0, complete=False))
    rows = assessed.data["objectives"]
    assert isinstance(rows, list)
    (row,) = rows
    return dict(row)
