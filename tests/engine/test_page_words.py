"""What a page says, and that its commands are the ones the command line takes."""

from __future__ import annotations

import shlex
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.engine.act_events import applied_after_all, informed, not_applied, notice_of
from monitor.engine.page_words import TITLE_MAX, Severity, page_words, plain
from monitor.engine.ports import PageNotice
from tests.engine.acting import REQUEST_ID, page, request

DATA: dict[str, Any] = {
    "baseline": "model-v41",
    "budget": "chat",
    "objective": "latency.p95_delta_pct",
    "cohort": {},
    "tier": "B",
    "reason": "breach",
    "observed": {
        "baseline": 1200.0,
        "candidate": 1450.0,
        "delta": 20.8,
        "unit": "pct",
        "lower": 16.2,
        "upper": 25.9,
        "confidence": 0.95,
        "mde": 4.0,
    },
    "samples": {"baseline": 9120, "candidate": 1013},
    "held_min": 30,
    "breach_started_at": "2026-11-22T09:30:00.000Z",
    "decided_at": "2026-11-22T10:00:00.000Z",
    "deadline": "2026-11-22T10:15:00.000Z",
    "on_silence": "rollback",
    "exemplars": ["4bf92f3577b34da6", "a", "b", "c"],
    "summary": "p95 latency is 20.8 % above the baseline",
}
OPENED = notice_of(page(**DATA), "opened")


def change(kind: str, state: str, **data: object) -> PageNotice:
    event = page(kind, baseline="model-v41", summary="ann has seen it; the deadline stays", **data)
    return notice_of(event, state, DATA)


def test_a_page_answers_what_a_person_asks() -> None:
    said = page_words(OPENED, "https://rollback.example/{release}#{page_id}")
    assert said.title == (
        "Decide by 2026-11-22 10:15 UTC about model-v42: p95 latency is 20.8 % above the baseline"
    )
    assert said.text().splitlines() == [
        "What: p95 latency is 20.8 % above the baseline",
        "Release: model-v42 against model-v41",
        "For whom: everybody",
        "Since: 2026-11-22 09:30 UTC, 30 min by then",
        "How sure: 95 % sure that the difference lies between +16.2 % and +25.9 %; "
        "1,013 requests against the baseline's 9,120",
        "At the deadline: 2026-11-22 10:15 UTC (later if this page came later): "
        "without an answer the release rolls back to model-v41",
        "Examples: 4bf92f3577b34da6, a, b",
        "Page: p1",
        "Roll back now: rollback-budget decide --page p1 --reason 'decided from the page' model-v42 rollback",
        "Go on with it: rollback-budget decide --page p1 --reason 'decided from the page' model-v42 continue",
        "I am on it: rollback-budget acknowledge --page p1 model-v42",
        "Five minutes more: rollback-budget extend --by 5m --page p1 --reason looking model-v42",
        "Why: rollback-budget explain e-page.opene",
        "Look: https://rollback.example/model-v42#p1",
    ]


@pytest.mark.parametrize(
    ("data", "question", "answer"),
    [
        ({"on_silence": "hold"}, "At the deadline", "without an answer the release is held as it is"),
        ({"on_silence": None}, "At the deadline", "the budget's `on_commander_silence` decides"),
        ({"deadline": None}, "At the deadline", "there is none: this page never acts by itself"),
        ({"cohort": {"tenant": "acme"}}, "For whom", "tenant=acme"),
        (
            {"cohort": {"tenant": "acme"}, "cohort_share": 0.05},
            "For whom",
            "tenant=acme (5.0 % of the candidate's traffic)",
        ),
        ({"observed": None}, "How sure", "1,013 requests against the baseline's 9,120"),
        ({"observed": None, "samples": None}, "How sure", None),
        ({"breach_started_at": None}, "Since", None),
        ({"held_min": None}, "Since", "2026-11-22 09:30 UTC"),
    ],
)
def test_what_is_not_known_is_not_said(data: dict[str, object], question: str, answer: str | None) -> None:
    said = dict(page_words(notice_of(page(**{**DATA, **data}), "opened")).facts).get(question)
    assert said == answer or (answer is not None and said is not None and said.endswith(answer))


@pytest.mark.parametrize(
    ("notice", "title", "severity", "verbs"),
    [
        (
            OPENED,
            "Decide by 2026-11-22 10:15 UTC",
            Severity.ERROR,
            ["decide", "decide", "acknowledge", "extend", "explain"],
        ),
        (
            notice_of(page(**{**DATA, "tier": "A", "deadline": None}), "opened"),
            "Look at model-v42",
            Severity.CRITICAL,
            ["decide", "decide", "acknowledge", "explain"],
        ),
        (
            notice_of(page(**{**DATA, "tier": None, "deadline": None}), "opened"),
            "Look at model-v42",
            Severity.WARNING,
            ["decide", "decide", "acknowledge", "explain"],
        ),
        (
            change("page.acknowledged", "acknowledged", author="ann"),
            "Seen by ann, model-v42",
            Severity.ERROR,
            ["decide", "decide"],
        ),
        (
            change("page.expired", "expired"),
            "Nobody decided about model-v42",
            Severity.ERROR,
            ["decide", "decide", "acknowledge"],
        ),
        (change("page.resolved", "resolved"), "Resolved, model-v42", Severity.ERROR, ["status"]),
        (informed(request(), "done"), "Rolled back model-v42", Severity.WARNING, ["explain", "arm"]),
        (
            not_applied(request(), "f1", "no token"),
            "Rollback of model-v42 NOT APPLIED",
            Severity.CRITICAL,
            ["acknowledge", "status"],
        ),
        (
            notice_of(
                page("page.acknowledged", author="ann", request_id=REQUEST_ID),
                "acknowledged",
                request()["data"],
            ),
            "Seen by ann, model-v42",
            Severity.CRITICAL,
            ["status"],
        ),
        (
            notice_of(
                page("page.escalated", on_call="platform lead", request_id=REQUEST_ID),
                "escalated",
                request()["data"],
            ),
            "Escalated to platform lead, rollback of model-v42 NOT APPLIED",
            Severity.CRITICAL,
            ["acknowledge", "status"],
        ),
        (applied_after_all(request(), "f1"), "Resolved, model-v42", Severity.CRITICAL, ["status"]),
        (
            notice_of(page("monitor.blind", release=None, reason="blind"), "opened"),
            "Nobody watches",
            Severity.ERROR,
            ["status"],
        ),
        (
            notice_of(page("monitor.recovered", release=None, reason="blind"), "resolved"),
            "Resolved, the monitor",
            Severity.ERROR,
            ["status"],
        ),
    ],
)
def test_each_kind_of_page_says_what_it_is_and_what_can_be_typed(
    notice: PageNotice, title: str, severity: Severity, verbs: list[str]
) -> None:
    said = page_words(notice)
    assert said.title.startswith(title)
    assert said.severity is severity
    assert [shlex.split(command)[1] for _, command in said.commands] == verbs


def test_a_change_keeps_the_numbers_of_the_opening() -> None:
    said = dict(page_words(change("page.acknowledged", "acknowledged", author="ann")).facts)
    assert said["What"] == "ann has seen it; the deadline stays"
    assert said["The page was"] == DATA["summary"]
    assert said["Since"] == "2026-11-22 09:30 UTC, 30 min by then"


@given(st.text(max_size=2_000), st.integers(2, 400))
def test_every_text_becomes_one_harmless_line_of_bounded_length(text: str, most: int) -> None:
    said = plain(text, most)
    assert len(said) <= most
    assert not any(unicodedata.category(one) in ("Cc", "Zl", "Zp") for one in said)
    assert not any(one in said for one in "\u202e\u2066\u200b\ufeff")


@given(
    st.text(min_size=1, max_size=128),
    st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=64), max_size=16),
    st.text(max_size=3_000),
)
def test_no_name_breaks_a_page(release: str, cohort: dict[str, str], summary: str) -> None:
    """Names come from traffic: whatever they are, a page has its lines, and its commands name the release."""
    said = page_words(
        notice_of(page(**{**DATA, "release": release, "cohort": cohort, "summary": summary}), "opened")
    )
    assert len(said.title) <= TITLE_MAX
    assert len(said.text().splitlines()) == len(said.facts) + len(said.commands)
    for _, command in said.commands[:3]:
        assert release in shlex.split(command)


@pytest.mark.parametrize("release", ["model-v42", "-rf", "a b", "it's $(reboot)", "`x`", "模型"])
def test_the_commands_of_a_page_are_understood_by_the_command_line(
    release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from monitor.cli import commander, main

    given: list[dict[str, Any]] = []
    monkeypatch.setattr(commander, "send_order", lambda order, *_, **__: given.append(order))
    for _, command in page_words(notice_of(page(**{**DATA, "release": release}), "opened")).commands[:3]:
        assert main(shlex.split(command)[1:]) == 0
    assert [(one["command"], one.get("decision"), one["release"], one["page_id"]) for one in given] == [
        ("decide", "rollback", release, "p1"),
        ("decide", "continue", release, "p1"),
        ("acknowledge", None, release, "p1"),
    ]
