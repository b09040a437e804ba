"""A record of the sustained rule is held against its sums: each check by its name, and nothing else with it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from math import inf, log, nextafter
from typing import Any

import pytest

from monitor.core.decision import Action, Reason
from monitor.core.derivation import Derivation, EvidenceDamaged
from monitor.core.moment import moment_ms, rfc3339
from monitor.core.rederive import derive
from monitor.core.rederive_rule import RuleRecord
from monitor.core.spend import SPEND_NATS
from monitor.core.sums import sums_from
from monitor.core.sustained import RECOVERY_NATS, SUSPECT_NATS
from tests.core.test_rederive import JUDGED, Run

Data = dict[str, Any]


@cache
def _made(name: str, answer: str, earliest: int) -> Data:
    run = Run(JUDGED[name], 7)
    for minute, harm in enumerate([3.0] * 40 + [0.5] * 6):
        change = run.minute(harm)
        if minute >= earliest and change.judgement.answer.value == answer:
            return run.data(change)
    raise AssertionError(f"{name} never {answer}")


def record(name: str, answer: str = "fires", earliest: int = 0) -> Data:
    """What was recorded at the first tick with this answer: harm, then recovery."""
    return deepcopy(_made(name, answer, earliest))


@cache
def _overspent() -> Data:
    run = Run(JUDGED["cumulative"], 3, per_minute=300)
    while not run.watch.is_overspent:
        for harm in (5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 1.0, 1.0):
            change = run.minute(harm)
    return run.data(change, Reason.CUMULATIVE, Action.ROLLBACK)


def flagged(data: Data) -> set[str]:
    return {check.what for check in derive(data).disagreements}


def settled(found: Derivation) -> tuple[Any, Any, Any]:
    return found.x, found.recorded_x, found.needed


@pytest.mark.parametrize(
    ("answer", "role"), [("fires", "strongest"), ("suspect", "recent"), ("recovered", "strongest")]
)
def test_the_evidence_that_settled_an_answer_is_told_with_what_was_asked(answer: str, role: str) -> None:
    """First evidence is the newest minutes'; all else stands and falls with the strongest window."""
    data = record("success", answer)
    x, x_star = data["evidence"]["stretches"][role]["x"], data["evidence"]["rule"]["x_star"]
    needed = SUSPECT_NATS if role == "recent" else x_star
    assert settled(derive(data)) == (pytest.approx(x), x, needed)


def test_the_letter_asks_for_no_evidence_and_tells_none() -> None:
    assert settled(derive(record("literal"))) == (None, None, None)


@pytest.mark.parametrize("name", ["success", "at once", "literal"])
def test_what_each_check_asks_of_its_stretch_is_worked_out_again(name: str) -> None:
    data = record(name)
    held = data["evidence"]["stretches"]
    x_star = data["evidence"]["rule"]["x_star"]
    most = (
        max(held[role]["x"] for role in ("strongest", "window") if role in held) if name != "literal" else 0.0
    )
    asked: dict[str, float | None] = {"recent": SUSPECT_NATS, "strongest": x_star}
    if name == "success":
        asked |= {"window": 0.75 * x_star, "recovery": RECOVERY_NATS}
        asked["rest"] = 1.92 + 2.0 * log(most / x_star)
    elif name == "at once":
        asked["window"] = x_star
    for role, stretch in held.items():
        assert stretch["needed"] == pytest.approx(asked.get(role)), role
        other = deepcopy(data)
        other["evidence"]["stretches"][role]["needed"] = (stretch["needed"] or 0.0) + 0.5
        assert f"{role}: needed" in flagged(other)


@pytest.mark.parametrize(
    ("reason", "action", "right"),
    [
        ("breach", "rollback", {"fires"}),
        ("breach", "page", {"fires"}),
        ("breach", "watch", {"suspect", "fires"}),
        ("recovered", "watch", {"recovered"}),
        ("recovered", "page", {"fires", "suspect", "recovered"}),
        ("commander", "rollback", {"fires", "suspect", "recovered"}),
        ("commander", "watch", {"fires", "suspect", "recovered"}),
    ],
)
def test_a_reason_holds_for_the_answers_it_claims_and_for_no_other(
    reason: str, action: str, right: set[str]
) -> None:
    """Where minutes add up, no reason speaks of a single tick's answer."""
    answers = {"fires", "suspect", "recovered"}
    told = {answer: record("success", answer) | {"reason": reason, "action": action} for answer in answers}
    assert {answer for answer in answers if not flagged(told[answer])} == right
    for data in told.values():
        data["evidence"]["rule"]["accounting"] = "cumulative"
        assert flagged(data) == set()


def _later(stretch: Data, minutes: int, *names: str) -> None:
    for name in names:
        stretch[name] = rfc3339(moment_ms(stretch[name]) + minutes * 60_000)


def _count_again(stretch: Data) -> None:
    """Its own minutes agree, so that only its place can tell."""
    spans = [(stretch["start"], stretch["end"]), *([stretch["cut"]] if stretch["cut"] else [])]
    whole, *cut = [(moment_ms(end) - moment_ms(start)) // 60_000 for start, end in spans]
    stretch["minutes"] = whole - sum(cut)


def _lengthen(stretch: Data) -> None:
    _later(stretch, 1, "end")
    _count_again(stretch)


def _cut_of(stretch: Data, minutes: int) -> None:
    """Leave out so many minutes from the start of a stretch that is a minute longer."""
    _later(stretch, -1, "start")
    start = moment_ms(stretch["start"])
    stretch["cut"] = [rfc3339(start), rfc3339(start + minutes * 60_000)]


@pytest.mark.parametrize(
    ("name", "role", "change", "check"),
    [
        ("success", "weakest", lambda one: _later(one, -60, "start", "end"), "weakest: lies in the window"),
        ("success", "recovery", lambda one: _later(one, 60, "start", "end"), "recovery: lies in the window"),
        ("success", "weakest", lambda one: _later(one, 1, "end"), "weakest: minutes"),
        ("success", "newest", lambda one: _later(one, -1, "start"), "newest: minutes"),
        ("success", "rest", lambda one: _later(one, -1, "start"), "rest: begins with the window"),
        ("success", "rest", lambda one: _cut_of(one, 8), "rest: leaves out less than the hold"),
        ("success", "strongest", lambda one: _later(one, -1, "start"), "strongest: is of the grid"),
        ("success", "recent", lambda one: _later(one, -1, "start"), "recent: minutes"),
        ("at once", "newest", lambda one: _later(one, -7, "start"), "newest: minutes"),
        ("literal", "newest", lambda one: _later(one, -1, "start"), "newest: minutes"),
    ],
)
def test_a_stretch_has_its_place_and_its_length(
    name: str, role: str, change: Callable[[Data], None], check: str
) -> None:
    data = record(name)
    assert flagged(data) == set()
    stretch = data["evidence"]["stretches"][role]
    change(stretch)
    assert check in flagged(data)
    _count_again(stretch)
    assert check in flagged(data)


def test_a_rest_may_leave_out_a_minute_less_than_the_hold() -> None:
    data = record("success")
    _cut_of(data["evidence"]["stretches"]["rest"], 7)
    assert "rest: leaves out less than the hold" not in flagged(data)


def test_a_block_that_adds_to_the_bad_minutes_shows_harm_for_the_whole_quarter() -> None:
    """Weaker evidence, half a block, another length, another bar: each is named, and that alone."""
    assert flagged(_overspent()) == set()
    for change, checks in (
        (lambda one: _weaken(one, one["x"] / SPEND_NATS * 1.01), {"spent block: is bad"}),
        (lambda one: _weaken(one, one["x"] / SPEND_NATS / 1.01), set()),
        (lambda one: one.update(needed=None), {"spent block: needed"}),
        (_lengthen, {"spent block: minutes"}),
    ):
        data = deepcopy(_overspent())
        change(data["evidence"]["spent"]["blocks"][0])
        assert flagged(data) == checks
    odd = deepcopy(_overspent())
    odd["evidence"]["spent"]["minutes"] += 1
    assert flagged(odd) == {"spent: whole blocks"}


def _weaken(stretch: Data, factor: float) -> None:
    """A noise so much larger; of a block in its own time it is taken as it is recorded."""
    stretch["phi"] *= factor
    for name in {"x", "x_within"} & set(stretch):
        stretch[name] /= factor


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        (lambda data: data["evidence"].update(kind="literal"), {"kind"}),
        (lambda data: data["evidence"]["rule"].update(kappa=1.0), {"rule: kappa"}),
        (lambda data: data.update(limit=-3.5), {"rule: limit"}),
        (lambda data: data["observed"].update(unit="pp"), {"rule: unit"}),
        (lambda data: data["observed"].update(candidate=0.5), {"observed: candidate"}),
        (lambda data: data["observed"].update(baseline=0.5), {"observed: baseline"}),
        (lambda data: data["observed"].update(delta=-5.0), {"observed: delta"}),
        (lambda data: data["observed"].update(capped={"delta": -5.0}), {"observed: capped"}),
        (lambda data: data["samples"].update(candidate=1), {"samples: candidate"}),
        (lambda data: data.update(held_min=99), {"held_min"}),
        (lambda data: _later(data, 1, "breach_started_at"), {"breach_started_at"}),
        (lambda data: data["evidence"].update(answer="suspect"), {"answer"}),
        (lambda data: data["evidence"].update(refusal="min_samples"), {"refusal"}),
    ],
)
def test_a_number_that_was_changed_is_named_and_that_alone(
    change: Callable[[Data], None], checks: set[str]
) -> None:
    data = record("success")
    change(data)
    assert flagged(data) == checks


@pytest.mark.parametrize("name", ["success", "at once", "literal"])
def test_as_many_samples_as_are_asked_for_are_enough_and_one_less_in_one_arm_is_not(name: str) -> None:
    data = record(name)
    rule = data["evidence"]["rule"]
    rule["min_samples"] = min(data["evidence"]["stretches"]["window"]["samples"].values())
    assert derive(data).answer == "fires"
    rule["min_samples"] += 1
    assert derive(data).refusal == "min_samples"


@pytest.mark.parametrize("name", ["success", "at once"])
def test_evidence_of_just_the_threshold_is_enough_and_a_bit_less_is_not(name: str) -> None:
    data = record(name)
    x = derive(data).x
    assert x is not None
    for x_star, refusal in ((x, None), (nextafter(x, inf), "not_enough_evidence")):
        data["evidence"]["rule"]["x_star"] = x_star
        assert derive(data).refusal == refusal


@pytest.mark.parametrize(
    ("name", "missing", "told", "follows"),
    [
        ("literal", "window", "no_data", "no_data"),
        ("literal", "window", "younger_or_burst", "younger_or_burst"),
        ("literal", "window", "healthy_fifth", "no_data"),
        ("success", "window", "healthy_fifth", "no_data"),
        ("success", "strongest", "no_data", "no_data"),
        ("success", "strongest", "min_samples", "not_enough_evidence"),
        ("success", None, "no_data", None),
    ],
)
def test_of_what_only_the_store_could_tell_the_record_is_believed_and_of_nothing_else(
    name: str, missing: str | None, told: str, follows: str | None
) -> None:
    data = record(name)
    data["evidence"]["refusal"] = told
    if missing is not None:
        del data["evidence"]["stretches"][missing]
    assert derive(data).refusal == follows


@pytest.mark.parametrize(
    ("name", "role", "other", "refusal"),
    [
        ("at once", "window", "recovered", "not_enough_evidence"),
        ("at once", "window", "suspect", "not_enough_evidence"),
        ("at once", "newest", "recovered", "not_beyond_now"),
        ("literal", "newest", "recovered", "not_beyond_now"),
        ("literal", "weakest", "recovered", "younger_or_burst"),
        ("success", "strongest", "recovered", "not_enough_evidence"),
        ("success", "window", "recovered", "not_beyond_now"),
        ("success", "window", "suspect", "not_enough_evidence"),
        ("success", "newest", "recovered", "not_beyond_now"),
        ("success", "weakest", "recovered", "healthy_fifth"),
        ("success", "rest", "recovered", "younger_or_burst"),
    ],
)
def test_each_check_refuses_for_its_own_stretch(name: str, role: str, other: str, refusal: str) -> None:
    """The newest minutes of another tick in its place: healthy ones, or the first that were beyond the limit."""
    data, stretches = record(name), record("success", other)["evidence"]["stretches"]
    held = data["evidence"]["stretches"]
    held[role] = stretches["recent"]
    if role == "window":
        held.pop("recovery", None)  # a window of the grid is looked up for it
    assert derive(data).refusal == refusal


def test_a_window_holds_three_quarters_of_the_threshold_while_a_longer_one_holds_all_of_it() -> None:
    data = record("success")
    held = data["evidence"]["stretches"]
    held["strongest"] = record("success", earliest=30)["evidence"]["stretches"]["strongest"]
    for part, is_enough in ((1.0 - 1e-9, True), (1.0 + 1e-9, False)):
        data["evidence"]["rule"]["x_star"] = held["window"]["x"] / 0.75 * part
        assert (derive(data).refusal != "not_enough_evidence") is is_enough


def test_the_stronger_the_harm_the_more_the_rest_must_show() -> None:
    """At a threshold of 1 nat the rest of a window of 32 needs 8.9, and has 5.8."""
    data = record("success")
    data["evidence"]["rule"]["x_star"] = 1.0
    assert derive(data).refusal == "younger_or_burst"


@pytest.mark.parametrize(
    ("name", "role"), [("success", "window"), ("success", "newest"), ("literal", "weakest")]
)
def test_a_stretch_without_requests_of_the_candidate_is_no_data(name: str, role: str) -> None:
    data = record(name)
    arm = data["evidence"]["stretches"][role]["sums"]["candidate"]
    arm.update(dict.fromkeys(arm, 0))
    assert derive(data).refusal == "no_data"


@pytest.mark.parametrize(
    ("asked", "at", "refusal"),
    [
        (RECOVERY_NATS, 2.8, "evidently_back"),
        (RECOVERY_NATS, 2.6, None),
        (None, 4.1, "evidently_back"),  # one of the four quarters of a window of 8: p is 0.01/4
        (None, 3.8, None),
    ],
)
def test_a_whole_newest_quarter_is_asked_the_question_that_the_record_names(
    asked: float | None, at: float, refusal: str | None
) -> None:
    data = record("success")
    back = record("success", "recovered", 44)["evidence"]["stretches"]["recent"]
    data["evidence"]["stretches"]["recovery"] = back | {"needed": asked}
    data["evidence"]["dispersion"] = {"phi": 1.0, "tau2": 0.0, "assumed_icc": 0.0}
    kind, limit = data["evidence"]["rule"]["indicator"], RuleRecord(data["evidence"]).limit
    sums, low, high = back["sums"], 0.0, 1.0
    for _ in range(30):  # the part of its requests that holds so much evidence of being within
        part = 0.5 * (low + high)
        less = {arm: {name: part * value for name, value in one.items()} for arm, one in sums.items()}
        low, high = (low, part) if sums_from(kind, less).evidence_out(limit) > at else (part, high)
    data["evidence"]["stretches"]["recovery"]["sums"] = less
    assert derive(data).refusal == refusal


def test_a_window_that_is_not_of_the_grid_cannot_be_asked_about_its_recovery() -> None:
    data = record("success")
    _later(data["evidence"]["stretches"]["window"], -2, "end")
    with pytest.raises(EvidenceDamaged, match="no window of this rule is 6 minutes long"):
        derive(data)
