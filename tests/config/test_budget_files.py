"""What a budget file means, and what is said about one that means nothing: files a reviewer can read in a diff."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.config.budget_file import BudgetFile, BudgetInvalid, check_budget, load_budget
from monitor.config.problem import Severity
from monitor.core.budget import (
    Accounting,
    EvidenceMode,
    OnNoData,
    OnSilence,
    Scope,
    Tier,
    TierAction,
    TrafficSplit,
    Unit,
    Verification,
)
from monitor.core.indicator import Direction

HERE = Path(__file__).parent
GOOD = sorted(path for path in (HERE / "good").iterdir() if path.suffix != ".txt")
BAD = sorted(path for path in (HERE / "bad").iterdir() if path.suffix != ".txt")


def said_about(path: Path) -> str:
    report = check_budget(path.read_bytes(), path.name)
    return "".join(f"{problem}\n" for problem in report.problems)


def expected_of(path: Path) -> str:
    return path.with_name(f"{path.name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name)
def test_a_bad_file_gets_exactly_this_report(path: Path) -> None:
    """All errors of a file come in one report that says where, what it got, what it allows and what to do."""
    assert said_about(path) == expected_of(path)
    with pytest.raises(BudgetInvalid) as caught:
        load_budget(path.read_bytes(), path.name)
    assert str(caught.value) == expected_of(path).rstrip("\n")
    assert any(problem.severity is Severity.ERROR for problem in caught.value.problems)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_a_good_file_loads_with_exactly_these_warnings(path: Path) -> None:
    assert said_about(path) == expected_of(path)
    assert load_budget(path.read_bytes(), path.name).objectives


def test_there_are_enough_bad_files_and_each_has_its_report() -> None:
    assert len(BAD) >= 30
    reports = {path.name for path in (HERE / "bad").glob("*.txt")}
    assert reports == {f"{path.name}.txt" for path in BAD}


def test_the_budget_of_the_contract_means_what_its_words_say() -> None:
    budget = load_budget((HERE / "good" / "seed.yaml").read_bytes(), "seed.yaml")
    assert (budget.release, budget.baseline, budget.window_min) == ("model-v42", "model-v41", 24 * 60)
    assert (budget.tier_a, budget.decide_within_min) == (TierAction.AUTO_ROLLBACK, 15)
    assert (budget.on_silence, budget.strata, budget.exemplars) == (OnSilence.ROLLBACK, ("workflow",), 5)
    low, high = Direction.LOWER_IS_WORSE, Direction.HIGHER_IS_WORSE
    said = {
        one.objective_id: (one.limit, one.unit, one.worse, one.hold_min, one.tier, one.immediate)
        for one in budget.objectives
    }
    assert said == {
        "quality.task_success_delta_pct": (-2.0, Unit.PERCENT, low, 20, Tier.A, False),
        "safety.high_severity_incidents_increase": (0.0, Unit.COUNT, high, 0, Tier.A, True),
        "latency.p95_delta_pct": (15.0, Unit.PERCENT, high, 30, Tier.B, False),
        "escalation.human_handoff_delta_pct": (8.0, Unit.PERCENT, high, 20, Tier.B, False),
    }
    assert {one.accounting for one in budget.objectives} == {Accounting.SUSTAINED}
    assert {one.evidence for one in budget.objectives} == {EvidenceMode.DEFAULT}
    assert {one.on_no_data for one in budget.objectives} == {OnNoData.PAGE}


def test_json_and_yaml_of_one_budget_are_the_same_budget() -> None:
    yaml, twin = (
        load_budget((HERE / "good" / name).read_bytes(), name) for name in ("seed.yaml", "seed_shuffled.json")
    )
    assert yaml == twin
    assert yaml.digest == twin.digest


def test_every_key_reaches_the_core() -> None:
    budget = load_budget((HERE / "good" / "extended.yaml").read_bytes(), "extended.yaml")
    assert (budget.release, budget.window_min, budget.title) == (
        "2026-08-01",
        36 * 60,
        "Claims assistant, August",
    )
    assert (budget.owner, budget.on_call) == ("team-claims", "claims-primary")
    assert (budget.tier_a, budget.decide_within_min) == (TierAction.PAGE, 30)
    assert (budget.on_silence, budget.exemplars, len(budget.follow_ups)) == (OnSilence.HOLD, 10, 2)
    assert budget.flag is not None
    assert (budget.flag.actuator, budget.flag.scope) == ("flagd", "production")
    assert budget.traffic == TrafficSplit(2.5, tolerance_pct=10.0)
    assert budget.verify == Verification(share_pct=0.5, within_min=10)
    of = {one.objective_id: one for one in budget.objectives}
    assert list(of) == sorted(of)
    quality = of["quality.task_success_delta_pct"]
    assert (quality.where, quality.scope) == ((("task", "critical"),), Scope.COHORT)
    assert quality.critical_cohorts == ((("language", "no"),), (("tenant", "acme"),))
    assert (quality.accounting, quality.evidence) == (Accounting.CUMULATIVE, EvidenceMode.STRICT)
    assert (quality.min_samples, quality.on_no_data) == (500, OnNoData.HOLD)
    assert of["quality.outcome.grounded_delta_pp"].worse is Direction.LOWER_IS_WORSE
    assert of["quality.outcome.grounded_delta_pp"].tier is Tier.B
    assert of["quality.outcome.tool_retried_delta_pct"].worse is Direction.HIGHER_IS_WORSE
    assert of["latency per stage.retrieval_p95_delta_pct"].tier is Tier.A
    safety = of["safety.high_severity_incidents_increase"]
    assert (safety.limit, safety.immediate, safety.literal, safety.ignores_override) == (2, True, True, True)
    assert of["refusals at once.refusal_delta_pp"].hold_min == 0


@pytest.mark.parametrize(
    ("mode", "places"), [("auto", []), ("page", ["mode", "on_commander_silence"]), ("observe", ["mode"])]
)
def test_a_mode_that_holds_for_safety_too_says_so(mode: str, places: list[str]) -> None:
    seed = (HERE / "good" / "seed.yaml").read_text() + f"mode: {mode}\non_commander_silence: rollback\n"
    report = check_budget(seed, "seed.yaml")
    assert report.budget is not None
    assert report.budget.mode.value == mode
    told = [one for one in report.problems if one.path_in_file not in ("owner", "on_call")]
    assert sorted(one.path_in_file for one in told) == places
    assert {one.severity for one in told} <= {Severity.WARNING}


def test_owners_are_asked_for_and_can_be_required() -> None:
    seed = (HERE / "good" / "seed.yaml").read_bytes()
    lenient, strict = check_budget(seed, "seed.yaml"), check_budget(seed, "seed.yaml", require_owner=True)
    assert lenient.budget is not None
    assert strict.budget is None
    assert [problem.path_in_file for problem in lenient.problems] == ["owner", "on_call"]
    assert {problem.severity for problem in strict.problems} == {Severity.ERROR}


def test_the_schema_agrees_with_the_loader_on_good_files() -> None:
    import jsonschema

    schema = BudgetFile.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(
        json.loads((HERE / "good" / "seed_shuffled.json").read_text(encoding="utf-8")), schema
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("windw",), "24h"),
        (("window",), 24),
        (("release",), 42),
        (("rollback_budget",), {}),
        (("rollback_budget", "qual.ity"), {"task_success_delta_pct": -2, "max_duration_min": 20}),
        (("rollback_budget", "quality", "task_sucess_delta_pct"), -2),
        (("rollback_budget", "quality", "p95_delta_pp"), 2),
        (("rollback_budget", "quality", "task_success_delta_pct"), 0),
        (("rollback_budget", "quality", "max_duration_min"), 3),
        (("rollback_budget", "quality", "tier"), "C"),
        (("rollback_budget", "safety", "high_severity_incidents_increase"), 0.5),
        (("decision", "tier_b_breach"), "15m"),
        (("owner",), None),
        (("traffic",), {}),
        (("traffic",), {"candidate_share_pct": 0}),
        (("traffic",), {"candidate_share_pct": 10, "tolerance_pct": 51}),
        (("verify",), {"share_pct": 11}),
        (("verify",), {"within": 5}),
        (("decision", "max_extension"), 10),
        (("escalation",), {"after": "5m"}),
        (("escalation",), [{"pagers": ["slack"]}]),
        (("escalation",), [{"after": "5m", "pagers": ["phone"]}]),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(path: tuple[str, ...], value: object) -> None:
    import jsonschema

    tree = json.loads((HERE / "good" / "seed_shuffled.json").read_text(encoding="utf-8"))
    node = tree
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    assert check_budget(json.dumps(tree), "twin.json").budget is None
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tree, BudgetFile.model_json_schema())
