"""Severe incidents: who acts, who pages, who stays quiet."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from monitor.core.incidents import IncidentAnswer, expected_incidents, judge_incidents

_ROLLBACK, _PAGE, _QUIET = IncidentAnswer.ROLLBACK, IncidentAnswer.PAGE, IncidentAnswer.QUIET


@pytest.mark.parametrize(
    "count, mu, allowed, literal, loaded, reference, answer",
    [
        (0, 0.0, 0, False, True, 0, _QUIET),
        (1, 0.0, 0, False, True, 0, _ROLLBACK),  # the first incident, and a clean reference
        (1, 0.0, 0, False, False, 0, _PAGE),  # the days before are not known yet
        (1, 0.0, 0, True, False, 0, _ROLLBACK),
        (9, 0.0, 0, False, False, 0, _PAGE),
        (1, 0.03, 0, False, True, 2, _ROLLBACK),
        (1, 0.04, 0, False, True, 2, _PAGE),  # incidents are normal: the first one pages
        (2, 0.12, 0, False, True, 2, _ROLLBACK),
        (2, 0.14, 0, False, True, 2, _PAGE),
        (1, 5.0, 0, True, True, 50, _ROLLBACK),
        (0, 5.0, 0, True, True, 50, _QUIET),
        (2, 0.0, 2, False, True, 0, _QUIET),  # two more are allowed
        (3, 0.0, 2, False, True, 0, _ROLLBACK),
        (3, 0.0, 2, True, True, 0, _ROLLBACK),
        (3, 0.1, 2, False, True, 1, _PAGE),
        (4, 0.1, 2, False, True, 1, _ROLLBACK),
        (1, inf, 0, False, True, 3, _PAGE),  # incidents without a known exposure explain anything
    ],
)
def test_who_acts(
    count: int, mu: float, allowed: int, literal: bool, loaded: bool, reference: int, answer: IncidentAnswer
) -> None:
    found = judge_incidents(
        count,
        mu,
        allowed_increase=allowed,
        literal=literal,
        reference_loaded=loaded,
        reference_incidents=reference,
    )
    assert found.answer is answer
    assert found.k == max(0, count - allowed)
    assert found.mu == mu


def _answer(count: int, mu: float, **over: object) -> IncidentAnswer:
    settings = {"allowed_increase": 0, "literal": False, "reference_loaded": True, "reference_incidents": 5}
    return judge_incidents(count, mu, **{**settings, **over}).answer  # type: ignore[arg-type]


def test_more_incidents_or_fewer_expected_never_help() -> None:
    worse = [_QUIET, _PAGE, _ROLLBACK]
    for mu in (0.01, 0.2, 1.0, 8.0):
        answers = [worse.index(_answer(count, mu)) for count in range(40)]
        assert answers == sorted(answers)
        assert worse.index(_answer(5, mu)) >= worse.index(_answer(5, mu * 2))


def test_a_hundred_thousand_incidents_are_judged_in_bounded_time() -> None:
    assert _answer(10**7, 1.0) is _ROLLBACK


def test_a_healthy_candidate_with_normal_incidents_is_rarely_rolled_back() -> None:
    """At the reference's own rate: at most 5 % of releases, judged at every incident of a day."""
    rng = np.random.default_rng(4)
    rolled_back = 0
    for _ in range(400):
        reference = int(rng.poisson(70))
        requests = np.sort(rng.integers(0, 20_000, rng.poisson(70 * 20_000 / 200_000)))
        rolled_back += any(
            _answer(
                k,
                expected_incidents(int(at), reference_incidents=reference, reference_requests=200_000),
                reference_incidents=reference,
            )
            is _ROLLBACK
            for k, at in enumerate(requests, start=1)
        )
    assert rolled_back / 400 <= 0.08
