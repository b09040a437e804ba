"""`rollback-budget shadow`: files in, one comparison out, and an exit code to build on."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from monitor.cli.shadow import SHADOW_EXAMPLE
from monitor.cli.side_by_side import FILES_MAX
from tests.cli.verbs import give

Capture = pytest.CaptureFixture[str]
BUDGET = """
release: v42
baseline: v41
window: 24h
owner: team
on_call: team
rollback_budget:
  quality:
    task_success_delta_pp: -3.0
    outcome.grounded_delta_pp: +2.0
    max_duration_min: 20
  latency:
    p95_delta_pct: +40
    max_duration_min: 30
  safety:
    high_severity_incidents_increase: 0
    action: immediate_rollback
"""
T0 = 1_795_000_000_000


def event(number: int, release: str, traffic: str = "live", **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"{release}-{traffic}-{number}",
        "at": T0 + number * 500,
        "release": release,
        "traffic": traffic,
        "request_id": f"request-{number}",
        **fields,
    }


def arm(
    release: str, traffic: str, success: float, slower: float = 1.0, requests: int = 800
) -> list[dict[str, Any]]:
    """An arm's answers to the same requests: every tenth is hard for both, the rest fail at random."""
    rng, sizes = random.Random(release), random.Random(1)
    return [
        event(
            n,
            release,
            traffic,
            task_success=n % 10 != 0 and rng.random() < success,
            latency_ms=round(slower * sizes.lognormvariate(6, 0.4), 1),
            cohort={"tenant": f"t{n % 3}"},
        )
        for n in range(requests)
    ]


def written(path: Path, *events: dict[str, Any] | str) -> Path:
    lines = (one if isinstance(one, str) else json.dumps(one) for one in events)
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.fixture
def live(tmp_path: Path) -> Path:
    return written(tmp_path / "live.jsonl.gz", *arm("v41", "live", 0.99))


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    return written(tmp_path / "shadow.jsonl", *arm("v42", "shadow", 0.90, 1.05))


@pytest.fixture
def budget(tmp_path: Path) -> Path:
    path = tmp_path / "v42.yaml"
    path.write_text(BUDGET)
    return path


def compared(capsys: Capture, *files: Path, more: tuple[str, ...] = (), code: int = 0) -> dict[str, Any]:
    arguments = ("--events", *map(str, files), "--candidate", "v42", "--output", "json", *more)
    got, out, err = give(capsys, "shadow", *arguments)
    assert got == code, err
    found: dict[str, Any] = json.loads(out)
    return found


def rate(found: dict[str, Any], name: str) -> dict[str, Any]:
    (one,) = (one for one in found["everybody"]["rates"] if one["metric"] == name)
    return dict(one)


def test_machines_are_told_everything(capsys: Capture, live: Path, copies: Path, budget: Path) -> None:
    found = compared(capsys, live, copies, more=("--budget", str(budget)))
    assert found["coverage"]["pairs"] == 800
    assert found["coverage"]["live"] == {
        "requests": 800,
        "unpaired": 0,
        "paired_ratio": 1.0,
        "without_request_id": 0,
        "same_request_again": 0,
        "dropped_while_waiting": 0,
    }
    assert found["warnings"] == []
    success = rate(found, "task_success")
    assert success["both_bad"] >= 80  # the hard tenth
    parts = ("both_good", "only_candidate_bad", "only_baseline_bad", "both_bad")
    assert sum(success[part] for part in parts) == success["pairs"] == 800
    low, high = success["delta_pp_interval"]
    assert low < 100 * (success["candidate"] - success["baseline"]) < high < 0
    assert success["mcnemar_p"] < 1e-6
    (latency,) = found["everybody"]["sizes"]
    assert latency["paired_ratio"]["median_delta_pct"] == pytest.approx(5.0, abs=0.3)
    verdicts = {one["objective"]: one["verdict"] for one in found["limits"]}
    assert verdicts == {
        "latency.p95_delta_pct": "within",
        "quality.task_success_delta_pp": "beyond",
        "quality.outcome.grounded_delta_pp": "inconclusive",
        "safety.high_severity_incidents_increase": "not_compared",
    }


def test_people_get_tables_and_what_to_know(capsys: Capture, live: Path, copies: Path, budget: Path) -> None:
    code, out, err = give(
        capsys,
        "shadow",
        "--events",
        str(live),
        str(copies),
        "--candidate",
        "v42",
        "--budget",
        str(budget),
        "--by",
        "tenant",
    )
    assert (code, err) == (0, "")
    for said in (
        "shadow: v42 against v41",
        "800 live requests, 0 unpaired (100.0 % paired)",
        "no pair knows it in both arms",
        "incidents are counted, not compared in pairs",
        "everybody: 800 pairs",
        "tenant=t0: 267 pairs",
    ):
        assert said in out
    assert "warning" not in out
    assert "\x1b" not in out


def test_the_order_of_files_and_their_kinds_change_nothing(
    capsys: Capture, live: Path, copies: Path, tmp_path: Path
) -> None:
    """One file or two, whichever first, packed or not, shadow answers before or after the live ones."""
    both = [*arm("v41", "live", 0.99), *arm("v42", "shadow", 0.90, 1.05)]
    random.Random(3).shuffle(both)
    mixed = written(tmp_path / "mixed.jsonl.gz", *both)
    assert compared(capsys, live, copies) == compared(capsys, copies, live) == compared(capsys, mixed)


def test_standard_input_is_a_file_too(capsys: Capture, copies: Path, live: Path, monkeypatch: Any) -> None:
    with live.open("rb") as piped:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(os.fdopen(os.dup(piped.fileno()), "rb")))
        found = compared(capsys, copies, more=("--events", "-"))
    assert found["coverage"]["pairs"] == 800


@pytest.mark.parametrize(
    ("more", "code"),
    [(("--fail-on", "beyond"), 3), (("--fail-on", "inconclusive"), 3), ((), 0)],
)
def test_a_limit_that_is_exceeded_ends_with_3_where_asked(
    capsys: Capture, live: Path, copies: Path, budget: Path, more: tuple[str, ...], code: int
) -> None:
    compared(capsys, live, copies, more=("--budget", str(budget), *more), code=code)


def test_what_is_not_decided_fails_only_where_asked(
    capsys: Capture, live: Path, tmp_path: Path, budget: Path
) -> None:
    same = written(tmp_path / "same.jsonl", *arm("v42", "shadow", 0.99))
    for fail_on, code in (("beyond", 0), ("inconclusive", 3)):
        compared(capsys, live, same, more=("--budget", str(budget), "--fail-on", fail_on), code=code)


def test_coverage_is_warned_of(capsys: Capture, live: Path, tmp_path: Path) -> None:
    few = written(tmp_path / "few.jsonl", *arm("v42", "shadow", 0.9, requests=80), *[
        event(n, "v42", "shadow", request_id=None) for n in range(900, 1_000)
    ])  # fmt: skip
    found = compared(capsys, live, few)
    assert found["coverage"]["shadow"]["paired_ratio"] == pytest.approx(80 / 180)
    for said in (
        "44.4 % of the shadow requests",
        "10.0 % of the live requests",
        "100 shadow requests carry no request_id",
    ):
        assert any(said in warning for warning in found["warnings"]), found["warnings"]


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([], "no shadow request of v42"),
        ([event(1, "v41")], "no shadow request of v42"),
        ([event(1, "v42", "shadow")], "no live request of v41"),
        ([event(1, "v42", "shadow"), event(2, "v41")], "no pairs: a shadow event must carry the request_id"),
    ],
)
def test_no_pairs_are_no_good_news(
    capsys: Capture, tmp_path: Path, budget: Path, events: list[dict[str, Any]], said: str
) -> None:
    file = written(tmp_path / "e.jsonl", *events)
    found = compared(capsys, file, more=("--budget", str(budget), "--fail-on", "beyond"))
    assert said in found["warnings"][0]
    assert {one["verdict"] for one in found["limits"]} == {"inconclusive", "not_compared"}


def test_rubbish_is_counted_and_its_names_are_harmless(capsys: Capture, tmp_path: Path) -> None:
    evil = "acme\u202e\x1b[2J"
    rows = [event(n, release, kind, cohort={"tenant": evil}, outcomes={"gr\x1b[31m": True})
            for n in range(3) for release, kind in (("v41", "live"), ("v42", "shadow"))]  # fmt: skip
    file = written(tmp_path / "e.jsonl", "nonsense", "{}", '{"event_id": 7}', *rows, json.dumps(rows[0]))
    code, out, _ = give(capsys, "shadow", "--events", str(file), "--candidate", "v42", "--by", "tenant")
    assert code == 0
    assert not {"\x1b", "\u202e"} & set(out)
    found = compared(capsys, file)
    assert (found["coverage"]["pairs"], found["input"]["duplicates"]) == (3, 1)
    assert sum(found["input"]["rejected"].values()) == 3


def test_labels_that_come_later_are_attached_or_counted(
    capsys: Capture, live: Path, copies: Path, tmp_path: Path
) -> None:
    base: dict[str, Any] = {"kind": "outcome", "outcomes": {"grounded": True}}
    labels = [
        {**event(n, release, **base), "event_id": f"label-{release}-{n}"}
        for n in range(50)
        for release in ("v41", "v42")
    ]
    lost = [{**event(n, "v41", **base), "event_id": f"lost-{n}", "request_id": None} for n in range(7)]
    found = compared(capsys, live, copies, written(tmp_path / "labels.jsonl", *labels, *lost))
    assert rate(found, "outcome.grounded")["pairs"] == 50
    assert (found["input"]["outcomes_attached"], found["input"]["outcomes_without_request_id"]) == (100, 7)
    assert any("7 outcome events carry no request_id" in warning for warning in found["warnings"])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--fail-on", "beyond"), "without --budget no limit"),
        (("--baseline", "v42"), "is the candidate itself"),
        (("--budget", "v42.yaml", "--baseline", "v40"), "v40 is not the baseline of v42.yaml, which is v41"),
        (("--budget", "v43.yaml"), "v42 is not the release of v43.yaml, which is v43; give --candidate v43"),
        (("--budget", "none.yaml"), "no such file"),
        (("--events", "none.jsonl"), "none.jsonl: cannot be read"),
        (("--events", "-"), "standard input is closed; name a file"),
        (("--events", *["live.jsonl.gz"] * FILES_MAX), f"at most {FILES_MAX} are read side by side"),
    ],
)
def test_wrong_use_says_what_to_do(
    capsys: Capture, live: Path, budget: Path, monkeypatch: Any, more: tuple[str, ...], said: str
) -> None:
    (budget.parent / "v43.yaml").write_text(BUDGET.replace("v42", "v43"))
    monkeypatch.chdir(budget.parent)
    monkeypatch.setattr(sys, "stdin", None)
    code, out, err = give(capsys, "shadow", "--candidate", "v42", "--events", live.name, *more)
    assert (code, out) == (2, "")
    assert said in err


def test_a_file_that_breaks_off_is_an_error_and_no_comparison(
    capsys: Capture, live: Path, copies: Path
) -> None:
    live.write_bytes(live.read_bytes()[:-200])
    code, out, err = give(capsys, "shadow", "--events", str(live), str(copies), "--candidate", "v42")
    assert (code, out) in ((1, ""), (2, ""))
    assert "live.jsonl.gz" in err


def test_the_example_is_shown(capsys: Capture) -> None:
    code, out, _ = give(capsys, "shadow", "--help")
    assert code == 0
    assert SHADOW_EXAMPLE in " ".join(out.split())
