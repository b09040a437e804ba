"""Proof from the stream: clean minutes prove it, nothing seen proves nothing, and one straggler undoes nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.budget import Verification
from monitor.core.cohort import OVERALL, cohort_key
from monitor.core.verification import (
    CHANCE,
    Proof,
    ProofRule,
    Served,
    ServedMinute,
    Standing,
    most_served,
    ratio_of,
    step,
)

APPLIED = 29_000_000
ACME, BETA = (cohort_key({"tenant": name}) for name in ("acme", "beta"))
RULE = ProofRule(applied_ms=APPLIED * 60_000, within_ms=300_000, max_ratio=0.001, ratio_before=0.5)
CLEAN, STAYS, EMPTY = (0, 100), (50, 100), (0, 0)


def minutes(*served: tuple[int, int], first: int = APPLIED) -> list[ServedMinute]:
    return [ServedMinute(first + place, Served(OVERALL, *one)) for place, one in enumerate(served)]


def told(*served: tuple[int, int], rule: ProofRule = RULE, first: int = APPLIED) -> list[Standing]:
    """Return the standing after each minute."""
    proof, standings = Proof(), []
    for minute in minutes(*served, first=first):
        proof = step(proof, minute, rule)
        standings.append(proof.standing)
    return standings


W, U, F, V, R = (
    Standing.WATCHING,
    Standing.UNPROVEN,
    Standing.FAILED,
    Standing.VERIFIED,
    Standing.UNDONE,
)


@pytest.mark.parametrize(
    ("served", "standings"),
    [
        ([CLEAN], [V]),
        ([STAYS, CLEAN], [W, V]),
        ([STAYS] * 5, [W, W, W, W, F]),
        ([STAYS] * 4 + [CLEAN], [W, W, W, W, V]),  # at the deadline is in time
        ([STAYS] * 5 + [CLEAN], [W, W, W, W, F, V]),
        ([EMPTY] * 6, [W, W, W, W, U, U]),  # nothing seen is no proof
        ([EMPTY] * 5 + [CLEAN], [W, W, W, W, U, V]),
        ([EMPTY] * 5 + [STAYS, STAYS], [W, W, W, W, U, U, F]),
        ([STAYS, EMPTY, EMPTY, EMPTY, EMPTY], [W, W, W, W, F]),  # it was served when last seen
        ([(0, 2), (0, 2), (0, 2)], [W, W, V]),  # minutes add up
        ([(0, 2)] * 2 + [(1, 2)] + [(0, 2)] * 2, [W, W, W, W, U]),  # but not across one above the limit
        ([CLEAN, STAYS, CLEAN], [V, V, V]),  # one straggler is no return
        ([CLEAN, STAYS, EMPTY, STAYS], [V, V, V, R]),
        ([CLEAN, STAYS, STAYS, STAYS, CLEAN], [V, V, R, R, V]),
        ([(1, 1000)], [V]),  # what may be left is left
        ([(2, 1000)] * 5, [W, W, W, W, F]),
    ],
)
def test_what_minutes_come_to(served: list[tuple[int, int]], standings: list[Standing]) -> None:
    assert told(*served) == standings


def test_only_whole_minutes_after_the_flag_was_turned_count() -> None:
    half_past = ProofRule(RULE.applied_ms + 30_000, 300_000, 0.001, 0.5)
    assert told(CLEAN, CLEAN, rule=half_past) == [W, V]
    assert told(CLEAN, CLEAN, CLEAN, first=APPLIED - 2) == [W, W, V]


@pytest.mark.parametrize(
    ("before", "needed"), [(None, 1), (0.0, 1), (1.0, 1), (0.5, 5), (0.1, 29), (0.01, 299), (0.001, 2995)]
)
def test_a_small_share_takes_more_requests_to_be_missed(before: float | None, needed: int) -> None:
    assert ProofRule(0, 0, 0.001, before).requests_needed == needed


@given(st.floats(0.001, 0.999))
def test_as_many_requests_as_needed_and_no_fewer_would_hardly_miss_it(before: float) -> None:
    needed = ProofRule(0, 0, 0.001, before).requests_needed
    assert (1 - before) ** needed <= CHANCE * (1 + 1e-9)
    assert needed == 1 or (1 - before) ** (needed - 1) > CHANCE * (1 - 1e-9)


def test_a_critical_slice_has_to_be_rid_of_it_by_itself() -> None:
    acme = ServedMinute(APPLIED, Served(OVERALL, 1, 5000), (Served(ACME, 1, 20),))
    proof = step(Proof(), acme, RULE)
    assert (proof.standing, proof.above, proof.last) == (Standing.WATCHING, 1, acme)
    clean = ServedMinute(APPLIED + 1, Served(OVERALL, 0, 5000), (Served(ACME, 0, 20),))
    assert step(proof, clean, RULE).standing is Standing.VERIFIED


SHARES = st.lists(st.sampled_from([CLEAN, STAYS, EMPTY, (0, 1), (1, 1000)]), max_size=30)


@given(SHARES)
def test_a_proof_never_rests_on_nothing_and_a_failure_never_on_silence(served: list[tuple[int, int]]) -> None:
    proof = Proof()
    for minute in minutes(*served):
        before, proof = proof, step(proof, minute, RULE)
        if proof.standing is Standing.VERIFIED and before.standing is not Standing.VERIFIED:
            assert proof.clean.requests >= RULE.requests_needed
            assert proof.clean.ratio <= RULE.max_ratio
        if proof.standing in (Standing.FAILED, Standing.UNDONE):
            assert proof.last is not None


@given(SHARES)
def test_only_these_changes_happen(served: list[tuple[int, int]]) -> None:
    allowed = {(W, V), (W, F), (W, U), (U, V), (U, F), (F, V), (V, R), (R, V)}
    changes = {pair for pair in pairwise([W, *told(*served)]) if pair[0] is not pair[1]}
    assert changes <= allowed


def test_the_share_before_and_who_is_served_most() -> None:
    assert ratio_of([]) is None
    assert ratio_of(minutes(EMPTY)) is None
    assert ratio_of(minutes((1, 10), (9, 10))) == 0.5
    assert most_served([]) is None
    assert most_served([Served(ACME, 0, 9)]) is None
    assert most_served([Served(ACME, 1, 10), Served(BETA, 2, 10)]) == Served(BETA, 2, 10)
    assert most_served([Served(ACME, 5, 5), Served(BETA, 1, 1)]) == Served(ACME, 5, 5)
    assert Served(ACME, 0, 0).ratio == 0.0


def test_a_budget_that_says_nothing_asks_for_a_thousandth_within_five_minutes() -> None:
    assert Verification() == Verification(share_pct=0.1, within_min=5)
    assert Verification().max_ratio == pytest.approx(0.001)


def test_as_many_requests_as_needed_are_enough() -> None:
    assert told((0, RULE.requests_needed)) == [V]
    assert told((0, RULE.requests_needed - 1)) == [W]


def test_clean_minutes_add_up_in_both_counts_and_start_anew_after_one_above_the_limit() -> None:
    rule = ProofRule(RULE.applied_ms, 300_000, 0.1, 0.01)
    proof, clean = Proof(), []
    for minute in minutes((1, 100), (2, 50), EMPTY, (9, 10), (3, 100)):
        proof = step(proof, minute, rule)
        clean.append((proof.clean.candidate, proof.clean.requests))
    assert clean == [(1, 100), (3, 150), (3, 150), (0, 0), (3, 100)]
