"""The sustained rule read plainly, section by section as it is written: slow, and without any of our structure."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log

import numpy as np
from numpy.typing import NDArray

from monitor.core.stats.evidence import evidence_for, rate_above, rate_below
from monitor.core.sustained import Answer, Refusal

Minutes = NDArray[np.int64]  # one row per minute: s_c, n_c, s_b, n_b
Part = tuple[int, int]

_ORDER = list(Refusal)


@dataclass(frozen=True)
class Verdict:
    """What the rule says of a tick; `rest` is the stretch that (4) leaves out."""

    answer: Answer
    refusal: Refusal | None
    whole: Part | None = None
    rest: Part | None = None


class PlainRule:
    """Of a limit of -2 % on a rate, over raw minutes in floats; half of it has to be shown."""

    def __init__(
        self,
        minutes: Minutes,
        t: int,
        hold: int,
        window: int,
        x_star: float,
        phi: float = 1.0,
        min_samples: int = 0,
    ) -> None:
        self.minutes, self.t, self.hold, self.window = minutes, t, hold, window
        self.x_star, self.phi, self.min_samples = x_star, phi, min_samples

    def sums(self, parts: list[Part]) -> tuple[float, float, float, float]:
        """What the minutes of these parts count as, weighted by Mantel and Haenszel where nine in ten meet."""
        rows = np.concatenate([self.minutes[a:b] for a, b in parts]).astype(np.float64)
        s_c, n_c, s_b, n_b = rows[(rows[:, 1] > 0) & (rows[:, 3] > 0)].T
        if n_c.sum() < 0.9 * rows[:, 1].sum() or not len(n_c):
            s_c, n_c, s_b, n_b = rows.sum(axis=0).tolist()
            return s_c, n_c, s_b, n_b
        w = n_c * n_b / (n_c + n_b)
        sizes = [w.sum() ** 2 / (w * w / n).sum() for n in (n_c, n_b)]
        rates = [(w * s / n).sum() / w.sum() for s, n in ((s_c, n_c), (s_b, n_b))]
        return rates[0] * sizes[0], sizes[0], rates[1] * sizes[1], sizes[1]

    def has_data(self, parts: list[Part]) -> bool:
        """Both arms have requests."""
        _, n_c, _, n_b = self.sums(parts)
        return bool(n_c and n_b)

    def beyond(self, parts: list[Part], scale: float) -> bool:
        s_c, n_c, s_b, n_b = self.sums(parts)
        return bool(n_c and n_b and s_c / n_c < (1 - scale * 0.02) * s_b / n_b - 1e-9)

    def x_in(self, parts: list[Part]) -> float:
        return rate_below(*self.sums(parts), 0.99) / self.phi

    def x_out(self, part: Part) -> float:
        return rate_above(*self.sums([part]), 0.98) / self.phi

    def lengths(self) -> list[int]:
        """The windows of (1) that fit before this tick; from one minute on where the hold is 0."""
        found, j = [], 0
        while (length := round(max(self.hold, 1) * 2 ** (j / 2))) <= min(self.t, self.window):
            found.append(length)
            j += 1
        return sorted(set(found))

    def due(self) -> list[list[Part]]:
        return [[(self.t - n, self.t)] for n in self.lengths() if self.t % max(1, n // 24) == 0]

    def strongest(self) -> float:
        return max((self.x_in(w) for w in self.due() if self.beyond(w, 1)), default=0.0)

    def weak(self) -> Refusal | None:
        """(1)."""
        if self.strongest() >= self.x_star:
            return None
        return Refusal.NOT_ENOUGH_EVIDENCE if any(map(self.has_data, self.due())) else Refusal.NO_DATA

    def sustained(self) -> Verdict:
        weak, furthest, j = self.weak(), Verdict(self.recent(), Refusal.NO_DATA), 0
        if weak:
            return Verdict(self.recent(), weak)
        e = self.strongest()
        while (d := self.hold - 1 + round(2 ** (j / 2))) <= min(self.t, self.window):
            refusal, rest = self.refusal(d, e)
            if refusal is None:
                return Verdict(Answer.FIRES, None, (self.t - d, self.t), rest)
            if j == 0 or _ORDER.index(refusal) > _ORDER.index(furthest.refusal or refusal):
                furthest = Verdict(self.recent(), refusal, (self.t - d, self.t), rest)
            j += 1
        return furthest

    def refusal(self, d: int, e: float) -> tuple[Refusal | None, Part | None]:
        """(2) to (5), in their order."""
        refusal = self.now(d) or (None if self.spread(d) else Refusal.HEALTHY_FIFTH)
        if refusal:
            return refusal, None
        lasted, rest = self.lasted(d, e)
        if not lasted:
            return Refusal.YOUNGER_OR_BURST, rest
        return (Refusal.EVIDENTLY_BACK if self.back(d) else None), rest

    def few(self, d: int) -> bool:
        return bool(self.minutes[self.t - d : self.t, [1, 3]].sum(axis=0).min() < self.min_samples)

    def now(self, d: int) -> Refusal | None:
        w, newest = [(self.t - d, self.t)], [(self.t - min(ceil(d / 4), self.hold), self.t)]
        if self.few(d):
            return Refusal.MIN_SAMPLES
        if self.beyond(w, 1) and self.x_in(w) < 0.75 * self.x_star:
            return Refusal.NOT_ENOUGH_EVIDENCE
        if not self.has_data(w) or (self.beyond(w, 1) and not self.has_data(newest)):
            return Refusal.NO_DATA
        return None if self.beyond(w, 1) and self.beyond(newest, 1) else Refusal.NOT_BEYOND_NOW

    def spread(self, d: int) -> bool:
        g = max(ceil(self.hold / 4), ceil(d / 5))
        return all(self.beyond([(a, a + g)], 0.5) for a in range(self.t - d, self.t - g + 1))

    def lasted(self, d: int, e: float) -> tuple[bool, Part | None]:
        """Whether every rest shows the harm, and the first that does not, else the one that shows least."""
        start, end, y = self.t - d, self.t, self.hold
        needed = 1.92 + 2 * log(max(e, self.x_in([(start, end)]), self.x_star) / self.x_star)
        cuts = [(end - k, end) for k in range(y - 1, 0, -1)] + [
            (j, j + y - 1) for j in range(start, end - y + 1)
        ]
        rests = [[(start, a), (b, end)] for a, b in cuts]
        shown = [self.x_in(rest) if self.beyond(rest, 1) else 0.0 for rest in rests]
        for cut, x in zip(cuts, shown, strict=True):
            if x < needed:
                return False, cut
        return True, cuts[shown.index(min(shown))] if cuts else None

    def back(self, d: int) -> bool:
        q, t = ceil(self.hold / 4), self.t
        blocks = [(t - (i + 1) * q, t - i * q) for i in range(d // q)]
        return any(self.x_out(block) >= evidence_for(0.01 / len(blocks)) for block in blocks) or any(
            self.x_out((t - k, t)) >= evidence_for(0.01) for k in range(1, q + 1)
        )

    def recent(self, needed: float = evidence_for(0.02)) -> Answer:
        """What the newest quarter of the hold says."""
        newest = [(self.t - max(1, ceil(self.hold / 4)), self.t)]
        if newest[0][0] < 0 or not self.has_data(newest):
            return Answer.UNKNOWN
        if not self.beyond(newest, 1):
            return Answer.RECOVERED
        return Answer.SUSPECT if self.x_in(newest) >= needed else Answer.UNKNOWN

    def at_once(self) -> Verdict:
        """The rule of a hold of 0: the shortest window that holds the evidence and whose newest quarter is bad."""
        weak = self.weak()
        if weak:
            return Verdict(self.recent(), weak)
        first: Verdict | None = None
        for d in self.lengths():
            w, newest = [(self.t - d, self.t)], [(self.t - ceil(d / 4), self.t)]
            if not self.beyond(w, 1) or self.x_in(w) < self.x_star:
                continue
            if not self.few(d) and self.beyond(newest, 1):
                return Verdict(Answer.FIRES, None, w[0])
            refusal = Refusal.MIN_SAMPLES if self.few(d) else Refusal.NOT_BEYOND_NOW
            first = first or Verdict(self.recent(), refusal, w[0])
        return first or Verdict(self.recent(), Refusal.NOT_ENOUGH_EVIDENCE)

    def literal(self) -> Verdict:
        """`evidence: off`: each of the newest minutes of the hold, one for a hold of 0."""
        d, t = max(self.hold, 1), self.t
        recent = self.recent(needed=0.0)
        if d > t:
            return Verdict(recent, Refusal.YOUNGER_OR_BURST if t else Refusal.NO_DATA)
        each = [[(at, at + 1)] for at in range(t - d, t)]
        refusal = None
        if self.few(d):
            refusal = Refusal.MIN_SAMPLES
        elif not all(map(self.has_data, each)):
            refusal = Refusal.NO_DATA
        elif not self.beyond(each[-1], 1):
            refusal = Refusal.NOT_BEYOND_NOW
        elif not all(self.beyond(minute, 1) for minute in each):
            refusal = Refusal.YOUNGER_OR_BURST
        return Verdict(recent if refusal else Answer.FIRES, refusal, (t - d, t))
