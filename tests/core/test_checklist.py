"""The checklist: each item by itself, and that what could not be seen is never ready."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.budget_file import check_budget
from monitor.core.assumptions import base_of, phi_of
from monitor.core.budget import Budget
from monitor.core.checklist import ASKED, Checklist, Item, Role, checklist
from monitor.core.checklist_facts import Answered, Facts, PagerSeen, Returned, Unseen
from monitor.core.checklist_running import OF_INSTALLATION
from monitor.core.checklist_seen import SHOWN_MAX, ItemId, State, all_of, any_of, listed
from monitor.core.forecast import Traffic
from monitor.core.outlook import Outlook, outlook
from monitor.core.stats.planning import Split

TEXT = """\
release: v42
baseline: v41
window: 24h
owner: team-chat
on_call: chat-primary
traffic: {candidate_share_pct: 50}
rollback_budget:
  quality: {task_success_delta_pct: -2, max_duration_min: 20, cohorts: [tenant]}
  safety: {high_severity_incidents_increase: 0, action: immediate_rollback}
  latency: {p95_delta_pct: +15, max_duration_min: 30}
flag: {actuator: flagd-file, key: chat, baseline_variation: a, candidate_variation: b}
escalation:
  - {after: 10m, on_call: lead}
"""
NOT_ASKED = Unseen("nobody was asked", "rollback-budget doctor")


def outlook_at(budget: Budget, per_s: float, share: float = 0.5) -> Outlook:
    traffic = Traffic(per_s, Split(share), {})
    return outlook(budget, traffic, lambda one, _: base_of(one, None, {}), phi_of({}))


@cache
def planned(text: str, per_s: float) -> Outlook | Unseen:
    budget = check_budget(text, "b.yaml").budget
    return NOT_ASKED if budget is None else outlook_at(budget, per_s)


def written(text: str, per_s: float | None = None, **more: Any) -> Facts:
    """All is well around a budget that is written so; without a pace it can decide what `TEXT` can."""
    report = check_budget(text, "b.yaml")
    facts = Facts(
        file="b.yaml",
        budget=report.budget,
        outlook=planned(TEXT, 1_000.0) if per_s is None else planned(text, per_s),
        past_days=0,
        flag=Answered(True, "it is there"),
        rehearsed=Answered(True, "last rehearsed today"),
        returned=None,
        pagers=[PagerSeen("slack", True, "answers")],
        debts=(),
        sight=Answered(True, "sight LIVE"),
        breaker=Answered(True, "breaker closed"),
        has_switch=True,
        errors=[] if report.budget is not None else [str(one) for one in report.problems],
        warnings={one.path_in_file: one.message for one in report.problems if report.budget is not None},
    )
    return replace(facts, **more)


WELL = written(TEXT)


def states(found: Checklist) -> dict[ItemId, State]:
    return {one.item_id: one.state for one in found.items}


def item(facts: Facts, item_id: ItemId) -> Item:
    (found,) = (one for one in checklist(facts).items if one.item_id is item_id)
    return found


def odd(facts: Facts) -> dict[ItemId, State]:
    """What is not ready."""
    return {name: state for name, state in states(checklist(facts)).items() if state is not State.READY}


def without(key: str) -> str:
    return "".join(line for line in TEXT.splitlines(keepends=True) if not line.startswith(key))


def test_where_all_is_well_every_item_is_ready_and_mends_nothing() -> None:
    found = checklist(WELL)
    assert [one.item_id for one in found.items] == list(ASKED) == list(ItemId)
    assert odd(WELL) == {}
    assert (found.is_ready, found.missing) == (True, ())
    assert all(one.seen and not one.mend for one in found.items)


GAP, UNKNOWN = State.GAP, State.UNKNOWN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (without("owner"), {ItemId.OWNER: GAP}),
        (without("on_call"), {ItemId.ON_CALL: GAP}),
        (without("flag"), {ItemId.FLAG_SET: GAP}),
        (without("escal").replace("  - {after: 10m, on_call: lead}\n", ""), {ItemId.ESCALATION: GAP}),
        (without("  safety"), {ItemId.SAFETY: GAP}),
        (TEXT.replace("action: im", "where: {tenant: acme}, action: im"), {ItemId.SAFETY: GAP}),
        (TEXT.replace(", cohorts: [tenant]", ""), {ItemId.COHORTS: GAP}),
        (without("traffic"), {ItemId.HOLD_BACK: UNKNOWN}),
        (TEXT + "mode: observe\n", {}),
        (TEXT + "mode: page\n", {}),
        (TEXT + "mode: page\non_commander_silence: rollback\n", {ItemId.SILENCE: GAP}),
        (TEXT + "on_commander_silence: hold\n", {}),
        (TEXT + "decision: {tier_a_breach: page}\n", {}),
        (TEXT + "decision: {tier_a_breach: page}\non_commander_silence: hold\n", {ItemId.ACTS: GAP}),
        (
            without("  safety").replace("cohorts: [t", "tier: B, cohorts: [t"),
            {ItemId.SAFETY: GAP, ItemId.TIER_A: GAP},
        ),
        (
            TEXT.replace("24h", "60m")
            + "decision: {tier_b_breach: incident_commander_decision_within_60m}\n",
            {ItemId.SILENCE: GAP},
        ),
        (TEXT.replace("{p95", "{evidence: off, p95"), {ItemId.DECIDABLE: GAP}),
        (TEXT.replace("task_success_delta_pct: -2", "error_delta_pct: +1000000"), {ItemId.DECIDABLE: GAP}),
        (TEXT.replace("cohorts: [tenant]", "cohorts: [tenant=acme]"), {ItemId.DECIDABLE: UNKNOWN}),
    ],
)
def test_what_the_budget_says(text: str, expected: dict[ItemId, State]) -> None:
    facts = written(text, per_s=1_000.0 if ItemId.DECIDABLE in expected else None)
    assert facts.budget is not None, facts.errors
    assert odd(facts) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"outlook": NOT_ASKED}, {ItemId.DECIDABLE: UNKNOWN}),
        ({"flag": Answered(False, "the token is refused")}, {ItemId.FLAG_ANSWERS: GAP}),
        ({"rehearsed": Answered(False, "never rehearsed")}, {ItemId.REHEARSED: GAP}),
        ({"returned": Returned("v40", "2026-01-01", True, "at first")}, {}),
        ({"returned": Returned("v40", "2026-01-01", False, None)}, {ItemId.LAST_ROLLBACK: GAP}),
        ({"returned": Returned("v40", "2026-01-01", False, "no token")}, {ItemId.LAST_ROLLBACK: GAP}),
        ({"pagers": []}, {ItemId.PAGER: GAP}),
        ({"pagers": [PagerSeen("slack", False, "refused")]}, {ItemId.PAGER: GAP}),
        ({"pagers": [PagerSeen("apprise", None, "not asked")]}, {ItemId.PAGER: UNKNOWN}),
        ({"pagers": [PagerSeen("slack", False, "no"), PagerSeen("pagerduty", True, "yes")]}, {}),
        ({"debts": ["a case of last week"]}, {ItemId.EVAL_DEBT: GAP}),
        ({"sight": Answered(False, "sight LATE")}, {ItemId.LIVE: GAP}),
        ({"sight": NOT_ASKED}, {ItemId.LIVE: UNKNOWN}),
        ({"has_switch": False}, {ItemId.WATCHER: UNKNOWN}),
        ({"breaker": Answered(False, "breaker open")}, {ItemId.BREAKER: GAP}),
    ],
)
def test_what_is_seen_around_it(change: dict[str, Any], expected: dict[ItemId, State]) -> None:
    facts = replace(WELL, **change)
    assert odd(facts) == expected
    for one in checklist(facts).items:
        assert bool(one.mend) == (one.state is not State.READY), one


def test_a_recommended_item_keeps_no_release_back_and_a_required_one_does() -> None:
    for change in ({"has_switch": False}, {"breaker": NOT_ASKED}):
        found = checklist(replace(WELL, **change))
        (lacking,) = (one for one in found.items if one.state is not State.READY)
        assert found.is_ready is not lacking.asked.is_required
    assert {name for name, one in ASKED.items() if not one.is_required} == {
        ItemId.COHORTS,
        ItemId.ESCALATION,
        ItemId.WATCHER,
    }


def test_a_budget_with_errors_leaves_unknown_what_goes_by_it_and_no_more() -> None:
    found = checklist(written("release: a\n"))
    assert states(found)[ItemId.LOADS] is State.GAP
    assert item(written("release: a\n"), ItemId.LOADS).mend == "rollback-budget validate b.yaml"
    for one in found.items:
        if one.item_id not in OF_INSTALLATION:
            assert (one.state, one.seen) == (State.UNKNOWN, "the budget has errors")
        elif one.item_id is not ItemId.LOADS:
            assert one.state is State.READY


def test_limits_that_cannot_be_decided_are_named_with_the_least_harm_that_can() -> None:
    found = item(written(TEXT, per_s=0.2), ItemId.DECIDABLE)
    assert found.state is State.GAP
    assert (
        "0.2 requests/s, 50 % of them the candidate's: quality.task_success_delta_pct can show" in found.seen
    )
    assert WELL.budget is not None
    (least,) = (
        one.smallest
        for one in outlook_at(WELL.budget, 0.2).forecasts
        if one.objective.objective_id == "quality.task_success_delta_pct"
    )
    assert least is not None
    assert (
        f"{least.multiple:.3g}x its limit ({least.delta:+.4g} %) and no less within 21 h 20 min" in found.seen
    )
    assert least.multiple > 2.0
    assert "(bring 0.212 requests/s in all" in found.seen
    assert "latency" not in found.seen, "that one can"
    assert found.mend == "rollback-budget plan --budget b.yaml --rate 0.2/s --share 0.5"
    assert "can show no harm" in item(written(TEXT, per_s=0.0001), ItemId.DECIDABLE).seen


def test_incidents_alone_need_no_traffic_to_be_decided() -> None:
    text = without("  quality").replace("  latency: {p95_delta_pct: +15, max_duration_min: 30}\n", "")
    assert item(written(text, outlook=NOT_ASKED), ItemId.DECIDABLE).state is State.READY


@pytest.mark.parametrize(
    "modes", [("auto",), ("concurrent",), ("frozen",), ("auto", "frozen"), ("concurrent", "frozen")]
)
@pytest.mark.parametrize("share", [None, 0.25])
@pytest.mark.parametrize("days", [None, 0, 2, 3])
def test_each_objective_needs_the_baseline_that_its_mode_says(
    modes: tuple[str, ...], share: float | None, days: int | None
) -> None:
    """By a table of what is known: yes, no, or nothing, said for each mode by itself."""
    keys = ["quality: {task_success_delta_pct: -2", "latency: {p95_delta_pct: +15"]
    text = without("traffic")
    for mode, key in zip((*modes, modes[0]), keys, strict=False):
        text = text.replace(key, f"{key}, baseline_mode: {mode}")
    live = None if share is None else True
    enough = None if days is None else days >= 3
    either = True if live or enough else None  # that nothing is declared is no proof that nothing is kept
    answers = [{"auto": either, "concurrent": live, "frozen": enough}[mode] for mode in modes]
    expected = State.GAP if False in answers else State.UNKNOWN if None in answers else State.READY
    past = NOT_ASKED if days is None else days
    facts = written(text, share=share, past_days=past, outlook=NOT_ASKED)
    assert item(facts, ItemId.HOLD_BACK).state is expected


@pytest.mark.parametrize(("days", "few"), [(2, ", and 3 are needed"), (3, "")])
def test_how_much_of_the_past_is_needed_is_said_where_it_is_not_there(days: int, few: str) -> None:
    text = without("traffic").replace("p95_delta_pct: +15", "p95_delta_pct: +15, baseline_mode: frozen")
    said = item(written(text, past_days=days, outlook=NOT_ASKED), ItemId.HOLD_BACK).seen
    assert f"{days} days of its past are on record{few}" in said
    assert ("are needed" in said) is bool(few)


@pytest.mark.parametrize(("errors", "said"), [(["a"], "1 error: a"), (["a", "b"], "2 errors: a; b")])
def test_errors_are_counted_and_named(errors: list[str], said: str) -> None:
    facts = written(TEXT, errors=errors, budget=None)
    assert item(facts, ItemId.LOADS).seen == said


def test_who_sees_to_it_is_named_as_the_budget_names_them() -> None:
    by_role = {one.asked.role: one.who for one in checklist(WELL).items}
    assert by_role == {
        Role.OWNER: "team-chat (owner)",
        Role.ON_CALL: "chat-primary (on_call)",
        Role.OPERATORS: "the installation's operators",
    }
    nobody = item(written(without("owner")), ItemId.OWNER)
    assert nobody.who == "the budget's owner (nobody is named)"


WITH_PAST = written(without("traffic"), past_days=7)  # so that the baseline's past counts
_UNSEEABLE = [one.name for one in fields(Facts) if "Unseen" in str(one.type)]
_OF = {
    "outlook": ItemId.DECIDABLE,
    "past_days": ItemId.HOLD_BACK,
    "flag": ItemId.FLAG_ANSWERS,
    "rehearsed": ItemId.REHEARSED,
    "returned": ItemId.LAST_ROLLBACK,
    "pagers": ItemId.PAGER,
    "debts": ItemId.EVAL_DEBT,
    "sight": ItemId.LIVE,
    "breaker": ItemId.BREAKER,
}


@given(st.sets(st.sampled_from(_UNSEEABLE)), st.booleans())
def test_what_could_not_be_seen_is_unknown_and_nothing_else_is(hidden: set[str], has_switch: bool) -> None:
    assert set(_UNSEEABLE) == set(_OF)
    changes: dict[str, Any] = dict.fromkeys(hidden, NOT_ASKED)
    facts = replace(WITH_PAST, **changes, has_switch=has_switch)
    expected = {_OF[name] for name in hidden} | (set() if has_switch else {ItemId.WATCHER})
    found = odd(facts)
    assert found == dict.fromkeys(found, State.UNKNOWN)
    assert set(found) == expected
    assert checklist(facts).is_ready is (not hidden)


@given(st.lists(st.sampled_from(State), min_size=1, max_size=4))
def test_all_and_any_are_those_of_three_valued_logic(some: list[State]) -> None:
    assert (all_of(some) is State.READY) == all(one is State.READY for one in some)
    assert (all_of(some) is State.GAP) == any(one is State.GAP for one in some)
    assert (any_of(some) is State.READY) == any(one is State.READY for one in some)
    assert (any_of(some) is State.GAP) == all(one is State.GAP for one in some)


def test_nothing_is_all_and_not_any() -> None:
    assert (all_of([]), any_of([])) == (State.READY, State.GAP)


@pytest.mark.parametrize("count", [0, 1, SHOWN_MAX, SHOWN_MAX + 1, 200])
def test_a_long_list_is_cut_and_the_rest_is_counted(count: int) -> None:
    said = listed([f"n{number}" for number in range(count)])
    named = [one for one in said.split("; ") if one.startswith("n")]
    assert len(named) == min(count, SHOWN_MAX)
    assert (f"and {count - SHOWN_MAX} more" in said) == (count > SHOWN_MAX)


def test_every_question_asks_for_yes() -> None:
    assert all(one.question.endswith("?") for one in ASKED.values())
    assert len({one.question for one in ASKED.values()}) == len(ASKED)
    groups = [one.group for one in ASKED.values()]
    assert groups == sorted(groups, key=list(dict.fromkeys(groups)).index), "a group is one run of items"


def test_no_item_depends_on_what_belongs_to_another_one() -> None:
    """Any two facts at a time."""
    for one, other in product(_OF, repeat=2):
        changes: dict[str, Any] = {one: NOT_ASKED, other: NOT_ASKED}
        facts = replace(WITH_PAST, **changes)
        assert set(odd(facts)) == {_OF[one], _OF[other]}
