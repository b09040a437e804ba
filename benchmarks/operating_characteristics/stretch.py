"""What other rules would do in the same releases: the engine with one part replaced, and nothing adopted.

`python -m benchmarks.operating_characteristics.stretch` prints, per cell, the engine and its variants side by side.

- `grid`: windows of the evidence at every quarter of an octave instead of every half; x* pays for the looks.
- `detector`: evidence of a mixture e-detector instead of windows. Each minute is bet on with an e-variable for two
  rates (Turner, Ly, Gruenwald 2024: the ratio of a harm of 1.25 to 30 times the limit, the baseline's rate as the
  minutes before it show it, to the nearest rates of the null), restarted at every minute (Shin, Ramdas, Rinaldo
  2023). Under the null it exceeds T / alpha in T minutes with at most alpha.
- `lenient`: what is left without the worst stretch need show 1.92 + ln instead of 1.92 + 2 ln nats; for uneven harm.
- `closer`: evidence of a quantile whose binomial tails are nearly exact, in place of one count of correction.
- `limit`: evidence of 12.6 nats suffices instead of x*: what the looks cost. Its error rate is ten times as high.
- `undated`: the check that the harm lasted is left out: what certainty about Y costs.
- `oracle`: no rule at all: when 12.6 nats are reached by one who knows the baseline, the harm's start and its size.

Everything else, the duration and the recovery among it, stays the engine's own.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import log
from typing import Final
from unittest.mock import patch

import numpy as np

from benchmarks.operating_characteristics import screen
from benchmarks.operating_characteristics.bar import limit_min
from benchmarks.operating_characteristics.cells import CELLS, Cell
from benchmarks.operating_characteristics.incidents import IncidentStory
from benchmarks.operating_characteristics.objectives import OBJECTIVES, SUCCESS, WINDOW_MIN, Guarded
from benchmarks.operating_characteristics.product import Release, evidence, feed_of
from benchmarks.operating_characteristics.run import chunk_size
from benchmarks.operating_characteristics.stories import (
    DAY_MIN,
    ONSET_MIN,
    Floats,
    LatencyReleases,
    RateReleases,
    RateStory,
    Spell,
    Traffic,
    bin_chances,
    steady,
)
from benchmarks.operating_characteristics.tally import NEVER, Tally, quantile
from monitor.core import sustained
from monitor.core.indicator import IndicatorKind
from monitor.core.stats import evidence as formulas
from monitor.core.stats.evidence import Exceedances, evidence_for
from monitor.core.stats.limit import limit_of
from monitor.core.stats.planning import UNKNOWN_START_NATS
from monitor.core.stats.rule import Rule
from monitor.core.stats.thresholds import ALPHA_ROLLBACK, MAX_WINDOW_MIN, OVERALL_SHARE, GridWindow

_SIZES: Final = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)  # times X that is bet on
_ALPHA: Final = ALPHA_ROLLBACK * OVERALL_SHARE / OBJECTIVES
_NEEDED: Final = log(DAY_MIN / _ALPHA)  # nats of the detector
_VARIANTS: Final = ("engine", "grid", "detector", "lenient", "closer", "limit", "undated", "oracle")
_RATES_ONLY: Final = ("detector",)
_QUANTILES_ONLY: Final = ("closer", "oracle")

_CELLS: Final = (
    "detection/success/10s-5/2x", "detection/success/10s-20/1.25x", "detection/success/100s-1/1.5x",
    "detection/success/100s-5/1.25x", "detection/success/100s-5/2x", "detection/p95/10s-1/5x",
    "detection/p95/10s-50/1.5x", "false/success/10s-5/x2", "false/success/100s-5/x2", "stress/icc-0.01/10s-50/x2",
    "early/task_success-y20/5s-10/5x", "early/task_success-y20/20s-10/5x", "early/task_success-y20/50s-10/10x",
    "burst/33/18-min-at-15x", "burst/33/19-min-at-15x", "burst/300/19-min-at-15x",
)  # fmt: skip
_UNEVEN: Final = {
    "30x for 10 min, then 2x, 300/min": steady(
        SUCCESS, Traffic(50, 0.1), Spell(ONSET_MIN, ONSET_MIN + 10, 30.0), Spell(ONSET_MIN + 10, DAY_MIN, 2.0)
    ),
    "5x for 10 min, then 2x, 300/min": steady(
        SUCCESS, Traffic(50, 0.1), Spell(ONSET_MIN, ONSET_MIN + 10, 5.0), Spell(ONSET_MIN + 10, DAY_MIN, 2.0)
    ),
    "growing to 5x in 40 min, 300/min": steady(
        SUCCESS,
        Traffic(50, 0.1),
        *(Spell(ONSET_MIN + i, ONSET_MIN + i + 1, (i + 1) / 8) for i in range(40)),
        Spell(ONSET_MIN + 40, DAY_MIN, 5.0),
    ),
}


def fired(variant: str, guarded: Guarded, releases: RateReleases | LatencyReleases) -> Counter[int]:
    """Return at which ticks the engine fires with one part replaced."""
    rule = _rule(variant, guarded)
    if variant == "closer":
        with (
            patch.object(formulas, "_quantile_terms", _least),
            patch.object(screen, "_quantile_terms", _sums),
        ):
            return fired("engine", guarded, releases)
    if variant == "undated":
        with patch.object(sustained._Tick, "_lasted", lambda *_: (None, True)):
            return fired("engine", guarded, releases)
    found: Counter[int] = Counter()
    shown = None if variant == "detector" else evidence(guarded, rule, releases)
    for index in range(len(releases.s_c if isinstance(releases, RateReleases) else releases.candidate)):
        release = Release(guarded, rule, feed_of(releases, index))
        if shown is not None:
            with patch.object(sustained, "_REST_SLOPE", 1.0 if variant == "lenient" else 2.0):
                found[release.first_fire(shown[index])] += 1
            continue
        assert isinstance(releases, RateReleases)
        sums = _nats(guarded, releases, index)
        with _detecting(sums, rule):
            found[release.first_fire(np.where(_detected(sums, 1.0) >= _NEEDED, np.inf, 0.0))] += 1
    return found


def _rule(variant: str, guarded: Guarded) -> Rule:
    rule = guarded.rule()
    if variant == "limit":
        return replace(rule, x_star=UNKNOWN_START_NATS)
    if variant != "grid":
        return rule
    lengths = [round(rule.hold_min * 2 ** (j / 4)) for j in range(40)]
    windows = tuple(GridWindow(one, max(1, one // 24)) for one in lengths if one <= MAX_WINDOW_MIN)
    looks = sum(WINDOW_MIN / window.step_min for window in windows)
    return replace(rule, windows=windows, x_star=evidence_for(_ALPHA / looks))


def _oracle(cell: Cell, drawn: LatencyReleases) -> Counter[int]:
    """Return the ticks, Y minutes after the onset or later, at which the true shares' likelihood ratio suffices."""
    limit, hold = limit_of(cell.guarded.objective), cell.guarded.objective.hold_min
    assert limit.quantile is not None
    tail, healthy = 1.0 - limit.quantile, bin_chances(1.0)[1]
    first = int(np.searchsorted(healthy.cumsum(), limit.quantile)) + limit.bins_beyond(limit.kappa) + 1
    share = float(bin_chances(1.0 + cell.guarded.limit * cell.times)[1][first:].sum())
    n, k = (drawn.candidate[:, ONSET_MIN:, start:].sum(axis=2) for start in (0, first))
    nats = (k * log(share / tail) + (n - k) * log((1.0 - share) / (1.0 - tail))).cumsum(axis=1)
    suffices = nats[:, hold - 1 :] >= UNKNOWN_START_NATS
    ticks = np.where(suffices.any(axis=1), ONSET_MIN + hold + suffices.argmax(axis=1), NEVER)
    return Counter(ticks.tolist())


def tail_nats(hits: Floats, n: Floats | float, share: float) -> Floats:
    """Return the nats of so many hits or more among n requests, where up to `share` of them are expected to be.

    Never less than Zubkov and Serov's bound, which takes one hit off. From it on: the tail is at most its first term
    times a geometric series (Feller 1968), the term at most Stirling's, a normal tail at least Birnbaum's (1942).
    """
    less = np.maximum(hits - 1.0, share * n)
    found = _divergence(less, n, share)
    some = (hits - 1.0 > share * n) & (hits <= n - 1.0)
    k = np.where(some, hits, 0.5 * n * (1.0 + share))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (k + 1.0) * (1.0 - share) / (k + 1.0 - (n + 1.0) * share)
        nats = _divergence(k, n, share) + 0.5 * np.log(k * (n - k) / n) - np.log(ratio)
        nats -= np.arcsinh(np.sqrt(0.5 * np.maximum(nats, 0.0)))
    return np.where(some, np.fmax(found, nats), found)


def _divergence(hits: Floats, n: Floats | float, share: float) -> Floats:
    """The divergence of so many hits from `share` of n requests, in nats: n kl(hits / n, share)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = hits * np.log(hits / (share * n)) + (n - hits) * np.log(
            (n - hits) / ((1.0 - share) * n)
        )
    return found


def _least(above_c: Exceedances, n_c: float, above_b: Exceedances, n_b: float, tail: float) -> float:
    """`evidence._quantile_terms` with nearly exact tails."""
    return float((tail_nats(above_c, n_c, tail) + tail_nats(n_b - above_b, n_b, 1.0 - tail)).min())


def _sums(sums: screen.Sums, tail: float) -> Floats:
    """`screen._quantile_terms` with nearly exact tails."""
    above_c, n_c, above_b, n_b = sums
    return np.nan_to_num(tail_nats(above_c, n_c, tail) + tail_nats(n_b - above_b, n_b, 1.0 - tail))


@contextmanager
def _detecting(sums: Floats, rule: Rule) -> Iterator[None]:
    """Check (1) by the detector, its evidence over phi: a tick that passes holds x*, or what its windows hold."""
    of_windows: Callable[[sustained._Tick], tuple[float, bool]] = sustained._Tick._strongest

    def strongest(tick: sustained._Tick) -> tuple[float, bool]:
        shown, has_data = of_windows(tick)
        newest = max(tick.now - max(rule.hold_min, 1), tick.series.first_minute)
        phi = tick.phi.over(tick.series, newest, tick.now)
        passes = _detected(sums[:, : tick.now + 1], phi)[-1] >= _NEEDED
        return (max(shown, rule.x_star) if passes else 0.0), has_data

    with patch.object(sustained._Tick, "_strongest", strongest):
        yield


def _nats(guarded: Guarded, releases: RateReleases, index: int) -> Floats:
    """Logarithms of the e-variables, summed up to each tick, shape (sizes, minutes + 1)."""
    s_c, n_c, s_b, n_b = (part[index].sum(axis=1).astype(np.float64) for part in releases.parts())
    if guarded.limit < 0:  # of failures: the same harm, and bets stay within a rate's range
        s_c, s_b = n_c - s_c, n_b - s_b
    before = (
        np.concatenate([[0.0], np.cumsum(s_b + s_c)[:-1]]),
        np.concatenate([[0.0], np.cumsum(n_b + n_c)[:-1]]),
    )
    base = (before[0] + 1.0) / (before[1] + 10.0)
    found = np.zeros((len(_SIZES), releases.minutes + 1))
    for row, times in enumerate(_SIZES):
        p_c, q_c, q_b = _bet(guarded, base, times, n_c, n_b)
        nats = s_c * np.log(p_c / q_c) + (n_c - s_c) * np.log((1 - p_c) / (1 - q_c))
        nats += s_b * np.log(base / q_b) + (n_b - s_b) * np.log((1 - base) / (1 - q_b))
        found[row, 1:] = np.cumsum(np.where((n_c > 0) & (n_b > 0), nats, 0.0))
    return found


def _bet(
    guarded: Guarded, base: Floats, times: float, n_c: Floats, n_b: Floats
) -> tuple[Floats, Floats, Floats]:
    """The candidate's rate that is bet on, and the null's nearest pair: up to kappa X worse than the baseline's."""
    kappa = 0.5
    is_down = guarded.limit < 0
    ratio = 1.0 + kappa * guarded.limit
    if is_down:
        p_c = np.minimum(1.0 - (1.0 - base) * (1.0 + guarded.limit * times), 1.0 - 1e-6)
    else:
        p_c = np.minimum(base * (1.0 + guarded.limit * times), 1.0 - 1e-6)
    low, high = base, p_c  # of the baseline's rate under the null, which lies between
    for _ in range(50):
        q_b = 0.5 * (low + high)
        q_c = 1.0 - ratio * (1.0 - q_b) if is_down else ratio * q_b
        slope = ratio * n_c * (q_c - p_c) * q_b * (1 - q_b) + n_b * (q_b - base) * q_c * (1 - q_c)
        low, high = np.where(slope < 0, q_b, low), np.where(slope < 0, high, q_b)
    q_c = 1.0 - ratio * (1.0 - high) if is_down else ratio * high
    return p_c, q_c, high


def _detected(sums: Floats, phi: float) -> Floats:
    """The logarithm of the detector at each tick: the mean over sizes of the sum over starts."""
    scaled = sums / phi
    from_starts = np.logaddexp.accumulate(-scaled[:, :-1], axis=1)
    found = np.full(sums.shape, -np.inf)
    found[:, 1:] = scaled[:, 1:] + from_starts
    return np.asarray(np.logaddexp.reduce(found, axis=0) - log(len(_SIZES)))


def _tally(variant: str, cell: Cell | RateStory, seed: int, releases: int) -> Tally:
    story = cell.story if isinstance(cell, Cell) else cell
    guarded = cell.guarded if isinstance(cell, Cell) else SUCCESS
    assert not isinstance(story, IncidentStory)
    chunk = chunk_size(cell) if isinstance(cell, Cell) else 50
    found = Tally()
    for number, start in enumerate(range(0, releases, chunk)):
        size = min(chunk, releases - start)
        drawn = story.draw(np.random.default_rng([seed, number]), size)
        if variant == "oracle":
            assert isinstance(cell, Cell)
            assert isinstance(drawn, LatencyReleases)
            found.add(Tally(size, {"guard": _oracle(cell, drawn)}))
        else:
            found.add(Tally(size, {"guard": fired(variant, guarded, drawn)}))
    return found


def _shown(cell: Cell | None, tally: Tally) -> str:
    onset = ONSET_MIN if cell is None else cell.onset
    hold = (SUCCESS if cell is None else cell.guarded).objective.hold_min
    if cell is not None and (not cell.name.startswith("detection") or onset is None):
        end = onset + hold if cell.name.startswith("early") and onset else None
        return f"{100 * tally.share(end=end):.3g} %"
    assert onset is not None
    delays = tally.delays(onset)
    early = tally.share(end=onset + hold)
    return f"{quantile(delays, 0.5):.0f} ({quantile(delays, 0.9):.0f})" + (
        f" [{100 * early:.2g} %]" if early else ""
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.operating_characteristics.stretch", description=__doc__
    )
    parser.add_argument("--releases", type=int, default=100)
    parser.add_argument("--variant", action="append", choices=_VARIANTS)
    parser.add_argument("--cell", action="append", default=[], help="the beginning of a cell's name")
    asked = parser.parse_args()
    variants = asked.variant or list(_VARIANTS)
    print(f"| cell | limit | {' | '.join(variants)} |\n| --- | --- |{' --- |' * len(variants)}", flush=True)
    for name in (*_CELLS, *_UNEVEN):
        if asked.cell and not any(name.startswith(one) for one in asked.cell):
            continue
        cell = CELLS.get(name)
        seed = cell.seed if cell else len(name)
        is_rate = cell is None or cell.guarded.objective.indicator.kind is IndicatorKind.RATE
        found = [
            _shown(cell, _tally(one, cell or _UNEVEN[name], seed, asked.releases))
            if one not in (_QUANTILES_ONLY if is_rate else _RATES_ONLY)
            else "none yet"
            for one in variants
        ]
        hold = SUCCESS.objective.hold_min if cell is None else cell.guarded.objective.hold_min
        limit = f"{max(limit_min(name), hold):.0f}" if name.startswith("detection") else ""
        print(f"| {name} | {limit} | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()
