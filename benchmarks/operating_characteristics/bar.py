"""The bar that a cell is held to, and the limit that no method passes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from math import inf
from typing import Final

from benchmarks.operating_characteristics.cells import CELLS, Bar, Cell
from benchmarks.operating_characteristics.objectives import (
    LATENCY_MEDIAN_US,
    LATENCY_SIGMA,
    OBJECTIVES,
    SUCCESS,
)
from benchmarks.operating_characteristics.stories import DAY_MIN
from benchmarks.operating_characteristics.tally import Tally, quantile
from benchmarks.shares import binomial_below, upper_bound
from monitor.core.indicator import IndicatorKind
from monitor.core.stats.planning import (
    UNKNOWN_START_NATS,
    RateShape,
    Split,
    expectation,
    lognormal_shape,
)
from monitor.core.stats.thresholds import ALPHA_ROLLBACK

_MEDIAN: Final = (1.35, 2.0)  # the median may take so many times the limit, and so many minutes more
_NINETY: Final = (2.15, 3.0)  # and nine releases in ten so many
_QUICK: Final = (
    (3000.0, 2),
    (1200.0, 3),
)  # candidate requests a minute: 2x of task success is found in Y + so many
_HARMLESS_SHARE: Final = ALPHA_ROLLBACK / OBJECTIVES  # of a day's releases, and of each objective of a budget
_EARLY_SHARE: Final = 0.01
_BURST_SHARE: Final = 0.01
_SAFETY_SHARE: Final = 0.05
_HEALTHY_SHARE: Final = 0.05


class Held(Enum):
    """Whether a cell meets its bar."""

    MET = "met"
    MISSED = "missed"
    OPEN = "open"  # beyond the bar by less than chance explains in so few releases (95 %)
    NONE = "-"  # no bar applies


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a cell meets its bar, and what was found."""

    held: Held
    words: str


@lru_cache(maxsize=1024)
def limit_min(name: str) -> float:
    """Return the minutes that any method with this error rate needs (12.6 / I, Lai 1998), and Y at least.

    The median of a cell cannot lie below it by more than lower-order terms.
    """
    cell = CELLS[name]
    assert cell.traffic is not None
    objective = cell.guarded.objective
    is_rate = objective.indicator.kind is IndicatorKind.RATE
    shape = RateShape(cell.guarded.base) if is_rate else lognormal_shape(LATENCY_SIGMA, LATENCY_MEDIAN_US)
    expected = expectation(objective, shape, cell.times, Split(cell.traffic.canary))
    if expected is None:
        return float(objective.hold_min)
    return expected.requests_for(UNKNOWN_START_NATS) / cell.traffic.candidate_per_min


def verdict(cell: Cell, tally: Tally) -> Verdict:
    """Return whether the cell meets its bar."""
    hold = cell.guarded.objective.hold_min
    if cell.bar is Bar.DETECTED:
        return _detected(cell, tally)
    if cell.bar is Bar.NO_ROLLBACK:
        return _harmless(tally)
    if cell.bar is Bar.NOT_BEFORE_HOLD:
        assert cell.onset is not None
        return _at_most(tally, tally.share(end=cell.onset + hold), _EARLY_SHARE, "before Y")
    if cell.bar is Bar.BURST:
        return _at_most(tally, tally.share(), _BURST_SHARE, "rolled back")
    if cell.bar is Bar.SAFETY:
        return _at_most(tally, tally.share(), _SAFETY_SHARE, "rolled back")
    if cell.bar is Bar.NOT_HEALTHY:
        return _at_most(tally, tally.verdicts["healthy"] / tally.releases, _HEALTHY_SHARE, "called healthy")
    if cell.bar is Bar.FIRST_INCIDENT:
        at_once = tally.fired["guard"] == tally.fired["first_incident"]
        said = f"{100 * tally.share():.3g} % rolled back, {'all' if at_once else 'not all'} in the minute of the first"
        return Verdict(Held.MET if at_once else Held.MISSED, said)
    return Verdict(Held.NONE, _shown(cell, tally))


def _harmless(tally: Tally) -> Verdict:
    """None is rolled back; or so few of so many that the promise surely holds for the objective's own part of it."""
    share = tally.share()
    said = f"{100 * share:.3g} % rolled back"
    if not share:
        return Verdict(Held.MET, said)
    hits = round(share * tally.releases)
    lowest, most = 1.0 - upper_bound(tally.releases - hits, tally.releases), upper_bound(hits, tally.releases)
    said = f"{said}, at most {100 * most:.2g} %; allowed {100 * _HARMLESS_SHARE:.3g} %"
    if most <= _HARMLESS_SHARE:
        return Verdict(Held.MET, said)
    return Verdict(Held.MISSED if lowest > _HARMLESS_SHARE else Held.OPEN, said)


def _at_most(tally: Tally, share: float, allowed: float, words: str) -> Verdict:
    """A share may be so large; what is beyond it by chance alone is open."""
    held = Held.MET
    if share > allowed:
        misses = round((1.0 - share) * tally.releases)
        certain = 1.0 - upper_bound(misses, tally.releases) > allowed
        held = Held.MISSED if certain else Held.OPEN
    return Verdict(held, f"{100 * share:.3g} % {words}")


def _shown(cell: Cell, tally: Tally) -> str:
    if cell.onset is None or cell.times <= 1.0:
        return f"{100 * tally.share():.3g} % rolled back"
    return _words(tally.delays(cell.onset))


def _words(delays: list[float]) -> str:
    return f"median {_minutes(quantile(delays, 0.5))}, 90 % {_minutes(quantile(delays, 0.9))}"


def _detected(cell: Cell, tally: Tally) -> Verdict:
    assert cell.onset is not None
    assert cell.traffic is not None
    hold, limit = cell.guarded.objective.hold_min, limit_min(cell.name)
    delays = tally.delays(cell.onset)
    if _NINETY[0] * limit + _NINETY[1] >= DAY_MIN - cell.onset:
        return Verdict(Held.NONE, _words(delays))
    allowed = [times * max(hold, limit) + more for times, more in (_MEDIAN, _NINETY)]
    if cell.times == 2.0 and cell.guarded is SUCCESS:
        for per_min, more in _QUICK:
            if cell.traffic.candidate_per_min >= per_min:
                allowed[1] = min(allowed[1], hold + more)
                break
    held = Held.MET
    for share, most in zip((0.5, 0.9), allowed, strict=True):
        if quantile(delays, share) > most:
            certain = _surely_below(delays, share) > most
            held = Held.MISSED if certain or held is Held.MISSED else Held.OPEN
    said = f"{_words(delays)}; allowed {allowed[0]:.0f} and {allowed[1]:.0f}"
    return Verdict(held, said)


def _surely_below(delays: list[float], share: float) -> float:
    """The largest of the delays that lies below the true quantile with 95 %; 0 where none does."""
    rank = 0
    while binomial_below(rank, len(delays), share) <= 0.05:
        rank += 1
    return delays[rank - 1] if rank else 0.0


def _minutes(value: float) -> str:
    return "-" if value == inf else f"{value:.0f}"
