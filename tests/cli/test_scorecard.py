"""`rollback-budget scorecard`: over a ledger and over a file, for people, for machines and to be pasted."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from monitor.adapters.recordings import MAX_LINE_BYTES
from monitor.cli import orders
from monitor.cli.scorecard_words import as_markdown, as_text
from monitor.core.decision import EVERY_RELEASE, Decision, Type
from monitor.core.moment import rfc3339
from monitor.core.scorecard import scorecard
from monitor.engine.act_events import follow_up_id, identity
from monitor.engine.arming_record import NoSuchRecord, RecordTooLong, arming_record, known_of
from tests.cli.ledger_world import MINUTE_MS, LedgerWorld, arming_of
from tests.cli.verbs import at_ledger, give, now_is
from tests.golden.cases import CASES
from tests.golden.traffic import START_MS

BY_NAME = {case.name: case for case in CASES}
RESULTS = {
    "healthy": "healthy",
    "inconclusive": "inconclusive",
    "latency_hold": "breach_soft",
    "latency_silence": "rolled_back",
    "incident_clean": "rolled_back",
    "masked_tenant": "breach_hard",
    "task_success_observed": "breach_hard",
}


def at(minute: float) -> int:
    return START_MS + int(minute * MINUTE_MS)


def of_file(capsys: pytest.CaptureFixture[str], name: str, *more: str) -> dict[str, Any]:
    path = str(BY_NAME[name].decisions)
    code, out, err = give(capsys, "scorecard", "assistant-8", "--events", path, "--output", "json", *more)
    assert (code, err) == (0, "")
    told: dict[str, Any] = json.loads(out)
    return told


def of_ledger(capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    code, out, err = give(capsys, "scorecard", "assistant-8", "--output", "json", *more)
    assert (code, err) == (0, "")
    told: dict[str, Any] = json.loads(out)
    return told


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> LedgerWorld:
    now_is(monkeypatch, at(45))
    return at_ledger(monkeypatch, LedgerWorld(BY_NAME["latency_hold"], until_min=45))


@pytest.mark.parametrize("name", RESULTS)
def test_every_reviewed_release_has_one_result(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = of_file(capsys, name)
    assert (said["version"], said["result"]) == (1, RESULTS[name])
    (assessment,) = [
        event["data"]
        for event in map(json.loads, BY_NAME[name].decisions.read_text().splitlines())
        if "release.assessed" in event["type"]
    ]
    assert [
        (one["objective"], one["verdict"], one["minutes_spent"], one["mde"]) for one in said["objectives"]
    ] == [
        (one["objective"], one["verdict"], one["minutes_spent"], one["mde"])
        for one in assessment["objectives"]
    ]
    assert [one["requests_candidate"] for one in said["objectives"]] == [
        one["samples"]["candidate"] for one in assessment["objectives"]
    ]


def test_a_watched_release_is_told_from_the_ledger(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """It asks nobody and changes nothing; what paged and was not assessed since is a breach all the same."""
    before = world.ledger_records()
    said = of_ledger(capsys)
    who = said["identity"]
    assert (who["owner"], who["has_spec"], who["armed_at"]) == ("assistant-team", True, rfc3339(START_MS))
    assert (said["result"], said["state"], said["assessed"]) == ("breach_soft", "watching", None)
    assert {one["verdict"] for one in said["objectives"]} == {"not_assessed"}
    assert len(said["objectives"]) == len(world.budget.objectives)
    assert [one["owner"] for one in said["eval_debts"]] == ["assistant-team"]
    assert (world.commands, world.ledger_records()) == ([], before)


def test_who_answered_a_page_is_told(world: LedgerWorld, capsys: pytest.CaptureFixture[str]) -> None:
    give(capsys, "acknowledge", "assistant-8")
    give(capsys, "decide", "assistant-8", "rollback", "--reason", "users complain")
    (request,) = [
        entry.decision
        for entry in orders.entries_of(world.ledger_records())
        if entry.decision.type is Type.ROLLBACK_REQUESTED and entry.is_published
    ]
    applied = Decision(
        Type.ROLLBACK_APPLIED,
        follow_up_id(Type.ROLLBACK_APPLIED, request.decision_id),
        request.release,
        request.at_ms + 2_500,
        {
            **identity(request.data),
            "request_id": request.decision_id,
            "actuator": "flagd",
            "flag": "assistant",
            "changed": True,
            "before": {},
            "after": {},
            "seconds": 1.0,
        },
    )
    asyncio.run(world.record([applied]))
    said = of_ledger(capsys)
    assert (said["result"], said["state"]) == ("rolled_back", "locked")
    (rollback,) = said["rollbacks"]
    assert (rollback["reason"], rollback["applied_s"], rollback["verified_at"]) == ("commander", 2.5, None)
    people = {(one["type"], one["who"]) for one in said["happened"] if one["who"]}
    assert {("page.acknowledged", "dana"), ("rollback.requested", "dana")} <= people
    assert "it was applied after 2.5 s, and no proof by the traffic is on record" in said["reason"]
    moments = [one["at"] for one in said["happened"]]
    assert moments == sorted(moments)


def test_an_earlier_arming_is_told_by_itself(world: LedgerWorld, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(world.record([arming_of(world.budget, 2, at(60))]))
    new, old = of_ledger(capsys), of_ledger(capsys, "--arming", "1")
    assert (new["identity"]["arming"], new["result"], new["eval_debts"]) == (2, "not_assessed", [])
    assert (old["identity"]["arming"], old["result"], old["state"]) == (1, "breach_soft", "replaced")
    code, _, err = give(capsys, "scorecard", "assistant-8", "--arming", "3")
    assert code == 2
    assert "assistant-8 has no arming 3 on record; its armings there are 1, 2" in err


def test_a_blindness_of_the_whole_monitor_is_part_of_the_record(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {
        "release": None,
        "releases": ["assistant-8"],
        "cause": "kafka",
        "partitions": [],
        "reason": "blind",
        "since": rfc3339(at(44)),
        "decided_at": rfc3339(at(46)),
        "summary": "nothing is read",
    }
    asyncio.run(world.record([Decision(Type.MONITOR_BLIND, "b" * 64, EVERY_RELEASE, at(46), data)]))
    said = of_ledger(capsys)
    assert {
        "result": "not_assessed",
        "words": f"the monitor does not see it since {rfc3339(at(44))}: nothing is read",
    } in (said["grounds"])
    assert [one["type"] for one in said["happened"]].count("monitor.blind") == 1


def test_a_file_tells_the_same_as_the_ledger_it_was_written_from(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    decisions = [entry.decision for entry in orders.entries_of(world.ledger_records())]
    forth, back = (
        scorecard(known_of(arming_record(some, "assistant-8"), "ledger"))
        for some in (decisions, decisions[::-1])
    )
    assert forth == back


def test_a_release_that_is_not_on_record_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(BY_NAME["healthy"].decisions)
    code, out, err = give(capsys, "scorecard", "assistant-9", "--events", path)
    assert (code, out) == (2, "")
    assert "assistant-9: no arming of it is on record: did you mean assistant-8?" in err


def test_lines_that_are_no_decisions_are_counted_and_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    good = BY_NAME["healthy"].decisions.read_bytes()
    half = b'{"specversion":"1.0","id":"x","source":"s","type":"dev.rollbackbudget.page.opened.v1","subject":"\\ud800"'
    half += b',"time":"2026-11-02T09:00:00Z","data":{}}'
    path = tmp_path / "some.jsonl"
    path.write_bytes(b"\n".join((b"rubbish", b"", half, b"[" * 5_000, good)))
    code, out, err = give(capsys, "scorecard", "assistant-8", "--events", str(path))
    assert (code, out.startswith("healthy: assistant-8, arming 1\n")) == (0, True)
    assert err.startswith(
        "3 lines could not be read as decisions and count for nothing; the first: event: b'rubbish'"
    )
    path.write_bytes(b"rubbish\n")
    assert give(capsys, "scorecard", "assistant-8", "--events", str(path))[0] == 2


def test_a_decision_is_longer_than_any_trace_event(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """An assessment of many slices: cut where a trace event ends, it would be none, and the release not assessed."""
    event = json.loads(BY_NAME["healthy"].decisions.read_text())
    first = event["data"]["objectives"][0]
    event["data"]["objectives"] += [{**first, "cohort": {"tenant": f"t{place}"}} for place in range(100)]
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps(event))
    assert path.stat().st_size > MAX_LINE_BYTES
    code, out, err = give(capsys, "scorecard", "assistant-8", "--events", str(path))
    assert (code, err, out.count("  tenant=t")) == (0, "", 100)
    assert give(capsys, "explain", event["id"], "--events", str(path))[0] == 0


def test_standard_input_is_read(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with BY_NAME["healthy"].decisions.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        assert of_ledger(capsys, "--events", "-")["result"] == "healthy"


def test_markdown_has_heading_result_and_tables_and_nothing_of_the_record_is_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = str(BY_NAME["latency_hold"].decisions)
    code, out, err = give(capsys, "scorecard", "assistant-8", "--events", path, "--output", "markdown")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "## Scorecard: assistant-8, arming 1"
    assert lines[2].startswith(
        "**breach (soft)**: latency.p95_delta_pct is in breach: +42.8 % where the limit is +15 %"
    )
    tables = [line for line in lines if line.startswith("| ---")]
    assert len(tables) == 4
    names = "release", "objective", "words"
    evil = dict.fromkeys(names, "a|b`c`\n# d <img> [e](f) *g* \x1b[31m\u202e")
    data = {"arming": 1, "summary": evil["words"], "objective": evil["objective"], "author": evil["release"]}
    decision = Decision(Type.OVERRIDE_CREATED, "f" * 64, evil["release"], START_MS, data)
    card = scorecard(known_of(arming_record([decision], evil["release"]), "events"))
    told = as_markdown(card)
    row = next(line for line in told.splitlines() if "override.created" in line)
    assert row.replace("\\|", "").count("|") == 8
    assert "\\<img\\>" in row
    for text in (told, as_text(card)):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert not any(line.startswith("# d") for line in text.splitlines())


def test_more_than_can_be_told_is_refused_and_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    world = LedgerWorld(BY_NAME["latency_hold"], until_min=45)
    decisions = [entry.decision for entry in orders.entries_of(world.ledger_records())]
    monkeypatch.setattr("monitor.engine.arming_record.DECISIONS_MAX", 2)
    with pytest.raises(RecordTooLong, match="at most 2 are read"):
        arming_record(decisions, "assistant-8")
    with pytest.raises(NoSuchRecord, match="known are none"):
        arming_record([], "assistant-8")
