"""The evidence a decision carries: what is needed to compute its verdict again, alone, without the store.

The rule quantifies over many stretches: every fifth, every cut, every block of recovery. Of each such check
the record keeps the one that decided it, the extreme: where the least bad fifth is bad, all are. Together
with the rule's numbers and the dispersion the verdict follows (`core.rederive`); beside them stand the
minutes as a curve. Bounded: at most `MAX_POINTS` points, nine stretches and five spent blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, inf
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from monitor.core.moment import rfc3339
from monitor.core.record import finite
from monitor.core.series import Cut, Series
from monitor.core.spend import SPEND_NATS
from monitor.core.stats.dispersion import Dispersion
from monitor.core.stats.limit import Limit
from monitor.core.stats.minutes import length_min
from monitor.core.stats.thresholds import MAX_WINDOW_MIN, quarter
from monitor.core.sums import Sums, sums_of
from monitor.core.sustained import (
    NOW_SHARE,
    RECOVERY_NATS,
    SUSPECT_NATS,
    Judgement,
    Refusal,
    rest_nats,
)
from monitor.core.window import tick_ms

if TYPE_CHECKING:
    from monitor.core.watch import Watch

MAX_POINTS: Final = 480  # a day, the longest window, in points of three minutes
SHOWN_MIN: Final = 120  # what a curve shows at least, and twice the window where that is more
_DIGITS: Final = 6  # of a point of the curve; the sums are exact

Span: TypeAlias = tuple[int, int]
"""Minutes [start, end)."""

Data: TypeAlias = dict[str, Any]


def evidence_of(watch: Watch, shown: Span) -> Data | None:
    """Return the evidence behind what a watch answered last; None before it was ever asked.

    Args:
        shown: The stretch that the decision's `observed` speaks of.
    """
    if watch.judgement is None or watch.judged is None:
        return None
    now, noises = watch.judged[0], [known.dispersion for known in watch.judged[1]]
    if watch.series.kept_minute > max(watch.series.first_minute, now - MAX_WINDOW_MIN):
        return None  # judged so long ago that its minutes are gone
    gauge, dispersion = watch.gauges[watch.led], noises[watch.led]
    record = _Record(watch, watch.judgement, now, dispersion)
    return {
        "kind": record.kind,
        **({} if gauge.measure is None else {"measure": gauge.measure.value}),
        "answer": watch.judgement.answer.value,
        "refusal": None if watch.judgement.refusal is None else watch.judgement.refusal.value,
        "judged_to": rfc3339(tick_ms(now)),
        "rule": _rule(watch),
        "dispersion": _numbers(dispersion),
        **_all_noises(watch, noises),
        "stretches": record.stretches(shown, noises),
        "spent": _spent(watch),
        "points": points_of(gauge.series, now, record.window_min, watch.factor),
    }


def _numbers(dispersion: Dispersion) -> Data:
    return {
        "phi": dispersion.phi,
        "tau2": dispersion.tau2,
        "assumed_icc": dispersion.assumed_icc,
    }


def _all_noises(watch: Watch, noises: Sequence[Dispersion]) -> Data:
    """What was known of each measure's noise, where there are two."""
    named = {
        gauge.measure.value: _numbers(known)
        for gauge, known in zip(watch.gauges, noises, strict=True)
        if gauge.measure is not None
    }
    return {"dispersions": named} if named else {}


def verdict_evidence(watch: Watch, now: int, needed: float) -> Data:
    """Return, in short, what a watch's verdict in an assessment rests on.

    Args:
        needed: Evidence of being within the limit that is called healthy, in nats.
    """
    judged, shown = watch.judgement, watch.shown_within(now)
    refusal = None if judged is None else judged.refusal
    return {
        "kind": "verdict",
        "answer": None if judged is None else judged.answer.value,
        "refusal": None if refusal is None else refusal.value,
        "strongest": None if judged is None else finite(judged.strongest),
        "x_star": watch.rule.x_star,
        "has_fired": watch.has_fired,
        "within": None if shown is None else finite(shown[0]),
        "within_recent": None if shown is None else finite(shown[1]),
        "needed": needed,
        **({"overspent": True} if watch.is_overspent else {}),
        **({} if watch.has_samples else {"few_samples": True}),
    }


def _rule(watch: Watch) -> Data:
    objective, rule, limit = watch.objective, watch.rule, watch.series.limit
    return {
        "indicator": objective.indicator.kind.value,
        "quantile": limit.quantile,
        "limit": objective.limit,
        "unit": objective.unit.value,
        "worse": objective.worse.value,
        "scale": watch.factor,
        "mode": objective.evidence.value,
        "kappa": limit.kappa,
        "accounting": objective.accounting.value,
        "hold_min": rule.hold_min,
        "window_min": rule.window_min,
        "min_samples": rule.min_samples,
        "x_star": rule.x_star,
    }


class _Record:
    """One tick's judgement, and the stretches that decided it."""

    def __init__(self, watch: Watch, judgement: Judgement, now: int, dispersion: Dispersion) -> None:
        self.gauges = watch.gauges
        self.series, self.rule, self.factor = watch.gauges[watch.led].series, watch.rule, watch.factor
        self.judgement, self.now, self.dispersion = judgement, now, dispersion

    @property
    def kind(self) -> str:
        """Which of the rule's three variants judged."""
        if not self.series.limit.needs_evidence:
            return "literal"
        return "sustained" if self.rule.hold_min else "at_once"

    @property
    def window_min(self) -> int:
        """Length of W; 0 without one."""
        return 0 if self.judgement.whole is None else self.now - self.judgement.whole.start

    def stretches(self, shown: Span, noises: Sequence[Dispersion]) -> Data:
        found: dict[str, Data | None] = {
            **self._shown(shown, noises),
            "strongest": self._strongest(),
            **self._of_window(),
            "recent": self._recent(),
        }
        return {role: stretch for role, stretch in found.items() if stretch is not None}

    def _shown(self, shown: Span, noises: Sequence[Dispersion]) -> dict[str, Data | None]:
        """What `observed` speaks of: by the last gauge, and of a mean by the capped one too."""
        if shown[0] >= shown[1]:
            return {}
        told = zip(("shown_capped", "shown")[-len(self.gauges) :], self.gauges, noises, strict=True)
        limit, factor = self.series.limit, self.factor
        return {
            role: stretch_data(
                (*shown, None),
                sums_of(gauge.series, *shown),
                noise,
                limit=limit,
                factor=factor,
                needed=None,
            )
            for role, gauge, noise in told
        }

    def _of_window(self) -> dict[str, Data | None]:
        whole, refusal = self.judgement.whole, self.judgement.refusal
        if whole is None:
            return {}
        start, rule = whole.start, self.rule
        if self.kind == "literal":
            minutes = ((at, at + 1) for at in range(start, self.now))
            return {
                "window": self._stretch(start, self.now),
                "newest": self._stretch(self.now - 1, self.now),
                "weakest": self._weakest(minutes),
            }
        share = NOW_SHARE if self.kind == "sustained" else 1.0
        found: dict[str, Data | None] = {"window": self._stretch(start, self.now, needed=share * rule.x_star)}
        if self.kind == "at_once":
            return {**found, "newest": self._stretch(self.now - quarter(self.now - start), self.now)}
        span = next(span for span in rule.spans if span.length_min == self.now - start)
        found["newest"] = self._stretch(self.now - span.newest_min, self.now)
        if refusal in _BEFORE_FIFTHS:
            return found
        width = span.fifth_min
        found["weakest"] = self._weakest((at, at + width) for at in range(start, self.now - width + 1))
        found["rest"] = self._rest()
        if refusal in (None, Refusal.EVIDENTLY_BACK):
            found["recovery"] = self._recovery(start, span.block_nats)
        return found

    def _strongest(self) -> Data | None:
        """The window whose evidence is the strongest of this tick."""
        strongest, age = self.judgement.strongest, self.now - self.series.first_minute
        if strongest <= 0.0:
            return None
        start = next(
            self.now - window.length_min
            for window in self.rule.windows
            if window.length_min <= age
            and age % window.step_min == 0
            and self.series.beyond(self.now - window.length_min, self.now, 1.0)
            and self._x(self.now - window.length_min, self.now) == strongest
        )
        return self._stretch(start, self.now, needed=self.rule.x_star)

    def _weakest(self, spans: Iterable[Span]) -> Data | None:
        """The stretch that is least beyond the limit; one without data comes before all others."""
        found = min(spans, key=lambda span: (self._harm(*span), span), default=None)
        return None if found is None else self._stretch(*found)

    def _harm(self, start: int, end: int) -> tuple[bool, float]:
        delta = self.series.observed(start, end).delta
        if delta is None:
            return self.series.beyond(start, end, 1.0) is not None, -inf
        return True, delta if self.series.limit.higher_is_worse else -delta

    def _rest(self) -> Data | None:
        rest, whole, x_star = self.judgement.rest, self.judgement.whole, self.rule.x_star
        if rest is None or whole is None:
            return None
        x = max(self.judgement.strongest, whole.evidence, x_star)
        return self._stretch(rest.start, rest.end, rest.cut, needed=rest_nats(x, x_star))

    def _recovery(self, start: int, block_nats: float) -> Data:
        """The stretch that is nearest to showing a recovery."""
        block = self.rule.recent_min
        tried = [(end - block, end, block_nats) for end in range(self.now, start + block - 1, -block)]
        tried += [(self.now - length, self.now, RECOVERY_NATS) for length in range(1, block + 1)]
        at, end, needed = max(tried, key=lambda one: (self._x_within(*one[:2]) / one[2], one))
        return self._stretch(at, end, needed=needed, within=True)

    def _recent(self) -> Data | None:
        start = self.now - self.rule.recent_min
        if start < self.series.first_minute:
            return None
        return self._stretch(start, self.now, needed=SUSPECT_NATS)

    def _x(self, start: int, end: int, cut: Cut | None = None) -> float:
        nats = self.series.evidence_in(start, end, cut)
        return nats / self.dispersion.over(self.series, start, end, cut) if nats > 0.0 else 0.0

    def _x_within(self, start: int, end: int) -> float:
        nats = self.series.evidence_out(start, end)
        return nats / self.dispersion.over(self.series, start, end) if nats > 0.0 else 0.0

    def _stretch(
        self,
        start: int,
        end: int,
        cut: Cut | None = None,
        *,
        needed: float | None = None,
        within: bool = False,
    ) -> Data:
        sums, limit = sums_of(self.series, start, end, cut), self.series.limit
        data = stretch_data(
            (start, end, cut), sums, self.dispersion, limit=limit, factor=self.factor, needed=needed
        )
        return {**data, "x_within": finite(sums.evidence_out(limit) / data["phi"])} if within else data


_BEFORE_FIFTHS: Final = frozenset(
    {Refusal.NO_DATA, Refusal.MIN_SAMPLES, Refusal.NOT_ENOUGH_EVIDENCE, Refusal.NOT_BEYOND_NOW}
)


def _spent(watch: Watch) -> Data:
    """The minutes spent in all, and as many of the newest bad blocks as show that it is too many."""
    enough = watch.rule.hold_min // watch.rule.recent_min + 1
    blocks = [
        stretch_data(
            (*one.block, None),
            one.sums,
            one.phi,
            limit=watch.series.limit,
            factor=watch.factor,
            needed=SPEND_NATS,
        )
        for one in watch.spend.proofs[-enough:]
    ]
    return {"minutes": watch.spend.minutes, "blocks": blocks}


def stretch_data(
    place: tuple[int, int, Cut | None],
    sums: Sums,
    dispersion: Dispersion,
    *,
    limit: Limit,
    factor: float,
    needed: float | None,
) -> Data:
    """Return a stretch (minutes [start, end) without a cut) as a record has it: its sums and what follows.

    Args:
        dispersion: What was known of noise when it was judged.
        factor: From the unit of the sums to the one people read.
        needed: The evidence that a check asks of it, in nats.
    """
    start, end, cut = place
    minutes = length_min(start, end, cut)
    seen, counts, noise = sums.observed(limit), sums.counts(), sums.noise(limit, minutes)
    phi = dispersion.phi if noise is None else dispersion.at(noise)
    return {
        "start": rfc3339(tick_ms(start)),
        "end": rfc3339(tick_ms(end)),
        "cut": None if cut is None else [rfc3339(tick_ms(minute)) for minute in cut],
        "minutes": minutes,
        "samples": {"baseline": counts.baseline, "candidate": counts.candidate},
        "sums": sums.as_json(),
        "candidate": _scaled(seen.candidate, factor),
        "baseline": _scaled(seen.baseline, factor),
        "delta": finite(seen.delta),
        "beyond": sums.beyond(limit, 1.0),
        "phi": phi,
        "x": finite(sums.evidence_in(limit) / phi),
        "needed": needed,
    }


def points_of(series: Series, now: int, window_min: int, factor: float) -> Data:
    """Return both arms minute by minute before `now`, coarser where there are more than `MAX_POINTS`."""
    end = min(now, series.end_minute)
    length = min(max(2 * window_min, SHOWN_MIN), MAX_WINDOW_MIN)
    start = max(series.first_minute, series.kept_minute, end - length)
    step = max(1, ceil((end - start) / MAX_POINTS))
    start += (end - start) % step  # whole points only, the newest one among them
    rows = [(series.observed(at, at + step), series.counts(at, at + step)) for at in range(start, end, step)]
    return {
        "start": rfc3339(tick_ms(start)),
        "step_min": step,
        "candidate": [_rounded(seen.candidate, factor) for seen, _ in rows],
        "baseline": [_rounded(seen.baseline, factor) for seen, _ in rows],
        "candidate_requests": [counts.candidate for _, counts in rows],
        "baseline_requests": [counts.baseline for _, counts in rows],
    }


def _scaled(value: float | None, factor: float) -> float | None:
    kept = finite(value)
    return None if kept is None else kept * factor


def _rounded(value: float | None, factor: float) -> float | None:
    kept = _scaled(value, factor)
    return None if kept is None else float(f"{kept:.{_DIGITS}g}")
