"""What a past is worth: computed again from single values, and what is left of an hour at that worth."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.core.aggregate import Aggregate
from monitor.core.history import EFFECTIVE_MAX, HistoryHour, measures_of, references, usable
from monitor.core.reference import Reference
from monitor.core.sketch import RATIO, UNFINISHED_BIN, Sketch
from monitor.core.stats.day_effect import Hour, Level, day_variance, effective_size
from tests.core.pasts import FIRST_H, SUCCESS
from tests.engine.worlds import BASELINE, LAWS, budget, cell, objective

FIRST_DAY_H = FIRST_H // 24 * 24


def past(cells: list[Aggregate], first: int) -> list[HistoryHour]:
    return [HistoryHour(BASELINE, first + at, 60, False, made) for at, made in enumerate(cells)]


def captured(hours: list[HistoryHour], *names: str) -> list[Reference]:
    before = max(one.hour for one in hours) + 1
    asked = budget(*(objective(name, 5.0 if name.startswith(("p", "c")) else -2.0) for name in names))
    return list(references(usable(hours, before), BASELINE, before, measures_of(asked)))


def values_of(name: str, made: Aggregate, whole: Aggregate) -> NDArray[np.float64]:
    """An hour's single values: 1 or 0 for a rate and for a quantile, what it costs up to the p99 for a mean."""
    if name == "task_success":
        known, hits = made.known[SUCCESS], made.hits[SUCCESS]
        return np.repeat([1.0, 0.0], [hits, known - hits])
    source = "cost" if name == "cost_per_request" else "latency"
    mine, all_bins = (
        np.repeat(list(bins), list(bins.values()))
        for bins in (made.distribution(source).bins, whole.distribution(source).bins)
    )
    if source == "cost":
        mine, all_bins = mine[mine != UNFINISHED_BIN], np.sort(all_bins[all_bins != UNFINISHED_BIN])
        cap = all_bins[int(np.ceil(0.99 * len(all_bins))) - 1]
        return np.asarray(RATIO ** np.minimum(mine, cap) * (1 + 1 / RATIO) / 2)  # a bin's middle
    edge = np.sort(all_bins)[int(np.ceil(0.95 * len(all_bins))) - 1]
    if not (all_bins > edge).any():
        edge -= 1
    return np.asarray(mine > edge, dtype=float)


def worth(name: str, hours: list[HistoryHour], period_h: int, width_h: int) -> float:
    """What a request of an average hour counts for, from the formulas of `stats.day_effect` and single values."""
    slots: dict[int, list[HistoryHour]] = {}
    for one in hours:
        slots.setdefault(one.hour % period_h // width_h, []).append(one)
    levels, points = {}, []
    for slot, ones in slots.items():
        whole = Aggregate()
        for one in ones:
            whole.add_total(one.cell)
        each = [values_of(name, one.cell, whole) for one in ones]
        every = np.concatenate(each)
        unit = float(np.var(every))
        if name != "cost_per_request":
            likely = (every.sum() + 0.5) / (len(every) + 1)
            unit = likely * (1 - likely)
        levels[slot] = Level(float(every.mean()), unit)
        points += [
            (slot, Hour(one.hour // 24, slot, len(some), float(some.mean())))
            for one, some in zip(ones, each, strict=True)
        ]
    tau2 = day_variance([point for _, point in points], levels, fitted=period_h // 24)
    least = 1.0
    for slot, ones in slots.items():
        n = sum(point.n for at, point in points if at == slot)
        told = effective_size(n / width_h, levels[slot].unit, tau2, max(1, len(ones) // width_h))
        least = min(least, min(told, EFFECTIVE_MAX) * len(ones) / n)
    return least


def some_hour(draw: np.random.Generator, day: float) -> Aggregate:
    """An hour of a day that is better or worse than others."""
    n = int(draw.integers(60, 100))
    made = cell(n, task_success=int(draw.binomial(n, 0.9 - 0.03 * day)))
    for source, middle in (("latency", 300.0), ("cost", 400.0)):
        bins = np.round(draw.normal(middle + 12 * day, 30, n)).astype(int)
        found, counts = np.unique(bins, return_counts=True)
        made.sketches[source] = Sketch(
            {**dict(zip(found.tolist(), counts.tolist(), strict=True)), UNFINISHED_BIN: 2},
            int((RATIO ** bins.astype(float)).sum()),
        )
    return made


@pytest.mark.parametrize("name", ["task_success", "p95", "cost_per_request"])
@pytest.mark.parametrize(("seed", "length_h"), [(1, 72), (2, 72), (3, 24), (4, 11)])
def test_what_a_past_is_worth_follows_from_its_single_values(name: str, seed: int, length_h: int) -> None:
    """In hours of the day, four of them together, and the whole day in one; of days, and of less than one."""
    draw = np.random.default_rng(seed)
    days = draw.normal(0.0, 1.0, 3)
    hours = past([some_hour(draw, days[at // 24]) for at in range(length_h)], FIRST_DAY_H)
    found = captured(hours, name)
    expected = [worth(name, hours, one.layout.period_h, one.layout.width_h) for one in found]
    assert [one.worth for one in found] == pytest.approx(expected, rel=1e-9)
    assert len(found) == 3
    assert min(expected) > 0.0
    assert min(expected) < 0.9 or length_h < 72  # days differ


def test_days_that_are_all_alike_count_in_full_and_each_slot_is_its_hour() -> None:
    draw = np.random.default_rng(3)
    day = [some_hour(draw, 0.0) for _ in range(24)]
    for made in day:
        made.errors, made.timeouts = 20, 10
        made.outcomes["grounded"] = [150, 180]
    hours = past(day * 3, FIRST_DAY_H)
    found = captured(hours, "task_success", "p95", "cost_per_request", "error", "outcome.grounded")[0]
    assert found.worth == 1.0
    for made, slot in zip(day, found.slots, strict=True):
        assert (slot.requests, slot.errors, slot.timeouts) == (made.requests, 20, 10)
        assert (slot.known[SUCCESS], slot.hits[SUCCESS]) == (made.known[SUCCESS], made.hits[SUCCESS])
        assert sum(slot.known) == made.known[SUCCESS]
        assert slot.outcomes == made.outcomes
        assert slot.sketches == made.sketches


def test_hours_that_nobody_has_seen_are_empty() -> None:
    """A service that is open ten hours a day."""
    hours = [one for one in past([cell(100, task_success=90)] * 72, FIRST_DAY_H) if 9 <= one.hour % 24 < 19]
    found = captured(hours, "task_success")[0]
    assert [slot.known[SUCCESS] for slot in found.slots] == [0] * 9 + [100] * 10 + [0] * 5


def test_errors_and_timeouts_share_the_smaller_of_their_worths() -> None:
    """Both are counted of the same requests: they cannot be scaled apart."""
    hours = past([cell(1_000) for _ in range(96)], FIRST_DAY_H)
    for at, one in enumerate(hours):
        one.cell.errors, one.cell.timeouts = 10 + 200 * (at // 24 % 2), 50
    worths = {
        names: captured(hours, *names)[0].worth for names in [("error",), ("timeout",), ("error", "timeout")]
    }
    assert worths["error",] < worths["timeout",] == 1.0
    assert worths["error", "timeout"] == worths["error",]
    slot = captured(hours, "error", "timeout")[0].slots[0]
    assert slot.timeouts == round(50 * worths["error",])


@LAWS
@given(
    st.dictionaries(
        st.integers(0, 30) | st.just(UNFINISHED_BIN), st.integers(1, 40_000), min_size=1, max_size=8
    )
)
def test_a_thinned_distribution_is_off_by_half_a_request_at_every_value(bins: dict[int, int]) -> None:
    """No verdict gets surer beyond so many requests: those that are left lie as all did."""
    count, finished = sum(bins.values()), sum(bins.values()) - bins.get(UNFINISHED_BIN, 0)
    made = cell(count)
    made.sketches["latency"] = Sketch(bins, 700 * finished)
    found = captured(past([made] * 25, FIRST_DAY_H)[::24], "p95")[0]  # twice the same hour of the day
    scale = min(1.0, EFFECTIVE_MAX / count)
    kept = found.slots[0].distribution("latency")
    assert found.worth == pytest.approx(scale)
    order = sorted(bins)
    before = [0, *accumulate(bins[index] for index in order)]
    after = [0, *accumulate(kept.bins.get(index, 0) for index in order)]
    assert all(abs(one * scale - other) <= 0.5 + 1e-6 for one, other in zip(before, after, strict=True))
    left = kept.count - kept.bins.get(UNFINISHED_BIN, 0)
    assert kept.total == (pytest.approx(700 * left, abs=1) if finished else 0)
    assert 0 not in kept.bins.values()


def test_a_past_is_worth_what_the_measure_is_that_it_tells_least_of() -> None:
    draw = np.random.default_rng(5)
    hours = past([some_hour(draw, at // 24) for at in range(72)], FIRST_DAY_H)
    names = ("task_success", "p95", "cost_per_request")
    each = [captured(hours, name)[0].worth for name in names]
    assert len(set(each)) == 3
    assert captured(hours, *names)[0].worth == min(each)


def test_what_nobody_has_measured_is_worth_nothing() -> None:
    found = captured(past([cell(100, task_success=90)] * 48, FIRST_DAY_H), "p95")
    assert [one.worth for one in found] == [0.0] * 3
    assert not any(slot.distribution("latency").count for one in found for slot in one.slots)


def test_of_a_tail_in_one_bin_all_below_it_is_the_rest() -> None:
    """Two neighbouring bins, of which the upper one holds more than the quantile leaves."""
    hours = past([cell(100) for _ in range(72)], FIRST_DAY_H)
    for at, one in enumerate(hours):
        slow = 10 + 8 * (at // 24)
        one.cell.sketches["latency"] = Sketch({300: 100 - slow, 301: slow}, 1)
    found = captured(hours, "p95")[0].worth
    assert found == pytest.approx(worth("p95", hours, 24, 1), rel=1e-9)
    assert found < 0.9


def test_sizes_of_one_and_two_have_a_spread_too() -> None:
    hours = past([cell(100) for _ in range(72)], FIRST_DAY_H)
    for at, one in enumerate(hours):
        ones = 60 + 10 * (at // 24 % 2)
        one.cell.sketches["cost"] = Sketch({0: ones, 35: 100 - ones}, 1)
    found = captured(hours, "cost_per_request")[0].worth
    assert found == pytest.approx(worth("cost_per_request", hours, 24, 1), rel=1e-9)
    assert found < 0.9


@pytest.mark.parametrize("days", [1, 5])
def test_hours_of_a_single_request_are_read_as_any_other(days: int) -> None:
    hours = past([cell(1, task_success=at % 5 > 0) for at in range(24 * days)], FIRST_DAY_H)
    for at, one in enumerate(hours):
        one.cell.sketches["latency"] = Sketch({300 + at % 7: 1}, 1)
        one.cell.sketches["cost"] = Sketch({300 + at % 7: 1}, 1)
    for name in ("task_success", "p95", "cost_per_request"):
        expected = [worth(name, hours, period, width) for period, width in ((24, 1), (24, 4), (24, 24))]
        assert [one.worth for one in captured(hours, name)] == pytest.approx(expected, rel=1e-9)


def test_errors_and_timeouts_are_never_more_than_the_requests() -> None:
    """One and a half of each, rounded up, are four requests of three."""
    hours = past([cell(3) for _ in range(28 * 24)], FIRST_DAY_H)
    for at, one in enumerate(hours):
        odd = (at + at // 24) % 2
        one.cell.errors, one.cell.timeouts = 1 + odd, 2 - odd
    slot = captured(hours, "error", "timeout")[0].slots[0]
    assert (slot.errors, slot.timeouts, slot.requests) == (2, 2, 4)
