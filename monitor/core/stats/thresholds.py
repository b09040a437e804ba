"""Which windows the sustained rule tests, and how much evidence each must hold.

One error rate is spent over a whole release: every tick, every window, every objective and every cohort is
a test, and the threshold is what each may cost. Computed once, when a budget is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count, takewhile
from math import ceil
from typing import Final

from monitor.core.stats.evidence import evidence_for

MAX_WINDOW_MIN: Final = 1440  # older minutes no longer speak about the release as it is now
ALPHA_ROLLBACK: Final = 1e-3  # false rollbacks per release, over all its objectives and cohorts
OVERALL_SHARE: Final = 0.5  # of an error rate: half to the overall view, half to all cohorts together
_STEPS_PER_WINDOW: Final = 24  # a window moves by 1/24 of itself: fewer tests, hardly any delay


@dataclass(frozen=True, slots=True)
class GridWindow:
    """One window length of the grid, and every how many minutes it is tested."""

    length_min: int
    step_min: int


def window_grid(hold_min: int, window_min: int) -> tuple[GridWindow, ...]:
    """Return the windows Y, 1.41 Y, 2 Y ... up to the budget's window or a day, shortest first.

    A hold of 0 (at once) starts from one minute. Rounded lengths that coincide are one window.
    """
    shortest = max(hold_min, 1)
    lengths = _within(window_min, (round(shortest * 2 ** (j / 2)) for j in count()))
    return tuple(GridWindow(length, max(1, length // _STEPS_PER_WINDOW)) for length in lengths)


def look_count(hold_min: int, window_min: int) -> float:
    """Return how many windows are tested in one release, for one objective and cohort.

    Every length counts as if it were tested from the first minute on: a little too many, never too few.
    """
    return sum(window_min / window.step_min for window in window_grid(hold_min, window_min))


def x_star(
    *,
    hold_min: int,
    window_min: int,
    objectives: int,
    cohorts: int = 1,
    alpha: float = ALPHA_ROLLBACK,
    share: float = OVERALL_SHARE,
) -> float:
    """Return the evidence (nats) a window must hold, so that all tests of a release err with `alpha * share`.

    Args:
        objectives: How many objectives share the error rate; `cohorts` shares this view's part of it.
        alpha: Error rate per release; `share` is this view's part of it, 0 to 1.
    """
    looks = look_count(hold_min, window_min) * objectives * cohorts
    return evidence_for(alpha * share / max(looks, 1.0))


def span_grid(hold_min: int, window_min: int) -> tuple[int, ...]:
    """Return the lengths (minutes) of the windows that must be bad throughout: Y - 1 + 2**(j/2), shortest first."""
    shortest = max(hold_min, 1)
    return _within(window_min, (shortest - 1 + round(2 ** (j / 2)) for j in count()))


def _within(window_min: int, growing: Iterable[int]) -> tuple[int, ...]:
    """Return the lengths up to the budget's window or a day, each once."""
    longest = min(window_min, MAX_WINDOW_MIN)
    return tuple(dict.fromkeys(takewhile(lambda length: length <= longest, growing)))


def quarter(minutes: int) -> int:
    """Return a quarter of a duration in whole minutes, rounded up, at least one."""
    return max(1, ceil(minutes / 4))
