"""`rollback-budget explain`: any decision of a replay or of the ledger, in words, and computed again."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.cli import explain_chart, main, orders
from monitor.wire.cloudevent import from_structured
from tests.cli.ledger_world import LedgerWorld
from tests.golden.cases import CASES

BY_NAME = {case.name: case for case in CASES}
EVERY = ("breach.started", "rollback.requested", "page.opened", "evaldebt.created", "release.assessed")
Replayed = Callable[[str], Path]


@pytest.fixture(scope="module")
def replays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {"folder": tmp_path_factory.mktemp("replays")}


@pytest.fixture
def replayed(replays: dict[str, Path], capsysbinary: pytest.CaptureFixture[bytes]) -> Replayed:
    """Returns the file that `replay` of a golden case writes."""

    def write(name: str) -> Path:
        if name not in replays:
            assert main(BY_NAME[name].arguments()) == 0
            replays[name] = replays["folder"] / f"{name}.jsonl"
            replays[name].write_bytes(capsysbinary.readouterr().out)
        return replays[name]

    return write


def events_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def of_type(path: Path, kind: str) -> dict[str, Any]:
    return next(event for event in events_in(path) if f".{kind}." in event["type"])


def said(capsysbinary: pytest.CaptureFixture[bytes], *arguments: str, code: int = 0) -> str:
    assert main(["explain", *arguments]) == code
    return capsysbinary.readouterr().out.decode()


@pytest.mark.parametrize(
    "case", ["task_success", "latency_silence", "latency_hold", "incident_clean", "incident_normal"]
)
def test_every_decision_of_a_replay_can_be_computed_again(
    replayed: Replayed, capsysbinary: pytest.CaptureFixture[bytes], case: str
) -> None:
    path = replayed(case)
    for event in events_in(path):
        told = json.loads(said(capsysbinary, event["id"], "--events", str(path), "--output", "json"))
        assert told["agrees"], told["derived"]
        assert (told["id"], told["data"]) == (event["id"], event["data"])
        if from_structured(event).name in EVERY:
            assert all(one["missing"] is None for one in told["derived"])
            assert told["derived"]


def test_a_rollback_is_said_to_a_person(
    replayed: Replayed, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = replayed("task_success")
    event = of_type(path, "rollback.requested")
    text = said(capsysbinary, event["id"][:8], "--events", str(path))
    data, stretches = event["data"], event["data"]["evidence"]["stretches"]
    first, second, *lines = text.splitlines()
    assert first == f"rollback.requested of assistant-8, {event['time']}"
    assert second == data["summary"]
    labels = [line[:11].strip() for line in lines]
    wanted = [
        "what",
        "for whom",
        "since",
        "shown",
        "interval",
        "could show",
        "how sure",
        "window W",
        "newest",
    ]
    wanted += ["least bad", "left out J", "rest R", "noise", "spent", "budget", "look at", "next", "id"]
    assert [label for label in labels if label in wanted] == wanted
    x, star = stretches["strongest"]["x"], data["evidence"]["rule"]["x_star"]
    assert f"re-derived: fires, x = {x:.4g} >= x* = {star:.4g} (recorded {x:.4g})" in text
    assert f"arming {data['arming']}" in text
    assert ", ".join(data["exemplars"]) in text
    assert explain_chart.LEGEND in text
    assert "═" in text
    assert "▒" in text
    assert "afterwards" in text
    assert "release.assessed" in text


def test_a_page_says_until_when_and_what_silence_means(
    replayed: Replayed, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    for case, outcome in (("latency_silence", "rolls back"), ("latency_hold", "stays as it is")):
        path = replayed(case)
        page = next(event for event in events_in(path) if event["data"].get("deadline"))
        text = said(capsysbinary, page["id"], "--events", str(path))
        assert f"decide by {page['data']['deadline']}" in text
        assert f"in silence the release {outcome}" in text
        assert f"rollback-budget decide --page {page['data']['page_id']}" in text


def test_what_is_not_proven_yet_is_said_so(
    replayed: Replayed, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = replayed("task_success")
    text = said(capsysbinary, of_type(path, "breach.started")["id"], "--events", str(path))
    assert "not yet     the rule does not fire: not enough evidence" in text
    assert "re-derived: suspect (not enough evidence), x = " in text


def test_an_incident_is_said_with_what_chance_explains(
    replayed: Replayed, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    clean, normal = replayed("incident_clean"), replayed("incident_normal")
    text = said(capsysbinary, of_type(clean, "rollback.requested")["id"], "--events", str(clean))
    assert "the baseline has none: the first one is beyond the limit" in text
    text = said(capsysbinary, of_type(normal, "rollback.requested")["id"], "--events", str(normal))
    assert "the baseline's rate predicts mu = " in text
    assert "re-derived: rollback, mu = " in text


def tampered(
    path: Path, folder: Path, kind: str, change: Callable[[dict[str, Any]], None]
) -> tuple[str, str]:
    events = events_in(path)
    event = next(one for one in events if f".{kind}." in one["type"])
    change(event["data"])
    other = folder / "changed.jsonl"
    other.write_text("\n".join(json.dumps(one) for one in events))
    return event["id"], str(other)


def _more_hits(data: dict[str, Any]) -> None:
    data["evidence"]["stretches"]["window"]["sums"]["candidate"]["weighted_hits"] *= 1.1


def _other_delta(data: dict[str, Any]) -> None:
    data["observed"]["delta"] = -50.0


def _damaged(data: dict[str, Any]) -> None:
    del data["evidence"]["stretches"]["window"]["sums"]


def _other_verdict(data: dict[str, Any]) -> None:
    data["objectives"][0]["verdict"] = (
        "healthy" if data["objectives"][0]["verdict"] != "healthy" else "breach"
    )


@pytest.mark.parametrize(
    "kind, change, words",
    [
        ("rollback.requested", _more_hits, "DOES NOT AGREE: window: x: the record says "),
        (
            "rollback.requested",
            _other_delta,
            "DOES NOT AGREE: observed: delta: the record says -50, its sums say ",
        ),
        ("rollback.requested", _damaged, "DOES NOT AGREE: the evidence cannot be read: KeyError: 'sums'"),
        ("release.assessed", _other_verdict, "DOES NOT AGREE: verdict: the record says "),
    ],
)
def test_a_record_that_was_changed_fails_loudly(
    replayed: Replayed,
    tmp_path: Path,
    capsysbinary: pytest.CaptureFixture[bytes],
    kind: str,
    change: Callable[[dict[str, Any]], None],
    words: str,
) -> None:
    event_id, path = tampered(replayed("task_success"), tmp_path, kind, change)
    assert words in said(capsysbinary, event_id, "--events", path, code=1)
    told = json.loads(said(capsysbinary, event_id, "--events", path, "--output", "json", code=1))
    assert not told["agrees"]


def _no_float_holds(data: dict[str, Any]) -> None:
    data["evidence"]["points"]["candidate_requests"][0] = 10**400


def _no_float_answers(data: dict[str, Any]) -> None:
    data["evidence"]["answer"] = 10**400


def _text_for_a_number(data: dict[str, Any]) -> None:
    data["evidence"]["stretches"]["strongest"]["minutes"] = None
    data["evidence"]["rule"]["x_star"] = "\x1b[2J"


def _no_cut(data: dict[str, Any]) -> None:
    data["evidence"]["stretches"]["window"]["cut"] = ""


def _unknown_metric(data: dict[str, Any]) -> None:
    data["metric"] = "x\x1b[31m"


@pytest.mark.parametrize(
    "change",
    [_no_float_holds, _no_float_answers, _text_for_a_number, _no_cut, _unknown_metric],
)
def test_a_record_that_holds_what_nobody_wrote_is_said_to_disagree(
    replayed: Replayed,
    tmp_path: Path,
    capsysbinary: pytest.CaptureFixture[bytes],
    change: Callable[[dict[str, Any]], None],
) -> None:
    """Whatever stands there: no traceback, both forms end with 1, and nothing steers the terminal."""
    event_id, path = tampered(replayed("task_success"), tmp_path, "rollback.requested", change)
    text = said(capsysbinary, event_id, "--events", path, code=1)
    assert "DOES NOT AGREE" in text
    assert event_id in text
    assert "\x1b" not in text
    told = json.loads(said(capsysbinary, event_id, "--events", path, "--output", "json", code=1))
    assert not told["agrees"]


def test_a_decision_that_no_rule_was_judged_for_is_none_to_compute_again(
    replayed: Replayed, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = replayed("latency_silence")
    text = said(capsysbinary, of_type(path, "page.expired")["id"], "--events", str(path))
    assert "re-derived: nothing; this decision carries no evidence: no rule was judged for it" in text


def test_an_id_that_names_nothing_is_2(
    replayed: Replayed, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = str(replayed("task_success"))
    assert main(["explain", "0123456789", "--events", path]) == 2
    error = capsysbinary.readouterr().err.decode()
    assert error.startswith("rollback-budget: 0123456789: no decision of ")
    assert "(release.assessed)" in error
    assert "`rollback-budget status`" in error
    assert main(["explain", "01234", "--events", path]) == 2
    assert "give 8 or more" in capsysbinary.readouterr().err.decode()


def test_the_beginning_of_two_ids_is_2(
    replayed: Replayed, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    events = events_in(replayed("task_success"))[:2]
    for number, event in enumerate(events):
        event["id"] = "0" * 63 + str(number)
    path = tmp_path / "two.jsonl"
    path.write_text("\n".join(json.dumps(event) for event in events))
    assert main(["explain", "00000000", "--events", str(path)]) == 2
    assert "2 decisions begin so" in capsysbinary.readouterr().err.decode()


def test_lines_that_could_not_be_read_are_said_beside_an_id_that_is_not_found(
    replayed: Replayed, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "half.jsonl"
    path.write_bytes(replayed("task_success").read_bytes() + b"{half a line")
    assert main(["explain", "0123456789", "--events", str(path)]) == 2
    assert "1 lines could not be read as decisions" in capsysbinary.readouterr().err.decode()


def test_a_file_without_decisions_is_2(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text('{"event_id": "1"}\nno json\n')
    assert main(["explain", "01234567", "--events", str(path)]) == 2
    assert "none of its 2 lines is a decision" in capsysbinary.readouterr().err.decode()
    assert main(["explain", "01234567", "--events", str(tmp_path / "none.jsonl")]) == 2


def test_the_ledger_explains_as_a_file_does(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The ledger has each decision twice, before and after it was published: that is one."""
    world = LedgerWorld(BY_NAME["latency_hold"], until_min=45)
    monkeypatch.setattr(orders, "kafka_log", lambda _settings: world)
    page = next(page for page in world.evaluator.commander.pages.values() if page.is_open)
    text = said(capsysbinary, page.event_id[:10])
    assert text.startswith("page.opened of assistant-8, ")
    assert "re-derived: fires, x = " in text
    assert "DOES NOT AGREE" not in text
    assert main(["explain", "0123456789"]) == 2
    assert "no decision of the ledger has this id" in capsysbinary.readouterr().err.decode()


# The chart -------------------------------------------------------------------------------------------------------

RULE = {"limit": 50.0, "unit": "pct"}


def points(candidate: list[float | None], baseline: list[float | None], requests: int = 10) -> dict[str, Any]:
    counts = [requests] * len(candidate)
    return {
        "start": "2026-11-02T09:00:00.000Z",
        "step_min": 1,
        "candidate": candidate,
        "baseline": baseline,
        "candidate_requests": counts,
        "baseline_requests": counts,
    }


def test_a_chart_shows_both_arms_the_limit_and_where_w_and_j_lie() -> None:
    marks = {
        "window": {"start": "2026-11-02T09:02:00.000Z", "end": "2026-11-02T09:06:00.000Z"},
        "rest": {"cut": ["2026-11-02T09:03:00.000Z", "2026-11-02T09:05:00.000Z"]},
    }
    lines = explain_chart.chart(
        points([4.0, 4.0, 8.0, 8.0, 8.0, None], [4.0] * 6), RULE, marks, "{:g}".format
    )
    assert lines == [
        "           8 │  ●●●",
        "             │",
        "             │",
        "             │",
        "           6 │╌╌╌╌╌╌",
        "             │",
        "             │",
        "             │",
        "           4 │●●○○○○",
        "             └──═▒▒═",
        "              09:00 09:06",
        f"              {explain_chart.LEGEND}",
    ]


@pytest.mark.parametrize(
    "candidate, baseline, has_lines",
    [([None], [None], False), ([], [], False), ([0.0], [0.0], True), ([1.0] * 480, [1.0] * 480, True)],
)
def test_any_curve_can_be_drawn(
    candidate: list[float | None], baseline: list[float | None], has_lines: bool
) -> None:
    lines = explain_chart.chart(points(candidate, baseline), RULE, {}, "{:g}".format)
    assert bool(lines) is has_lines
    assert all(len(line) <= explain_chart.WIDTH + 14 for line in lines[:-1])


def test_joined_minutes_weigh_by_their_requests() -> None:
    both = points([1.0, 3.0, None, None], [2.0] * 4)
    both["candidate_requests"] = [30, 10, 0, 0]
    assert [one.candidate for one in explain_chart.columns(both, 2)] == [1.5, None]


def test_standard_input_is_read_too(
    replayed: Replayed, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = replayed("task_success")
    with path.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        text = said(capsysbinary, of_type(path, "rollback.requested")["id"], "--events", "-")
    assert "re-derived: fires" in text
