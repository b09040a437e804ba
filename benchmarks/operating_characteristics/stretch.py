"""What other rules would do in the same releases: the engine with one part replaced, and nothing adopted.

`python -m benchmarks.operating_characteristics.stretch` prints, per cell, the engine and its variants side by side.

- `grid`: windows of the evidence at every quarter of an octave instead of every half; x* pays for the looks.
- `detector`: evidence of a mixture e-detector instead of windows. Each minute is bet on with an e-variable for two
  rates (Turner, Ly, Gruenwald 2024: the ratio of a harm of 1.25 to 30 times the limit, the baseline's rate as the
  minutes before it show it, to the nearest rates of the null), restarted at every minute (Shin, Ramdas, Rinaldo
  2023). Under the null it exceeds T / alpha in T minutes with at most alpha.
- `lenient`: what is left without the worst stretch need show 1.92 + ln instead of 1.92 + 2 ln nats; for uneven harm.
- `closer`: evidence of a quantile whose binomial tails are nearly exact, in place of one count of correction.
- `valid`: evidence of a quantile whose stated rate holds at a gap, too, with the same tails (`quantiles.valid_nats`).
- `uncorrected`: the same without any count of correction; its rate holds where the baseline has ten times the requests.
- `lengths`: W is tried at every length up to 3 Y, not only at the grid's.
- `ended`: what is left without a stretch that is over need show the harm at p = 0.1 only; 0.025 holds for the newest.
- `dated`: both; `dated-closer` and `dated-uncorrected` with that evidence.
- `limit`: evidence of 12.6 nats suffices instead of x*: what the looks cost. Its error rate is ten times as high.
- `undated`: the check that the harm lasted is left out: what certainty about Y costs.
- `oracle`: no rule at all: when 12.6 nats are reached by one who knows the baseline, the harm's start and its size.

Everything else, the duration and the recovery among it, stays the engine's own.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from math import log
from typing import Final
from unittest.mock import patch

import numpy as np

from benchmarks.operating_characteristics import screen
from benchmarks.operating_characteristics.bar import limit_min
from benchmarks.operating_characteristics.cells import CELLS, Cell
from benchmarks.operating_characteristics.incidents import IncidentStory
from benchmarks.operating_characteristics.objectives import LATENCY, OBJECTIVES, SUCCESS, WINDOW_MIN, Guarded
from benchmarks.operating_characteristics.product import Release, evidence, feed_of
from benchmarks.operating_characteristics.quantiles import (
    divergence,
    least_terms,
    tail_nats,
    uncorrected_nats,
    valid_nats,
)
from benchmarks.operating_characteristics.run import chunk_size
from benchmarks.operating_characteristics.stories import (
    DAY_MIN,
    ONSET_MIN,
    Floats,
    LatencyReleases,
    LatencyStory,
    RateReleases,
    RateStory,
    Spell,
    Traffic,
    bin_chances,
    slowed,
    steady,
)
from benchmarks.operating_characteristics.tally import NEVER, Tally, quantile
from monitor.core import sustained
from monitor.core.indicator import IndicatorKind
from monitor.core.stats import evidence as formulas
from monitor.core.stats import quantile_stretch
from monitor.core.stats import rule as rules
from monitor.core.stats.evidence import evidence_for
from monitor.core.stats.limit import limit_of
from monitor.core.stats.minutes import Cut
from monitor.core.stats.planning import UNKNOWN_START_NATS
from monitor.core.stats.rule import Rule
from monitor.core.stats.thresholds import ALPHA_ROLLBACK, MAX_WINDOW_MIN, OVERALL_SHARE, GridWindow, span_grid

_SIZES: Final = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)  # times X that is bet on
_ALPHA: Final = ALPHA_ROLLBACK * OVERALL_SHARE / OBJECTIVES
_NEEDED: Final = log(DAY_MIN / _ALPHA)  # nats of the detector
_DATED: Final = ("lengths", "ended")
_PARTS: Final = {
    "dated": _DATED,
    "dated-closer": (*_DATED, "closer"),
    "dated-uncorrected": (*_DATED, "uncorrected"),
}
"""Variants that replace several parts."""
_ONE_PART: Final = (
    "grid",
    "detector",
    "lenient",
    "closer",
    "valid",
    "uncorrected",
    "limit",
    "undated",
    *_DATED,
)
_VARIANTS: Final = ("engine", *_ONE_PART, *_PARTS, "oracle")
_RATES_ONLY: Final = ("detector",)
_QUANTILES_ONLY: Final = ("closer", "valid", "uncorrected", "oracle", "dated-closer", "dated-uncorrected")
_ENDED_NATS: Final = evidence_for(0.1)

_CELLS: Final = (
    "detection/success/10s-5/2x", "detection/success/10s-20/1.25x", "detection/success/100s-1/1.5x",
    "detection/success/100s-5/1.25x", "detection/success/100s-5/2x", "detection/p95/10s-1/5x",
    "detection/p95/10s-50/1.5x", "false/p95/100s-1/x2", "early/p95-y30/5.5s-10/5x", "false/success/10s-5/x2",
    "false/success/100s-5/x2", "stress/icc-0.01/10s-50/x2",
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

_P95_BURSTS: Final = {
    f"p95 {length} min at {times:g}x, {per_min:g}/min": slowed(
        LATENCY,
        Traffic(per_min / 60.0 / canary, canary),
        Spell(ONSET_MIN, ONSET_MIN + length, times),
        minutes=ONSET_MIN + 240,
    )
    for per_min, canary, length, times in (
        (6.0, 0.01, 18, 5.0), (6.0, 0.01, 29, 5.0), (6.0, 0.01, 29, 15.0), (33.0, 0.1, 20, 5.0),
        (33.0, 0.1, 29, 5.0), (120.0, 0.1, 29, 5.0),
    )
}  # fmt: skip


def fired(variant: str, guarded: Guarded, releases: RateReleases | LatencyReleases) -> Counter[int]:
    """Return at which ticks the engine fires with one part replaced."""
    with ExitStack() as replaced:
        for part in _PARTS.get(variant, (variant,)):
            for patched in _patches(part):
                replaced.enter_context(patched)
        return _fired(variant, guarded, releases)


def _patches(part: str) -> tuple[AbstractContextManager[object], ...]:
    """What takes the place of the engine's own."""
    nearly_exact = patch.object(screen, "_quantile_terms", _sums)
    if part == "closer":
        return patch.object(formulas, "_quantile_terms", least_terms), nearly_exact
    if part == "valid":  # never more than `closer` says at an edge
        return patch.object(quantile_stretch, "quantile_above", valid_nats), nearly_exact
    if part == "uncorrected":
        return patch.object(quantile_stretch, "quantile_above", uncorrected_nats), patch.object(
            screen, "_quantile_terms", _roots
        )
    if part == "undated":
        return (patch.object(sustained._Tick, "_lasted", lambda *_: (None, True)),)
    if part == "ended":
        return (patch.object(sustained._Tick, "_lasted", _lasted),)
    if part == "lenient":
        return (patch.object(sustained, "_REST_SLOPE", 1.0),)
    return ()


def _lasted(tick: sustained._Tick, start: int, strongest: float) -> tuple[Cut | None, bool]:
    """Check (4) with two levels: as it is for the newest minutes, lower for stretches that are over."""
    x = max(strongest, tick.evidence(start, tick.now), tick.rule.x_star)
    needed = sustained.rest_nats(x, tick.rule.x_star)
    less = sustained.rest_nats(1.0, 1.0) - _ENDED_NATS
    for cut in tick._cuts(start):
        level = needed - (less if cut[1] < tick.now else 0.0)
        if not tick.series.beyond(start, tick.now, 1.0, cut) or tick.evidence(start, tick.now, cut) < level:
            return cut, False
    return None, True


def _fired(variant: str, guarded: Guarded, releases: RateReleases | LatencyReleases) -> Counter[int]:
    rule = _rule(variant, guarded)
    found: Counter[int] = Counter()
    shown = None if variant == "detector" else evidence(guarded, rule, releases)
    for index in range(len(releases.s_c if isinstance(releases, RateReleases) else releases.candidate)):
        release = Release(guarded, rule, feed_of(releases, index))
        if shown is not None:
            found[release.first_fire(shown[index])] += 1
            continue
        assert isinstance(releases, RateReleases)
        sums = _nats(guarded, releases, index)
        with _detecting(sums, rule):
            found[release.first_fire(np.where(_detected(sums, 1.0) >= _NEEDED, np.inf, 0.0))] += 1
    return found


def _rule(variant: str, guarded: Guarded) -> Rule:
    if "lengths" in _PARTS.get(variant, (variant,)):
        with patch.object(rules, "span_grid", _all_lengths):
            return guarded.rule()
    rule = guarded.rule()
    if variant == "limit":
        return replace(rule, x_star=UNKNOWN_START_NATS)
    if variant != "grid":
        return rule
    lengths = [round(rule.hold_min * 2 ** (j / 4)) for j in range(40)]
    windows = tuple(GridWindow(one, max(1, one // 24)) for one in lengths if one <= MAX_WINDOW_MIN)
    looks = sum(WINDOW_MIN / window.step_min for window in windows)
    return replace(rule, windows=windows, x_star=evidence_for(_ALPHA / looks))


def _all_lengths(hold_min: int, window_min: int) -> tuple[int, ...]:
    """`thresholds.span_grid` with every length up to 3 Y."""
    return tuple(sorted({*range(hold_min, 3 * hold_min + 1), *span_grid(hold_min, window_min)}))


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


def _sums(sums: screen.Sums, tail: float) -> Floats:
    """`screen._quantile_terms` with nearly exact tails."""
    above_c, n_c, above_b, n_b = sums
    return np.nan_to_num(tail_nats(above_c, n_c, tail) + tail_nats(n_b - above_b, n_b, 1.0 - tail))


def _roots(sums: screen.Sums, tail: float) -> Floats:
    """The same without correction."""
    above_c, n_c, above_b, n_b = sums
    terms = divergence(np.maximum(above_c, tail * n_c), n_c, tail)
    terms += divergence(np.minimum(above_b, tail * n_b), n_b, tail)
    # Not a number where all or none are above the edge: nothing that a filter may leave out.
    return np.where((n_c > 0) & (n_b > 0), np.nan_to_num(terms, nan=np.inf), 0.0)


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


def _tally(variant: str, cell: Cell | RateStory | LatencyStory, seed: int, releases: int) -> Tally:
    story = cell.story if isinstance(cell, Cell) else cell
    is_quantile = isinstance(story, LatencyStory)
    guarded = cell.guarded if isinstance(cell, Cell) else LATENCY if is_quantile else SUCCESS
    assert not isinstance(story, IncidentStory)
    chunk = chunk_size(cell) if isinstance(cell, Cell) else 10 if is_quantile else 50
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


def _shown(name: str, tally: Tally) -> str:
    cell = CELLS.get(name)
    if name in _P95_BURSTS:
        return f"{100 * tally.share():.3g} %"
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
    others: dict[str, RateStory | LatencyStory] = {**_UNEVEN, **_P95_BURSTS}
    for name in (*_CELLS, *others):
        if asked.cell and not any(name.startswith(one) for one in asked.cell):
            continue
        cell = CELLS.get(name)
        seed = cell.seed if cell else len(name)
        is_rate = name not in _P95_BURSTS and (
            cell is None or cell.guarded.objective.indicator.kind is IndicatorKind.RATE
        )
        found = [
            _shown(name, _tally(one, cell or others[name], seed, asked.releases))
            if one not in (_QUANTILES_ONLY if is_rate else _RATES_ONLY)
            else "none yet"
            for one in variants
        ]
        hold = SUCCESS.objective.hold_min if cell is None else cell.guarded.objective.hold_min
        limit = f"{max(limit_min(name), hold):.0f}" if name.startswith("detection") else ""
        print(f"| {name} | {limit} | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()
