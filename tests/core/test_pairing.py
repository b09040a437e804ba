"""Pairing: who is whose partner does not depend on the order, and nothing held grows without a bound."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.cohort import Role
from monitor.core.pairing import LATER_MAX, Pair, Pairing
from tests.engine.worlds import BASELINE, CANDIDATE, LAWS, START_MS, seen

LIVE, SHADOW = Role.BASELINE, Role.CANDIDATE


def live(number: int, request: str | None = None, **fields: Any) -> Any:
    fields = {"release": BASELINE, "request_id": request or f"r{number}", **fields}
    return seen(f"live-{number}", START_MS + number, **fields)


def copy(number: int, request: str | None = None, **fields: Any) -> Any:
    fields = {"traffic": "shadow", "request_id": request or f"r{number}", **fields}
    return seen(f"shadow-{number}", START_MS + number, **fields)


def outcome(number: int, release: str, **fields: Any) -> Any:
    fields = {"request_id": f"r{number}", **fields}
    return seen(
        f"label-{release}-{number}-{len(fields)}", START_MS + number, release, kind="outcome", **fields
    )


def paired(pairing: Pairing, events: list[Any]) -> list[Pair]:
    found = [pair for event in events if (pair := pairing.feed(event, 0)) is not None]
    return found + list(pairing.finish())


@LAWS
@given(order=st.permutations([live(n) for n in range(8)] + [copy(n) for n in range(4, 12)]))
def test_partners_find_each_other_in_any_order(order: list[Any]) -> None:
    pairing = Pairing(CANDIDATE, BASELINE)
    found = paired(pairing, list(order))
    assert {(one.candidate.event.event_id, one.baseline.event.event_id) for one in found} == {
        (f"shadow-{n}", f"live-{n}") for n in range(4, 8)
    }
    assert (pairing.seen.live, pairing.seen.shadow, pairing.seen.pairs) == (8, 8, 4)
    assert pairing.seen.unpaired(LIVE) == pairing.seen.unpaired(SHADOW) == 4
    assert pairing.seen.paired_ratio(LIVE) == 0.5


def test_only_shadow_of_the_candidate_and_live_of_the_baseline_pair() -> None:
    others = [
        seen("a", START_MS, CANDIDATE, request_id="r1"),  # the candidate's own live traffic
        seen("b", START_MS, BASELINE, request_id="r1", traffic="shadow"),
        seen("c", START_MS, "model-v40", request_id="r1"),
        seen("d", START_MS, CANDIDATE, request_id="r1", traffic="rehearsal"),
    ]
    pairing = Pairing(CANDIDATE, BASELINE)
    assert paired(pairing, [*others, copy(1)]) == []
    assert (pairing.seen.others, pairing.seen.rehearsed, pairing.seen.unpaired(SHADOW)) == (3, 1, 1)
    anybody = Pairing(CANDIDATE)
    (pair,) = paired(anybody, [*others, copy(1)])
    assert pair.baseline.event.release == "model-v40"


def test_repeats_and_requests_without_an_id_are_counted() -> None:
    pairing = Pairing(CANDIDATE, BASELINE)
    events = [live(1), live(1), copy(1), live(2, "r1"), copy(2, "r1"), live(3, "r3"), live(4, "r3")]
    nameless = [
        seen("n", START_MS, BASELINE),
        seen("m", START_MS, CANDIDATE, traffic="shadow", request_id=""),
    ]
    (pair,) = paired(pairing, [*events, *nameless])
    assert pair.baseline.event.event_id == "live-1"  # the first one counts
    said = pairing.seen
    assert (said.duplicates, said.again, said.without_id) == (1, {LIVE: 2, SHADOW: 1}, {LIVE: 1, SHADOW: 1})
    assert (said.live, said.unpaired(LIVE)) == (5, 2)  # r3 and the nameless one


def test_a_repeat_is_one_file_s_own() -> None:
    one_file, two_files = Pairing(CANDIDATE, BASELINE), Pairing(CANDIDATE, BASELINE, lanes=2)
    for pairing in (one_file, two_files):
        pairing.feed(live(1), 0)
        pairing.feed(live(1, "r2"), pairing is two_files)
    assert (one_file.seen.duplicates, two_files.seen.duplicates) == (1, 0)


@pytest.mark.parametrize(("first", "second", "role"), [(live, copy, LIVE), (copy, live, SHADOW)])
def test_what_waits_is_bounded_and_the_oldest_go_first(first: Any, second: Any, role: Role) -> None:
    pairing = Pairing(CANDIDATE, BASELINE, waiting_max=10)
    found = paired(pairing, [first(n) for n in range(25)] + [second(n) for n in range(25)])
    assert [one.candidate.event.request_id for one in found] == [f"r{n}" for n in range(15, 25)]
    assert pairing.seen.dropped[role] == 15
    assert pairing.seen.unpaired(LIVE) == pairing.seen.unpaired(SHADOW) == 15


def test_pairs_that_must_make_room_come_out_in_order() -> None:
    pairing = Pairing(CANDIDATE, BASELINE, paired_max=3)
    out = [pairing.feed(event, 0) for n in range(10) for event in (live(n), copy(n))]
    assert [one.candidate.event.event_id for one in out if one] == [f"shadow-{n}" for n in range(7)]
    assert len(list(pairing.finish())) == 3


def test_labels_come_later_before_or_after_the_partner() -> None:
    """Only labels that were absent are taken; an outcome of the candidate need not say that it was a shadow."""
    pairing = Pairing(CANDIDATE, BASELINE)
    events = [
        live(1, task_success=True),
        outcome(1, BASELINE, task_success=False, refusal=True, outcomes={"grounded": True}),
        copy(1, outcomes={"grounded": False}),
        outcome(
            1,
            CANDIDATE,
            task_success=False,
            outcomes={"grounded": True, "cited": True},
            incident_severity="low",
        ),
    ]
    (pair,) = paired(pairing, events)
    assert (pair.baseline.fixed_rates()[0], pair.candidate.fixed_rates()[0]) == (True, False)
    assert pair.baseline.fixed_rates()[3] is True
    assert (pair.candidate.outcomes, pair.candidate.severity) == ({"grounded": False, "cited": True}, "low")
    assert (pairing.seen.labels, pairing.seen.shadow, pairing.seen.live) == (2, 1, 1)


def test_labels_that_belong_to_nothing_are_counted() -> None:
    pairing = Pairing(CANDIDATE, None)
    pairing.feed(live(1), 0)
    for event in (
        outcome(1, BASELINE, request_id=None, refusal=True),
        outcome(2, BASELINE, refusal=True),
        outcome(1, "model-v40", refusal=True),  # the request is another release's
        outcome(1, CANDIDATE, refusal=True),
    ):
        pairing.feed(event, 0)
    assert (pairing.seen.labels, pairing.seen.labels_without_id, pairing.seen.labels_lost) == (0, 1, 3)


def test_a_flood_of_labels_for_one_request_is_bounded() -> None:
    pairing = Pairing(CANDIDATE, BASELINE)
    pairing.feed(live(1), 0)
    for number in range(50):
        pairing.feed(seen(f"o{number}", START_MS, BASELINE, kind="outcome", request_id="r1", refusal=True), 0)
    assert (pairing.seen.labels, pairing.seen.labels_lost) == (LATER_MAX, 50 - LATER_MAX)


def test_of_a_contradicted_cohort_the_live_one_counts() -> None:
    events = [live(1, cohort={"tenant": "acme"}), copy(1, cohort={"tenant": "other", "rag": "v2"})]
    (pair,) = paired(Pairing(CANDIDATE, BASELINE), events)
    assert pair.cohort == {"tenant": "acme", "rag": "v2"}
