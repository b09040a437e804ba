"""`rollback-budget checklist`: one page before a release, for people, tickets and machines, and its exit code."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from monitor.cli import orders, sight
from monitor.cli.rehearse_stage import _decision, cast_of
from monitor.config.budget_file import load_budget
from monitor.config.settings import Settings
from monitor.core.checklist import ASKED
from monitor.core.checklist_seen import ItemId
from monitor.engine.drill import Rehearsal
from monitor.engine.errors import StoreUnreachable, TopicUnusable
from tests.cli.ledger_world import MINUTE_MS, LedgerWorld, arming_of
from tests.cli.verbs import give, sees, world_of
from tests.golden.cases import FOLDER
from tests.golden.traffic import START_MS

P = "ROLLBACK_BUDGET_"
MORE = """
traffic: {candidate_share_pct: 50}
flag: {actuator: flagd-file, key: chat, baseline_variation: v7, candidate_variation: v8}
escalation: [{after: 10m, on_call: lead}]
"""
FLAG = {"state": "ENABLED", "variants": {"v7": 1, "v8": 2}, "defaultVariant": "v8"}
TRAFFIC = ("--rate", "100/s", "--share", "50%")


class _Ready(BaseHTTPRequestHandler):
    """An Alertmanager that is ready."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def alertmanager() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Ready)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, alertmanager: str) -> None:
    """A budget with all that belongs to one, its flag, a pager that answers, and a dead-man's switch."""
    for name in [name for name in os.environ if name.startswith(P)]:
        monkeypatch.delenv(name)
    text = (FOLDER / "healthy" / "budget.yaml").read_text(encoding="utf-8")
    text = text.replace("  latency:\n    p95_delta_pct: +15\n", "  tools:\n    tool_success_delta_pct: -5\n")
    text = text.replace("task_success_delta_pct", "cohorts: [tenant]\n    task_success_delta_pct")
    (tmp_path / "b.yaml").write_text(text + MORE, encoding="utf-8")
    (tmp_path / "flags.json").write_text(json.dumps({"flags": {"chat": FLAG}}), encoding="utf-8")
    monkeypatch.setenv(f"{P}FLAGD_FILE", str(tmp_path / "flags.json"))
    monkeypatch.setenv(f"{P}ALERTMANAGER_URLS", alertmanager)
    monkeypatch.setenv(f"{P}WEBHOOK_ALLOW_PRIVATE", "true")
    monkeypatch.setenv(f"{P}WATCH_PING_URL", "https://ping.example/secret-check")
    monkeypatch.chdir(tmp_path)


def rehearsed(world: LedgerWorld, minute: int) -> None:
    """Put a drill on record that succeeded."""
    cast = cast_of(load_budget(Path("b.yaml").read_text(), "b.yaml"), key=None, is_real=False, author="dana")
    drill = Rehearsal(seconds={"decide": 1.0, "apply": 0.2, "total": 251.0})
    asyncio.run(world.record([_decision("run", cast, drill, START_MS + minute * MINUTE_MS)]))


def well(monkeypatch: pytest.MonkeyPatch) -> LedgerWorld:
    world = world_of(monkeypatch, "healthy", 5)
    rehearsed(world, 4)
    return world


def asked(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, Any]]:
    arguments = ("--budget", "b.yaml", "--output", "json", "--fail-on", "gap", *more)
    code, out, err = give(capsys, "checklist", *arguments)
    assert err == ""
    said: dict[str, Any] = json.loads(out)
    assert [one["id"] for one in said["items"]] == [one.value for one in ItemId]
    assert (code == 3) is (not said["ready"])
    return code, said


def odd(said: dict[str, Any]) -> dict[str, str]:
    return {one["id"]: one["state"] for one in said["items"] if one["state"] != "ready"}


def item(said: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (one for one in said["items"] if one["id"] == name)
    return dict(found)


def test_a_release_that_all_is_there_for_is_ready(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    well(monkeypatch)
    code, said = asked(capsys, *TRAFFIC)
    assert (code, odd(said), said["missing"]) == (0, {}, [])
    assert (said["release"], said["baseline"], said["budget"]) == ("assistant-8", "assistant-7", "b.yaml")
    seen = {one["id"]: one["seen"] for one in said["items"]}
    assert seen["rehearsed"] == (
        "last rehearsed today: rehearsed on flag chat-rehearsal: turned 1.2 s after the breach, "
        "proven and cleared in 251 s"
    )
    assert seen["pager_answers"].startswith("alertmanager: 127.0.0.1:") or "is ready" in seen["pager_answers"]
    assert seen["monitor_live"].startswith("sight LIVE")
    assert seen["breaker_closed"].startswith("breaker closed: 0 automatic rollbacks")
    assert seen["last_rollback_verified"] == "no rollback of this flag is on record"
    assert item(said, "rehearsed")["who"] == {"role": "on_call", "name": "assistant-oncall"}
    assert "secret-check" not in json.dumps(said)


def test_offline_asks_nobody_and_answers_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nobody(*_: object) -> None:
        raise AssertionError("somebody was asked")

    monkeypatch.setattr(orders, "kafka_log", nobody)
    monkeypatch.setattr(sight, "stored_horizons", nobody)
    monkeypatch.setattr("monitor.cli.checklist_facts.examine", nobody)
    code, said = asked(capsys, *TRAFFIC, "--offline")
    assert code == 3
    away = ["flag_answers", "rehearsed", "last_rollback_verified", "pager_answers", "eval_debt_paid"]
    assert odd(said) == dict.fromkeys([*away, "monitor_live", "breaker_closed"], "unknown")
    assert {item(said, one)["mend"] for one in away} == {"rollback-budget checklist --budget b.yaml"}
    assert give(capsys, "checklist", "--budget", "b.yaml", "--offline")[0] == 0
    monkeypatch.delenv(f"{P}ALERTMANAGER_URLS")
    assert item(asked(capsys, "--offline")[1], "pager_answers")["state"] == "gap", "the settings show that"


def test_where_kafka_is_away_the_rest_is_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"{P}KAFKA_BOOTSTRAP", "127.0.0.1:1")  # nobody is there
    code, said = asked(capsys, *TRAFFIC)
    gone = ["rehearsed", "last_rollback_verified", "eval_debt_paid", "monitor_live", "breaker_closed"]
    assert (code, odd(said)) == (3, dict.fromkeys(gone, "unknown"))
    assert {item(said, one)["seen"] for one in gone} == {"Kafka does not answer (127.0.0.1:1)"}


def test_a_ledger_that_cannot_be_used_is_told_as_it_says_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_: Settings) -> None:
        raise TopicUnusable("rollback.ledger.v1: this user may not read it")

    monkeypatch.setattr(orders, "kafka_log", refused)
    found = item(asked(capsys, *TRAFFIC)[1], "rehearsed")
    assert (found["state"], found["seen"]) == ("unknown", "rollback.ledger.v1: this user may not read it")


def test_where_redis_is_away_only_the_sight_is_unknown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    well(monkeypatch)

    async def away(_: Settings) -> sight.Horizons:
        raise StoreUnreachable("Redis does not answer")

    monkeypatch.setattr(sight, "stored_horizons", away)
    code, said = asked(capsys, *TRAFFIC)
    assert (code, odd(said)) == (3, {"monitor_live": "unknown"})
    assert item(said, "monitor_live")["seen"] == "Redis does not answer"


def test_a_monitor_that_lags_is_a_gap(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    well(monkeypatch)
    sees(monkeypatch, START_MS + 4 * MINUTE_MS)
    _, said = asked(capsys, *TRAFFIC)
    assert odd(said) == {"monitor_live": "gap"}
    assert item(said, "monitor_live")["seen"].startswith("sight BLIND")


def test_a_flag_that_is_not_there_and_a_pager_that_is_down_are_gaps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    well(monkeypatch)
    monkeypatch.setenv(f"{P}ALERTMANAGER_URLS", "http://127.0.0.1:1")
    Path("flags.json").write_text('{"flags": {}}', encoding="utf-8")
    _, said = asked(capsys, *TRAFFIC)
    assert odd(said) == {"flag_answers": "gap", "pager_answers": "gap"}
    assert "chat" in item(said, "flag_answers")["seen"]
    monkeypatch.setenv(f"{P}APPRISE_URLS", "json://127.0.0.1:1")
    assert item(asked(capsys)[1], "pager_answers")["state"] == "unknown", "nobody asks Apprise's services"


def test_a_drill_that_is_too_old_counts_no_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = world_of(monkeypatch, "healthy", 5)
    rehearsed(world, -91 * 24 * 60)
    _, said = asked(capsys, *TRAFFIC)
    assert odd(said) == {"rehearsed": "gap"}
    assert "too old" in item(said, "rehearsed")["seen"]
    assert item(said, "rehearsed")["mend"] == "rollback-budget rehearse --budget b.yaml"


def test_a_case_that_is_owed_from_before_is_a_gap_and_one_of_this_arming_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = world_of(monkeypatch, "latency_hold", 45)
    rehearsed(world, 40)
    assert odd(asked(capsys, *TRAFFIC)[1]) == {}
    asyncio.run(world.record([arming_of(world.budget, 2, START_MS + 45 * MINUTE_MS)]))
    _, said = asked(capsys, *TRAFFIC)
    assert odd(said) == {"eval_debt_paid": "gap"}
    assert "latency.p95_delta_pct" in item(said, "eval_debt_paid")["seen"]


def test_a_tripped_breaker_is_a_gap(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = world_of(monkeypatch, "task_success", 60)
    rehearsed(world, 40)
    monkeypatch.setenv(f"{P}BREAKER_MAX_ROLLBACKS", "1")
    _, said = asked(capsys, *TRAFFIC)
    assert odd(said)["breaker_closed"] == "gap"
    assert "close-breaker" in item(said, "breaker_closed")["mend"]


def test_the_traffic_may_come_from_a_recording_and_the_budget(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = str(FOLDER / "healthy" / "events.jsonl.gz")
    found = item(asked(capsys, "--offline", "--history", recording)[1], "limits_decidable")
    assert "requests/s, 50 % of them the candidate's" in found["seen"]
    assert found["state"] in ("ready", "gap")
    for arguments in ((), ("--share", "5%")):
        found = item(asked(capsys, "--offline", *arguments)[1], "limits_decidable")
        assert (found["state"], found["seen"]) == ("unknown", "no traffic was given")
    Path("b.yaml").write_text(Path("b.yaml").read_text().replace("traffic:", "# traffic:"), encoding="utf-8")
    found = item(asked(capsys, "--offline", "--rate", "10/s")[1], "limits_decidable")
    assert (found["state"], found["mend"]) == ("unknown", "--share S")


def test_the_pace_of_a_recording_is_that_of_all_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    """Two requests in its first minute and one in its fourth: three in 240 s."""
    events = [
        {"event_id": f"e{number}", "at": START_MS + minute * MINUTE_MS, "release": "assistant-7"}
        for number, minute in enumerate((0, 0, 3))
    ]
    Path("r.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in events), encoding="utf-8")
    found = item(asked(capsys, "--offline", "--history", "r.jsonl")[1], "limits_decidable")
    assert found["seen"].startswith("at 0.0125 requests/s, 50 %"), found


def test_a_budget_with_errors_is_a_gap_with_its_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    well(monkeypatch)
    Path("b.yaml").write_text("release: a\nbaseline: a\nwindow: 24h\n", encoding="utf-8")
    code, said = asked(capsys, *TRAFFIC)
    assert (code, said["release"], item(said, "budget_loads")["state"]) == (3, None, "gap")
    assert "b.yaml:2: baseline:" in item(said, "budget_loads")["seen"]
    assert item(said, "monitor_live")["state"] == "ready"
    assert item(said, "flag_named")["seen"] == "the budget has errors"
    code, out, err = give(capsys, "checklist", "--budget", "b.yaml", "--offline")
    assert (code, err) == (0, "")
    assert out.startswith("b.yaml: not ready: of 17 required items 0 are ready")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--budget", "missing.yaml"), "no such file"),
        (("--budget", "*.none"), "no such file"),
        (("--budget", "empty"), "the directory holds no budget file"),
        (("--budget", ""), "an empty name"),
        (("--budget", "."), "holds 2 budgets"),
        (("--budget", "b.yaml", "--rate", "fast"), '--rate: "fast" is no rate'),
        (("--budget", "b.yaml", "--rate", "10/s", "--share", "100%"), "--share"),
        (("--budget", "b.yaml", "--rate", "10/s", "--assume", "nonsense=1"), "--assume"),
        (("--budget", "b.yaml", "--history", "other.jsonl"), "other.jsonl"),
        (("--budget", "b.yaml", "--output", "html"), "--output"),
    ],
)
def test_wrong_use_is_told_from_an_answer(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("b.yaml").read_text().replace("assistant-8", "assistant-9")
    Path("empty").mkdir()
    if arguments[1] == ".":
        Path("c.yaml").write_text(text, encoding="utf-8")
        Path("flags.json").unlink()
    code, out, err = give(capsys, "checklist", *arguments, "--offline")
    assert (code, out) == (2, "")
    assert says in err


def test_a_recording_that_is_not_there_is_wrong_use_whatever_else_was_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("b.yaml").write_text(Path("b.yaml").read_text().replace("traffic: {", "#"), encoding="utf-8")
    code, out, err = give(capsys, "checklist", "--budget", "b.yaml", "--history", "none.jsonl", "--offline")
    assert (code, out, "none.jsonl: cannot be read" in err) == (2, "", True)


def test_a_pattern_of_one_budget_is_that_budget(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = give(capsys, "checklist", "--budget", "?.yaml", "--offline", "--output", "json")
    assert (code, json.loads(out)["release"]) == (0, "assistant-8")


def test_the_page_for_a_ticket_has_every_item_once_with_its_owner(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    well(monkeypatch)
    code, out, err = give(capsys, "checklist", "--budget", "b.yaml", *TRAFFIC, "--output", "markdown")
    assert (code, err) == (0, "")
    assert out.startswith(
        "## Before the release: assistant-8 against assistant-7\n\n**ready: all 17 required"
    )
    rows = [line for line in out.splitlines() if line.startswith("| ready")]
    assert len(rows) == len(ASKED)
    for asked_for, row in zip(ASKED.values(), rows, strict=True):
        assert asked_for.question in row
        assert "assistant-" in row or "operators" in row


def test_the_text_names_state_question_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    well(monkeypatch)
    Path("b.yaml").write_text(Path("b.yaml").read_text().replace("escalation: [", "# ["), encoding="utf-8")
    code, out, err = give(capsys, "checklist", "--budget", "b.yaml", *TRAFFIC, "--fail-on", "gap")
    assert (code, err) == (0, ""), "an escalation is recommended only"
    assert "  gap      Is somebody else told when nobody acknowledges a page? (recommended) none" in out
    assert "           → assistant-oncall (on_call): escalation: [{after: 10m, on_call: WHO}]" in out
