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
from monitor.core.stats.sum_rows import SumRows

Arm: TypeAlias = tuple[int, int]
"""(sum of values, requests): hits for a rate; both whole numbers."""

Pair: TypeAlias = tuple[Arm, Arm]
"""Candidate and baseline."""

Cut: TypeAlias = tuple[int, int]

Rows: TypeAlias = tuple[int, int]
"""Rows [start, end)."""

_Row: TypeAlias = tuple[int, int, int, int, int]
_Rows: TypeAlias = SumRows[_Row]
_Plain: TypeAlias = tuple[int, int, int, int, int, int]
"""Hits and requests of the candidate and of the baseline, and the candidate's with a partner, by level."""

_BITS: Final = 60  # finer than a double's 53, and whole: any window is exactly the sum of its minutes
_QUANTUM: Final = 2.0**-_BITS  # of the sums
_NOTHING: Final = (0, 0, 0, 0, 0)  # a stratum without a request in one arm has no weight
_NO_ARM: Final = (0, 0)  # a minute without requests
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
        # Sums before each row.
        self._totals: SumRows[_Plain] = SumRows((*_NOTHING, 0))
        self._minutes: _Rows = SumRows(_NOTHING)  # A, B, W, V_c, V_b
        self._fine: _Rows | None = None  # until a minute comes in strata

    def __len__(self) -> int:
        return len(self._totals) - 1

    def append(self, candidate: Arm, baseline: Arm, strata: Sequence[Pair] = ()) -> None:
        """Add a row's totals, and its strata where it has more than one."""
        if candidate == baseline == _NO_ARM and not strata:  # most cohorts have many such minutes
            self._totals.append(self._totals.last)
            self._minutes.append(self._minutes.last)
            if self._fine is not None:
                self._fine.append(self._fine.last)
            return
        s_c, n_c, s_b, n_b, in_minutes, in_strata = self._totals.last
        weighted = _weighted(candidate, baseline)
        partners = candidate[1] if baseline[1] else 0
        fine, fine_partners = weighted, partners
        if len(strata) > 1:
            fine, fine_partners = _NOTHING, 0
            for one, other in strata:
                if one[1] and other[1]:
                    fine = _sum(fine, _weighted(one, other))
                    fine_partners += one[1]
            if self._fine is None:
                self._fine = self._minutes.copy()
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
            self._fine.append(_sum(self._fine.last, fine))
        self._minutes.append(_sum(self._minutes.last, weighted))

    def drop(self, rows: int) -> None:
        """Forget the oldest rows."""
        for kept in (self._totals, self._minutes, self._fine):
            if rows and kept is not None:
                kept.drop(rows)

    def totals(self, start: int, end: int, cut: Cut | None = None) -> RateCounts:
        """Return the plain sums of rows [start, end) without the cut."""
        return RateCounts(*self._plain(start, end, cut)[:4])

    def has_both(self, start: int, end: int, cut: Cut | None = None) -> bool:
        """Tell whether both arms have requests in rows [start, end) without the cut."""
        _, n_c, _, n_b, _, _ = self._plain(start, end, cut)
        return n_c > 0 and n_b > 0

    def level(self, start: int, end: int, cut: Cut | None = None) -> Level:
        """Return how finely rows [start, end) without the cut are compared.

        As finely as nine in ten of the candidate's requests have a partner; and pooled where every stratum is
        split alike, since nothing is left to weigh and plain counts are exact.
        """
        return self._chosen(start, end, cut)[0]

    def compared(self, start: int, end: int, cut: Cut | None = None) -> tuple[Level, RateCounts]:
        """Return how finely rows [start, end) without the cut are compared, and what they count as then."""
        level, plain, window = self._chosen(start, end, cut)
        return level, RateCounts(*plain[:4]) if level is Level.POOLED else _worth(window)

    def _chosen(self, start: int, end: int, cut: Cut | None) -> tuple[Level, _Plain, _Row]:
        """The level, the plain sums, and the weighted ones where that is not `POOLED`."""
        plain = self._plain(start, end, cut)
        rows = self._finest(plain)
        if rows is None:
            return Level.POOLED, plain, _NOTHING
        window = _window(rows, start, end, cut)
        if _is_even(plain, window):
            return Level.POOLED, plain, window
        return Level.STRATA if rows is self._fine else Level.MINUTES, plain, window

    def sums(self, start: int, end: int, cut: Cut | None = None, level: Level | None = None) -> RateCounts:
        """Return what rows [start, end) without the cut count as: weighted sums and the sizes they stand for.

        Args:
            level: How finely they are compared; by default as `level` says.
        """
        if level is None:
            return self.compared(start, end, cut)[1]
        if level is Level.POOLED:
            return self.totals(start, end, cut)
        rows = self._minutes if self._fine is None or level is Level.MINUTES else self._fine
        return _worth(_window(rows, start, end, cut))

    def paired(self, pairs: Sequence[tuple[Rows, Rows]]) -> list[tuple[Level, RateCounts, RateCounts]]:
        """Return what pairs of stretches of rows count as, each as finely as both together can be compared."""
        found: list[tuple[Level, RateCounts, RateCounts]] = []
        newest: tuple[Rows, Level] | None = None  # mostly, the later stretch is the next pair's earlier
        for before, after in pairs:
            level = self.level(before[0], after[1])
            first = found[-1][2] if newest == (before, level) else self.sums(*before, None, level)
            found.append((level, first, self.sums(*after, None, level)))
            newest = after, level
        return found

    def _plain(self, start: int, end: int, cut: Cut | None) -> _Plain:
        """The sums of rows [start, end) without the cut; rows are looked up once, since old ones are packed."""
        totals = self._totals
        a, b, c, d, e, f = totals[end]
        g, h, i, j, k, m = totals[start]
        if cut is None:
            return a - g, b - h, c - i, d - j, e - k, f - m
        n, o, p, q, r, s = totals[cut[0]]
        t, u, v, w, x, y = totals[cut[1]]
        return a - g - t + n, b - h - u + o, c - i - v + p, d - j - w + q, e - k - x + r, f - m - y + s

    def _finest(self, plain: _Plain) -> _Rows | None:
        """The rows of the finest level at which nine in ten of the candidate's requests have a partner."""
        _, n, _, _, in_minutes, in_strata = plain
        least, of = _PARTNERED
        if not n or of * in_minutes < least * n:
            return None
        return self._minutes if self._fine is None or of * in_strata < least * n else self._fine


def _is_even(plain: _Plain, window: _Row) -> bool:
    """Tell whether every stratum is split alike: only then the weights lose nothing of either arm's size."""
    weight = window[2] * _QUANTUM
    least = weight * weight / (1.0 - _EVEN)
    return plain[1] * (window[3] * _QUANTUM) <= least and plain[3] * (window[4] * _QUANTUM) <= least


def _window(rows: _Rows, start: int, end: int, cut: Cut | None) -> _Row:
    a, b, w, v_c, v_b = rows[end]
    d, e, x, y_c, y_b = rows[start]
    if cut is None:
        return a - d, b - e, w - x, v_c - y_c, v_b - y_b
    f, g, y, z_c, z_b = rows[cut[1]]
    i, j, k, m_c, m_b = rows[cut[0]]
    return a - d - f + i, b - e - g + j, w - x - y + k, v_c - y_c - z_c + m_c, v_b - y_b - z_b + m_b


def _worth(window: _Row) -> RateCounts:
    """What weighted sums count as: the rates, of as many requests as would know as much."""
    a, b, w, v_c, v_b = window
    if not w:
        return RateCounts(0, 0, 0, 0)  # nobody has a partner
    weight = float(w)
    per_c, per_b = weight / v_c * _QUANTUM, weight / v_b * _QUANTUM
    return RateCounts(a * per_c, weight * per_c, b * per_b, weight * per_b)


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
