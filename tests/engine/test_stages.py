"""A breach of the latency names the stage that moved, wherever people read of it; the verdict does not depend on it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from monitor.cli import main
from monitor.core.aggregate import Aggregate
from monitor.core.budget import EvidenceMode, Objective, Tier
from monitor.core.cell import CellKey
from monitor.core.cohort import OVERALL, by_every
from monitor.core.decision import Decision, Type
from monitor.core.rederive import derive
from monitor.core.sketch import Sketch
from monitor.engine.answer import answer
from monitor.wire.cloudevent import of_decision, to_line
from tests.engine.worlds import ACME, BASELINE, CANDIDATE, Drive, budget, command, objective, only

P95, FIRST, DECODE = "p95", "first_token_p95", "decode_p95"
SAID = "; of its stages decode moved most: +"


def latency(metric: str, limit: float = 15.0, **more: Any) -> Objective:
    return objective(metric, limit, group="latency", **more)


STAGES = (latency(FIRST, 900.0, tier=Tier.B), latency(DECODE, 900.0, tier=Tier.B))  # wide: they never act


def requests(first_ms: int, decode_ms: int) -> Aggregate:
    """A minute of a hundred requests of two stages."""
    made = Aggregate()
    made.requests = 100
    spread = {"stage.first_token": first_ms, "stage.decode": decode_ms, "latency": first_ms + decode_ms}
    for name, ms in spread.items():
        made.sketches[name] = Sketch()
        for number in range(100):
            made.sketches[name].add(ms * (900 + 2 * number))
    return made


FINE, SLOW = requests(200, 800), requests(260, 1_300)


def slow_for(minutes: int, *objectives: Objective, **more: Any) -> Drive:
    drive = Drive(budget(*objectives, **more))
    drive.run(10, FINE, FINE)
    drive.run(minutes, SLOW, FINE)
    return drive


def stages(decision: Decision) -> list[str]:
    found = decision.data.get("stages", [])
    assert isinstance(found, list)
    return [one["stage"] for one in found]


def told(log: Iterable[Decision], *types: Type) -> list[Decision]:
    return [one for one in log if one.type in types and one.data["metric"] == P95]


def test_a_rollback_and_the_breach_before_it_name_the_stage() -> None:
    drive = slow_for(8, latency(P95), *STAGES)
    found = told(drive.log, Type.BREACH_STARTED, Type.ROLLBACK_REQUESTED)
    assert [one.type for one in found] == [Type.BREACH_STARTED, Type.ROLLBACK_REQUESTED]
    for one in found:
        assert stages(one) == ["decode", "first_token"]
        assert SAID in str(one.data["summary"])


def test_a_page_of_the_latency_and_what_silence_makes_of_it_name_the_stage() -> None:
    drive = slow_for(30, latency(P95, tier=Tier.B), *STAGES)
    for one in (only(drive.log, Type.PAGE_OPENED), only(drive.log, Type.ROLLBACK_REQUESTED)):
        assert stages(one) == ["decode", "first_token"]
        assert SAID in str(one.data["summary"])


def test_minutes_that_only_add_up_name_the_stage_as_well() -> None:
    drive = Drive(budget(latency(P95), *STAGES))
    for _ in range(6):
        drive.run(3, SLOW, FINE)
        drive.run(1, FINE, FINE)
    page = only(told(drive.log, Type.PAGE_OPENED), Type.PAGE_OPENED)
    assert page.data["reason"] == "cumulative"
    assert stages(page) == ["decode", "first_token"]


def test_a_rollback_that_the_commander_orders_carries_the_stages() -> None:
    drive = slow_for(6, latency(P95, tier=Tier.B), *STAGES)
    ordered = drive.note(answer(drive.evaluator, command("decide", drive.at_ms, decision="rollback")))
    assert stages(only(ordered, Type.ROLLBACK_REQUESTED)) == ["decode", "first_token"]


def test_without_a_limit_on_a_stage_nothing_is_said_of_stages() -> None:
    drive = slow_for(8, latency(P95))
    request = only(drive.log, Type.ROLLBACK_REQUESTED)
    assert "stages" not in request.data
    assert "stages" not in str(request.data["summary"])


def test_a_stage_limited_on_another_slice_says_nothing_of_everybody() -> None:
    drive = slow_for(8, latency(P95), latency(FIRST, 900.0, where=ACME))
    assert "stages" not in only(drive.log, Type.ROLLBACK_REQUESTED).data


def test_a_stage_s_own_breach_has_no_stages() -> None:
    drive = slow_for(8, latency(DECODE), latency(FIRST, 900.0, tier=Tier.B))
    request = only(drive.log, Type.ROLLBACK_REQUESTED)
    assert request.data["metric"] == DECODE
    assert "stages" not in request.data


def test_stages_that_did_not_move_are_shown_and_not_named() -> None:
    drive = Drive(budget(latency(P95), latency(FIRST, 900.0, tier=Tier.B)))
    drive.run(10, FINE, FINE)
    drive.run(8, requests(200, 1_300), FINE)
    request = only(drive.log, Type.ROLLBACK_REQUESTED)
    assert stages(request) == ["first_token"]
    assert "of its stages" not in str(request.data["summary"])


def test_a_critical_cohort_s_breach_looks_at_its_own_stages() -> None:
    one_cohort: dict[str, Any] = {"critical_cohorts": (ACME,)}
    drive = Drive(budget(latency(P95, **one_cohort), latency(DECODE, 900.0, tier=Tier.B, **one_cohort)))
    drive.run(10, {OVERALL: FINE, ACME: FINE}, {OVERALL: FINE, ACME: FINE})
    drive.run(8, {OVERALL: FINE, ACME: SLOW}, {OVERALL: FINE, ACME: FINE})
    request = only(drive.log, Type.ROLLBACK_REQUESTED)
    assert request.data["cohort"] == {"tenant": "acme"}
    assert stages(request) == ["decode"]
    assert SAID in str(request.data["summary"])


def test_a_page_of_a_watched_cohort_names_its_stage() -> None:
    more: dict[str, Any] = {"watched_dimensions": ("tenant",), "tier": Tier.B}
    drive = Drive(budget(latency(P95, **more), latency(DECODE, 900.0, **more), strata=()))
    tenants = by_every(OVERALL, ("tenant",))
    for minute in range(20):
        cells = {}
        for release, part in ((CANDIDATE, SLOW if minute >= 10 else FINE), (BASELINE, FINE)):
            broken = Aggregate()
            broken.parts["acme"] = part
            cells[CellKey(drive.now, release, tenants)] = broken
            cells[CellKey(drive.now, release, OVERALL)] = FINE
        drive.tick_cells(cells)
    page = only(drive.log, Type.PAGE_OPENED)
    assert page.data["cohort"] == {"tenant": "acme"}
    assert stages(page) == ["decode"]


@pytest.mark.parametrize("evidence", list(EvidenceMode))
def test_what_a_record_says_of_its_stages_fits_together(evidence: EvidenceMode) -> None:
    drive = slow_for(20, latency(P95, evidence=evidence), *STAGES)
    request = only(drive.log, Type.ROLLBACK_REQUESTED)
    data = json.loads(json.dumps(request.data))
    assert derive(data).disagreements == []
    data["stages"][0]["delta_pct"] += 1.0
    assert [one.what for one in derive(data).disagreements] == ["stage decode: delta"]


def explained(decision: Decision, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    path = folder / "decisions.jsonl"
    path.write_bytes(to_line(of_decision(decision)) + b"\n")
    assert main(["explain", decision.decision_id, "--events", str(path)]) == 0
    return capsys.readouterr().out


def test_explain_shows_every_stage_and_which_moved_most(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = only(slow_for(8, latency(P95), *STAGES).log, Type.ROLLBACK_REQUESTED)
    text = explained(request, tmp_path, capsys)
    lines = [line[11:].strip() for line in text.splitlines() if "first_token: " in line or "decode: " in line]
    decode, first = lines
    assert decode.startswith("decode: 1,4")
    assert decode.endswith(", moved most")
    assert first.startswith("first_token: 2")
    assert " %)" in first
    assert "moved most" not in first


def test_explain_reads_records_from_before_there_were_stages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = only(slow_for(8, latency(P95)).log, Type.ROLLBACK_REQUESTED)
    assert "stage " not in explained(request, tmp_path, capsys)
