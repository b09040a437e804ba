"""`rollback-budget plan`: what a budget can decide, by assumption or a recording, and warnings that say what to do."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from monitor.cli import main
from monitor.cli.plan import BadPlan, candidate_share, requests_per_s
from monitor.cli.plan_report import bar

SEED = Path(__file__).parent.parent / "config" / "good" / "seed.yaml"
HANDOFF, P95 = "escalation.human_handoff_delta_pct", "latency.p95_delta_pct"
SUCCESS, SAFETY = "quality.task_success_delta_pct", "safety.high_severity_incidents_increase"
COHORTS = """
release: v2
baseline: v1
window: 24h
rollback_budget:
  quality:
    task_success_delta_pct: -2
    max_duration_min: 20
    cohorts: [tenant=acme]
  latency:
    p95_delta_pct: +15
    max_duration_min: 30
  cost:
    cost_per_request_delta_pct: +10
    max_duration_min: 60
  safety:
    high_severity_incidents_increase: 1
    action: immediate_rollback
"""


def planned(capsys: pytest.CaptureFixture[str], *arguments: str, budget: Path = SEED) -> dict[str, Any]:
    code = main(["plan", "--budget", str(budget), *arguments, "--output", "json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    plan: dict[str, Any] = json.loads(out)
    return plan


def objective(plan: dict[str, Any], name: str, **cohort: str) -> dict[str, Any]:
    found = [one for one in plan["objectives"] if (one["objective"], one["cohort"]) == (name, cohort)]
    assert len(found) == 1
    first: dict[str, Any] = found[0]
    return first


def codes(plan: dict[str, Any]) -> list[tuple[str, str]]:
    return [(warning["objective"], warning["code"]) for warning in plan["warnings"]]


def write_history(path: Path, *, requests: int = 4_000, incident_every: int = 0, release: str = "v1") -> Path:
    """A recording of a baseline: success 95 %, a tenth of it tenant acme with 90 %, cost 1 to 2 cents."""
    lines = ["not json"]
    for number in range(requests):
        is_acme = number % 10 == 0
        event = {
            "event_id": f"{release}-{number}",
            "at": 1_700_000_000_000 + number * 1_000,
            "release": release,
            "cohort": {"tenant": "acme" if is_acme else "other"},
            "latency_ms": 100 + number * 7_919 % 1_000,  # even between 0.1 and 1.1 seconds
            "cost_usd": 0.01 + 0.01 * (number % 97) / 97,
        }
        if number % 2 == 0:  # a judge looks at every second request
            event["task_success"] = number % 100 != 0 if is_acme else number % 20 != 2
        if incident_every and number % incident_every == 0:
            event["incident_severity"] = "high"
        lines.append(json.dumps(event))
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


@pytest.fixture
def cohorts(tmp_path: Path) -> Path:
    path = tmp_path / "cohorts.yaml"
    path.write_text(COHORTS, encoding="utf-8")
    return path


def test_people_get_a_table_with_bars_and_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--budget", str(SEED), "--rate", "600/min", "--share", "5%"]) == 0
    out, err = capsys.readouterr()
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines[0] == (
        "model-v42 against model-v41: 10 requests/s, 5 % of them the candidate's (30 a minute), watched for 24 h"
    )
    assert "task_success = 0.9 (default)" in lines[1]
    assert f"{HANDOFF}: human handoff (assumed)" in lines
    assert "  +8 % of 5.00 % means 5.40 % for 20 min; 30 candidate requests a minute" in lines
    assert "2x -4 % 86.40 % 4,450 2 h 32 min █████████▉" in [" ".join(line.split()) for line in lines]
    assert any(line.startswith("  least 2.12x ") for line in lines)
    assert any("the first high-severity incident rolls back at once" in line for line in lines)
    assert any(line.startswith(f"warning: {HANDOFF}: twice the limit (+16 %) takes 44,500") for line in lines)
    assert any("Did you mean `human_handoff_delta_pp: +8` (13.00 %; " in line for line in lines)
    assert "owner: missing" in err


def test_machines_get_every_number_and_every_warning(capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(capsys, "--rate", "10", "--share", "0.05", "--assume", "p95=1200")
    assert plan["traffic"] == {"requests_per_s": 10.0, "candidate_share": 0.05, "candidate_per_min": 30.0}
    assert {one["name"]: (one["value"], one["is_default"]) for one in plan["assumptions"]} == {
        "phi": (1.0, True),
        "human_handoff": (0.05, True),
        "p95": (1200.0, False),
        "p95_sigma": (0.8, True),
        "task_success": (0.9, True),
        "high_severity_incidents": (0.0, True),
    }
    handoff = objective(plan, HANDOFF)
    assert [harm["multiple"] for harm in handoff["harms"]] == [1.25, 1.5, 2.0, 5.0]
    assert [harm["minutes"] for harm in handoff["harms"]] == [None, None, None, 180]
    assert handoff["limit_value"] == pytest.approx(0.054)
    assert 2.0 < handoff["smallest"]["multiple"] < 2.2
    assert handoff["smallest"]["delta"] == pytest.approx(8 * handoff["smallest"]["multiple"])
    assert objective(plan, P95)["limit_value"] == pytest.approx(1380.0)
    assert codes(plan) == [(HANDOFF, "undecidable"), (HANDOFF, "unit")]
    assert [one["objective"] for one in plan["safety"]] == [SAFETY]
    assert plan["safety"][0]["steps"] == []


def test_what_would_be_enough_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    enough = objective(planned(capsys, "--rate", "10", "--share", "5%"), HANDOFF)["enough"]
    for rate, share in ((10, enough["candidate_share"]), (enough["requests_per_s"], 0.05)):
        plan = planned(capsys, "--rate", f"{rate * 1.001:.6f}", "--share", f"{share:.8f}")
        assert (HANDOFF, "undecidable") not in codes(plan)
    fewer = planned(capsys, "--rate", f"{enough['requests_per_s'] * 0.99:.6f}", "--share", "5%")
    assert (HANDOFF, "undecidable") in codes(fewer)


def test_a_recording_gives_rates_shapes_shares_and_coverage(
    capsys: pytest.CaptureFixture[str], cohorts: Path, tmp_path: Path
) -> None:
    history = write_history(tmp_path / "day.jsonl.gz")
    plan = planned(capsys, "--rate", "50", "--share", "10%", "--history", str(history), budget=cohorts)
    assert plan["history"] == {"requests": 4_000, "minutes": 67, "rejected": {"not_json": 1}}
    assert [one["name"] for one in plan["assumptions"]] == ["phi"]
    overall, acme = objective(plan, SUCCESS), objective(plan, SUCCESS, tenant="acme")
    assert overall["baseline"] == {"value": pytest.approx(0.88), "coverage": 0.5, "samples": 2_000}
    assert acme["baseline"] == {"value": pytest.approx(0.9), "coverage": 1.0, "samples": 400}
    assert acme["candidate_per_min"] == pytest.approx(0.1 * overall["candidate_per_min"])
    assert acme["x_star"] > overall["x_star"] - 1
    cost = objective(plan, "cost.cost_per_request_delta_pct")
    assert cost["baseline"]["value"] == pytest.approx(0.015, rel=0.01)
    assert cost["limit_value"] == pytest.approx(1.1 * cost["baseline"]["value"])
    latency = objective(plan, P95)
    assert latency["baseline"] == {"value": pytest.approx(1_050, rel=0.02), "coverage": 1.0, "samples": 4_000}
    assert latency["harms"][2]["candidate_requests"] > 0
    assert (SUCCESS, "few_samples") in codes(plan)
    assert plan["safety"][0]["text"].startswith(
        "high-severity incident 2 rolls back at once while the baseline has"
    )


def test_half_the_labels_take_twice_the_requests(capsys: pytest.CaptureFixture[str]) -> None:
    whole = objective(planned(capsys, "--rate", "10", "--share", "5%"), SUCCESS)["harms"][2]
    arguments = ("--rate", "10", "--share", "5%", "--assume", "task_success_coverage=50%")
    half = objective(planned(capsys, *arguments), SUCCESS)["harms"][2]
    assert half["candidate_requests"] == pytest.approx(2 * whole["candidate_requests"], abs=2)
    assert half["minutes"] - 3 == pytest.approx(2 * (whole["minutes"] - 3), abs=2)


def test_incidents_of_the_baseline_make_the_first_one_page(
    capsys: pytest.CaptureFixture[str], cohorts: Path, tmp_path: Path
) -> None:
    history = write_history(tmp_path / "day.jsonl.gz", incident_every=1_000)
    plan = planned(capsys, "--rate", "50", "--share", "10%", "--history", str(history), budget=cohorts)
    safety = plan["safety"][0]
    assert safety["incidents_per_request"] == pytest.approx(0.001)
    assert [step["incident"] for step in safety["steps"]] == [2, 3, 4, 5, 6, 7]  # one is allowed
    assert safety["steps"][0]["expected_at_most"] == pytest.approx(0.0309, abs=1e-4)
    assert safety["steps"][1] == {
        "incident": 3,
        "expected_at_most": pytest.approx(0.129, abs=1e-3),
        "candidate_requests": pytest.approx(129, abs=1),
        "minutes": 0,
    }
    assert (SAFETY, "incidents_normal") in codes(plan)


def test_what_is_given_wins_over_the_recording(
    capsys: pytest.CaptureFixture[str], cohorts: Path, tmp_path: Path
) -> None:
    history = write_history(tmp_path / "day.jsonl.gz")
    arguments = ("--rate", "50", "--share", "10%", "--history", str(history))
    plan = planned(
        capsys, *arguments, "--assume", "task_success=0.7", "cost_per_request_sigma=1.5", budget=cohorts
    )
    assert objective(plan, SUCCESS)["baseline"]["value"] == 0.7
    assert {one["name"] for one in plan["assumptions"]} == {"phi", "task_success", "cost_per_request_sigma"}


def test_a_cohort_without_a_known_share_has_requests_and_no_minutes(
    capsys: pytest.CaptureFixture[str], cohorts: Path
) -> None:
    plan = planned(capsys, "--rate", "50", "--share", "10%", budget=cohorts)
    acme = objective(plan, SUCCESS, tenant="acme")
    assert acme["candidate_per_min"] is None
    assert all(harm["candidate_requests"] and harm["minutes"] is None for harm in acme["harms"])
    assert (SUCCESS, "share_unknown") in codes(plan)
    said = planned(
        capsys, "--rate", "50", "--share", "10%", "--cohort-share", "tenant=acme=20%", budget=cohorts
    )
    assert objective(said, SUCCESS, tenant="acme")["candidate_per_min"] == pytest.approx(60.0)
    assert "share_unknown" not in {code for _, code in codes(said)}


@pytest.mark.parametrize(
    ("limits", "assume", "expected"),
    [
        ("human_handoff_delta_pct: +8", "human_handoff=0", ["never"]),
        ("human_handoff_delta_pp: +8", "human_handoff=95%", ["never"]),
        ("error_delta_pp: +20", "error=1%", ["unit"]),
        ("task_success_delta_pct: -2, evidence: off", "task_success=0.9", ["no_evidence"]),
        ("task_success_delta_pct: -2", "task_success=0.9", []),
        ("human_handoff_delta_pct: +8", "human_handoff=50%", []),
        ("task_success_delta_pp: -60", "task_success=0.9", []),  # twice that is worse than a rate can be
    ],
)
def test_limits_that_are_likely_a_slip_are_named(
    limits: str, assume: str, expected: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "budget.yaml"
    path.write_text(
        "release: v2\nbaseline: v1\nwindow: 24h\n"
        f"rollback_budget: {{quality: {{max_duration_min: 20, {limits}}}}}\n",
        encoding="utf-8",
    )
    plan = planned(capsys, "--rate", "1000", "--share", "20%", "--assume", assume, budget=path)
    assert [code for _, code in codes(plan)] == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rate", "fast", "--share", "5%"], '--rate: "fast" is no rate; write 10/s, 600/min'),
        (["--rate", "0", "--share", "5%"], '--rate: "0" is no rate'),
        (["--rate", "1", "--share", "5"], '--share: "5" is no share for a candidate; write 0.05 or 5%'),
        (["--rate", "1", "--share", "1"], "a baseline must be left to compare with"),
        (
            ["--rate", "1", "--share", "5%", "--assume", "sucess=1"],
            "this budget knows no sucess; allowed are phi",
        ),
        (["--rate", "1", "--share", "5%", "--assume", "phi"], "this budget knows no phi"),
        (["--rate", "1", "--share", "5%", "--assume", "phi=high"], "has no number; write phi="),
        (["--rate", "1", "--share", "5%", "--assume", "phi=0.5"], "phi: 0.5 is below 1"),
        (["--rate", "1", "--share", "5%", "--assume", "p95_sigma=9"], "p95_sigma: 9 is out of range"),
        (["--rate", "1", "--share", "5%", "--assume", "task_success=90"], "task_success: 90 is no share"),
        (
            ["--rate", "1", "--share", "5%", "--cohort-share", "a=b=0.1"],
            "this budget judges no slice a=b; it has none",
        ),
        (["--rate", "1", "--share", "5%", "--history", "gone.jsonl"], "gone.jsonl: cannot be read"),
    ],
)
def test_wrong_use_ends_with_2_and_says_what_is_allowed(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--budget", str(SEED), *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


def test_a_recording_of_another_release_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], cohorts: Path, tmp_path: Path
) -> None:
    history = write_history(tmp_path / "day.jsonl.gz", requests=3, release="v0")
    arguments = ["plan", "--budget", str(cohorts), "--rate", "1", "--share", "5%", "--history", str(history)]
    assert main(arguments) == 2
    assert "no live request of the baseline v1; releases in it: v0" in capsys.readouterr().err


def test_one_budget_at_a_time(capsys: pytest.CaptureFixture[str], tmp_path: Path, cohorts: Path) -> None:
    (tmp_path / "seed.yaml").write_text(SEED.read_text(encoding="utf-8"), encoding="utf-8")
    assert main(["plan", "--budget", str(tmp_path), "--rate", "1", "--share", "5%"]) == 2
    assert "holds 2 budgets; plan them one after the other" in capsys.readouterr().err
    assert main(["plan", "--budget", str(tmp_path / "none.yaml"), "--rate", "1", "--share", "5%"]) == 2
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "per_s"),
    [("10", 10.0), ("10/s", 10.0), ("600/min", 10.0), ("600 / min", 10.0), ("36000/h", 10.0)],
)
def test_rates_have_their_unit(text: str, per_s: float) -> None:
    assert requests_per_s(text) == pytest.approx(per_s)


@pytest.mark.parametrize(("text", "share"), [("0.05", 0.05), ("5%", 0.05), ("5 %", 0.05), (".5", 0.5)])
def test_shares_are_parts_or_percent(text: str, share: float) -> None:
    assert candidate_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "-5%", "0", "99.9999%", "nan", "five"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(BadPlan):
        candidate_share(text)


def test_bars_grow_with_the_minutes_and_are_full_at_the_horizon() -> None:
    lengths = [len(bar(minutes, 1280)) for minutes in (4, 23, 120, 600, 1283)]
    assert lengths == sorted(lengths)
    assert bar(1283, 1280) == "█" * 14
    assert bar(None, 1280) == ""
