"""`rollback-budget replay --commands FILE`: what people ordered counts at its record time, as it did live."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from monitor.cli import main
from monitor.core.ids import event_type
from tests.golden.cases import CASES
from tests.golden.traffic import CANDIDATE, MINUTE_MS, START_MS

BY_NAME = {case.name: case for case in CASES}
LATENCY = "latency.p95_delta_pct"
Capture = pytest.CaptureFixture[bytes]
Event = Mapping[str, Any]


def order(kind: str, minute: float, **fields: object) -> dict[str, object]:
    """Return an order as a file has it: as on the topic, with its record time."""
    at_ms = START_MS + int(minute * MINUTE_MS)
    base = {"command": kind, "command_id": f"{kind}-{minute}", "release": CANDIDATE, "author": "dana"}
    return {"at": at_ms, **base, "reason": "looked at the traces", **fields}


def replayed(
    capture: Capture, folder: Path, case: str, *orders: Mapping[str, object]
) -> tuple[list[Event], dict[str, Any]]:
    """Replay a golden case with orders; returns its events and the summary."""
    file = folder / "orders.jsonl"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in orders))
    arguments = [*BY_NAME[case].arguments(), "--commands", str(file), "--output", "json"]
    assert main(arguments) == 0
    out, err = capture.readouterr()
    return [json.loads(line) for line in out.splitlines()], json.loads(err)


def times(events: list[Event], name: str) -> list[str]:
    return [one["time"] for one in events if one["type"] == event_type(name)]


def test_a_commander_who_continues_is_not_overruled_by_silence(capsysbinary: Capture, tmp_path: Path) -> None:
    """The page of 09:41 runs out at 09:56; live, an answer at 09:50 stands, and so it does here."""
    events, summary = replayed(
        capsysbinary,
        tmp_path,
        "latency_silence",
        order("decide", 50.5, decision="continue", objective=LATENCY),
    )
    assert times(events, "override.created") == ["2026-11-02T09:50:30.000Z"]
    assert times(events, "page.expired") == times(events, "rollback.requested") == []
    (override,) = (one["data"] for one in events if one["type"] == event_type("override.created"))
    assert override["ordered_by"]["author"] == override["author"] == "dana"
    assert summary["orders"] == {"obeyed": 1, "refused": 0, "waiting": 0}


def test_an_override_holds_safety_and_the_rule_runs_again_at_its_end(
    capsysbinary: Capture, tmp_path: Path
) -> None:
    plain, _ = replayed(capsysbinary, tmp_path, "incident_clean")
    (broke,) = times(plain, "rollback.requested")
    events, _ = replayed(
        capsysbinary, tmp_path, "incident_clean", order("override", 1, until="2026-11-02T09:28:00Z")
    )
    assert broke < "2026-11-02T09:28:00.000Z"
    assert times(events, "override.expired") == ["2026-11-02T09:28:00.000Z"]
    assert times(events, "rollback.requested") == ["2026-11-02T09:28:00.000Z"]
    ids = [
        [one["id"] for one in of if one["type"] == event_type("rollback.requested")] for of in (plain, events)
    ]
    assert ids[0] == ids[1]


def test_an_ordered_rollback_is_requested_at_its_record_time(capsysbinary: Capture, tmp_path: Path) -> None:
    events, _ = replayed(capsysbinary, tmp_path, "healthy", order("decide", 20.25, decision="rollback"))
    (request,) = (one for one in events if one["type"] == event_type("rollback.requested"))
    assert (request["time"], request["data"]["reason"]) == ("2026-11-02T09:20:15.000Z", "commander")
    assert [one["time"] for one in events] == sorted(one["time"] for one in events)


def test_acknowledging_stops_no_deadline(capsysbinary: Capture, tmp_path: Path) -> None:
    silent, _ = replayed(capsysbinary, tmp_path, "latency_silence")
    seen, _ = replayed(capsysbinary, tmp_path, "latency_silence", order("acknowledge", 50, objective=LATENCY))
    assert times(seen, "page.acknowledged") == ["2026-11-02T09:50:00.000Z"]
    assert times(seen, "page.expired") == times(silent, "page.expired") != []


def test_an_eval_debt_is_closed_where_that_was_ordered(capsysbinary: Capture, tmp_path: Path) -> None:
    plain, _ = replayed(capsysbinary, tmp_path, "task_success")
    (owed,) = (one["data"] for one in plain if one["type"] == event_type("evaldebt.created"))
    close = order("close_debt", 65, debt_id=owed["debt_id"], evaluation="evals/success.yaml")
    events, _ = replayed(capsysbinary, tmp_path, "task_success", close, {**close, "command_id": "again"})
    (closed,) = (one for one in events if one["type"] == event_type("evaldebt.closed"))
    assert (closed["time"], closed["data"]["debt_id"]) == ("2026-11-02T10:05:00.000Z", owed["debt_id"])


def test_what_came_too_late_twice_or_about_others_is_counted(capsysbinary: Capture, tmp_path: Path) -> None:
    """The first valid decision wins, a rollback locks the release, and an id counts once."""
    first = order("decide", 50, decision="rollback")
    orders = [
        order("decide", 55, decision="continue", objective=LATENCY),  # refused: the release is locked
        first,
        {**first, "at": "2026-11-02T09:52:00Z"},  # the same order sent again
        order("arm", 58),  # a replay arms once
        order("decide", 900, decision="rollback"),  # after the recording
        order("override", 1, until=START_MS + 9 * MINUTE_MS, release="other"),
    ]
    events, summary = replayed(capsysbinary, tmp_path, "latency_silence", *orders)
    assert times(events, "rollback.requested") == ["2026-11-02T09:50:00.000Z"]
    assert summary["orders"] == {"obeyed": 1, "refused": 2, "waiting": 2}
    assert not any("refused" in one["type"] or "arming" in one["type"] for one in events)


def test_a_packed_file_is_read_too(capsysbinary: Capture, tmp_path: Path) -> None:
    file = tmp_path / "orders.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps(order("decide", 20, decision="rollback")).encode()))
    assert main([*BY_NAME["healthy"].arguments(), "--commands", str(file)]) == 0
    out, err = capsysbinary.readouterr()
    assert b'"reason":"commander"' in out
    assert "orders: 1 obeyed, 0 refused, 0 waiting" in err.decode()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("nonsense", "line 2: not_json; it must be one JSON object in UTF-8"),
        ('{"command": "arm"}', "line 2: at: missing or no moment; write its record time"),
        ('{"at": true, "command": "arm"}', "line 2: at: missing or no moment; write its record time"),
        ('{"at": 1, "command": "stop"}', "line 2: command: "),
    ],
)
def test_a_line_that_is_no_order_is_wrong_use_before_anything_is_played(
    capsysbinary: Capture, tmp_path: Path, line: str, why: str
) -> None:
    file = tmp_path / "orders.jsonl"
    file.write_text(f"\n{line}\n")
    assert main([*BY_NAME["healthy"].arguments(), "--commands", str(file)]) == 2
    out, err = capsysbinary.readouterr()
    assert out == b""
    assert f"{file}: {why}" in err.decode()
