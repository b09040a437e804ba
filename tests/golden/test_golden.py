"""Recorded traffic in, decisions out, through the command line: what a reviewer approved is what it still says.

To change what is expected, on purpose: `python -m tests.golden.update`, then read the diff (README.md beside this).
Numbers are compared to nine digits: the last ones differ between mathematical libraries.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from monitor.cli import main
from monitor.wire.cloudevent import from_structured
from monitor.wire.messages import check
from tests.golden.cases import CASES, FOLDER, Case
from tests.golden.replays import recorded, replayed
from tests.golden.traffic import STORIES, events_of, hostile_lines, lines_of, shuffled

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def events_in(lines: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines()]


def about(value: object) -> Any:
    """A JSON value whose floats are equal within nine digits."""
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-9, abs=1e-12)
    if isinstance(value, dict):
        return {name: about(one) for name, one in value.items()}
    return [about(one) for one in value] if isinstance(value, list) else value


def kinds(events: Sequence[dict[str, Any]]) -> list[str]:
    return [str(event["type"]).removeprefix("dev.rollbackbudget.").removesuffix(".v1") for event in events]


@every_case
def test_the_decisions_are_the_reviewed_ones(case: Case) -> None:
    said = events_in(recorded(case, "tier-b")[1])
    expected = events_in(case.decisions.read_bytes())
    assert kinds(said) == kinds(expected)
    for event, reviewed in zip(said, expected, strict=True):
        assert event == about(reviewed)


@every_case
def test_every_event_fits_its_schema_and_time_never_goes_back(case: Case) -> None:
    events = events_in(case.decisions.read_bytes())
    for event in events:
        check(from_structured(event))
    times = [event["time"] for event in events]
    assert times == sorted(times)
    assert [event["data"]["decided_at"] for event in events] == times


@every_case
def test_the_exit_code_is_the_promised_one(case: Case) -> None:
    assert (recorded(case, "tier-a")[0], recorded(case, "tier-b")[0]) == case.exit_codes


@pytest.mark.parametrize("name", sorted(STORIES))
def test_the_traffic_is_what_its_seed_gives(name: str) -> None:
    stored = gzip.decompress((FOLDER / name / "events.jsonl.gz").read_bytes())
    assert stored == b"".join(line + b"\n" for line in lines_of(STORIES[name]))


def test_the_same_input_gives_the_same_bytes_in_any_process() -> None:
    """Also where strings hash differently, as they do from one process to the next."""
    case = next(case for case in CASES if case.name == "incident_normal")
    outputs = set()
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "monitor", *case.arguments()]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=600)
        outputs.add(done.stdout)
    assert len(outputs) == 1


def test_hostile_lines_are_counted_and_change_nothing(
    capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    """The good lines among them count exactly; what was decided is what the good lines alone decide."""
    by_name = {case.name: case for case in CASES}
    summary = tmp_path / "summary.json"
    assert main([*by_name["hostile"].arguments(), "--summary", str(summary)]) == 0
    said = events_in(capsysbinary.readouterr().out)
    good = events_in(recorded(by_name["task_success"], "tier-b")[1])
    assert _without_late_counts(said) == _without_late_counts(good)
    counted = json.loads(summary.read_text())
    rejected = {reason: len(lines) for reason, lines in hostile_lines().items()}
    assert counted["rejected"] == dict(sorted(rejected.items()))
    assert counted["accepted"] == len(events_of(STORIES["task_success"])) + 5
    assert (counted["late"], counted["duplicates"], counted["other_releases"]) == (7, 3, 5)


def _without_late_counts(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for event in events:
        event["data"].pop("late_count", None)
        for row in event["data"].get("objectives", ()):
            row.pop("late_count")
    return events


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", ["task_success", "latency_silence", "incident_clean", "inconclusive"])
def test_events_that_come_out_of_order_but_on_time_change_nothing(
    tmp_path: Path, name: str, seed: int
) -> None:
    """Every tick's decision is the same, with all its data; an immediate one has the same id and time order holds."""
    case = next(case for case in CASES if case.name == name)
    lines = shuffled(lines_of(STORIES[name]), seed)
    (tmp_path / "shuffled.jsonl").write_bytes(b"\n".join(lines))
    code, decided = replayed(case, tmp_path / "shuffled.jsonl")
    said, expected = events_in(decided), events_in(recorded(case, "tier-b")[1])
    assert code == 0
    assert {event["id"] for event in said} == {event["id"] for event in expected}
    immediate = {event["id"] for event in expected if event["data"].get("reason") == "immediate"}
    immediate |= {
        event["id"] for event in expected if event["data"].get("objective", "").startswith("safety.")
    }
    assert [event for event in said if event["id"] not in immediate] == [
        event for event in expected if event["id"] not in immediate
    ]
