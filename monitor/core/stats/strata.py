"""Mantel-Haenszel sums: the arms are compared minute by minute, and within a minute stratum by stratum.

Each stratum weighs w = n_c n_b / (n_c + n_b): what differs between strata but not between the arms cancels, be
it a ramp, a drift, an outage of both, or a mix of requests that one arm happens to get more of. With hits s,
five running sums per arm and window,

    W = sum w;  A = sum w s_c/n_c;  B = sum w s_b/n_b;  V_c = sum w**2/n_c;  V_b = sum w**2/n_b

say all that the formulas need: rates A/W and B/W, and the sizes W**2/V_c and W**2/V_b at which unweighted
requests would know as much. They are never above the true counts, and equal to them where every stratum is
split alike: there plain counts are taken.

A window's stratum without a request in one arm has no weight. Where more than a tenth of the candidate's
requests of a window are left without a partner like that, its strata are too fine for its traffic, and the next
level of the ladder counts instead: strata within minutes, minutes, nothing. Which one is chosen for each
window anew, from sums, so it is the same again in a replay.

Sums are whole numbers of 2**-60: any window is exactly what its minutes add up to, in any order.
Source: Mantel and Haenszel 1959; Greenland and Robins 1985 (the weights of the risk ratio and difference).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, TypeAlias

from monitor.core.stats.intervals import RateCounts

Arm: TypeAlias = tuple[int, int]
"""(sum of values, requests): hits for a rate; both whole numbers."""

Pair: TypeAlias = tuple[Arm, Arm]
"""Candidate and baseline."""

Cut: TypeAlias = tuple[int, int]

_Row: TypeAlias = tuple[int, int, int, int, int]

_BITS: Final = 60
_QUANTUM: Final = 2.0**-_BITS
_NOTHING: Final = (0, 0, 0, 0, 0)
_NO_ARM: Final = (0, 0)
_EVEN: Final = 1e-9  # of a size lost: far less is rounding, and far more would not show either
_PARTNERED: Final = (9, 10)  # of a window's candidate requests: less, and its strata are too fine


class Level(Enum):
    """How finely a window is compared."""

    STRATA = "strata"
    MINUTES = "minutes"
    POOLED = "pooled"


class StrataSums:
    """Cumulative sums of both arms, row by row, one row a minute.

    A row's strata add up to its totals; without any, the row is one stratum.
    """

    __slots__ = ("_fine", "_minutes", "_totals")

    def __init__(self) -> None:
        # Sums before each row: s_c, n_c, s_b, n_b, then the candidate's requests with a partner, by level.
        self._totals: list[tuple[int, int, int, int, int, int]] = [(0, 0, 0, 0, 0, 0)]
        self._minutes: list[_Row] = [_NOTHING]  # A, B, W, V_c, V_b
        self._fine: list[_Row] | None = None  # until a minute comes in strata

    def __len__(self) -> int:
        return len(self._totals) - 1

    def append(self, candidate: Arm, baseline: Arm, strata: Sequence[Pair] = ()) -> None:
        """Add a row's totals, and its strata where it has more than one."""
        if candidate == baseline == _NO_ARM and not strata:  # most cohorts have many such minutes
            for rows in (self._totals, self._minutes, self._fine):
                if rows is not None:
                    rows.append(rows[-1])  # type: ignore[arg-type]  # its own kind
            return
        s_c, n_c, s_b, n_b, in_minutes, in_strata = self._totals[-1]
        weighted = _weighted(candidate, baseline)
        partners = candidate[1] if baseline[1] else 0
        fine, fine_partners = weighted, partners
        if len(strata) > 1:
            fine, fine_partners = _NOTHING, 0
            for one, other in strata:
                fine = _sum(fine, _weighted(one, other))
                fine_partners += one[1] if other[1] else 0
            if self._fine is None:
                self._fine = list(self._minutes)
        self._totals.append(
            (
                s_c + candidate[0],
                n_c + candidate[1],
                s_b + baseline[0],
                n_b + baseline[1],
                in_minutes + partners,
                in_strata + fine_partners,
            )
        )
        if self._fine is not None:
            self._fine.append(_sum(self._fine[-1], fine))
        self._minutes.append(_sum(self._minutes[-1], weighted))

    def drop(self, rows: int) -> None:
        """Forget the oldest rows."""
        del self._totals[:rows]
        del self._minutes[:rows]
        if self._fine is not None:
            del self._fine[:rows]

    def totals(self, start: int, end: int, cut: Cut | None = None) -> RateCounts:
        """Return the plain sums of rows [start, end) without the cut."""
        a, b, c, d, _, _ = self._totals[end]
        e, f, g, h, _, _ = self._totals[start]
        if cut is None:
            return RateCounts(a - e, b - f, c - g, d - h)
        i, j, k, m, _, _ = self._totals[cut[0]]
        p, q, r, s, _, _ = self._totals[cut[1]]
        return RateCounts(a - e - p + i, b - f - q + j, c - g - r + k, d - h - s + m)

    def has_both(self, start: int, end: int, cut: Cut | None = None) -> bool:
        """Tell whether both arms have requests in rows [start, end) without the cut."""
        high, low = self._totals[end], self._totals[start]
        if cut is None:
            return high[1] > low[1] and high[3] > low[3]
        totals = self.totals(start, end, cut)
        return totals.n_c > 0 and totals.n_b > 0

    def level(self, start: int, end: int, cut: Cut | None = None) -> Level:
        """Return how finely rows [start, end) without the cut are compared.

        As finely as nine in ten of the candidate's requests have a partner; and pooled where every stratum is
        split alike, since nothing is left to weigh and plain counts are exact.
        """
        rows = self._finest(start, end, cut)
        if rows is None or self._is_even(start, end, cut, _window(rows, start, end, cut)):
            return Level.POOLED
        return Level.STRATA if rows is self._fine else Level.MINUTES

    def sums(self, start: int, end: int, cut: Cut | None = None, level: Level | None = None) -> RateCounts:
        """Return what rows [start, end) without the cut count as: weighted sums and the sizes they stand for.

        Args:
            level: How finely they are compared; by default as `level` says.
        """
        rows: list[_Row] | None
        if level is None:
            rows = self._finest(start, end, cut)
        elif level is Level.POOLED:
            rows = None
        else:
            rows = self._minutes if self._fine is None or level is Level.MINUTES else self._fine
        if rows is None:
            return self.totals(start, end, cut)
        window = a, b, w, v_c, v_b = _window(rows, start, end, cut)
        if not w:
            return RateCounts(0, 0, 0, 0)  # nobody has a partner
        if level is None and self._is_even(start, end, cut, window):
            return self.totals(start, end, cut)
        weight = float(w)
        per_c, per_b = weight / v_c * _QUANTUM, weight / v_b * _QUANTUM
        return RateCounts(a * per_c, weight * per_c, b * per_b, weight * per_b)

    def _finest(self, start: int, end: int, cut: Cut | None) -> list[_Row] | None:
        """The rows of the finest level at which nine in ten of the candidate's requests have a partner."""
        high, low = self._totals[end], self._totals[start]
        n, in_minutes, in_strata = high[1] - low[1], high[4] - low[4], high[5] - low[5]
        if cut is not None:
            high, low = self._totals[cut[1]], self._totals[cut[0]]
            n -= high[1] - low[1]
            in_minutes -= high[4] - low[4]
            in_strata -= high[5] - low[5]
        least, of = _PARTNERED
        if not n or of * in_minutes < least * n:
            return None
        return self._minutes if self._fine is None or of * in_strata < least * n else self._fine

    def _is_even(self, start: int, end: int, cut: Cut | None, window: _Row) -> bool:
        """Tell whether every stratum is split alike: only then the weights lose nothing of either arm's size."""
        weight, v_c = window[2] * _QUANTUM, window[3] * _QUANTUM
        totals = self._totals
        n_c = totals[end][1] - totals[start][1]
        if cut is not None:
            n_c -= totals[cut[1]][1] - totals[cut[0]][1]
        least = weight * weight / (1.0 - _EVEN)
        if n_c * v_c > least:
            return False
        return self.totals(start, end, cut).n_b * (window[4] * _QUANTUM) <= least


def _window(rows: list[_Row], start: int, end: int, cut: Cut | None) -> _Row:
    a, b, w, v_c, v_b = rows[end]
    d, e, x, y_c, y_b = rows[start]
    if cut is None:
        return a - d, b - e, w - x, v_c - y_c, v_b - y_b
    f, g, y, z_c, z_b = rows[cut[1]]
    i, j, k, m_c, m_b = rows[cut[0]]
    return a - d - f + i, b - e - g + j, w - x - y + k, v_c - y_c - z_c + m_c, v_b - y_b - z_b + m_b


def _weighted(candidate: Arm, baseline: Arm) -> _Row:
    """A stratum's terms of A, B, W, V_c and V_b, in quanta.

    W is rounded down and the variances up, so that no window counts as more requests than it has.
    """
    s_c, n_c = candidate
    s_b, n_b = baseline
    if not n_c or not n_b:
        return _NOTHING
    n = n_c + n_b
    square = n * n
    return (
        (s_c * n_b << _BITS) // n,
        (s_b * n_c << _BITS) // n,
        (n_c * n_b << _BITS) // n,
        -((-n_c * n_b * n_b << _BITS) // square),
        -((-n_b * n_c * n_c << _BITS) // square),
    )


def _sum(one: _Row, other: _Row) -> _Row:
    a, b, w, v_c, v_b = one
    d, e, x, y_c, y_b = other
    return a + d, b + e, w + x, v_c + y_c, v_b + y_b
