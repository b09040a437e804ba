"""The sustained rule: equal to its plain text, and with the promises that simulated releases show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor.core.budget import Objective, Tier, Unit
from monitor.core.indicator import Direction, indicator
from monitor.core.series import RateSeries
from monitor.core.stats.dispersion import Dispersion
from monitor.core.stats.evidence import evidence_for
from monitor.core.stats.limit import Limit
from monitor.core.sustained import Answer, Judgement, Refusal, Rule, judge, make_rule, rule_for
from tests.core.plain_rule import Minutes, PlainRule, Verdict

_SUCCESS = Limit(Direction.LOWER_IS_WORSE, Unit.PERCENT, -2.0)
_LITERAL = Limit(Direction.LOWER_IS_WORSE, Unit.PERCENT, -2.0, needs_evidence=False)
_RULE = make_rule(20, window_min=1440, objectives=4)
_AT_ONCE = make_rule(0, window_min=1440, objectives=4)
_HARM = 0.02 * 0.9  # one X in success, as a share


def _series(minutes: Minutes, limit: Limit = _SUCCESS, first: int = 0) -> RateSeries:
    series = RateSeries(limit)
    for minute, (s_c, n_c, s_b, n_b) in enumerate(minutes.tolist(), start=first):
        series.append(minute, (s_c, n_c), (s_b, n_b))
    return series


# The rule's text, read plainly -----------------------------------------------------------------------------------


def _uneven(rng: np.random.Generator, length: int, per_minute: int, quiet: float = 0.03) -> Minutes:
    """Uneven traffic with gaps, and spells of harm of any length."""
    n_c = rng.poisson(per_minute, length) * (rng.random(length) > quiet)
    n_b = rng.poisson(4 * per_minute, length) * (rng.random(length) > quiet / 4)
    success = np.full(length, 0.9)
    for _ in range(3):
        at, long = rng.integers(0, length - 30), rng.integers(2, 70)
        success[at : at + long] -= rng.choice([0.05, 0.15, 0.4])
    s_c, s_b = rng.binomial(n_c, success.clip(0.1)), rng.binomial(n_b, 0.9)
    return np.stack([s_c, n_c, s_b, n_b], axis=1)


def _assert_is(found: Judgement, plain: PlainRule, expected: Verdict, first: int) -> None:
    """A judgement says what the plain text says, its minutes counted from the series' first."""
    rest = None
    if found.rest is not None:
        assert found.rest.cut is not None
        rest = found.rest.cut[0] - first, found.rest.cut[1] - first
    whole = None if found.window is None else (found.window[0] - first, found.window[1] - first)
    assert Verdict(found.answer, found.refusal, whole, rest) == expected
    if found.whole is not None and whole is not None:
        assert found.whole.evidence == pytest.approx(plain.x_in([whole]), rel=1e-9)
    if found.rest is not None and whole is not None and rest is not None:
        assert found.rest.evidence == pytest.approx(plain.x_in([(whole[0], rest[0]), (rest[1], whole[1])]))


@pytest.mark.parametrize("seed", range(24))
def test_the_rule_is_its_plain_text(seed: int) -> None:
    """Same tick, same window, same evidence; same check that refuses, same rest that carries most of the harm."""
    rng = np.random.default_rng(seed)
    hold, phi, fewest = [(4, 1.0, 0), (9, 1.0, 400), (20, 1.0, 0), (9, 2.5, 0)][seed % 4]
    minutes = _uneven(rng, 150, int(rng.choice([6, 30, 150])))
    rule, first = make_rule(hold, window_min=120, objectives=4, min_samples=fewest), 1000 * seed
    series = _series(minutes, first=first)
    for t in range(1 + seed // 8, 151, 3):
        plain = PlainRule(minutes, t, hold, 120, rule.x_star, phi, fewest)
        found = judge(series, first + t, rule, Dispersion(phi))
        assert found.strongest == pytest.approx(plain.strongest(), rel=1e-9)
        _assert_is(found, plain, plain.sustained(), first)


@pytest.mark.parametrize("seed", range(8))
def test_a_hold_of_nothing_is_its_plain_text(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fewest = 100 * (seed % 2)
    minutes = _uneven(rng, 90, int(rng.choice([6, 30, 150])), 0.2)
    rule = make_rule(0, window_min=60, objectives=4, min_samples=fewest)
    series = _series(minutes, first=70)
    for t in range(1, 91, 2):
        plain = PlainRule(minutes, t, 0, 60, rule.x_star, min_samples=fewest)
        _assert_is(judge(series, 70 + t, rule), plain, plain.at_once(), 70)


@pytest.mark.parametrize("hold", [0, 1, 3, 9])
def test_the_literal_rule_is_its_plain_text(hold: int) -> None:
    minutes = _uneven(np.random.default_rng(hold), 120, 150, 0.1)
    series = _series(minutes, _LITERAL, first=70)
    for fewest in (0, 500):
        rule = make_rule(hold, window_min=120, objectives=4, min_samples=fewest)
        for t in range(121):
            plain = PlainRule(minutes, t, hold, 120, rule.x_star, min_samples=fewest)
            found = judge(series, 70 + t, rule)
            _assert_is(found, plain, plain.literal(), 70)
            assert found.strongest == 0.0, "no evidence is asked for"


# What simulated releases show ------------------------------------------------------------------------------------


def _release(
    rng: np.random.Generator, length: int, n_c: int, n_b: int, harm: list[tuple[int, int, float]]
) -> RateSeries:
    """A release with success 0.9; harm as (from, to, times X)."""
    success = np.full(length, 0.9)
    for start, end, times in harm:
        success[start:end] -= times * _HARM
    s_c, s_b = rng.binomial(n_c, success), rng.binomial(n_b, 0.9, length)
    return _series(np.stack([s_c, np.full(length, n_c), s_b, np.full(length, n_b)], axis=1))


def _fired_at(series: RateSeries, ticks: range, rule: Rule = _RULE) -> int | None:
    return next((t for t in ticks if judge(series, t, rule).answer is Answer.FIRES), None)


@pytest.mark.parametrize("n_c, times", [(1200, 5.0), (120, 5.0), (300, 30.0), (60, 15.0)])
def test_harm_younger_than_its_duration_never_fires(n_c: int, times: float) -> None:
    rng = np.random.default_rng(11)
    for _ in range(60):
        series = _release(rng, 60, n_c, 9 * n_c, [(40, 60, times)])
        assert _fired_at(series, range(30, 60)) is None  # minute 60 is the first with Y minutes of harm


@pytest.mark.parametrize("n_c", [120, 300])
def test_a_burst_shorter_than_the_duration_never_fires(n_c: int) -> None:
    rng = np.random.default_rng(12)
    for _ in range(40):
        series = _release(rng, 110, n_c, 9 * n_c, [(40, 52, 15.0)])
        assert _fired_at(series, range(40, 110)) is None


def test_strong_harm_fires_within_three_minutes_of_its_duration() -> None:
    rng = np.random.default_rng(13)
    fired = [_fired_at(_release(rng, 70, 1200, 10_800, [(40, 70, 5.0)]), range(50, 64)) for _ in range(80)]
    assert sum(t is not None for t in fired) >= 72
    assert min(t for t in fired if t is not None) >= 60


def test_twice_the_limit_fires_later_with_less_traffic_instead_of_never() -> None:
    """At 300 candidate requests a minute and 5 % canary the published median is 25, 90 % are by 29."""
    rng = np.random.default_rng(14)
    fired = [_fired_at(_release(rng, 110, 300, 5700, [(40, 110, 2.0)]), range(50, 110)) for _ in range(60)]
    delays = sorted(999 if t is None else t - 40 for t in fired)
    assert 22 <= delays[30] <= 28
    assert delays[53] <= 32


@pytest.mark.parametrize("share_of_limit", [0.0, 0.5])
def test_a_harmless_release_never_fires(share_of_limit: float) -> None:
    rng = np.random.default_rng(15)
    for n_c in (20, 60, 300, 1200) * 50:
        series = _release(rng, 180, n_c, 9 * n_c, [(0, 180, share_of_limit)])
        assert _fired_at(series, range(20, 181)) is None


def test_two_bursts_with_a_healthy_gap_are_not_one_breach() -> None:
    rng = np.random.default_rng(16)
    for _ in range(20):
        series = _release(rng, 130, 300, 2700, [(30, 42, 15.0), (102, 114, 15.0)])
        assert _fired_at(series, range(30, 131)) is None


def test_correlated_outcomes_are_held_back_by_phi() -> None:
    """Evidence counts for 1/phi of itself, in every check."""
    series = _release(np.random.default_rng(17), 100, 300, 2700, [(40, 100, 5.0)])
    plain = judge(series, 70, _RULE)
    held = judge(series, 70, _RULE, phi=Dispersion(50.0))
    assert plain.answer is Answer.FIRES
    assert held.answer is not Answer.FIRES
    assert held.strongest == pytest.approx(plain.strongest / 50)


# What it answers and why -----------------------------------------------------------------------------------------


def _steady(*spells: tuple[int, tuple[int, int, int, int]]) -> Minutes:
    return np.array([minute for length, minute in spells for _ in range(length)])


_GOOD = (900, 1000, 900, 1000)
_BAD = (800, 1000, 900, 1000)
_AWFUL = (700, 1000, 900, 1000)
_NONE = (0, 0, 900, 1000)


@pytest.mark.parametrize(
    "minutes, answer, refusal",
    [
        (_steady((40, _GOOD)), Answer.RECOVERED, Refusal.NOT_ENOUGH_EVIDENCE),
        (_steady((40, _NONE)), Answer.UNKNOWN, Refusal.NO_DATA),
        (_steady((4, _BAD)), Answer.UNKNOWN, Refusal.NO_DATA),  # less than a quarter of the hold is known
        (_steady((6, _BAD)), Answer.SUSPECT, Refusal.NO_DATA),  # no window of the hold fits yet
        (_steady((30, _GOOD), (6, _NONE)), Answer.UNKNOWN, Refusal.NOT_ENOUGH_EVIDENCE),
        (_steady((30, _GOOD), (19, _BAD)), Answer.SUSPECT, Refusal.YOUNGER_OR_BURST),
        (_steady((30, _GOOD), (20, _BAD)), Answer.FIRES, None),
        (_steady((60, _BAD)), Answer.FIRES, None),
        (_steady((30, _BAD), (5, _GOOD)), Answer.RECOVERED, Refusal.EVIDENTLY_BACK),
        (_steady((30, _BAD), (9, _GOOD)), Answer.RECOVERED, Refusal.NOT_BEYOND_NOW),
        (_steady((30, _BAD), (8, _NONE)), Answer.UNKNOWN, Refusal.HEALTHY_FIFTH),
        (_steady((20, _BAD), (20, _NONE)), Answer.UNKNOWN, Refusal.NO_DATA),
        (_steady((12, _BAD), (8, _GOOD), (12, _BAD)), Answer.SUSPECT, Refusal.HEALTHY_FIFTH),
        (_steady((40, (7, 10, 8, 10))), Answer.UNKNOWN, Refusal.NOT_ENOUGH_EVIDENCE),
    ],
)
def test_every_answer_has_its_reason(minutes: Minutes, answer: Answer, refusal: Refusal | None) -> None:
    found = judge(_series(minutes), len(minutes), _RULE)
    assert (found.answer, found.refusal) == (answer, refusal)


def _harm(*minutes: tuple[int, float]) -> Minutes:
    """Minutes of so many candidate requests, and four times as many of the baseline, harmed by so many percent."""
    return np.array([(round(n * 0.9 * (1 - pct / 100)), n, round(3.6 * n), 4 * n) for n, pct in minutes])


_SHORT = make_rule(4, window_min=1440, objectives=4)


@pytest.mark.parametrize("pct, refusal", [(1.9, Refusal.YOUNGER_OR_BURST), (2.1, None)])
def test_what_is_left_without_a_stretch_is_beyond_the_limit_itself(
    pct: float, refusal: Refusal | None
) -> None:
    """However strong its evidence of being beyond half of it."""
    minutes = _harm((10**6, pct), *[(10**6, 3.0)] * 3)
    found = judge(_series(minutes), 4, _SHORT)
    assert found.refusal is refusal
    assert found.rest is not None
    assert (found.rest.cut, found.rest.evidence > 100) == ((1, 4), True)


def test_the_newest_minute_alone_may_carry_most_of_the_harm() -> None:
    found = judge(_series(_harm((10**6, 5.0), (10**6, 1.1), (10**6, 1.1), (10**6, 30.0))), 4, _SHORT)
    assert found.rest is not None
    assert found.rest.cut == (3, 4)


@pytest.mark.parametrize("pct, refusal", [(1.5, Refusal.EVIDENTLY_BACK), (2.5, None)])
def test_the_oldest_minute_of_a_window_may_show_that_it_was_within(
    pct: float, refusal: Refusal | None
) -> None:
    """The first of those that hold enough requests begins with it; what lies before is no part of it."""
    rule = make_rule(4, window_min=1440, objectives=4, min_samples=250_000)
    minutes = _harm(*[(10**5, 0.0)] * 5, (10**5, pct), *[(50_000, 30.0)] * 4)
    found = judge(_series(minutes), 10, rule)
    assert (found.refusal, found.window) == (refusal, (5, 10))


@pytest.mark.parametrize(
    "newest, n_c, refusal",
    [(2, 10_000, Refusal.EVIDENTLY_BACK), (2, 7_000, None), (3, 7_000, None)],
)
def test_the_newest_minutes_up_to_a_quarter_of_the_hold_may_show_recovery(
    newest: int, n_c: int, refusal: Refusal | None
) -> None:
    """Of 8 minutes; by less evidence than a block asks for. Three of them are more than a quarter."""
    rule = make_rule(8, window_min=1440, objectives=4)
    series, now = _series(_harm(*[(10**5, 30.0)] * 12, *[(n_c, 1.3)] * newest)), 12 + newest
    assert (series.evidence_out(now - newest, now) > evidence_for(0.01)) is (n_c * newest >= 20_000)
    assert series.evidence_out(now - 2, now) < evidence_for(0.01 / 4)
    assert judge(series, now, rule).refusal is refusal


@pytest.mark.parametrize("pct, refusal, since", [(1.9, Refusal.NOT_BEYOND_NOW, 8), (2.5, None, 9)])
def test_at_once_no_window_within_the_limit_is_asked_for_evidence(
    pct: float, refusal: Refusal | None, since: int
) -> None:
    """Of being beyond half of the limit it may hold a lot."""
    minutes = _harm(*[(10**6, 0.0)] * 8, (10**6, 5.0), (10**6, pct))
    found = judge(_series(minutes), 10, _AT_ONCE)
    assert (found.refusal, found.window) == (refusal, (since, 10))


def test_evidence_that_just_reaches_what_is_asked_for_is_enough() -> None:
    series = _series(_steady((60, _BAD)))
    strongest = judge(series, 60, _RULE).strongest
    assert judge(series, 60, replace(_RULE, x_star=strongest)).answer is Answer.FIRES
    at_once = judge(series, 60, _AT_ONCE)
    assert at_once.whole is not None
    exact = replace(_AT_ONCE, x_star=at_once.whole.evidence)
    assert judge(series, 60, exact).window == at_once.window
    assert judge(series, 60, replace(exact, x_star=at_once.strongest)).answer is Answer.FIRES


def test_a_window_holds_three_quarters_of_the_evidence_while_a_longer_one_holds_it_all() -> None:
    series = _series(_steady((60, _BAD)))
    held = series.evidence_in(40, 60)
    assert judge(series, 60, replace(_RULE, x_star=held / 0.75)).window == (40, 60)
    assert judge(series, 60, replace(_RULE, x_star=held / 0.7499)).window == (39, 60)


def test_a_newest_minute_that_is_evidently_back_refuses() -> None:
    """All longer stretches are still bad, yet the newest minute shows that the harm has ended."""
    awful = (40, _AWFUL)
    back = judge(_series(_steady(awful, (1, (960, 1000, 900, 1000)))), 41, _RULE)
    assert (back.answer, back.refusal) == (Answer.SUSPECT, Refusal.EVIDENTLY_BACK)
    assert judge(_series(_steady(awful, (1, _BAD))), 41, _RULE).answer is Answer.FIRES


def test_a_fired_judgement_shows_the_numbers_behind_it() -> None:
    found = judge(_series(_steady((30, _GOOD), (20, _BAD))), 50, _RULE, phi=Dispersion(1.5))
    assert found.refusal is None
    assert found.window == (30, 50)
    assert found.whole is not None
    assert found.rest is not None
    assert found.whole.counts == (20_000, 20_000)
    assert found.whole.observed.delta == pytest.approx(100 * (8 / 9 - 1))
    assert found.rest.cut is not None
    assert found.rest.cut == (31, 50)  # of many that show as little, the newest
    assert found.rest.counts == (1000, 1000)
    assert 1.92 <= found.rest.evidence < found.whole.evidence
    assert found.strongest >= found.x_star == _RULE.x_star
    assert found.whole.evidence == _series(_steady((30, _GOOD), (20, _BAD))).evidence_in(30, 50) / 1.5


def test_a_refused_judgement_shows_the_rest_that_was_healthy() -> None:
    found = judge(_series(_steady((1, _GOOD), (19, _BAD))), 20, _RULE)
    assert found.refusal is Refusal.YOUNGER_OR_BURST
    assert found.rest is not None
    assert (found.rest.cut, found.rest.counts) == ((1, 20), (1000, 1000))


def test_min_samples_are_asked_of_both_arms() -> None:
    minutes = _steady((40, _BAD))
    enough = make_rule(20, window_min=1440, objectives=4, min_samples=20_000)
    more = make_rule(20, window_min=1440, objectives=4, min_samples=50_000)
    assert judge(_series(minutes), 40, enough).answer is Answer.FIRES
    found = judge(_series(minutes), 40, more)
    assert (found.answer, found.refusal) == (Answer.SUSPECT, Refusal.MIN_SAMPLES)


def test_no_window_reaches_before_the_first_live_request() -> None:
    series = _series(_steady((19, (0, 1000, 1000, 1000))), first=500)
    assert judge(series, 519, _RULE).answer is Answer.SUSPECT
    series.append(519, (0, 1000), (1000, 1000))
    assert judge(series, 520, _RULE).window == (500, 520)


def test_no_minute_at_all_is_unknown() -> None:
    found = judge(RateSeries(_SUCCESS), 0, _RULE)
    assert found == Judgement(Answer.UNKNOWN, Refusal.NO_DATA, 0.0, _RULE.x_star)


# Holds of 0 and the literal rule ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "minutes, answer",
    [
        (_steady((1, _AWFUL)), Answer.FIRES),
        (_steady((60, _GOOD), (1, _AWFUL)), Answer.FIRES),
        (_steady((60, _GOOD), (1, (840, 1000, 900, 1000))), Answer.SUSPECT),
        (_steady((60, _GOOD), (2, (30, 40, 900, 1000))), Answer.UNKNOWN),
        (_steady((60, _GOOD), (12, (30, 40, 900, 1000))), Answer.FIRES),  # little traffic takes longer
        (_steady((60, _GOOD), (1, _AWFUL), (3, _GOOD)), Answer.RECOVERED),
        (_steady((60, _GOOD), (1, _AWFUL), (1, _NONE)), Answer.UNKNOWN),
        (_steady((60, _GOOD)), Answer.RECOVERED),
    ],
)
def test_a_hold_of_nothing_acts_as_soon_as_the_evidence_is_there(minutes: Minutes, answer: Answer) -> None:
    assert judge(_series(minutes), len(minutes), _AT_ONCE).answer is answer


def test_a_hold_of_nothing_keeps_the_error_rate_of_a_healthy_release() -> None:
    rng = np.random.default_rng(18)
    for n_c in (30, 300) * 15:
        assert _fired_at(_release(rng, 120, n_c, 9 * n_c, []), range(1, 121), _AT_ONCE) is None


@pytest.mark.parametrize(
    "minutes, answer, refusal",
    [
        (_steady((20, (7, 10, 8, 10))), Answer.FIRES, None),  # no evidence is asked for
        (_steady((19, (7, 10, 8, 10))), Answer.SUSPECT, Refusal.YOUNGER_OR_BURST),
        (_steady((10, _BAD), (1, _GOOD), (19, _BAD)), Answer.SUSPECT, Refusal.YOUNGER_OR_BURST),
        (_steady((10, _BAD), (1, _NONE), (19, _BAD)), Answer.SUSPECT, Refusal.NO_DATA),
        (_steady((29, _BAD), (1, _GOOD)), Answer.SUSPECT, Refusal.NOT_BEYOND_NOW),
        (_steady((30, (882, 1000, 900, 1000))), Answer.RECOVERED, Refusal.NOT_BEYOND_NOW),
    ],
)
def test_without_evidence_the_letter_counts(
    minutes: Minutes, answer: Answer, refusal: Refusal | None
) -> None:
    found = judge(_series(minutes, _LITERAL), len(minutes), _RULE)
    assert (found.answer, found.refusal) == (answer, refusal)


def test_an_objective_brings_its_hold_and_its_floor() -> None:
    objective = Objective(
        "quality.task_success_delta_pct", indicator("task_success"), Direction.LOWER_IS_WORSE,
        -2.0, Unit.PERCENT, 20, Tier.A, min_samples=7,
    )  # fmt: skip
    found = rule_for(objective, window_min=1440, objectives=4)
    assert (found.hold_min, found.min_samples, round(found.x_star, 2)) == (20, 7, 15.13)
