"""A backtest decides as a replay would, for many budgets at once, and tells how narrowly each one acted or not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.adapters.kafka.decode import decode
from monitor.config.budget_file import load_budget
from monitor.core.budget import Budget
from monitor.core.cohort import OVERALL, Role, cohort_key
from monitor.core.decision import Type
from monitor.core.traffic_script import Slice, Stretch, TrafficScript
from monitor.engine.backtest import Backtest
from monitor.engine.backtest_result import BudgetResult, Fate
from monitor.engine.rehearsed_traffic import START_MS, rehearsed
from monitor.engine.replay import Replay

F = Fraction
B, C = Role.BASELINE, Role.CANDIDATE
BASE = {"task_success": F("0.9"), "p95": F(2000), "human_handoff": F("0.05"), "outcome.grounded": F("0.95")}
ACME = Slice("acme", cohort_key({"tenant": "acme"}), F("1/5"))
SLICES = (ACME, Slice(share=F("4/5")))


def budget(groups: Mapping[str, Mapping[str, Any]], **more: Any) -> Budget:
    head = {"release": "v2", "baseline": "v1", "window": "24h", "rollback_budget": groups}
    return load_budget(json.dumps({**head, **more}), "budget.json")


def success(limit: float = -2, minutes: int = 20, **more: Any) -> dict[str, Any]:
    return {"task_success_delta_pct": limit, "max_duration_min": minutes, **more}


def stretch(minutes: int, *, per_min: int = 200, incidents: int = 0, **candidate: str) -> Stretch:
    worse = {**BASE, **{name: F(value) for name, value in candidate.items()}}
    values = {(role, one.name): worse if role is C else BASE for role in Role for one in SLICES}
    return Stretch(minutes, F(per_min), F("1/5"), values, {(C, None): incidents} if incidents else {})


def recording(*stretches: Stretch, release: str = "v2") -> list[bytes]:
    script = TrafficScript(SLICES, stretches)
    return list(rehearsed(script, release=release, baseline="v1", seed="a recording"))


def played(budgets: Mapping[str, Budget], lines: Iterable[bytes]) -> Backtest:
    backtest = Backtest(budgets, decode)
    for line in lines:
        backtest.feed(line)
    backtest.finish()
    return backtest


def results(budgets: Mapping[str, Budget], lines: Iterable[bytes]) -> dict[str, BudgetResult]:
    return {one.name: one for one in played(budgets, lines).results()}


@cache
def poisoned() -> list[bytes]:
    """Half an hour as it should be, then three quarters in which a fifth of the tasks fails."""
    return recording(stretch(30), stretch(45, task_success="0.8"))


def decided_alone(one: Budget, lines: Iterable[bytes]) -> list[tuple[str, int, Mapping[str, object]]]:
    replay = Replay([one], decode)
    decisions = [decision for line in lines for decision in replay.feed(line)]
    return [(d.decision_id, d.at_ms, d.data) for d in (*decisions, *replay.finish())]


def decided_together(
    budgets: Mapping[str, Budget], lines: Iterable[bytes]
) -> dict[str, list[tuple[str, int, Mapping[str, object]]]]:
    backtest = Backtest(budgets, decode)
    decided = [one for line in lines for one in backtest.feed(line)] + backtest.finish()
    assert [one.decision.at_ms for one in decided] == sorted(one.decision.at_ms for one in decided)
    return {
        name: [(d.decision_id, d.at_ms, d.data) for names, d in decided if name in names] for name in budgets
    }


GRID = {
    "as-it-is": budget({"quality": success()}),
    "a-copy": budget({"quality": success()}),
    "lenient": budget({"quality": success(-20)}),
    "other-slice": budget({"quality": success(where={"tenant": "acme"})}),
    "more-slices": budget({"quality": success(cohorts=["tenant=acme"])}),
    "later-labels": budget({"quality": success(label_delay="10m")}),
    "grounded-falls": budget({"q": {"outcome.grounded_delta_pp": -2, "max_duration_min": 10}}),
    "grounded-rises": budget({"q": {"outcome.grounded_delta_pp": 2, "max_duration_min": 10}}),
    "slow": budget({"latency": {"p95_delta_pct": 15, "max_duration_min": 30}}),
    "safe": budget({"s": {"high_severity_incidents_increase": 0, "action": "immediate_rollback"}}),
    "of-another-release": budget({"quality": success()}, release="v3"),
}


def labels_after(lines: Iterable[bytes], minutes: int) -> list[bytes]:
    """The same recording, but every tenth request's label comes later, as an outcome."""
    late: list[tuple[int, bytes]] = []
    whole: list[tuple[int, bytes]] = []
    for number, line in enumerate(lines):
        event = json.loads(line)
        if number % 10 == 0 and "task_success" in event:
            label = {key: event[key] for key in ("at", "release", "cohort", "task_success") if key in event}
            late.append(
                (
                    event["at"] + minutes * 60_000,
                    json.dumps({**label, "event_id": f"l{number}", "kind": "outcome"}).encode(),
                )
            )
            del event["task_success"]
        whole.append((event["at"], json.dumps(event).encode()))
    return [line for _, line in sorted([*whole, *late], key=lambda one: one[0])]


def test_each_budget_decides_as_in_a_replay_of_its_own() -> None:
    """Whatever else is tried on the same recording: other slices, directions, label delays, releases."""
    lines = labels_after(recording(stretch(15), stretch(45, task_success="0.7", incidents=1)), minutes=6)
    together = decided_together(GRID, lines)
    for name, one in GRID.items():
        assert together[name] == decided_alone(one, lines), name


@given(
    grid=st.lists(
        st.tuples(st.sampled_from((-1, -2, -5, -10, -30)), st.sampled_from((0, 5, 10, 20))),
        min_size=2,
        max_size=4,
    ),
    worse=st.sampled_from(("0.89", "0.8", "0.6")),
)
@settings(max_examples=5, deadline=None)
def test_a_what_if_grid_changes_nothing_for_any_of_its_budgets(
    grid: list[tuple[int, int]], worse: str
) -> None:
    lines = recording(stretch(10, per_min=60), stretch(25, per_min=60, task_success=worse))
    budgets = {str(number): budget({"q": success(*one)}) for number, one in enumerate(grid)}
    together = decided_together(budgets, lines)
    assert all(together[name] == decided_alone(one, lines) for name, one in budgets.items())


@pytest.fixture(scope="module")
def told() -> dict[str, BudgetResult]:
    return results(GRID, poisoned())


def test_the_grid_tells_which_limit_would_have_acted_and_when(told: dict[str, BudgetResult]) -> None:
    assert {name: one.fate for name, one in told.items()} == {
        "as-it-is": Fate.ROLLED_BACK,
        "a-copy": Fate.ROLLED_BACK,
        "lenient": Fate.QUIET,
        "other-slice": Fate.QUIET,
        "more-slices": Fate.ROLLED_BACK,
        "later-labels": Fate.ROLLED_BACK,
        "grounded-falls": Fate.QUIET,
        "grounded-rises": Fate.QUIET,
        "slow": Fate.QUIET,
        "safe": Fate.QUIET,
        "of-another-release": Fate.QUIET,
    }
    one = told["as-it-is"].of("quality.task_success_delta_pct")
    assert one is not None
    assert one.acted is not None
    assert 50 <= one.acted.minute <= 55
    assert one.acted == one.rolled_back
    assert one.acted.at_ms == START_MS + one.acted.minute * 60_000
    assert one.first_breach is not None
    assert 31 <= one.first_breach.minute <= 36
    assert (one.reason, one.verdict) == ("breach", "breach")
    assert one.delta == pytest.approx(-11.1, abs=0.5)
    assert one.margin == pytest.approx(5.55, abs=0.25)
    assert one.closest is not None
    assert one.closest.minute == one.acted.minute
    assert one.closest.evidence >= one.closest.x_star
    assert told["a-copy"].objectives == told["as-it-is"].objectives
    assert told["as-it-is"].rollback == one
    later = told["later-labels"].rollback
    assert later is not None
    assert later.acted is not None
    assert later.acted.minute == one.acted.minute + 10


def test_what_did_not_act_says_how_near_it_came(told: dict[str, BudgetResult]) -> None:
    one = told["lenient"].of("quality.task_success_delta_pct")
    assert one is not None
    assert (one.acted, one.first_breach, one.reason) == (None, None, None)
    assert (one.last_refusal, one.usual_refusal) == ("not_enough_evidence", "not_enough_evidence")
    assert one.margin == pytest.approx(0.33, abs=0.02)
    assert one.mde is not None
    assert one.verdict == "healthy"
    assert one.samples == (75 * 160, 75 * 40)


def test_the_curve_shows_the_excess_minute_by_minute(told: dict[str, BudgetResult]) -> None:
    one = told["as-it-is"].of("quality.task_success_delta_pct")
    assert one is not None
    assert [minute for minute, _ in one.curve] == list(range(75))
    value = dict(one.curve)
    assert value[20] == pytest.approx(0, abs=0.5)
    assert value[60] == pytest.approx(-11.1, abs=0.5)


def test_a_page_that_runs_out_rolls_back_or_is_held_as_the_budget_says() -> None:
    lines = recording(stretch(80, p95="4000"))
    group = {"latency": {"p95_delta_pct": 15, "max_duration_min": 20}}
    budgets = {
        "acts": budget(group),
        "holds": budget(group, on_commander_silence="hold"),
        "waits": budget(group, decision={"tier_b_breach": "incident_commander_decision_within_600m"}),
    }
    told = results(budgets, lines)
    acts, holds, waits = (told[name].of("latency.p95_delta_pct") for name in ("acts", "holds", "waits"))
    assert acts is not None
    assert acts.acted is not None
    assert acts.rolled_back is not None
    assert acts.rolled_back.minute >= acts.acted.minute + 15
    assert [one and one.fate for one in (acts, holds, waits)] == [Fate.ROLLED_BACK, Fate.HELD, Fate.PAGED]
    assert [one and one.rolled_back for one in (holds, waits)] == [None, None]


def test_an_incident_acts_at_its_moment() -> None:
    told = results({"safe": GRID["safe"]}, recording(stretch(10), stretch(10, incidents=1)))["safe"]
    one = told.of("s.high_severity_incidents_increase")
    assert one is not None
    assert one.acted is not None
    assert one.acted == one.first_breach == one.rolled_back
    assert one.acted.minute == 15
    assert (one.reason, one.margin, one.closest, one.curve) == ("immediate", None, None, ())


def test_slices_are_told_apart() -> None:
    values = {(role, one.name): BASE for role in Role for one in SLICES}
    values[C, "acme"] = {**BASE, "task_success": F("0.3")}
    lines = recording(Stretch(60, F(300), F("1/3"), values))
    told = results({name: GRID[name] for name in ("more-slices", "other-slice")}, lines)
    overall, acme = (
        told["more-slices"].of("quality.task_success_delta_pct", key) for key in (OVERALL, ACME.cohort)
    )
    assert overall is not None
    assert acme is not None
    assert acme.delta == pytest.approx(-66.7, abs=2)
    assert (overall.delta or 0) > -20
    assert told["other-slice"].fate is Fate.ROLLED_BACK


@pytest.mark.parametrize("lines", [[], [b"no event"], recording(stretch(5), release="v9")])
def test_a_recording_without_the_candidate_judges_nothing(lines: list[bytes]) -> None:
    told = results(GRID, lines)["as-it-is"]
    assert (told.fate, told.began_at_ms, told.minutes, told.rollback) == (Fate.QUIET, None, 0, None)
    assert [one.verdict for one in told.objectives] == ["no_data"]


def test_missing_traffic_pages_and_is_no_breach() -> None:
    silent = stretch(60)
    silent = Stretch(60, silent.per_min, F(0), silent.values)
    told = results({"quiet": GRID["as-it-is"]}, recording(stretch(10), silent))["quiet"]
    one = told.of("quality.task_success_delta_pct")
    assert one is not None
    assert (one.fate, one.reason, one.first_breach) == (Fate.PAGED, "no_data", None)


def test_the_window_ends_a_watch() -> None:
    told = results({"short": budget({"q": success(minutes=10)}, window="20m")}, poisoned())["short"]
    assert (told.complete, told.minutes, told.fate) == (True, 20, Fate.QUIET)
    assert len(told.objectives[0].curve) <= 20


def test_what_became_of_the_input_is_counted_once() -> None:
    lines = [*poisoned()[:500], b"no event", poisoned()[499]]
    counts = played(GRID, lines).counts()
    assert (counts.accepted, counts.duplicates, dict(counts.rejected)) == (500, 1, {"not_json": 1})
    assert counts.decisions[Type.RELEASE_ASSESSED.value] == len({one.digest for one in GRID.values()})
