"""The sustained rule: beyond the limit for Y minutes, shown by data, and by no stretch shorter than Y.

For the person who is paged: "the candidate is worse than the budget, and even if you ignore any one stretch
shorter than Y minutes, wherever you put it, the remaining minutes still show it". Hence neither a burst nor
harm younger than Y can fire it, and one error rate holds over the whole release (`stats.thresholds`).

A window W fires when it passes all of: (1) some window of the grid holds the evidence x*; (2) W is beyond the
limit, and so are its newest minutes; (3) every fifth of W is bad; (4) W without any one stretch of Y - 1
minutes still shows the harm; (5) nothing in it shows a recovery. The numbers 0.75, 1/5, 1.92 and 2 were
chosen on simulated releases and checked on fresh ones.

Two variants. A hold of 0 acts at once: (1) from windows of one minute on, and the newest quarter of that
window beyond the limit. `evidence: off` is the literal rule: each of the newest Y minutes beyond the limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from math import log
from typing import Final

from monitor.core.series import Counts, Cut, Observed, Series
from monitor.core.stats.dispersion import INDEPENDENT, Noisy
from monitor.core.stats.evidence import evidence_for
from monitor.core.stats.rule import RECOVERY_P, Rule, Span, make_rule, rule_for
from monitor.core.stats.thresholds import quarter

__all__ = [
    "Answer",
    "Judgement",
    "Measured",
    "Refusal",
    "Rule",
    "judge",
    "make_rule",
    "rule_for",
]

SUSPECT_NATS: Final = evidence_for(0.02)  # first evidence: it starts a breach, and nothing is acted on yet
RECOVERY_NATS: Final = evidence_for(RECOVERY_P)  # of the newest minutes
NOW_SHARE: Final = 0.75  # of x* that W itself must hold, while a longer window holds all of it
_REST_NATS: Final = 1.92  # p = 0.025: what the rest must show when W just reaches x*
_REST_SLOPE: Final = 2.0  # strong harm keeps (1) alive for longer, so its rest must show more


def rest_nats(x: float, x_star: float) -> float:
    """Return the evidence that the rest of W must hold when the strongest of all windows, or W, holds `x`."""
    return _REST_NATS + _REST_SLOPE * log(x / x_star)


class Answer(Enum):
    """What the rule says at one tick."""

    SUSPECT = "suspect"  # the newest minutes are beyond the limit, with first evidence
    FIRES = "fires"
    RECOVERED = "recovered"  # the newest minutes have data and are not beyond the limit
    UNKNOWN = "unknown"  # no data in the newest minutes, or beyond the limit on weak evidence


class Refusal(Enum):
    """The first check that keeps the rule from firing, in the order of the checks."""

    NO_DATA = "no_data"
    NOT_ENOUGH_EVIDENCE = "not_enough_evidence"
    MIN_SAMPLES = "min_samples"
    NOT_BEYOND_NOW = "not_beyond_now"
    HEALTHY_FIFTH = "healthy_fifth"
    YOUNGER_OR_BURST = "younger_or_burst"
    EVIDENTLY_BACK = "evidently_back"


# In the order of the checks: the later one came further.
_ORDER: Final = {refusal: number for number, refusal in enumerate(Refusal)}


@dataclass(frozen=True, slots=True)
class Measured:
    """A stretch of minutes, without its cut, and what it holds; `evidence` is in nats, over phi."""

    start: int
    end: int
    cut: Cut | None
    counts: Counts
    observed: Observed
    evidence: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """One tick's answer with the numbers behind it.

    Attributes:
        refusal: Why the rule does not fire: of the window that passed most checks. None when it fires.
        strongest: E, the largest evidence (nats, over phi) of any tested window beyond the limit.
        whole: W, the window that fires, or the one that passed most checks; None where (1) refuses.
        rest: R, W without the stretch (its cut, J) that carries most of the harm; for a refused W the first
            one that does not show it. None where no such check was reached.
    """

    answer: Answer
    refusal: Refusal | None
    strongest: float
    x_star: float
    whole: Measured | None = None
    rest: Measured | None = None

    @property
    def window(self) -> tuple[int, int] | None:
        """W as minutes [start, end)."""
        return None if self.whole is None else (self.whole.start, self.whole.end)


def judge(series: Series, now_minute: int, rule: Rule, phi: Noisy = INDEPENDENT) -> Judgement:
    """Return the rule's answer about the minutes before `now_minute`.

    Args:
        now_minute: The tick: the minute after the last closed one; at most `series.end_minute`.
        phi: Over-dispersion learned up to the tick; a stretch's evidence counts for 1/phi of itself.
    """
    tick = _Tick(series, now_minute, rule, phi)
    if not series.limit.needs_evidence:
        found = tick.literal()
    elif rule.hold_min == 0:
        found = tick.at_once()
    else:
        found = tick.sustained()
    return Judgement(
        answer=Answer.FIRES if found.refusal is None else tick.recent(),
        refusal=found.refusal,
        strongest=found.strongest,
        x_star=rule.x_star,
        whole=None if found.whole is None else tick.measure(*found.whole),
        rest=None if found.whole is None or found.cut is None else tick.measure(*found.whole, found.cut),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """How far a window came: the refusing check, or None where it fires."""

    refusal: Refusal | None
    strongest: float = 0.0
    whole: tuple[int, int] | None = None
    cut: Cut | None = None


class _Tick:
    """One series at one tick; the only place where phi divides."""

    __slots__ = ("age", "now", "phi", "rule", "series")

    def __init__(self, series: Series, now_minute: int, rule: Rule, phi: Noisy) -> None:
        self.series, self.now, self.rule, self.phi = series, now_minute, rule, phi
        self.age = now_minute - series.first_minute  # no window reaches before the first live request

    def evidence(self, start: int, end: int, cut: Cut | None = None) -> float:
        return self.over_phi(self.series.evidence_in(start, end, cut), start, end, cut)

    def over_phi(self, nats: float, start: int, end: int, cut: Cut | None = None) -> float:
        return nats / self.phi.over(self.series, start, end, cut) if nats > 0.0 else 0.0

    def shows(self, nats: float, needed: float, start: int, end: int, cut: Cut | None = None) -> bool:
        """Whether evidence is enough over phi; phi is at least 1, so what is too little without it needs none."""
        return nats >= needed and self.over_phi(nats, start, end, cut) >= needed

    def measure(self, start: int, end: int, cut: Cut | None = None) -> Measured:
        return Measured(
            start,
            end,
            cut,
            self.series.counts(start, end, cut),
            self.series.observed(start, end, cut),
            self.evidence(start, end, cut),
        )

    def recent(self) -> Answer:
        """What the newest quarter of the hold says while the rule does not fire."""
        start = self.now - self.rule.recent_min
        beyond = self.series.beyond(start, self.now, 1.0) if start >= self.series.first_minute else None
        if beyond is None:
            return Answer.UNKNOWN
        if not beyond:
            return Answer.RECOVERED
        if not self.series.limit.needs_evidence:
            return Answer.SUSPECT
        nats = self.series.evidence_in(start, self.now)
        return Answer.SUSPECT if self.shows(nats, SUSPECT_NATS, start, self.now) else Answer.UNKNOWN

    def sustained(self) -> _Found:
        strongest, has_data = self._strongest()
        if strongest < self.rule.x_star:
            return _Found(Refusal.NOT_ENOUGH_EVIDENCE if has_data else Refusal.NO_DATA, strongest)
        furthest = _Found(Refusal.NO_DATA, strongest)
        for span in self.rule.spans:
            if span.length_min > self.age:
                break
            found = self._check(span, strongest)
            if found.refusal is None:
                return found
            assert furthest.refusal is not None
            if furthest.whole is None or _ORDER[found.refusal] > _ORDER[furthest.refusal]:
                furthest = found
        return furthest

    def _strongest(self) -> tuple[float, bool]:
        """(1): the largest evidence of the windows due at this tick, and whether any has data in both arms."""
        strongest, has_data = 0.0, False
        for window in self.rule.windows:
            if window.length_min > self.age:
                break
            if self.age % window.step_min:
                continue
            start = self.now - window.length_min
            beyond = self.series.beyond(start, self.now, 1.0)
            has_data = has_data or beyond is not None
            if beyond:
                nats = self.series.evidence_in(start, self.now)
                if nats > strongest:  # else it is not the strongest over phi either, which is at least 1
                    strongest = max(strongest, self.over_phi(nats, start, self.now))
        return strongest, has_data

    def _check(self, span: Span, strongest: float) -> _Found:
        """(2) to (5) for the window of one length."""
        start, now = self.now - span.length_min, self.now
        refusal = self._now(span, start)
        cut: Cut | None = None
        if refusal is None and not self._all_bad(span, start):
            refusal = Refusal.HEALTHY_FIFTH
        if refusal is None:
            cut, lasted = self._lasted(start, strongest)
            if not lasted:
                refusal = Refusal.YOUNGER_OR_BURST
        if refusal is None and self._is_back(span, start):
            refusal = Refusal.EVIDENTLY_BACK
        return _Found(refusal, strongest, (start, now), cut)

    def _now(self, span: Span, start: int) -> Refusal | None:
        """(2): W holds data and evidence, and its newest minutes are still beyond the limit."""
        series, now = self.series, self.now
        refusal = self._samples(start)
        if refusal is not None:
            return refusal
        beyond = series.beyond(start, now, 1.0)
        if beyond and self.evidence(start, now) < NOW_SHARE * self.rule.x_star:
            return Refusal.NOT_ENOUGH_EVIDENCE
        newest = beyond and series.beyond(now - span.newest_min, now, 1.0)
        if newest is None:
            return Refusal.NO_DATA
        return None if newest else Refusal.NOT_BEYOND_NOW

    def _samples(self, start: int) -> Refusal | None:
        if not self.rule.min_samples:
            return None
        fewest = min(self.series.counts(start, self.now))
        return Refusal.MIN_SAMPLES if fewest < self.rule.min_samples else None

    def _all_bad(self, span: Span, start: int) -> bool:
        """(3): every stretch of a fifth, from every start minute, is beyond kappa times the limit.

        The oldest come first: harm younger than W fails there at once.
        """
        series, width = self.series, span.fifth_min
        kappa = series.limit.kappa
        return all(series.beyond(at, at + width, kappa) for at in range(start, self.now - width + 1))

    def _lasted(self, start: int, strongest: float) -> tuple[Cut | None, bool]:
        """(4): the cut whose rest shows least, and whether every rest shows the harm."""
        series, now = self.series, self.now
        x = max(strongest, self.evidence(start, now), self.rule.x_star)
        needed = rest_nats(x, self.rule.x_star)
        least, worst = float("inf"), None
        for cut in self._cuts(start):
            if not series.beyond(start, now, 1.0, cut):
                return cut, False
            shown = self.evidence(start, now, cut)
            if shown < needed:
                return cut, False
            if shown < least:
                least, worst = shown, cut
        return worst, True

    def _cuts(self, start: int) -> Iterator[Cut]:
        """Every stretch that explains the harm away: the newest 1 to Y - 1 minutes, and Y - 1 minutes anywhere.

        The newest come first: harm younger than Y is the usual reason to refuse.
        """
        longest = self.rule.hold_min - 1
        for length in range(longest, 0, -1):
            yield self.now - length, self.now
        for at in range(start, self.now - longest):
            yield at, at + longest

    def _is_back(self, span: Span, start: int) -> bool:
        """(5): a quarter of the hold, or the newest minutes up to one, evidently within the limit."""
        block, now = self.rule.recent_min, self.now
        ends = range(now, start + block - 1, -block)  # whole blocks, counted from the newest minute
        return any(self._is_within(end - block, end, span.block_nats) for end in ends) or any(
            self._is_within(now - length, now, RECOVERY_NATS) for length in range(1, block + 1)
        )

    def _is_within(self, start: int, end: int, nats: float) -> bool:
        return self.shows(self.series.evidence_out(start, end), nats, start, end)

    def at_once(self) -> _Found:
        """The rule of a hold of 0: the shortest window that holds the evidence and is still bad."""
        strongest, has_data = self._strongest()
        if strongest < self.rule.x_star:
            return _Found(Refusal.NOT_ENOUGH_EVIDENCE if has_data else Refusal.NO_DATA, strongest)
        refused = _Found(Refusal.NOT_ENOUGH_EVIDENCE, strongest)
        for window in self.rule.windows:
            start = self.now - window.length_min
            if window.length_min > self.age:
                break
            if not self.series.beyond(start, self.now, 1.0):
                continue
            if self.evidence(start, self.now) < self.rule.x_star:
                continue
            refusal = self._samples(start)
            if refusal is None and not self.series.beyond(
                self.now - quarter(window.length_min), self.now, 1.0
            ):
                refusal = Refusal.NOT_BEYOND_NOW
            found = _Found(refusal, strongest, (start, self.now))
            if refusal is None:
                return found
            refused = found if refused.whole is None else refused
        return refused

    def literal(self) -> _Found:
        """`evidence: off`: each of the newest Y minutes (one for a hold of 0) is beyond the limit."""
        start = self.now - max(self.rule.hold_min, 1)
        if start < self.series.first_minute:
            return _Found(Refusal.YOUNGER_OR_BURST if self.age > 0 else Refusal.NO_DATA)
        refusal = self._samples(start)
        if refusal is None:
            minutes = [self.series.beyond(at, at + 1, 1.0) for at in range(start, self.now)]
            if None in minutes:
                refusal = Refusal.NO_DATA
            elif not minutes[-1]:
                refusal = Refusal.NOT_BEYOND_NOW
            elif not all(minutes):
                refusal = Refusal.YOUNGER_OR_BURST
        return _Found(refusal, 0.0, (start, self.now))
