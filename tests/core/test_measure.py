"""A mean is judged twice: what lies above the cap is found, or said not to be known, and noise there never fires."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

import numpy as np
import pytest

from monitor.core.aggregate import Aggregate
from monitor.core.budget import EvidenceMode, Objective, Tier, Unit
from monitor.core.cohort import OVERALL
from monitor.core.indicator import Direction, indicator
from monitor.core.measure import gauges_of, loudest, observe_all
from monitor.core.rederive import derive
from monitor.core.rules import looks_of
from monitor.core.series import RateSeries
from monitor.core.sketch import RATIO, Sketch
from monitor.core.stats.capped import Measure
from monitor.core.stats.evidence import p_value
from monitor.core.stats.limit import limit_of
from monitor.core.stats.rule import MEAN_MEASURES, rule_for
from monitor.core.sustained import Answer, Judgement
from monitor.core.trigger import Phase
from monitor.core.verdict import verdict_words
from monitor.core.watch import Change, Watch
from monitor.core.wording import finding_words
from tests.core.test_rederive import Run

START = 29_000_000
MICRO = 5_000  # the usual cost of a request, in millionths of a dollar
HOLD = 20

Draw = Callable[[np.random.Generator, int], np.ndarray]
"""Costs of so many requests, as multiples of the usual one."""


def cost(metric: str = "cost_per_request", **more: Any) -> Objective:
    return Objective(
        f"cost.{metric}",
        indicator(metric),
        Direction.HIGHER_IS_WORSE,
        20.0,
        Unit.PERCENT,
        HOLD,
        Tier.B,
        **more,
    )


def lognormal(sigma: float, times: float = 1.0) -> Draw:
    return lambda rng, n: times * np.exp(rng.normal(0.0, sigma, n))


def mixed(share: float, low: float, high: float) -> Draw:
    """Requests of usual cost, of which `share` cost `low` to `high` times as much instead."""
    return lambda rng, n: np.where(
        rng.random(n) < share, rng.uniform(low, high, n), np.exp(rng.normal(0.0, 0.1, n))
    )


class Release:
    """A candidate beside its baseline, minute by minute."""

    def __init__(self, seed: int, *, per_minute: int, canary: float, judged: Objective | None = None) -> None:
        self.rng = np.random.default_rng(seed)
        self.sizes = round(per_minute * canary), round(per_minute * (1.0 - canary))
        self.judged = judged or cost()
        self.watch = Watch(self.judged, OVERALL, rule_for(self.judged, window_min=1440, objectives=4), START)
        self.now = START

    def run(self, minutes: int, candidate: Draw, baseline: Draw, *, every: int = 1) -> int | None:
        """Close minutes, judging one of `every`; return the minute at which the rule fires first."""
        for _ in range(minutes):
            self.watch.append(
                self.now, self._cell(candidate, self.sizes[0]), self._cell(baseline, self.sizes[1])
            )
            self.now += 1
            if (self.now - START) % every == 0:
                if self.watch.judge(self.now).judgement.answer is Answer.FIRES:
                    return self.now - START
        return None

    def _cell(self, draw: Draw, requests: int) -> Aggregate:
        made = Aggregate()
        made.requests = requests
        costs = np.maximum(draw(self.rng, requests) * MICRO, 1.0).astype(np.int64)
        index, count = np.unique(np.ceil(np.log(costs) / log(RATIO) - 1e-9).astype(int), return_counts=True)
        bins = dict(zip(index.tolist(), count.tolist(), strict=True))
        made.sketches[self.judged.indicator.source] = Sketch(bins, int(costs.sum()))
        return made


# As measured releases are: costs spread little, and one request in six is up to twice as dear as the p99.
ORDINARY, DEAR_TAIL = lognormal(0.3), mixed(0.16, 2.1, 4.5)


@pytest.mark.parametrize("canary", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("times", [1.0, 1.1])
def test_a_heavy_tail_that_is_harmless_never_fires(sigma: float, canary: float, times: float) -> None:
    """Equal releases, and such as are dearer by half the limit, at every split."""
    release = Release(round(10 * sigma + 100 * canary), per_minute=2_000, canary=canary)
    assert release.run(60, lognormal(sigma, times), lognormal(sigma), every=4) is None


@pytest.mark.parametrize("evidence", [EvidenceMode.DEFAULT, EvidenceMode.STRICT])
def test_a_tail_that_the_cap_hides_is_found_by_the_plain_mean(evidence: EvidenceMode) -> None:
    """Up to the cap it is within the limit; what is paid is not; and it takes its minutes, as all harm does."""
    release = Release(1, per_minute=2_000, canary=0.25, judged=cost(evidence=evidence))
    assert release.run(20, ORDINARY, ORDINARY, every=4) is None
    fired = release.run(40, DEAR_TAIL, ORDINARY)
    assert fired is not None
    assert fired >= 20 + HOLD
    watch = release.watch
    assert watch.gauges[watch.led].measure is Measure.PLAIN
    seen = watch.finding(release.now, 5, watch.judgement).seen
    assert seen.capped is not None
    assert seen.delta is not None
    assert seen.capped.delta is not None
    assert seen.capped.delta < 20.0 < seen.delta
    assert seen.capped.above_candidate == pytest.approx(0.16, abs=0.03)
    assert seen.capped.above_baseline == pytest.approx(0.01, abs=0.004)


def test_the_letter_of_the_limit_is_about_what_is_paid() -> None:
    release = Release(2, per_minute=2_000, canary=0.25, judged=cost(evidence=EvidenceMode.OFF))
    assert release.run(HOLD - 1, DEAR_TAIL, ORDINARY) is None
    assert release.run(2, DEAR_TAIL, ORDINARY) is not None


def test_many_requests_a_little_above_the_cap_are_no_harm() -> None:
    """The dear workflow grows by a tenth: five times as many lie above the cap, and the mean moves by 3 %."""
    release = Release(3, per_minute=2_000, canary=0.25)
    assert release.run(60, mixed(0.05, 9.9, 11.0), mixed(0.05, 9.0, 10.0), every=4) is None
    capped = release.watch.observe_all(release.now).capped
    assert capped is not None
    assert capped.above_candidate is not None
    assert capped.above_candidate > 0.04
    assert release.watch.verdict(release.now) == "healthy"


def test_a_few_enormous_requests_are_never_called_healthy() -> None:
    """One in 200 costs a hundred times as much: too few requests to prove it, and enough to doubt."""
    release = Release(4, per_minute=400, canary=0.25)
    release.run(90, mixed(0.005, 90.0, 110.0), ORDINARY, every=4)
    watch = release.watch
    assert min(watch.gauge_within(watch.gauges[0], release.now) or (0.0,)) > 1.4  # the cap sees nothing of it
    assert watch.verdict(release.now) == "inconclusive"
    said = verdict_words(watch, release.now)
    assert said.startswith("cost per request: inconclusive, because only up to the baseline's p99")
    assert said.endswith(" %)")  # and by how much it is above all the same


def test_an_equal_release_is_shown_healthy() -> None:
    release = Release(5, per_minute=2_000, canary=0.25)
    assert release.run(60, ORDINARY, ORDINARY, every=4) is None
    assert release.watch.verdict(release.now) == "healthy"
    assert verdict_words(release.watch, release.now) == "cost per request: healthy"


def test_an_episode_is_over_when_both_measures_are_back() -> None:
    release = Release(6, per_minute=2_000, canary=0.25)
    assert release.run(60, DEAR_TAIL, ORDINARY) is not None
    phases = [release.watch.trigger.phase]
    release.run(60, ORDINARY, ORDINARY)
    phases.append(release.watch.trigger.phase)
    assert phases == [Phase.FIRING, Phase.INACTIVE]


@pytest.mark.parametrize(
    "answers, led",
    [
        ((Answer.FIRES, Answer.FIRES), 0),
        ((Answer.SUSPECT, Answer.FIRES), 1),
        ((Answer.RECOVERED, Answer.SUSPECT), 1),
        ((Answer.RECOVERED, Answer.UNKNOWN), 1),
        ((Answer.UNKNOWN, Answer.RECOVERED), 0),
        ((Answer.RECOVERED, Answer.RECOVERED), 0),
        ((Answer.SUSPECT,), 0),
    ],
)
def test_the_loudest_answer_is_the_objectives(answers: tuple[Answer, ...], led: int) -> None:
    assert loudest([Judgement(answer, None, 0.0, 15.0) for answer in answers]) == led


def test_the_error_rate_is_split_between_the_measures() -> None:
    """All looks of both together err as rarely as those of a rate."""
    budgets = [rule_for(one, window_min=1440, objectives=4) for one in (cost(), _success())]
    spent = [looks_of(rule) * p_value(rule.x_star) for rule in budgets]
    assert spent == pytest.approx([1e-3 / 8] * 2, rel=1e-6)
    assert looks_of(budgets[0]) == MEAN_MEASURES * looks_of(budgets[1])


def _success() -> Objective:
    worse = Direction.LOWER_IS_WORSE
    return Objective("q", indicator("task_success"), worse, -2.0, Unit.PERCENT, HOLD, Tier.A)


def test_a_rate_has_one_measure_and_nothing_beside_it() -> None:
    series = RateSeries(limit_of(_success()))
    series.append(0, (80, 100), (90, 100))
    gauges = gauges_of(series)
    assert [gauge.measure for gauge in gauges] == [None]
    seen = observe_all(gauges, 0, 1, x_star=15.0, factor=1.0)
    assert (seen.candidate, seen.baseline, seen.capped) == (0.8, 0.9, None)


def test_costs_that_change_from_minute_to_minute_show_less() -> None:
    """Every other minute is a third dearer: requests of one minute are not independent of each other."""
    release = Release(11, per_minute=400, canary=0.5)
    for minute in range(30):
        release.run(1, lognormal(0.3, 1.0 + minute % 2 * 0.3), ORDINARY)
    gauges, span = release.watch.gauges, (START, release.now)
    for gauge in gauges:
        assert 0.0 < gauge.within(*span) < gauge.series.evidence_out(*span)
    capped, plain = (gauge.observe(*span, release.watch.rule.x_star, 1.0).mde for gauge in gauges)
    assert capped is not None
    assert plain is not None
    assert capped < plain
    assert release.watch.observe_all(release.now).mde == capped  # what could be shown is what either could


def test_a_person_is_told_what_is_paid_and_what_lies_above_the_cap() -> None:
    release = Release(7, per_minute=2_000, canary=0.25)
    assert release.run(60, DEAR_TAIL, ORDINARY) is not None
    said = finding_words(release.watch.finding(release.now, 5, release.watch.judgement))
    paid, _, tail = said.partition("; 95 % sure it lies between ")
    assert paid.startswith("cost per request is ")
    assert " % above the baseline (0.0" in paid
    assert " % of requests cost more than the baseline's p99 of 0.0" in tail
    assert ", against 1." in tail or ", against 0." in tail
    assert "; up to it +1" in tail


def test_tokens_are_judged_alike() -> None:
    release = Release(8, per_minute=2_000, canary=0.25, judged=cost("tokens_per_request"))
    assert release.run(60, DEAR_TAIL, ORDINARY) is not None
    said = finding_words(release.watch.finding(release.now, 5, release.watch.judgement))
    assert "tokens per request is " in said
    assert "of requests take more than the baseline's p99 of " in said


def test_a_record_of_the_plain_mean_is_derived_again() -> None:
    run = Run(cost(), 11)
    release = Release(9, per_minute=2_000, canary=0.25, judged=run.judged)
    assert release.run(60, DEAR_TAIL, ORDINARY) is not None
    run.watch, run.now = release.watch, release.now
    before, judgement = release.watch.trigger, release.watch.judgement
    assert judgement is not None
    data = run.data(Change(before, before, judgement))
    assert data["evidence"]["measure"] == "plain"
    found = derive(data)
    assert found.disagreements == []
    assert found.answer == "fires"
    for name in ("delta", "candidate", "above_candidate"):
        data["observed"]["capped"][name] += 0.5
        assert derive(data).disagreements
        data["observed"]["capped"][name] -= 0.5
    del data["observed"]["capped"]
    assert derive(data).disagreements
