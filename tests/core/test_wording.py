"""What people read: a sentence with the numbers, and no infinity in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.core.budget import BaselineMode, Objective, Unit
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.record import Capped, Finding, Observed, StageMove
from monitor.core.wording import (
    breach_words,
    finding_words,
    incident_words,
    limit_words,
    page_only_words,
    slice_words,
    value_words,
)
from tests.engine.worlds import ACME, handoff, incidents, objective

INF = float("inf")


@pytest.mark.parametrize(
    "judged, view, values, bounds, text",
    [
        (
            objective(), OVERALL, (0.89, 0.781, -12.2471), (-15.0, -9.5),
            "task success is 12.2 % below the baseline (78.10 % against 89.00 %, limit -2 %) over 23 min; "
            "95 % sure it lies between -15.0 and -9.5 %",
        ),
        (
            objective(), OVERALL, (0.89, 0.8864, -0.4), (None, None),
            "task success is 0.4 % below the baseline (88.64 % against 89.00 %, limit -2 %) over 23 min",
        ),
        (
            handoff(), ACME, (0.05, 0.06, 20.0), (None, None),
            "human handoff for tenant=acme is 20.0 % above the baseline (6.00 % against 5.00 %, limit +8 %) "
            "over 23 min",
        ),
        (
            objective("refusal", 8.0, unit=Unit.POINTS), OVERALL, (0.0, 0.1, 10.0), (1.0, INF),
            "refusal is 10.0 points above the baseline (10.00 % against 0.00 %, limit +8 points) over 23 min",
        ),
        (
            objective("p95", 15.0), OVERALL, (1234.4, INF, INF), (None, None),
            "p95 latency is above the baseline (unfinished against 1,234 ms, limit +15 %) over 23 min",
        ),
        (
            objective("cost_per_request", 5.0), OVERALL, (0.001234, 0.0025, 102.6), (None, None),
            "cost per request is 102.6 % above the baseline (0.0025 USD against 0.001234 USD, limit +5 %) "
            "over 23 min",
        ),
        (
            objective(), OVERALL, (0.5, 0.5, 0.0), (-2.0, 2.0),
            "task success is 0.0 % above the baseline (50.00 % against 50.00 %, limit -2 %) over 23 min; "
            "95 % sure it lies between -2.0 and +2.0 %",
        ),
        (
            handoff(), OVERALL, (0.5, 0.501, 0.2), (None, None),
            "human handoff is 0.2 % above the baseline (50.10 % against 50.00 %, limit +8 %) over 23 min",
        ),
        (objective(), OVERALL, (None, 0.5, None), (None, None),
         "task success cannot be compared over the last 23 min"),
    ],
)  # fmt: skip
def test_a_breach_in_a_sentence(
    judged: Objective,
    view: CohortKey,
    values: tuple[float | None, float | None, float | None],
    bounds: tuple[float | None, float | None],
    text: str,
) -> None:
    baseline, candidate, delta = values
    said = breach_words(
        judged, view, baseline=baseline, candidate=candidate, delta=delta, bounds=bounds, span_min=23
    )
    assert said == text
    shown = Observed(baseline, candidate, delta, *bounds)
    assert finding_words(Finding(judged, view, shown, 0, 23, ())) == text


@pytest.mark.parametrize(
    "lower, text",
    [
        (81.1, "; of its stages first_token moved most: +104.0 % (59,505 ms against 29,171 ms)"),
        (-2.0, ""),  # shown in the record, and no more
    ],
)
def test_a_latency_in_a_sentence_ends_with_the_stage_that_moved(lower: float, text: str) -> None:
    judged, seen = objective("p95", 15.0), Observed(88_421.7, 107_786.4, 21.9)
    stages = (
        StageMove("first_token", 29_170.9, 59_505.2, 103.99, lower, None),
        StageMove("decode", 88_421.7, 97_624.7, 10.4, -0.1, 12.6),
    )
    found = Finding(judged, ACME, seen, 0, 31, (), cohort_share=0.05)
    assert finding_words(replace(found, stages=stages)) == finding_words(found) + text


@pytest.mark.parametrize(
    "lower, sure",
    [
        (39.9, ""),
        (None, ", 95 % sure between +17.3 and +19.6 %"),
    ],  # of the other mean, where this one has none
)
def test_a_mean_in_a_sentence_says_what_lies_above_the_cap(lower: float | None, sure: str) -> None:
    judged = objective("cost_per_request", 20.0)
    capped = Capped(0.00689, 0.003352, 0.003972, 18.5, 17.3, 19.6, 0.06, 0.159)
    seen = Observed(0.003356, 0.004799, 43.0, lower, None, capped=capped)
    assert finding_words(Finding(judged, OVERALL, seen, 0, 31, ())) == (
        "cost per request is 43.0 % above the baseline (0.004799 USD against 0.003356 USD, limit +20 %) over 31 min; "
        "15.9 % of requests cost more than the baseline's p99 of 0.00689 USD, against 6.0 %; up to it +18.5 %"
        + sure
    )
    for lacking in (
        replace(capped, delta=None),
        replace(capped, cap=None),
        replace(capped, above_candidate=None),
    ):
        bare = replace(seen, capped=lacking)
        assert finding_words(Finding(judged, OVERALL, bare, 0, 31, ())).endswith("limit +20 %) over 31 min")


@pytest.mark.parametrize(
    "count, expected, text",
    [
        (1, 0.0, "1 high-severity incident of the candidate where the baseline's rate predicts 0 (e.g. trace-1)"),
        (4, 1.234,
         "4 high-severity incidents of the candidate where the baseline's rate predicts 1.2 (e.g. trace-1)"),
    ],
)  # fmt: skip
def test_incidents_in_a_sentence(count: int, expected: float, text: str) -> None:
    assert incident_words(count, expected, "trace-1") == text


@pytest.mark.parametrize(
    "judged, text",
    [
        (objective(hold=20), "task success must not fall more than 2 % against the baseline for 20 min"),
        (handoff(hold=30), "human handoff must not rise more than 8 % against the baseline for 30 min"),
        (
            objective("retrieval_p95", 15.0, hold=20),
            "retrieval p95 must not rise more than 15 % against the baseline for 20 min",
        ),
        (incidents(2), "no more than 2 high-severity incidents above what the baseline predicts"),
    ],
)
def test_a_limit_in_a_sentence(judged: Objective, text: str) -> None:
    assert limit_words(judged) == text


def test_values_and_slices() -> None:
    assert value_words(objective(), None) == "unknown"
    assert value_words(objective("tokens_per_request", 5.0), 1234.5678) == "1,234.57"
    assert slice_words(OVERALL) == ""
    assert slice_words(CohortKey((("language", "de"), ("tenant", "acme")))) == " for language=de, tenant=acme"


def test_a_finding_shows_its_numbers_and_no_addresses() -> None:
    finding = Finding(objective(), OVERALL, Observed(), 0, 23, (), evidence=dict)
    assert repr(dict) not in repr(finding)
    assert finding == replace(finding, evidence=None)


def test_a_finding_says_what_it_is_compared_with_and_how_many_it_is_about() -> None:
    bare = Finding(handoff(), ACME, Observed(0.05, 0.06, 20.0), 0, 23, ())
    frozen = "; the baseline is its own past of the same hours, frozen when the release was armed"
    share = "; tenant=acme is 6.0 % of the candidate's traffic"
    for fields, said in (
        ({"baseline_mode": BaselineMode.FROZEN}, frozen),
        ({"cohort_share": 0.06}, share),
        ({"baseline_mode": BaselineMode.FROZEN, "cohort_share": 0.06}, frozen + share),
    ):
        assert finding_words(replace(bare, **fields)) == finding_words(bare) + said


def test_a_short_past_is_named_as_the_reason_for_asking_a_person() -> None:
    assert page_only_words(3) == (
        "; no rollback, because 3 days of the baseline's past are too few to act on without a person"
    )
