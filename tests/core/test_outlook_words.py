"""An outlook in sentences: numbers as people say them, and warnings that name what is known and nothing else."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from monitor.core.assumptions import Base, Fact, Origin
from monitor.core.budget import EvidenceMode, Objective, Tier, Unit
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.forecast import Forecast, Harm, Remark, SafetyForecast, SafetyStep, Swap
from monitor.core.outlook_words import (
    acts,
    base_words,
    delta_words,
    fact_words,
    limit_in_values,
    multiple_words,
    remark_words,
    requests_words,
    safety_remark_words,
    safety_words,
    share_words,
    span_words,
    view_words,
)
from monitor.core.stats.planning import RateShape
from monitor.core.stats.rule import rule_for
from tests.engine.worlds import ACME, HANDOFF, SAFETY, budget, handoff, incidents, objective

RISE = handoff(8.0, evidence=EvidenceMode.DEFAULT)
TWICE = Harm(2.0, 16.0, 0.058, True, 12_345, None)
PACE = "that are judged at 30 a minute"


def base(value: float | None = 0.05, samples: int | None = None) -> Base:
    return Base(RateShape(0.05), value, 1.0, samples, ())


def forecast(judged: Objective = RISE, view: CohortKey = OVERALL, **more: Any) -> Forecast:
    """A forecast that knows everything but what would be enough."""
    known: dict[str, Any] = {
        "base": base(),
        "limit_value": 0.054,
        "per_min": 30.0,
        "horizon_min": 1_280,
        "harms": (replace(TWICE, multiple=1.25, requests=99), TWICE),
        "smallest": Harm(2.5, 20.0, 0.06, True, 900, 600),
        "enough_share": None,
        "enough_requests_per_s": None,
        "swap": None,
    }
    rule = rule_for(judged, window_min=1_440, objectives=1)
    return Forecast(judged, view, rule=rule, remarks=(), **known | more)


def safety(judged: Objective, view: CohortKey = OVERALL, **more: Any) -> SafetyForecast:
    known: dict[str, Any] = {"base": base(0.0), "expected_per_day": None, "steps": ()}
    return SafetyForecast(judged, view, per_min=30.0, remarks=(), **known | more)


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (0, "0 min"),
        (119, "119 min"),
        (120, "2 h"),
        (121, "2 h 1 min"),
        (2_879, "47 h 59 min"),
        (2_880, "2 d"),
        (2_939, "2 d"),
        (4_560, "3 d 4 h"),
    ],
)
def test_minutes_as_people_say_them(minutes: int, words: str) -> None:
    assert span_words(minutes) == words


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        (None, "-"),
        (0, "0"),
        (11.46, "11"),  # rounded once: 11.5 would be 12
        (99.6, "100"),
        (999, "999"),
        (1_234, "1,230"),
        (12_345, "12,300"),
        (12_355, "12,400"),
        (1_234_567, "1,230,000"),
    ],
)
def test_requests_are_told_to_three_digits(requests: float | None, words: str) -> None:
    assert requests_words(requests) == words


def test_numbers_are_told_with_their_units_and_no_digits_that_nobody_measured() -> None:
    points = handoff(2.0, unit=Unit.POINTS)
    assert [share_words(share) for share in (0.05, 0.00125, 0.12345)] == ["5 %", "0.125 %", "12.3 %"]
    assert [delta_words(RISE, 10.0), delta_words(points, -2.5)] == ["+10 %", "-2.5 points"]
    assert delta_words(RISE, 1.23456) == "+1.235 %"
    assert [multiple_words(multiple) for multiple in (1.25, 1.0004, 12.345)] == ["1.25x", "1x", "12.3x"]
    assert view_words(CohortKey((("tenant", "acme"), ("workflow", "chat")))) == "tenant=acme,workflow=chat"


def test_where_a_value_is_from_is_told_with_it() -> None:
    assert fact_words(Fact("phi", 1.0, Origin.DEFAULT)) == "phi = 1 (default)"
    assert fact_words(Fact("p95", 1_234.5678, Origin.GIVEN)) == "p95 = 1234.57"
    assert [base_words(base()), base_words(base(samples=0)), base_words(base(samples=12_345))] == [
        "assumed",
        "recorded, 0 requests",
        "recorded, 12,345 requests",
    ]


def test_a_limit_is_told_in_values_where_both_are_known() -> None:
    points = handoff(2.0, unit=Unit.POINTS)
    assert limit_in_values(forecast()) == "+8 % of 5.00 % means 5.40 %"
    assert limit_in_values(forecast(points, limit_value=0.07)) == "+2 points on 5.00 % means 7.00 %"
    assert limit_in_values(forecast(base=base(0.0), limit_value=0.0)) == "+8 % of 0.00 % means 0.00 %"
    assert limit_in_values(forecast(base=base(None))) == "+8 %"
    assert limit_in_values(forecast(limit_value=None)) == "+8 %"


@pytest.mark.parametrize(
    ("more", "what", "least"),
    [
        (
            {},
            "twice the limit (+16 %) takes 12,300 candidate requests and cannot",
            "the smallest harm that can is 2.5x (+20 %), less ends as `inconclusive`",
        ),
        (
            {"harms": (replace(TWICE, requests=None),), "smallest": None},
            "twice the limit (+16 %) does not show at any number of requests, or nearly so, and cannot",
            "no harm can; every answer will be `inconclusive`",
        ),
        (
            {"harms": (replace(TWICE, is_possible=False),), "smallest": None},
            "twice the limit (+16 %) is worse than a rate can be, and the worst there is cannot",
            "no harm can; every answer will be `inconclusive`",
        ),
    ],
)
def test_what_cannot_be_decided_in_time_is_told_with_what_can(
    more: dict[str, Any], what: str, least: str
) -> None:
    told = f"{what} be decided within the 21 h 20 min {PACE}; {least}. Set a wider limit"
    assert remark_words(forecast(**more), Remark.UNDECIDABLE) == f"{HANDOFF}: {told}"


@pytest.mark.parametrize(
    ("share", "requests_per_s", "remedy"),
    [
        (None, None, "Set a wider limit"),
        (0.125, None, "Give the candidate 12.5 % of the traffic, or set a wider limit"),
        (
            None,
            45.678,
            "Bring 45.7 requests/s in all (shadow traffic does not count), or set a wider limit",
        ),
        (
            0.125,
            45.678,
            "Give the candidate 12.5 % of the traffic, or bring 45.7 requests/s in all (shadow traffic does not "
            "count), or set a wider limit",
        ),
    ],
)
def test_every_way_that_would_be_enough_is_offered(
    share: float | None, requests_per_s: float | None, remedy: str
) -> None:
    found = forecast(enough_share=share, enough_requests_per_s=requests_per_s)
    assert remark_words(found, Remark.UNDECIDABLE).endswith(f"`inconclusive`. {remedy}")


def test_a_limit_that_nothing_can_pass_is_told_with_the_reason() -> None:
    fall = objective(limit=-60.0)
    assert remark_words(forecast(fall, base=base(0.9)), Remark.NEVER) == (
        "quality.task_success_delta_pct: can never be passed: task success of the baseline is 90.00 %, and no rate is "
        "beyond -60 % of it; write a limit in the other unit, or check the baseline's rate"
    )
    assert remark_words(forecast(objective("p95", 15.0), base=base(inf)), Remark.NEVER) == (
        "quality.p95_delta_pct: can never be passed: the baseline's own value lies among unfinished requests; "
        "limit `timeout` instead"
    )


@pytest.mark.parametrize(
    ("here", "there", "takes", "needs"),
    [
        (None, None, "", ""),
        (12_345, None, "; deciding twice that takes 12,300 candidate requests", ""),
        (None, 0, "", "; 0 requests"),
        (0, 987, "; deciding twice that takes 0 candidate requests", "; 987 requests"),
    ],
)
def test_the_other_unit_is_proposed_as_it_would_be_written(
    here: int | None, there: int | None, takes: str, needs: str
) -> None:
    found = forecast(swap=Swap(Unit.POINTS, 0.13, here, there))
    assert remark_words(found, Remark.UNIT) == (
        f"{HANDOFF}: +8 % of 5.00 % means 5.40 %{takes}. "
        f"Did you mean `human_handoff_delta_pp: +8` (13.00 %{needs})?"
    )


def test_the_other_warnings_name_the_slice_and_what_to_do() -> None:
    acme = forecast(view=ACME)
    who = f"{HANDOFF} for tenant=acme"
    unknown = (
        "how much of the traffic this slice gets is not known, and so are the minutes; "
        "add --cohort-share tenant=acme=0.05, or a --history that has it"
    )
    assert remark_words(acme, Remark.SHARE_UNKNOWN) == f"{who}: {unknown}"
    assert remark_words(acme, Remark.NO_EVIDENCE).startswith(f"{who}: `evidence: off` decides on what each")
    rule = safety(incidents(), ACME)
    told = safety_remark_words(rule, Remark.SHARE_UNKNOWN, budget(incidents()))
    assert told == f"{SAFETY} for tenant=acme: {unknown}"


@pytest.mark.parametrize(
    ("judged", "what"), [(RISE, "rate"), (objective("p95", 15.0, group="escalation"), "distribution")]
)
def test_a_small_recording_is_told_with_its_size(judged: Objective, what: str) -> None:
    found = forecast(judged, base=base(samples=1_234))
    assert remark_words(found, Remark.FEW_SAMPLES) == (
        f"{judged.objective_id}: the recording holds 1,234 requests of the baseline that show it; that {what} is "
        "rough. Record more"
    )


SEVERE = incidents()
LITERAL = incidents(literal=True)
THIRD = incidents(2, tier=Tier.B)
STEPS = (SafetyStep(1, 0.001, 20, 1),)


@pytest.mark.parametrize(
    ("judged", "more", "words"),
    [
        (LITERAL, {}, "the first high-severity incident rolls back at once, whatever the baseline has"),
        (
            SEVERE,
            {},
            "the first high-severity incident rolls back at once while the baseline has none itself (it is taken to "
            "have none); no duration, no window",
        ),
        (
            THIRD,
            {"base": base(0.0, 1_234)},
            "high-severity incident 3 pages at once while the baseline has none itself (it had none in 1,234 recorded "
            "requests); no duration, no window",
        ),
        (
            SEVERE,
            {"steps": STEPS},
            "the first high-severity incident pages at once; it rolls back where chance does not explain it",
        ),
        (
            THIRD,
            {"steps": STEPS, "expected_per_day": 43.21},
            "high-severity incident 3 pages at once; it pages where chance does not explain it: 43.2 a day are normal",
        ),
    ],
)
def test_what_a_safety_limit_does_is_told_before_it_does_it(
    judged: Objective, more: dict[str, Any], words: str
) -> None:
    assert safety_words(safety(judged, **more), budget(judged)) == words


def test_incidents_that_are_normal_are_told_with_what_they_do() -> None:
    for judged, does in ((SEVERE, "rolls back"), (THIRD, "pages")):
        watched = budget(judged)
        assert acts(judged, watched) == does
        told = safety_remark_words(safety(judged, base=base(0.00123)), Remark.INCIDENTS_NORMAL, watched)
        assert told == (
            f"{SAFETY}: the baseline has 0.0012 incidents a request, so the first of the candidate's may be chance: "
            f"it pages, and it {does} only where chance does not explain it; `literal: true` acts on the first one "
            "always"
        )
