"""Mantel-Haenszel sums: exact under subtraction, plain where nothing is to weigh, coarser where arms do not meet."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.stats.intervals import RateCounts
from monitor.core.stats.strata import Arm, Level, Pair, StrataSums

_arm = st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
_pair = st.tuples(_arm, _arm)
_row = st.lists(_pair, min_size=1, max_size=4)
_rows = st.lists(_row, min_size=1, max_size=8)
_FULL = ((3, 5), (7, 10))


def _total(pairs: list[Pair]) -> Pair:
    (s_c, n_c, s_b, n_b) = (sum(pair[arm][i] for pair in pairs) for arm in (0, 1) for i in (0, 1))
    return (s_c, n_c), (s_b, n_b)


def _sums(rows: list[list[Pair]]) -> StrataSums:
    sums = StrataSums()
    for row in rows:
        sums.append(*_total(row), row)
    return sums


def _exact(strata: list[Pair]) -> tuple[Fraction, Fraction, Fraction, Fraction] | None:
    """The candidate's and the baseline's rate and size, as the formulas have them; None where nobody has a partner."""
    met = [(c, b, Fraction(c[1] * b[1], c[1] + b[1])) for c, b in strata if c[1] and b[1]]
    weight = sum((w for *_, w in met), Fraction(0))
    if not weight:
        return None
    rates = [sum(w * Fraction(*pair[arm]) for *pair, w in met) / weight for arm in (0, 1)]
    sizes = [weight**2 / sum(w * w / pair[arm][1] for *pair, w in met) for arm in (0, 1)]
    return rates[0], sizes[0], rates[1], sizes[1]


@given(_rows, st.sampled_from([Level.STRATA, Level.MINUTES]), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_a_window_without_a_cut_is_the_formula(rows: list[list[Pair]], level: Level, seed: int) -> None:
    sums = _sums(rows)
    start, a, b, end = sorted(Random(seed).choices(range(len(rows) + 1), k=4))
    held = rows[start:a] + rows[b:end]
    expected = _exact([pair for row in held for pair in (row if level is Level.STRATA else [_total(row)])])
    s_c, n_c, s_b, n_b = sums.sums(start, end, (a, b), level)
    if expected is None:
        assert (s_c, n_c, s_b, n_b) == (0, 0, 0, 0)
        return
    found = (s_c / n_c, n_c, s_b / n_b, n_b)
    assert found == pytest.approx([float(value) for value in expected], rel=1e-12)
    totals = sums.totals(start, end, (a, b))
    assert n_c <= totals.n_c * (1 + 1e-12)
    assert n_b <= totals.n_b * (1 + 1e-12)


@given(_rows)
@settings(max_examples=40, deadline=None)
def test_plain_totals_are_kept_beside(rows: list[list[Pair]]) -> None:
    sums = _sums(rows)
    assert len(sums) == len(rows)
    (s_c, n_c), (s_b, n_b) = _total([pair for row in rows for pair in row])
    assert sums.totals(0, len(rows)) == RateCounts(s_c, n_c, s_b, n_b)
    assert sums.sums(0, len(rows), level=Level.POOLED) == sums.totals(0, len(rows))


@given(
    parts=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=3), min_size=1, max_size=8),
    split=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=100, deadline=None)
def test_a_constant_split_is_plain_counts(parts: list[list[int]], split: tuple[int, int], seed: int) -> None:
    """However uneven the traffic: as long as every stratum gives the candidate the same share."""
    random = Random(seed)
    rows = [[tuple((random.randint(0, size * n), size * n) for n in split) for size in row] for row in parts]
    sums, end = _sums(rows), len(rows)  # type: ignore[arg-type]  # pairs, one for each of both arms
    plain = sums.totals(0, end)
    assert sums.sums(0, end) == plain
    assert sums.level(0, end) is Level.POOLED
    for level in (Level.STRATA, Level.MINUTES):
        weighted = sums.sums(0, end, level=level)
        assert weighted == pytest.approx(plain, rel=1e-9, abs=1e-9)


@given(_rows, st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_neither_the_order_of_strata_nor_that_of_minutes_shows(rows: list[list[Pair]], seed: int) -> None:
    random, end = Random(seed), len(rows)
    shuffled = [random.sample(row, len(row)) for row in random.sample(rows, end)]
    for level in (None, Level.STRATA, Level.MINUTES):
        assert _sums(rows).sums(0, end, level=level) == _sums(shuffled).sums(0, end, level=level)


@given(_rows, st.integers(1, 10**9))
@settings(max_examples=50, deadline=None)
def test_what_came_before_a_window_does_not_show(rows: list[list[Pair]], many: int) -> None:
    """Not even in the last digit: a busy day before a quiet minute, kept or dropped."""
    end = len(rows)
    busy: list[list[Pair]] = [[((many // 3, many), (many, 7 * many))]] * 3
    alone, after = _sums(rows), _sums(busy + rows)
    for level in (Level.STRATA, Level.MINUTES):
        assert after.sums(3, 3 + end, level=level) == alone.sums(0, end, level=level)
    after.drop(2)
    assert after.sums(1, 1 + end) == alone.sums(0, end)
    assert after.level(1, 1 + end) is alone.level(0, end)


@pytest.mark.parametrize(
    "rows, level",
    [
        ([[((1, 9), (1, 5)), ((1, 1), (1, 30))]], Level.STRATA),
        ([[((1, 9), (1, 5)), ((1, 1), (0, 0))]], Level.STRATA),  # nine in ten meet
        (
            [[((1, 8), (1, 5)), ((2, 2), (0, 0))]],
            Level.POOLED,
        ),  # in minutes all do, and one minute has one split
        ([[((1, 8), (1, 5)), ((2, 2), (0, 0))], [((1, 10), (1, 10))]], Level.STRATA),  # 18 of 20
        ([[((1, 8), (1, 5)), ((2, 2), (0, 0))], [((1, 9), (1, 10))]], Level.MINUTES),  # 17 of 19
        ([[((1, 8), (0, 0))], [((1, 9), (1, 10))]], Level.POOLED),
        ([[((1, 1), (0, 0))], [((1, 9), (1, 10))]], Level.MINUTES),
        (
            [[((0, 0), (1, 5))], [((1, 9), (1, 10))]],
            Level.MINUTES,
        ),  # what only the baseline has weighs nothing
        ([[((1, 1), (0, 0))], [((1, 8), (1, 10))]], Level.POOLED),  # 8 of 9
        ([[((1, 10), (0, 5))], [((1, 9), (1, 10))]], Level.MINUTES),  # who has no hits is a partner
        ([[((0, 0), (5, 9))]], Level.POOLED),
        ([[((5, 9), (0, 0))]], Level.POOLED),
        ([[((0, 0), (0, 0))]], Level.POOLED),
    ],
)
def test_the_ladder(rows: list[list[Pair]], level: Level) -> None:
    """Strata within minutes, minutes, nothing: the finest at which nine in ten candidate requests have a partner."""
    sums = _sums(rows)
    assert sums.level(0, len(rows)) is level
    assert sums.sums(0, len(rows)) == sums.sums(0, len(rows), level=level)


@given(st.lists(st.one_of(_pair, st.just(((0, 0), (0, 0))), _arm.map(lambda arm: (arm, arm))), max_size=8))
@settings(max_examples=50, deadline=None)
def test_a_minute_of_one_stratum_is_a_minute_without_strata(minutes: list[Pair]) -> None:
    """Also where it is empty, and where both arms are alike."""
    alone, end = StrataSums(), len(minutes)
    for minute in minutes:
        alone.append(*minute)
    one = _sums([[minute] for minute in minutes])
    assert len(alone) == end
    for start in range(end):
        assert alone.level(start, end) is one.level(start, end)
        assert alone.totals(start, end) == RateCounts(
            *_total(minutes[start:])[0], *_total(minutes[start:])[1]
        )
        for level in (None, *Level):
            assert alone.sums(start, end, level=level) == one.sums(start, end, level=level)


@given(_rows, st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_what_is_cut_out_might_never_have_been(rows: list[list[Pair]], seed: int) -> None:
    """To the last digit, and in how finely the rest is compared."""
    before = [[_FULL, ((1, 7), (2, 9))]]  # strata in both
    start, a, b, end = (1 + at for at in sorted(Random(seed).choices(range(len(rows) + 1), k=4)))
    cut, kept = _sums(before + rows), [before[0], *(before + rows)[start:a], *(before + rows)[b:end]]
    without, last = _sums(kept), len(kept)
    assert cut.level(start, end, (a, b)) is without.level(1, last)
    assert cut.totals(start, end, (a, b)) == without.totals(1, last)
    for level in (None, *Level):
        assert cut.sums(start, end, (a, b), level) == without.sums(1, last, level=level)
    assert cut.has_both(start, end, (a, b)) is without.has_both(1, last)


def test_strata_may_begin_late() -> None:
    """Minutes without strata are one stratum each, before and after such that have some."""
    strata: list[Pair] = [((1, 4), (5, 5)), ((2, 6), (0, 15))]
    sums = StrataSums()
    for one in (_FULL, ((0, 0), (0, 0))):
        sums.append(*one)
    sums.append(*_total(strata), strata)
    for one in (((0, 0), (0, 0)), _FULL):
        sums.append(*one)
    expected = _exact([_FULL, *strata, _FULL])
    assert expected is not None
    s_c, n_c, s_b, n_b = sums.sums(0, 5)
    assert (s_c / n_c, n_c, s_b / n_b, n_b) == pytest.approx([float(one) for one in expected], rel=1e-12)


def test_strata_that_leave_requests_out_are_incomplete() -> None:
    """What is in no stratum has no partner there."""
    sums = StrataSums()
    sums.append((5, 100), (50, 1000), [((1, 40), (5, 100)), ((1, 40), (9, 100))])
    sums.append((5, 100), (50, 900))
    assert sums.level(0, 2) is Level.STRATA  # 180 of 200
    assert sums.level(0, 1) is Level.POOLED
    sums.append((5, 100), (50, 800), [((1, 40), (5, 100)), ((1, 40), (9, 100))])
    assert sums.level(0, 3) is Level.MINUTES  # 260 of 300


def test_without_a_partner_nothing_counts() -> None:
    sums = StrataSums()
    sums.append((3, 5), (0, 0))
    sums.append((0, 0), (7, 10))
    assert sums.sums(0, 2, level=Level.MINUTES) == RateCounts(0, 0, 0, 0)
    assert sums.totals(0, 2) == RateCounts(3, 5, 7, 10)


@pytest.mark.parametrize(
    ("lonely", "within"),
    [
        ([((5, 50), (0, 0))], Level.POOLED),
        (
            [((3, 50), (0, 0)), ((2, 50), (9, 400)), ((0, 0), (1, 10))],
            Level.MINUTES,
        ),  # by strata half of them meet
    ],
)
def test_who_met_outside_of_a_window_is_no_partner_in_it(lonely: list[Pair], within: Level) -> None:
    """Neither before it nor in what is cut out of it."""
    met: list[Pair] = [((3, 50), (7, 100)), ((1, 50), (90, 900))]
    last: list[Pair] = [((2, 7), (3, 300))]
    sums = _sums([*[met] * 9, lonely, *[met] * 9, lonely, last])
    assert sums.level(0, 21) is Level.STRATA
    assert sums.level(19, 21) is within
    assert sums.level(9, 21, (10, 19)) is within


@pytest.mark.parametrize("arm", [(0, 1), (1, 1), (5, 9)])
def test_both_arms_are_there_where_each_has_a_request(arm: Arm) -> None:
    sums = StrataSums()
    for candidate, baseline in ((arm, (0, 0)), ((0, 0), arm), ((0, 0), (0, 0))):
        sums.append(candidate, baseline)
    assert sums.has_both(0, 2)
    assert not any(sums.has_both(start, 3) for start in (1, 2))
    assert not sums.has_both(0, 1)
    assert not sums.has_both(0, 3, (1, 2))
