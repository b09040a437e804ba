"""Measured rows through the product's own replay, as far as they come with this project.

One pair with a true harm, one release against itself, one blip: what `make real-rows` proves on more pairs and seeds.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.real_rows.case import P50, P95, SUCCESS, Case
from benchmarks.real_rows.cases import CASES
from benchmarks.real_rows.report import PAGE, RESULTS, with_tables
from benchmarks.real_rows.rows import LOADS, PROVIDERS, TASKS, DataMissing
from benchmarks.real_rows.run import BUDGETS, Measured, Run, run_case
from benchmarks.real_rows.traffic import CANDIDATE, MINUTE_MS, SHARE, START_MS, Spell, recording
from benchmarks.real_rows.truth import Truth, Zone, truth_of, zone_of
from monitor.config.budget_file import check_budget, load_budget
from monitor.core.budget import Objective

MEASURED = Measured(None)


def run(case: Case, *, minutes: int, seeds: int = 2) -> Run:
    return run_case(replace(case, minutes=minutes), MEASURED, seeds)


def test_a_provider_that_refuses_most_calls_is_rolled_back_for_its_success() -> None:
    found = run(CASES["provider-rate-limit"], minutes=40)
    assert found.broken() == []
    assert all(one.rollback is not None and 20 <= one.rollback.minute <= 23 for one in found.played)


def test_a_release_against_itself_is_neither_paged_nor_rolled_back() -> None:
    found = run(CASES["same-sessions"], minutes=60)
    assert found.broken() == []
    assert all(one.rollback is None and one.pages == () for one in found.played)


def test_ten_bad_minutes_do_not_roll_back() -> None:
    found = run(replace(CASES["blip-refused"], spell=Spell(30, 40)), minutes=75)
    assert found.broken() == []
    assert all(one.rollback is None for one in found.played)


def test_refused_calls_are_failures_and_no_fast_answers() -> None:
    found = run(CASES["refused-at-once"], minutes=45, seeds=1)
    assert found.broken() == []
    assert {act.subject[0] for act in found.played[0].pages} >= {SUCCESS, P50}


def test_a_rollback_for_latency_names_the_stage_that_moved() -> None:
    """Where requests wait for their first token, their end-to-end latency breaks first, and says why."""
    found = run(CASES["queueing"], minutes=45, seeds=1)
    assert found.broken() == []
    assert all(one.rollback is not None and one.rollback.subject[0] == P95 for one in found.played)


def test_a_broken_promise_is_said() -> None:
    case = replace(
        CASES["same-sessions"], rolls_back=SUCCESS, pages=(("cost.cost_per_request_delta_pct", ""),)
    )
    assert run(case, minutes=6, seeds=1).broken() == [
        f"seed 1: nothing was rolled back, not {SUCCESS}",
        "seed 1: cost.cost_per_request_delta_pct was not paged",
    ]


def objective(name: str, budget: str = "provider") -> Objective:
    text = (BUDGETS / f"{budget}.yaml").read_text(encoding="utf-8")
    loaded = load_budget(text, budget)
    return next(one for one in loaded.objectives if one.objective_id == name)


ROWS = (
    {"cohort": {"workflow": "a"}, "status": "ok", "task_success": True, "latency_ms": 100},
    {"cohort": {"workflow": "a"}, "status": "ok", "task_success": True, "latency_ms": 300},
    {"cohort": {"workflow": "b"}, "status": "ok", "task_success": True, "latency_ms": 200},
    {"cohort": {"workflow": "b"}, "status": "error", "task_success": False, "latency_ms": 0},
)
FASTER = tuple({**row, "latency_ms": 50} for row in ROWS)


@pytest.mark.parametrize(
    ("name", "candidate", "workflow", "truth", "zone"),
    [
        (SUCCESS, ROWS, None, Truth(0.75, 0.75, 0.0), Zone.WITHIN),
        (SUCCESS, ROWS[2:], None, Truth(0.75, 0.5, -100 / 3), Zone.BEYOND),
        (SUCCESS, ROWS[2:], "b", Truth(0.5, 0.5, 0.0), Zone.WITHIN),
        (SUCCESS, ROWS[:2], "b", Truth(0.5, None, None), Zone.NONE),
        ("quality.error_delta_pp", ROWS[:3], None, Truth(0.25, 0.0, -25.0), Zone.WITHIN),
        (P50, ROWS, None, Truth(200.0, 200.0, 0.0), Zone.WITHIN),  # the error's 0 is no latency
        (P95, FASTER, None, Truth(300.0, 50.0, -250 / 3), Zone.WITHIN),
        (
            P95,
            tuple({**row, "latency_ms": 330} for row in ROWS),
            None,
            Truth(300.0, 330.0, 10.0),
            Zone.BETWEEN,
        ),
    ],
)
def test_the_truth_is_the_plain_value_over_all_rows(
    name: str, candidate: tuple[dict[str, object], ...], workflow: str | None, truth: Truth, zone: Zone
) -> None:
    found = truth_of(objective(name), ROWS, candidate, workflow)
    assert (found.baseline, found.candidate, found.delta) == pytest.approx(
        (truth.baseline, truth.candidate, truth.delta)
    )
    assert zone_of(objective(name), found) is zone


def test_the_recording_is_real_arrivals_with_a_tenth_for_the_candidate() -> None:
    good, bad = (MEASURED.rows(PROVIDERS, name) for name in ("perplexity", "lepton"))
    minutes, spell = 40, Spell(10, 20)

    def lines(seed: int) -> list[bytes]:
        return list(recording(MEASURED.arrivals, good, bad, minutes=minutes, seed=seed, spell=spell))

    assert lines(1) == lines(1) != lines(2)
    events = [json.loads(line) for line in lines(1)]
    times = [(event["at"] - START_MS) / MINUTE_MS for event in events]
    assert all(a <= b for a, b in pairwise(times))
    assert times[0] == 0
    assert minutes - 0.1 < times[-1] < minutes
    assert len(events) == pytest.approx(minutes * MEASURED.arrivals.per_min, rel=0.1)
    mine = [(at, event) for at, event in zip(times, events, strict=True) if event["release"] == CANDIDATE]
    assert len(mine) == pytest.approx(SHARE * len(events), rel=0.05)
    failed = [at for at, event in mine if event["status"] == "error"]
    in_spell = [at for at in failed if spell.start <= at < spell.end]
    assert len(in_spell) > 300  # 87 % of about 50 a minute
    assert len(failed) - len(in_spell) < 40  # the baseline's own 1.3 %


def test_refused_calls_keep_the_latency_that_was_written_down() -> None:
    refused = [row for row in MEASURED.rows(PROVIDERS, "lepton") if row["status"] == "error"]
    assert len(refused) == 130
    assert {row["latency_ms"] for row in refused} == {0}
    assert len(MEASURED.rows(LOADS, "load-400")) == 500


def test_rows_that_are_not_here_are_asked_for() -> None:
    with pytest.raises(DataMissing, match="--data"):
        MEASURED.rows(TASKS, "gpt-4-1106-preview")
    with pytest.raises(DataMissing, match=r"prices\.csv: No such file"):
        Measured(Path("nowhere")).rows(TASKS, "gpt-4-1106-preview")


@pytest.mark.parametrize("path", sorted(BUDGETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_budget_loads_without_an_error(path: Path) -> None:
    assert check_budget(path.read_text(encoding="utf-8"), path.name).budget is not None


def test_the_page_shows_the_results_as_they_were_measured() -> None:
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert {case["name"] for case in results} == set(CASES)
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page, results) == page
