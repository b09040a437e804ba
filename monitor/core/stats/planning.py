"""What a limit can decide: candidate requests and minutes until a harm of a given size is shown.

Nothing is derived anew. A series is filled with the counts that so many requests would give on average, and the
evidence that decides is asked about them: I = evidence per candidate request, in nats (for rates the least over q of
kl(p_c, r q) + n_b/n_c kl(p_b, q)). Evidence grows with the requests, so x*/I of them hold x* with an even chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, erfc, exp, floor, inf, log, sqrt
from typing import Final, TypeAlias

from monitor.core.budget import Accounting, EvidenceMode, Objective, Unit
from monitor.core.series import MeanSeries, RateSeries, series_for
from monitor.core.sketch import LAST_BIN, RATIO, UNFINISHED_BIN, Sketch
from monitor.core.spend import SPEND_NATS
from monitor.core.stats.evidence import Moments, p_value
from monitor.core.stats.harm import mean_beyond
from monitor.core.stats.limit import limit_of
from monitor.core.stats.rule import Rule
from monitor.core.window import BUCKET_MS, LATENESS_MS

WAIT_MIN: Final = LATENESS_MS // BUCKET_MS + 1
"""Minutes from the end of a stretch to its decision: the watermark's lateness and one tick."""

UNKNOWN_START_NATS: Final = log(72 * 4 / 1e-3)
"""12.6: no method that errs this rarely decides on fewer requests than this over I (Lai 1998: unknown start, 24 h,
72 windows of 20 minutes, 4 objectives)."""

_SCALE: Final = 10**12  # requests at which whole counts and the continuity correction no longer show
_ALIGNMENTS: Final = 6  # where a bin's edges may lie against a quantile; live traffic does not choose
_BISECTIONS: Final = 50  # 2**-50 of the span: far below one request
_HALVINGS: Final = 16  # to less than the 2 % that a sketch resolves, and three digits of most rates
_ROUNDING: Final = 1e-12  # of a share: a success of 0.9 that falls by all of it falls to 0
_LOG_RATIO: Final = log(RATIO)  # a harm in percent becomes bins


@dataclass(frozen=True, slots=True)
class RateShape:
    """The baseline's rate, 0 to 1."""

    rate: float


@dataclass(frozen=True, slots=True)
class SketchShape:
    """The baseline's distribution; several where its place on the bins is only assumed: the least evidence counts."""

    sketches: tuple[Sketch, ...]


Shape: TypeAlias = RateShape | SketchShape


@dataclass(frozen=True, slots=True)
class Split:
    """How the traffic is divided: the candidate's share of it, above 0 and below 1."""

    candidate: float

    @property
    def baseline_per_candidate(self) -> float:
        """Baseline requests for each of the candidate's."""
        return (1.0 - self.candidate) / self.candidate


@dataclass(frozen=True, slots=True)
class Expectation:
    """What one objective would be shown on average by a candidate with a given harm.

    Attributes:
        information: I, nats per candidate request in the limit of many; 0 where the harm is not beyond the limit.
        objective, split, moments: To ask again for fewer requests: a mean says nothing below a floor of them.
    """

    information: float
    objective: Objective
    split: Split
    moments: tuple[Moments, Moments] | None = None

    def evidence(self, requests: float) -> float:
        """Return the evidence (nats) that so many candidate requests hold on average."""
        if self.moments is None or self.information <= 0.0:
            return requests * self.information
        candidate, baseline = self.moments
        limit = limit_of(self.objective)
        return mean_beyond(limit, limit.kappa)(
            candidate._replace(n=requests),
            baseline._replace(n=requests * self.split.baseline_per_candidate),
        )

    def requests_for(self, nats: float) -> float:
        """Return the candidate requests that hold so much evidence on average; infinity where none do."""
        if self.information <= 0.0:
            return inf
        low, high = nats / self.information, float(_SCALE)
        if self.moments is None or self.evidence(low * (1.0 + 1e-9)) >= nats:
            return low
        for _ in range(_BISECTIONS):  # from zero to the floor's other side
            middle = sqrt(low * high)
            low, high = (low, middle) if self.evidence(middle) >= nats else (middle, high)
        return high


@dataclass(frozen=True, slots=True)
class Need:
    """What a decision takes.

    Attributes:
        requests: Of the candidate, with the label; infinity where none suffice, None where it depends on a pace
            that is not known.
        minutes: Until the decision is out, from the harm's first minute; None where it does not come in time.
    """

    requests: float | None
    minutes: int | None


def harmed_rate(objective: Objective, rate: float, multiple: float) -> float | None:
    """Return the candidate's rate under `multiple` times the limit; None where no rate can be that bad."""
    limit = limit_of(objective)
    moved = rate * limit.ratio(multiple) if limit.unit is Unit.PERCENT else rate + limit.shift(multiple)
    return min(max(moved, 0.0), 1.0) if -_ROUNDING <= moved <= 1.0 + _ROUNDING else None


def largest_multiple(objective: Objective, shape: Shape) -> float:
    """Return the largest harm there can be, as a multiple of the limit: a rate of 0 or 1, or a thousandfold size."""
    size = abs(objective.limit) / 100.0
    if isinstance(shape, SketchShape):
        return 999.0 / size
    room = 1.0 - shape.rate if limit_of(objective).higher_is_worse else shape.rate
    if objective.unit is Unit.POINTS:
        return room / size
    return room / (size * shape.rate) if shape.rate > 0.0 else 0.0


def expectation(objective: Objective, shape: Shape, multiple: float, split: Split) -> Expectation | None:
    """Return what a candidate at `multiple` times the limit would show; None where no rate can be that bad."""
    if isinstance(shape, SketchShape):
        each = [_of_sketch(objective, sketch, multiple, split) for sketch in shape.sketches]
        return min(each, key=lambda one: one.information)
    harmed = harmed_rate(objective, shape.rate, multiple)
    if harmed is None:
        return None
    series = series_for(objective)
    assert isinstance(series, RateSeries)
    others = round(_SCALE * split.baseline_per_candidate)
    series.append(0, (round(harmed * _SCALE), _SCALE), (round(shape.rate * others), others))
    shown = series.evidence_in(0, 1) / _SCALE if series.beyond(0, 1, 1.0) else 0.0
    return Expectation(shown, objective, split)


def _of_sketch(objective: Objective, sketch: Sketch, multiple: float, split: Split) -> Expectation:
    series = series_for(objective)
    assert not isinstance(series, RateSeries)
    growth = series.limit.ratio(multiple)
    others = _SCALE * split.baseline_per_candidate
    series.append(0, scaled(sketch, _SCALE, growth=growth), scaled(sketch, others))
    shown = series.evidence_in(0, 1) / _SCALE if series.beyond(0, 1, 1.0) else 0.0
    return Expectation(
        shown, objective, split, series.moments(0, 1) if isinstance(series, MeanSeries) else None
    )


def scaled(sketch: Sketch, requests: float, *, growth: float = 1.0) -> Sketch:
    """Return the sketch of so many requests of the same shape, each `growth` (1 and more) times as large.

    What falls between two bins is divided between them, as if a bin's requests were even on the log scale.
    """
    each = requests / max(sketch.count, 1)
    whole, part = divmod(log(growth) / _LOG_RATIO, 1.0)
    moved: dict[int, float] = {}
    for index, count in sketch.bins.items():
        if index >= UNFINISHED_BIN:
            moved[UNFINISHED_BIN] = moved.get(UNFINISHED_BIN, 0.0) + count * each
            continue
        low = min(index + int(whole), LAST_BIN)
        high = min(low + 1, LAST_BIN)
        moved[low] = moved.get(low, 0.0) + count * each * (1.0 - part)
        moved[high] = moved.get(high, 0.0) + count * each * part
    counts = {index: round(count) for index, count in moved.items()}
    bins = {index: count for index, count in counts.items() if count}
    return Sketch(bins, round(sketch.total * each * growth))


def lognormal_shape(sigma: float, median: float) -> SketchShape:
    """Return lognormal sizes (sigma on the natural log scale) around a median in the sketch's unit.

    The median is moved by less than a bin, so that it changes no evidence.
    """
    center = round(log(median) / _LOG_RATIO)
    return SketchShape(
        tuple(_lognormal(sigma, (center + step / _ALIGNMENTS) * _LOG_RATIO) for step in range(_ALIGNMENTS))
    )


def _lognormal(sigma: float, center: float) -> Sketch:
    below = [0.5 * erfc((center - index * _LOG_RATIO) / (sigma * sqrt(2.0))) for index in range(LAST_BIN)]
    edges = (0.0, *below, 1.0)
    counts = {index: round(_SCALE * (edges[index + 1] - edges[index])) for index in range(LAST_BIN + 1)}
    bins = {index: count for index, count in counts.items() if count}
    middle = 0.5 + 0.5 / RATIO
    return Sketch(bins, round(sum(count * middle * exp(index * _LOG_RATIO) for index, count in bins.items())))


def horizon_min(objective: Objective, rule: Rule) -> int:
    """Return the longest stretch (minutes) that is judged: of the tested windows, or all that adds up.

    Minutes whose labels are still waited for when the window ends are not.
    """
    judged_min = max(0, rule.window_min - objective.label_delay_min)
    return judged_min if _adds_up(objective) else min(judged_min, rule.windows[-1].length_min)


def need(expected: Expectation, rule: Rule, *, per_min: float | None, phi: float = 1.0) -> Need:
    """Return what it takes to decide the expected harm, present from the first minute on, with an even chance.

    Args:
        per_min: Candidate requests with the label, a minute; None where that is not known.
        phi: Over-dispersion, at least 1: evidence counts for 1/phi of itself.
    """
    objective = expected.objective
    if _adds_up(objective):
        return _need_in_all(expected, rule, per_min, phi)
    nats = 0.0 if objective.evidence is EvidenceMode.OFF else rule.x_star * phi
    requests = max(expected.requests_for(nats), _asked_for(expected, rule))
    if per_min is None or per_min <= 0.0 or requests == inf:
        return Need(requests, None)
    stretch = max(rule.hold_min, 1, ceil(requests / per_min - 1e-9))
    if stretch > horizon_min(objective, rule):
        return Need(requests, None)
    return Need(requests, stretch + WAIT_MIN + objective.label_delay_min)


def _asked_for(expected: Expectation, rule: Rule) -> float:
    """Return the candidate requests at which each arm has the budget's `min_samples`."""
    return rule.min_samples * max(1.0, 1.0 / expected.split.baseline_per_candidate)


def _adds_up(objective: Objective) -> bool:
    """Tell whether bad minutes add up; a hold of 0 has nothing to add up (as `Watch.is_cumulative` says)."""
    return objective.accounting is Accounting.CUMULATIVE and objective.hold_min > 0


def _need_in_all(expected: Expectation, rule: Rule, per_min: float | None, phi: float) -> Need:
    """More than the hold in bad blocks: each block of a quarter of it is bad with the chance its evidence gives.

    The signed root of the evidence is near normal with variance 1, as `p_value` takes it to be.
    """
    if expected.information <= 0.0:
        return Need(inf, None)
    if per_min is None:
        return Need(None, None)
    block = rule.recent_min
    nats = 0.0 if expected.objective.evidence is EvidenceMode.OFF else SPEND_NATS
    shown = expected.evidence(block * per_min) / phi
    lacking = sqrt(2.0 * nats) - sqrt(2.0 * shown)
    chance = p_value(0.5 * lacking * lacking)
    chance = chance if lacking > 0.0 else 1.0 - chance
    if not shown:
        return Need(None, None)
    blocks = (floor(rule.hold_min / block) + 1) / chance
    few = _asked_for(expected, rule) / per_min if per_min > 0.0 else 0.0
    if max(blocks * block, few) > horizon_min(expected.objective, rule):
        return Need(max(blocks * block, few) * per_min, None)
    stretch = max(block * ceil(blocks - 1e-9), ceil(few - 1e-9))
    return Need(stretch * per_min, stretch + WAIT_MIN + expected.objective.label_delay_min)


def smallest_multiple(
    objective: Objective, shape: Shape, rule: Rule, split: Split, *, per_min: float, phi: float = 1.0
) -> float | None:
    """Return the smallest harm that is decided in time, as a multiple of the limit, at least 1; None if none is."""

    def decides(multiple: float) -> bool:
        expected = expectation(objective, shape, multiple, split)
        return expected is not None and need(expected, rule, per_min=per_min, phi=phi).minutes is not None

    low, high = 1.0, largest_multiple(objective, shape)
    if not decides(high):
        return None
    for _ in range(_HALVINGS):
        middle = sqrt(low * high)
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high
