"""The noun `debt`, and what `validate` and `status` say of owed cases: over a ledger, and over a file."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from monitor.adapters.kafka.topics import EVAL_DEBT
from monitor.cli import orders
from monitor.core.eval_debt import DUE_MS
from monitor.engine.standing import standings
from tests.cli.ledger_world import LedgerWorld
from tests.cli.verbs import P, at_ledger, give, now_is
from tests.golden.cases import CASES
from tests.golden.traffic import START_MS

CASE = next(case for case in CASES if case.name == "latency_hold")
OPENED = START_MS + 40 * 60_000
DEBT = "1ee2dd18d640"
LINE = f"{DEBT}  assistant-8: latency.p95_delta_pct; due 2026-11-09T09:40:00.000Z"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> LedgerWorld:
    """A release that owes a case for its latency, five minutes after it broke."""
    now_is(monkeypatch, START_MS + 45 * 60_000)
    return at_ledger(monkeypatch, LedgerWorld(CASE, until_min=45))


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    code, out, _ = give(capsys, "debt", "list", *arguments, "--output", "json")
    assert code == 0
    return list(json.loads(out))


def test_the_owed_cases_are_listed_with_owner_and_due_date(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert give(capsys, "debt", "list") == (0, f"{LINE}; owner: assistant-team\n", "")
    assert give(capsys, "debt", "list", "assistant-8")[1].startswith(LINE)
    assert give(capsys, "debt", "list", "assistant-7")[1] == "no evaluation case is owed\n"
    assert give(capsys, "debt", "list", "--overdue")[1] == "no evaluation case is owed\n"


def test_a_debt_beyond_its_due_date_is_marked_overdue(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_is(monkeypatch, OPENED + DUE_MS + 60_000)
    assert give(capsys, "debt", "list", "--overdue")[1] == f"{LINE}, OVERDUE; owner: assistant-team\n"
    (record,) = listed(capsys, "--overdue")
    assert (record["status"], record["owner"]) == ("overdue", "assistant-team")
    entries = orders.entries_of(world.ledger_records())
    due_ms = OPENED + DUE_MS
    stands = [standings(entries, now_ms)[0].eval_debt_overdue for now_ms in (due_ms, due_ms + 1)]
    assert stands == [0, 1]


def test_a_debt_is_shown_with_its_traces_and_the_command_that_closes_it(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = give(capsys, "debt", "show", DEBT)
    assert code == 0
    assert "expect: it is answered within 2,767 ms (check: latency_ms)" in out
    assert "traces: trace-8-035-003, " in out
    assert f"\n  rollback-budget debt close {DEBT} --evaluation WHERE --reason '...'\n" in out


def test_a_debt_is_closed_once_with_author_and_reason(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    close = ("debt", "close", DEBT, "--evaluation", "evals/slow.yaml", "--reason", "labelled")
    code, out, err = give(capsys, *close)
    assert (code, err) == (0, "")
    assert out == (
        "accepted\n  evaldebt.closed: dana closed the eval debt for latency.p95_delta_pct of assistant-8: "
        "evals/slow.yaml\n"
    )
    assert listed(capsys) == []
    (record,) = listed(capsys, "--all")
    assert record["status"] == "closed"
    assert record["closed"]["author"] == "dana"
    assert record["closed"]["evaluation"] == "evals/slow.yaml"
    code, out, _ = give(capsys, *close)
    assert (code, out.startswith("closed already, by dana at ")) == (0, True)
    assert sum(len(records) for records in world.records(EVAL_DEBT)) == 1


@pytest.mark.parametrize(
    ("debt_id", "said"),
    [
        ("1ee2", "give 8 digits or more"),
        ("ffffffffffff", f"no eval debt has this id; open are {DEBT}"),
    ],
)
def test_an_id_that_names_no_debt_is_wrong_use(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str], debt_id: str, said: str
) -> None:
    code, out, err = give(capsys, "debt", "close", debt_id, "--reason", "x")
    assert (code, out) == (2, "")
    assert said in err
    assert world.commands == []


@pytest.mark.parametrize(
    ("form", "begins"),
    [
        ("promptfoo", f"- description: '{DEBT}-1: latency.p95_delta_pct broke in assistant-8 (1 of 5)'\n"),
        ("inspect", f'{{"id":"{DEBT}-1","input":"put the input of trace trace-8-035-003 here"'),
        ("jsonl", '{"arming":1,"baseline":"assistant-7"'),
    ],
)
def test_cases_are_exported_the_same_each_time(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str], form: str, begins: str
) -> None:
    code, out, err = give(capsys, "debt", "export", "--format", form)
    assert (code, err) == (0, "")
    assert out.startswith(begins)
    assert give(capsys, "debt", "export", "--format", form)[1] == out


def test_a_file_stands_for_the_ledger(
    world: LedgerWorld,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both what `debt export` wrote and what `replay` wrote."""
    exported = tmp_path / "debts.jsonl"
    exported.write_text(give(capsys, "debt", "export", "--format", "jsonl")[1], encoding="utf-8")
    monkeypatch.delattr(orders, "kafka_log")
    wanted = listed(capsys, "--debts", str(exported))
    assert [one["debt_id"][:12] for one in wanted] == [DEBT]
    replayed = Path(CASE.budget).parent / "decisions.jsonl"
    assert listed(capsys, "--debts", str(replayed)) == wanted


def test_a_file_of_debts_may_be_packed_empty_or_standard_input(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every other recording; an empty one is what `debt export` writes where nothing is owed."""
    replayed = Path(CASE.budget).parent / "decisions.jsonl"
    wanted = listed(capsys, "--debts", str(replayed))
    packed = tmp_path / "debts.jsonl.gz"
    packed.write_bytes(gzip.compress(replayed.read_bytes()))
    assert listed(capsys, "--debts", str(packed)) == wanted
    with replayed.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        assert listed(capsys, "--debts", "-") == wanted
    (tmp_path / "none.jsonl").touch()
    assert listed(capsys, "--debts", str(tmp_path / "none.jsonl")) == []


def _created(**changes: object) -> str:
    replayed = Path(CASE.budget).parent / "decisions.jsonl"
    event = next(json.loads(line) for line in replayed.open() if "evaldebt.created" in line)
    event["data"].update(changes)
    return json.dumps(event)


@pytest.mark.parametrize(
    "text",
    [
        _created(due_at="soon"),
        _created(debt_id="\ud800 half"),
        _created(case={"check": "no such check"}),
        _created(case={"check": "judged"}),
        json.dumps({"debt_id": "1ee2dd18d640", "due_at": 7, "release": 1, "baseline": 2}),
        json.dumps({**json.loads(_created())["data"], "closed": 5}),
        "[1]",
        "\x00\x01\x02",
        "[" * 100_000,
    ],
)
def test_a_line_that_no_verb_could_say_is_named_and_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    """Left out, what it was about would be missing without a word."""
    bad = tmp_path / "bad.jsonl"
    bad.write_text(f"{_created()}\n{text}\n")
    code, out, err = give(capsys, "debt", "list", "--debts", str(bad))
    assert (code, out) == (2, "")
    assert "line 2 is neither" in err


def test_a_file_of_debts_that_cannot_be_read_is_said_as_of_any_other_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = give(capsys, "debt", "list", "--debts", str(tmp_path))
    assert (code, "is a directory" in err, "Errno" in err) == (2, True, False)
    code, _, err = give(capsys, "debt", "list", "--debts", str(tmp_path / "none.jsonl"))
    assert (code, "No such file or directory" in err, "Errno" in err) == (2, True, False)


def test_a_debt_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "debts.jsonl"
    file.write_text(_created(owner="\x1b[2Jnobody\x9b31m", objective="a\nb"))
    code, out, _ = give(capsys, "debt", "list", "--debts", str(file))
    assert (code, "nobody" in out, "\x1b" in out, "\x9b" in out) == (0, True, False, False)


@pytest.mark.parametrize(
    ("text", "said"), [("nonsense", "give a file of JSON lines"), ('{"a": 1}', "line 1 is neither")]
)
def test_a_file_that_holds_no_debts_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, said: str
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(text, encoding="utf-8")
    code, _, err = give(capsys, "debt", "list", "--debts", str(bad))
    assert code == 2
    assert said in err


# validate --------------------------------------------------------------------------------------------------------


def successor(folder: Path) -> str:
    """The next release, tried against the same baseline."""
    text = CASE.budget.read_text(encoding="utf-8").replace("assistant-8", "assistant-9")
    (folder / "next.yaml").write_text(text, encoding="utf-8")
    return str(folder / "next.yaml")


def test_a_release_whose_predecessor_owes_a_case_is_told_so(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = successor(tmp_path)
    assert "eval debt" not in give(capsys, "validate", file)[1]  # no ledger is named: nobody is asked
    monkeypatch.setenv(f"{P}KAFKA_BOOTSTRAP", "127.0.0.1:9092")
    code, out, err = give(capsys, "validate", file)
    assert (code, err) == (0, "")
    assert "  eval debt: 1 evaluation case is still owed from before this release\n" in out
    assert f"  - {LINE}; owner: assistant-team\n" in out
    (report,) = json.loads(give(capsys, "validate", file, "--output", "json")[1])["files"]
    assert [one["status"] for one in report["eval_debt"]] == ["open"]
    give(capsys, "debt", "close", DEBT, "--reason", "labelled")
    assert "eval debt" not in give(capsys, "validate", file)[1]


def test_validate_reads_a_file_of_debts_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_is(monkeypatch, OPENED + DUE_MS + 60_000)
    replayed = Path(CASE.budget).parent / "decisions.jsonl"
    code, out, _ = give(capsys, "validate", successor(tmp_path), "--debts", str(replayed))
    assert code == 0
    assert "1 evaluation case is still owed from before this release, 1 overdue" in out


def test_a_ledger_that_is_away_is_said_and_fails_no_check(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_settings: object) -> object:
        raise orders.KafkaAway("Kafka does not answer")

    monkeypatch.setenv(f"{P}KAFKA_BOOTSTRAP", "127.0.0.1:9092")
    monkeypatch.setattr(orders, "kafka_log", away)
    code, out, err = give(capsys, "validate", successor(tmp_path))
    assert code == 0
    assert ": valid" in out
    assert err == "eval debt was not looked up: Kafka does not answer\n"
    (report,) = json.loads(give(capsys, "validate", successor(tmp_path), "--output", "json")[1])["files"]
    assert report["eval_debt"] is None
