"""`rollback-budget evidence`: a pack of what is on record, the same bytes each time, and the check of a pack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monitor.adapters.evidence_zip import read_pack, write_pack
from monitor.core.decision import Decision, Type
from monitor.core.evidence_pack import DECISIONS, MANIFEST, PREVIOUS, digest_of
from monitor.core.moment import rfc3339
from monitor.wire.cloudevent import of_decision, to_line
from tests.cli.ledger_world import MINUTE_MS, LedgerWorld
from tests.cli.verbs import at_ledger, give, now_is
from tests.golden.cases import CASES
from tests.golden.traffic import START_MS

CASE = next(case for case in CASES if case.name == "latency_silence")
NAMES = {
    "budgets.json",
    "decisions.jsonl",
    "eval_debts.jsonl",
    "explanations.md",
    "manifest.json",
    "scorecard.json",
    "scorecard.md",
}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "pack.zip"


def packed(capsys: pytest.CaptureFixture[str], out: Path, *more: str, code: int = 0) -> dict[str, Any]:
    found, said, err = give(capsys, "evidence", "assistant-8", "--out", str(out), "--output", "json", *more)
    assert (found, err) == (code, "")
    told: dict[str, Any] = json.loads(said)
    return told


def test_a_pack_holds_the_record_and_says_what_it_lacks(
    capsys: pytest.CaptureFixture[str], out: Path
) -> None:
    told = packed(capsys, out, "--events", str(CASE.decisions))
    files = read_pack(out)
    assert set(files) == NAMES
    assert (told["result"], told["decisions"], told["explained"], told["disagreeing"]) == (
        "rolled_back",
        8,
        6,
        [],
    )
    assert told["manifest_sha256"] == digest_of(files[MANIFEST])
    events = [json.loads(line) for line in files[DECISIONS].splitlines()]
    on_file = {event["id"]: event for event in map(json.loads, CASE.decisions.read_text().splitlines())}
    assert {event["id"] for event in events} == set(on_file)
    for event in events:
        assert {name: one for name, one in event.items() if name != PREVIOUS} == on_file[event["id"]]
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    (problem,) = told["problems"]
    assert problem.endswith("is not on record; --budget FILE adds it")
    assert json.loads(files[MANIFEST])["problems"] == [problem]
    page = files["explanations.md"].decode()
    assert "computed again, every verdict follows from its record." in page
    assert page.count("It follows from its record.") == 6


def test_the_same_record_is_the_same_file_whenever_it_is_packed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    packed(capsys, one, "--events", str(CASE.decisions))
    now_is(monkeypatch, START_MS + 9_000 * MINUTE_MS)
    packed(capsys, two, "--events", str(CASE.decisions))
    assert one.read_bytes() == two.read_bytes()


def test_the_ledger_s_order_and_its_repeats_mean_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A compacted topic hands its records over in any order, each perhaps several times; the budget is among them."""
    now_is(monkeypatch, START_MS + 60 * MINUTE_MS)
    world = at_ledger(monkeypatch, LedgerWorld(CASE, until_min=60))
    before = world.ledger_records()
    told = packed(capsys, tmp_path / "one.zip")
    assert (told["problems"], told["disagreeing"], world.ledger_records()) == ([], [], before)
    (budget,) = json.loads(read_pack(tmp_path / "one.zip")["budgets.json"])
    assert (budget["from"], budget["digest"], budget["computed_again"]) == (
        "record",
        *[world.budget.digest] * 2,
    )
    for records in (before[::-1], [*before, *before]):
        monkeypatch.setattr(
            "monitor.cli.on_record.read_ledger_records", lambda _log, held=records: held_back(held)
        )
        packed(capsys, tmp_path / "two.zip", "--force")
        assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


async def held_back(records: Any) -> Any:
    return records


def drill_of(release: str, minute: int, **more: Any) -> Decision:
    at_ms = START_MS + minute * MINUTE_MS
    told = {"budget": "assistant-8", "succeeded": True, "author": "dana", "summary": f"drill of {release}"}
    data = {**told, "decided_at": rfc3339(at_ms), "expires_at": rfc3339(at_ms + 90 * 86_400_000), **more}
    return Decision(Type.ROLLBACK_REHEARSED, digest_of(f"{release} {minute}".encode()), release, at_ms, data)


def test_the_rehearsal_that_the_scorecard_names_is_packed_with_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, out: Path
) -> None:
    drills = [
        drill_of("assistant-7", -60),  # under the same budget's name
        drill_of("assistant-8", 300, succeeded=False),  # newer than all that was decided
        drill_of("other-2", 300, budget="other"),
    ]
    lines = [to_line(of_decision(one)) for one in drills]
    for count, summary in ((1, "drill of assistant-7"), (3, "drill of assistant-8")):
        events = tmp_path / "with-drills.jsonl"
        events.write_bytes(b"".join(line + b"\n" for line in lines[:count]) + CASE.decisions.read_bytes())
        told = packed(capsys, out, "--events", str(events), "--force")
        files = read_pack(out)
        rehearsed = json.loads(files["scorecard.json"])["rehearsed"]
        assert (told["decisions"], rehearsed["summary"], rehearsed["counts"]) == (9, summary, count == 1)
        assert files[DECISIONS].decode().count("rollback.rehearsed.v1") == 1


def test_more_than_can_be_explained_is_counted_and_said(
    capsys: pytest.CaptureFixture[str], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.cli.evidence_files.EXPLAINED_MAX", 2)
    told = packed(capsys, out, "--events", str(CASE.decisions), "--budget", str(CASE.budget))
    assert (told["explained"], told["problems"]) == (
        2,
        ["4 older decisions with evidence are not explained here"],
    )
    assert "4 older decisions" in read_pack(out)["explanations.md"].decode()


def test_a_pack_is_a_record_itself(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Its decisions stay events: every verb reads them, and packed again they are the same lines."""
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    packed(capsys, one, "--events", str(CASE.decisions))
    lines = tmp_path / "decisions.jsonl"
    lines.write_bytes(read_pack(one)[DECISIONS])
    packed(capsys, two, "--events", str(lines))
    assert one.read_bytes() == two.read_bytes()
    _, said, _ = give(capsys, "scorecard", "assistant-8", "--events", str(lines), "--output", "json")
    assert json.loads(said) == json.loads(read_pack(one)["scorecard.json"])


def test_a_budget_that_the_record_lacks_is_added_where_its_digest_is_the_armed_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, out: Path
) -> None:
    told = packed(capsys, out, "--events", str(CASE.decisions), "--budget", str(CASE.budget))
    files = read_pack(out)
    (budget,) = json.loads(files["budgets.json"])
    assert (told["problems"], budget["from"], budget["computed_again"]) == ([], "file", budget["digest"])
    assert json.loads(files["scorecard.json"])["identity"]["owner"] == "assistant-team"
    other = tmp_path / "other.yaml"
    other.write_text(CASE.budget.read_text().replace("15", "16", 1))
    more = ("--events", str(CASE.decisions), "--budget", str(other), "--force")
    code, said, err = give(capsys, "evidence", "assistant-8", "--out", str(out), *more)
    assert (code, said) == (2, "")
    assert f"are {budget['digest']}: give the file as it was armed" in err


def test_a_verdict_that_does_not_follow_from_its_record_is_packed_and_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, out: Path
) -> None:
    altered = tmp_path / "altered.jsonl"
    events = [json.loads(line) for line in CASE.decisions.read_text().splitlines()]
    wrong = next(one for one in events if "rollback.requested" in one["type"])
    wrong["data"]["evidence"]["stretches"]["strongest"]["x"] += 1
    altered.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    told = packed(capsys, out, "--events", str(altered), code=1)
    assert told["disagreeing"] == [wrong["id"]]
    assert "**IT DOES NOT FOLLOW FROM ITS RECORD.**" in read_pack(out)["explanations.md"].decode()
    _, said, _ = give(
        capsys, "evidence", "assistant-8", "--out", str(out), "--events", str(altered), "--force"
    )
    assert f"1 of 6 decisions DO NOT FOLLOW from their record: {wrong['id'][:12]}" in said


def test_evidence_that_is_rubbish_is_packed_and_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, out: Path
) -> None:
    damaged = tmp_path / "damaged.jsonl"
    events = [json.loads(line) for line in CASE.decisions.read_text().splitlines()]
    kinds: tuple[Any, ...] = ([], "x", {"kind": "rule"}, {"rule": 1}, 7, None)
    for event, rubbish in zip(events, kinds, strict=False):
        event["data"].update(evidence=rubbish, observed="?", metric=["~~~"], summary="~~~~~\x1b[31m\n# x")
    events[6] = json.loads(CASE.decisions.read_text().splitlines()[1])
    events[6]["data"]["evidence"]["points"]["candidate_requests"][0] = 10**400  # no float holds it
    damaged.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    told = packed(capsys, out, "--events", str(damaged), code=1)
    assert events[6]["id"] in told["disagreeing"]
    page = read_pack(out)["explanations.md"].decode()
    assert "\x1b" not in page
    assert give(capsys, "evidence", "--verify", str(out))[0] == 0


def test_a_pack_is_checked_and_the_first_difference_is_said(
    capsys: pytest.CaptureFixture[str], out: Path
) -> None:
    told = packed(capsys, out, "--events", str(CASE.decisions))
    code, said, _ = give(capsys, "evidence", "--verify", str(out))
    assert (code, told["manifest_sha256"] in said) == (0, True)
    assert give(capsys, "evidence", "--verify", str(out), "--sha256", told["manifest_sha256"])[0] == 0
    code, said, _ = give(capsys, "evidence", "--verify", str(out), "--sha256", "0" * 64)
    assert (code, "manifest.json: its SHA-256 is" in said) == (1, True)
    files = read_pack(out)
    lines = files[DECISIONS].splitlines(keepends=True)
    write_pack(out, {**files, DECISIONS: b"".join(lines[:3] + lines[4:])}, force=True)
    code, said, _ = give(capsys, "evidence", "--verify", str(out), "--output", "json")
    assert (code, json.loads(said)["holds"]) == (1, False)
    assert json.loads(said)["difference"].startswith("decisions.jsonl: line 4 names ")
    out.write_bytes(b"rubbish")
    code, _, err = give(capsys, "evidence", "--verify", str(out))
    assert (code, "is no whole zip file" in err) == (1, True)
    for missing in (out.with_name("none.zip"), out.parent):
        code, _, err = give(capsys, "evidence", "--verify", str(missing))
        assert (code, "cannot be read" in err) == (2, True)


def test_a_file_that_is_there_is_not_written_over(capsys: pytest.CaptureFixture[str], out: Path) -> None:
    out.write_bytes(b"precious")
    code, said, err = give(
        capsys, "evidence", "assistant-8", "--out", str(out), "--events", str(CASE.decisions)
    )
    assert (code, said, out.read_bytes()) == (2, "", b"precious")
    assert "is there already; name another file, or write over it with --force" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name the release and --out FILE.zip"),
        (("model-v42",), "name the release and --out FILE.zip"),
        (("model-v42", "--verify", "a.zip"), "goes with --sha256 and --output alone"),
        (("--verify", "a.zip", "--force"), "goes with --sha256 and --output alone"),
        (("model-v42", "--out", "never.zip", "--sha256", "00"), "--sha256 goes with --verify"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_use(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = give(capsys, "evidence", *arguments)
    assert (code, out) == (2, "")
    assert said in err
