"""A script of traffic: what both arms serve, stretch by stretch, as people state it in the tests of a budget.

Every number is exact (a `Fraction`), so that a schedule made from it is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from monitor.core.cohort import OVERALL, CohortKey, Role

Values = Mapping[str, Fraction]
"""What an arm shows, by indicator name: a rate 0 to 1, a quantile in ms, cost in USD, tokens as a count."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the traffic, the same share of both arms.

    Attributes:
        name: As the script calls it; empty for the part that no named slice takes.
        cohort: The dimensions its requests carry.
        share: 0 to 1 of an arm's requests; the shares of a script add up to 1.
    """

    name: str = ""
    cohort: CohortKey = OVERALL
    share: Fraction = Fraction(1)


Lane = tuple[Role, str]
"""One arm's requests of one slice, by the slice's name."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some minutes in which nothing about the traffic changes.

    Attributes:
        per_min: Requests of both arms together in a minute.
        candidate_share: 0 to 1, the part of them that the candidate serves.
        values: Of every arm and slice, with the defaults already applied.
        incidents: High-severity incidents within the stretch, evenly spread; a slice of None is any.
    """

    minutes: int
    per_min: Fraction
    candidate_share: Fraction
    values: Mapping[Lane, Values]
    incidents: Mapping[tuple[Role, str | None], int] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """How many requests it holds, to the nearest whole one."""
        return round(self.per_min * self.minutes)


@dataclass(frozen=True, slots=True)
class TrafficScript:
    """The whole traffic of one test."""

    slices: tuple[Slice, ...]
    stretches: tuple[Stretch, ...]

    @property
    def minutes(self) -> int:
        """How long it lasts."""
        return sum(one.minutes for one in self.stretches)

    @property
    def requests(self) -> int:
        """How many requests it holds."""
        return sum(one.requests for one in self.stretches)
