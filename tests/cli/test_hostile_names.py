"""What anybody may write into an event is text to people: no terminal obeys it, and no line of ours is forged."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from monitor.cli import main
from monitor.cli.output import console, print_json
from monitor.engine.page_commands import UNSEEN
from tests.golden.traffic import START_MS

FORGED = "model-v42: healthy"
EVIL = f"\x1b[2J\x1b]0;x\x07\n{FORGED}\r\x9b31m\u202e"  # clears, names the window, adds a line, colours, turns round
BUDGET = """\
release: model-v42
baseline: model-v41
window: 24h
owner: dana
on_call: dana
rollback_budget:
  quality: {task_success_delta_pct: -2.0, max_duration_min: 20, cohorts: [tenant]}
decision: {tier_a_breach: auto_rollback, tier_b_breach: incident_commander_decision_within_15m}
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a budget and the traffic of a tenant who names himself and his traces so, and is harmed."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "budget.yaml").write_text(BUDGET)
    with (folder / "events.jsonl").open("w") as out:
        for number in range(40 * 60):
            minute, place = divmod(number, 60)
            release = "model-v42" if place % 2 else "model-v41"
            is_bad = release == "model-v42" and minute > 5 and place % 3
            event = {
                "event_id": f"e{number}",
                "at": START_MS + minute * 60_000 + place * 1_000,
                "release": release,
                "cohort": {"tenant": EVIL if place % 4 < 2 else "acme"},
                "task_success": not is_bad,
                "trace_id": f"{EVIL}{number}",
                "failure_class": EVIL,
            }
            out.write(f"{json.dumps(event)}\n")
    return folder


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def assert_harmless(text: str) -> None:
    lines = text.split("\n")
    assert not [line for line in lines if UNSEEN.search(line)]
    assert not [line for line in lines if line.strip().startswith(FORGED)]


def test_no_verb_lets_an_event_drive_the_terminal(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budget, events, decisions = recording / "budget.yaml", recording / "events.jsonl", tmp_path / "d.jsonl"
    assert main(["replay", "--budget", str(budget), "--events", str(events)]) == 0
    out, err = capsys.readouterr()
    assert FORGED in err, "the tenant is named, in his own line"
    assert_harmless(err)
    decisions.write_text(out)
    found = [json.loads(line) for line in out.splitlines()]
    assert any(EVIL in str(one["data"].get("objectives")) or one["data"].get("exemplars") for one in found)
    verbs = [["explain", one["id"], "--events", str(decisions)] for one in found]
    verbs += [[*verb, "--output", "json"] for verb in verbs]
    verbs += [["backtest", "--budgets", str(budget), "--events", str(events)]]
    verbs += [["scorecard", "model-v42", "--events", str(decisions)]]
    for verb in verbs:
        main(verb)
        said, complained = capsys.readouterr()
        assert said, verb
        assert_harmless(said)
        assert_harmless(complained)


def test_an_error_that_quotes_its_input_is_harmless_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none.jsonl").touch()
    assert main(["explain", f"{EVIL}ffffffff", "--events", str(tmp_path / "none.jsonl")]) != 0
    assert not UNSEEN.search(capsys.readouterr().err.replace("\n", ""))


def test_on_a_terminal_our_own_colours_are_all_that_it_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr("sys.stdout", terminal := _Terminal())
    console().print(f"a{EVIL}b", style="bold")
    assert re.findall(r"\x1b\[[^a-zA-Z]*.|\x1b[^\[]|[\x80-\x9f]|\u202e", terminal.getvalue()) == [
        "\x1b[1m",
        "\x1b[0m",
        "\x1b[1m",
        "\x1b[0m",
    ]


def test_json_of_hostile_names_says_the_same_values(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"tenant": EVIL, "plain": "süß"})
    said = capsys.readouterr().out
    assert json.loads(said) == {"tenant": EVIL, "plain": "süß"}
    assert "süß" in said
    assert not UNSEEN.search(said.replace("\n", ""))
