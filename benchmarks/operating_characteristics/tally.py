"""What running a cell came to: counts that add up, and their JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

NEVER: Final = -1
"""The tick of a release that a rule let pass."""


@dataclass(slots=True)
class Tally:
    """Counts of one cell.

    Attributes:
        fired: Per rule, how many releases it fired on at each tick; `NEVER` for those that it let pass.
        overspent: Releases with more minutes spent than Y, of those judged to the end.
        verdicts: How many of those ended with each verdict.
        seconds: What it took, of one core.
    """

    releases: int = 0
    fired: dict[str, Counter[int]] = field(default_factory=dict)
    overspent: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, other: Tally) -> None:
        """Add the releases of another run of the cell."""
        self.releases += other.releases
        for rule, ticks in other.fired.items():
            self.fired.setdefault(rule, Counter()).update(ticks)
        self.overspent += other.overspent
        self.verdicts.update(other.verdicts)
        self.seconds += other.seconds

    def share(self, rule: str = "guard", first: int = 0, end: int | None = None) -> float:
        """Return the share of releases on which a rule fired, at ticks [first, end)."""
        ticks = self.fired[rule]
        found = sum(n for tick, n in ticks.items() if tick >= first and (end is None or tick < end))
        return found / self.releases

    def delays(self, onset: int, rule: str = "guard") -> list[float]:
        """Return the minutes from the onset to the firing, rising; infinity where missed, early ones left out."""
        found: list[float] = []
        for tick, count in self.fired[rule].items():
            if tick == NEVER:
                found += [float("inf")] * count
            elif tick > onset:
                found += [float(tick - onset)] * count
        return sorted(found)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, in a fixed order."""
        return {
            "releases": self.releases,
            "fired": {
                rule: {str(tick): ticks[tick] for tick in sorted(ticks)} for rule, ticks in self.fired.items()
            },
            "overspent": self.overspent,
            "verdicts": {verdict: self.verdicts[verdict] for verdict in sorted(self.verdicts)},
            "seconds": round(self.seconds, 1),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Tally:
        """Return the tally that `to_json` wrote."""
        return cls(
            releases=found["releases"],
            fired={
                rule: Counter({int(tick): count for tick, count in ticks.items()})
                for rule, ticks in found["fired"].items()
            },
            overspent=found["overspent"],
            verdicts=Counter(found["verdicts"]),
            seconds=found["seconds"],
        )


def quantile(values: list[float], share: float) -> float:
    """Return the smallest of rising values that at least `share` of them do not exceed; infinity for none."""
    return values[max(0, ceil(share * len(values)) - 1)] if values else float("inf")
