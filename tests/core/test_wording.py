"""What people read: a sentence with the numbers, and no infinity in it."""

from __future__ import annotations

import pytest

from monitor.core.budget import Objective, Unit
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.record import Finding, Observed
from monitor.core.wording import (
    breach_words,
    finding_words,
    incident_words,
    limit_words,
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
