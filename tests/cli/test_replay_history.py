"""`rollback-budget replay --history FILE`: a candidate that serves everybody is judged by its baseline's past."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.cli import main
from monitor.core.ids import event_type
from tests.adapters.test_history_file import lines
from tests.engine.pasts import candidate_alone, past
from tests.engine.plant import BUDGET, Plant
from tests.engine.test_slice_history import CRITICAL, harm_to_a_tenant, with_slice

Capture = pytest.CaptureFixture[bytes]


def replay(capture: Capture, folder: Path, *more: str) -> tuple[int, list[dict[str, object]], str]:
    """Replay an hour and a half at full traffic, the last half hour of it harmful."""
    made = Plant()
    candidate_alone(made, 0, 60)
    candidate_alone(made, 60, 30, success=10)
    rows = sorted((row.timestamp, row.value or b"") for rows in made.log.rows.values() for row in rows)
    (folder / "events.jsonl").write_bytes(b"\n".join(value for _, value in rows))
    (folder / "budget.yaml").write_text(BUDGET)
    arguments = ["replay", "--budget", str(folder / "budget.yaml"), "--events", str(folder / "events.jsonl")]
    code = main([*arguments, *more])
    out, err = capture.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err.decode()


def test_with_a_past_the_harm_is_found(capsysbinary: Capture, tmp_path: Path) -> None:
    (tmp_path / "past.jsonl").write_bytes(lines(past()))
    code, events, _ = replay(
        capsysbinary, tmp_path, "--history", str(tmp_path / "past.jsonl"), "--fail-on", "tier-a"
    )
    assert code == 3
    (request,) = (one for one in events if one["type"] == event_type("rollback.requested"))
    assert request["data"]["baseline_mode"] == "frozen"  # type: ignore[index]
    (assessed,) = (one for one in events if one["type"] == event_type("release.assessed"))
    rows = assessed["data"]["objectives"]  # type: ignore[index]
    assert {row.get("baseline_mode", "none") for row in rows} <= {"frozen", "concurrent", "none"}
    assert rows[0]["baseline_mode"] == "frozen"


def test_a_slice_has_its_past_from_the_same_file(capsysbinary: Capture, tmp_path: Path) -> None:
    """Records of everybody and of a tenant stand in one file; the tenant alone is harmed."""
    made = Plant()
    harm_to_a_tenant(made)
    rows = sorted((row.timestamp, row.value or b"") for rows in made.log.rows.values() for row in rows)
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(value for _, value in rows))
    (tmp_path / "budget.yaml").write_text(BUDGET.replace(*CRITICAL))
    found = []
    for hours in (with_slice(), past()):
        (tmp_path / "past.jsonl").write_bytes(lines(hours))
        files = ("--budget", "budget.yaml"), ("--events", "events.jsonl"), ("--history", "past.jsonl")
        arguments = [part for option, name in files for part in (option, str(tmp_path / name))]
        assert main(["replay", *arguments]) == 0
        events = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
        found.append(
            [one["data"]["cohort"] for one in events if one["type"] == event_type("rollback.requested")]
        )
    assert found == [[{"tenant": "acme"}], []]


def test_without_one_there_is_nothing_to_compare_with(capsysbinary: Capture, tmp_path: Path) -> None:
    code, events, _ = replay(capsysbinary, tmp_path, "--fail-on", "tier-a")
    assert code == 0
    assert event_type("rollback.requested") not in {one["type"] for one in events}


def test_a_past_that_cannot_be_read_is_wrong_use_before_anything_is_played(
    capsysbinary: Capture, tmp_path: Path
) -> None:
    (tmp_path / "past.jsonl").write_bytes(b"{}\n")
    code, events, err = replay(capsysbinary, tmp_path, "--history", str(tmp_path / "past.jsonl"))
    assert code == 2
    assert events == []
    assert "past.jsonl: line 1: history: " in err
