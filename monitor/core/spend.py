"""How many of a budget's minutes are spent: bad minutes in all, in one stretch or in many.

Blocks of a quarter of the hold are judged once each, when they are complete: spent if the block is beyond the
limit with p <= 1e-3 (over phi) of being beyond kappa times it. Flapping that the sustained rule rightly lets
pass still spends, and shows as "12 of 20 min".
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from monitor.core.series import Series
from monitor.core.stats.dispersion import INDEPENDENT, Dispersion, Noisy
from monitor.core.stats.evidence import evidence_for
from monitor.core.sums import Sums, sums_of
from monitor.core.sustained import Rule

SPEND_NATS: Final = evidence_for(1e-3)  # blocks that are bad by chance do not add up to a hold


@dataclass(frozen=True, slots=True)
class Spent:
    """A bad block, minutes [start, end), with its sums and what was known of noise when it was judged."""

    block: tuple[int, int]
    sums: Sums
    phi: Dispersion


class Spend:
    """Bad minutes of one series within its window. Blocks follow on each other from the series' first minute.

    A decided block is never judged again: calling `advance` at every tick or once in a while is the same, as
    long as the series still holds the minutes.
    """

    __slots__ = ("_block_min", "_judged_to", "_rule", "_spent")

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._block_min = rule.recent_min
        self._judged_to: int | None = None
        self._spent: deque[Spent] = deque()  # at most window / block

    def advance(
        self,
        series: Series,
        now_minute: int,
        phi: Noisy = INDEPENDENT,
        *others: tuple[Series, Noisy],
    ) -> None:
        """Judge the blocks that are complete at `now_minute` and not judged yet.

        Args:
            others: What else the objective is measured by, over the same minutes, and what is known of its
                noise: a block is bad where any of them says so.
        """
        gauges = ((series, phi), *others)
        at = series.first_minute if self._judged_to is None else self._judged_to
        while at + self._block_min <= now_minute:
            block = (at, at + self._block_min)
            bad = next((one for one in gauges if _is_bad(one[0], *block, one[1])), None)
            if bad is not None:
                self._spent.append(Spent(block, sums_of(bad[0], *block), bad[1].dispersion))
            at += self._block_min
        self._judged_to = at
        while self._spent and self._spent[0].block[0] < now_minute - self._rule.window_min:
            self._spent.popleft()

    def skip(self, now_minute: int) -> None:
        """Leave the minutes before `now_minute` that are not judged yet out for good: they compare nothing."""
        self._judged_to = now_minute

    @property
    def minutes(self) -> int:
        """Minutes spent within the window."""
        return len(self._spent) * self._block_min

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """The spent blocks as minutes [start, end), oldest first."""
        return tuple(one.block for one in self._spent)

    @property
    def proofs(self) -> tuple[Spent, ...]:
        """The spent blocks, oldest first, with what they were judged by."""
        return tuple(self._spent)

    @property
    def is_overspent(self) -> bool:
        """Tell whether more minutes than the hold are spent: where `accounting: cumulative` fires, others page."""
        return self.minutes > self._rule.hold_min


def _is_bad(series: Series, start: int, end: int, phi: Noisy) -> bool:
    if not series.beyond(start, end, 1.0):
        return False
    if not series.limit.needs_evidence:
        return True
    nats = series.evidence_in(start, end)  # phi is at least 1: what is too little without it needs none
    return nats >= SPEND_NATS and nats / phi.over(series, start, end) >= SPEND_NATS
