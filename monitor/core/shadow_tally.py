"""Adds pairs of shadow and live answers up: over everybody, over slices, and over each value of a dimension.

Bounded in every direction: names, values, and the sums themselves. What is beyond a bound is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from monitor.core.cohort import OVERALL, CohortKey, matches
from monitor.core.event import UNFINISHED_US, Observation, size_of
from monitor.core.indicator import INDICATOR_NAMES, IndicatorKind, indicator
from monitor.core.pairing import Pair
from monitor.core.sketch import Sketch
from monitor.core.stats.limit import Limit
from monitor.core.stats.paired import NEVER_BIN, PairCounts, PairSums, ratio_bin
from monitor.core.stats.quantile_stretch import QuantileStretch

NAMES_MAX: Final = 64
"""Named outcomes and stages together that are compared at most, besides those of a budget."""

VALUES_HELD: Final = 500
"""Values of a dimension that are added up each by itself while reading; what comes later goes to the rest."""

VALUES_SHOWN: Final = 50
"""Values of a dimension that are shown each by itself, those with the most pairs."""

FIXED_RATES: Final = tuple(
    one.source for one in map(indicator, INDICATOR_NAMES) if one.kind is IndicatorKind.RATE
)
FIXED_SIZES: Final = ("latency", "cost", "tokens")
_HAS_MEAN: Final = frozenset({"cost", "tokens"})
_SETTLE_EVERY: Final = 10_000  # pairs


@dataclass(slots=True)
class SizeTally:
    """One distribution over the pairs in which both arms have a value.

    Attributes:
        ratios: Pairs by `stats.paired.ratio_bin` of candidate over baseline.
        unfinished: Pairs in which neither arm finished: their ratio is not known, and in no count of ratios.
    """

    candidate: Sketch = field(default_factory=Sketch)
    baseline: Sketch = field(default_factory=Sketch)
    ratios: Counter[int] = field(default_factory=Counter)
    sums: PairSums = field(default_factory=PairSums)
    unfinished: int = 0

    def add(self, source: str, c: int, b: int) -> None:
        """Add both arms' sizes, in the sketch's unit; `UNFINISHED_US` stands for a timeout."""
        if source != "latency" or (c < UNFINISHED_US and b < UNFINISHED_US):
            self.candidate.add(c)
            self.baseline.add(b)
            self.ratios[ratio_bin(c, b)] += 1
        else:
            self._add_timeout(c, b)
        if source in _HAS_MEAN:
            self.sums.add(c, b)

    def _add_timeout(self, c: int, b: int) -> None:
        """Add a pair of which an arm did not finish: it is slower than every finished request."""
        for sketch, value in ((self.candidate, c), (self.baseline, b)):
            if value < UNFINISHED_US:
                sketch.add(value)
            else:
                sketch.add_unfinished()
        if c == b:
            self.unfinished += 1
        else:
            self.ratios[NEVER_BIN if c > b else -NEVER_BIN] += 1

    def merge(self, other: SizeTally) -> None:
        """Add all that `other` holds."""
        self.candidate.merge(other.candidate)
        self.baseline.merge(other.baseline)
        self.ratios.update(other.ratios)
        self.sums.merge(other.sums)
        self.unfinished += other.unfinished

    def settle(self) -> int:
        """Put what waits for its bins there, else many slices would hold many values; return the values added."""
        return self.candidate.count + self.baseline.count

    def stretch(self, limit: Limit) -> QuantileStretch:
        """Return both arms' sketches as the product's quantile evidence takes them."""
        return QuantileStretch.of_bins(limit, self.candidate.bins, self.baseline.bins)


@dataclass(slots=True)
class Tally:
    """What the pairs of a slice add up to.

    Attributes:
        rates: Per source `[both, only candidate, only baseline, neither]`: in whose answers the label is true.
        incidents: Per severity, the candidate's and the baseline's answers with such an incident.
    """

    pairs: int = 0
    rates: dict[str, list[int]] = field(default_factory=dict)
    sizes: dict[str, SizeTally] = field(default_factory=dict)
    incidents: dict[str, list[int]] = field(default_factory=dict)

    def merge(self, other: Tally) -> None:
        """Add all that `other` holds."""
        self.pairs += other.pairs
        for mine, others in ((self.rates, other.rates), (self.incidents, other.incidents)):
            for name, counts in others.items():
                mine[name] = [a + b for a, b in zip(mine.get(name, [0] * len(counts)), counts, strict=True)]
        for name, sizes in other.sizes.items():
            self.sizes.setdefault(name, SizeTally()).merge(sizes)

    def counts(self, source: str) -> PairCounts:
        """Return the pairs in which both arms know the label, by what it says."""
        return PairCounts(*self.rates.get(source, (0, 0, 0, 0)))


class Names:
    """Which named outcomes and stages are compared: a budget's, then the first that come, up to a bound."""

    def __init__(self, wanted: Iterable[str] = ()) -> None:
        """Begin with the sources that are always compared: `outcome.grounded`, `stage.retrieval`."""
        self._kept = dict.fromkeys(one for one in wanted if one.startswith(("outcome.", "stage.")))
        self._most = len(self._kept) + NAMES_MAX
        self.left_out = 0

    def keeps(self, source: str) -> bool:
        """Tell whether a source is compared; one that is not is counted, each time it would have been."""
        if source in self._kept:
            return True
        if len(self._kept) >= self._most:
            self.left_out += 1
            return False
        self._kept[source] = None
        return True


@dataclass(frozen=True, slots=True)
class Facts:
    """What one pair says, read once for all the slices it is in."""

    rates: tuple[tuple[str, int], ...]
    sizes: tuple[tuple[str, int, int], ...]
    severities: tuple[str | None, str | None]


def facts_of(pair: Pair, names: Names) -> Facts:
    """Return what both arms say of a request; what only one of them says is not compared."""
    c, b = pair
    said = zip(FIXED_RATES, c.fixed_rates(), b.fixed_rates(), strict=True)
    rates = [
        (source, 2 * (not one) + (not other))
        for source, one, other in said
        if one is not None and other is not None
    ]
    for name in sorted(c.outcomes.keys() & b.outcomes.keys()):
        source = f"outcome.{name}"
        if names.keeps(source):
            rates.append((source, 2 * (not c.outcomes[name]) + (not b.outcomes[name])))
    sizes = []
    for source in (*FIXED_SIZES, *(one for one in _stages(c.event, b.event) if names.keeps(one))):
        size_c, size_b = size_of(c.event, source), size_of(b.event, source)
        if size_c is not None and size_b is not None:
            sizes.append((source, size_c, size_b))
    return Facts(tuple(rates), tuple(sizes), (c.severity, b.severity))


def _stages(c: Observation, b: Observation) -> Iterator[str]:
    return (f"stage.{name}" for name in sorted((c.stage_ms or {}).keys() & (b.stage_ms or {}).keys()))


def add_facts(tally: Tally, facts: Facts) -> None:
    """Add a pair to a slice."""
    tally.pairs += 1
    for source, which in facts.rates:
        counts = tally.rates.get(source)
        if counts is None:
            counts = tally.rates[source] = [0, 0, 0, 0]
        counts[which] += 1
    for source, c, b in facts.sizes:
        sizes = tally.sizes.get(source)
        if sizes is None:
            sizes = tally.sizes[source] = SizeTally()
        sizes.add(source, c, b)
    for arm, severity in enumerate(facts.severities):
        if severity is not None:
            tally.incidents.setdefault(severity, [0, 0])[arm] += 1


class Slices:
    """Adds pairs up: over everybody, over the slices a budget looks at, and over each value of a dimension.

    Attributes:
        views: By slice; `OVERALL` is everybody.
        values: By value of the dimension, empty for pairs without one.
        rest: What has none of the held values; None where all are held, or nobody asked for a dimension.
    """

    def __init__(
        self, views: Iterable[CohortKey] = (), by: str | None = None, names: Names | None = None
    ) -> None:
        self.views = {view: Tally() for view in (OVERALL, *views)}
        self.values: dict[str, Tally] = {}
        self.rest: Tally | None = None
        self.names = names or Names()
        self._by = by

    @property
    def overall(self) -> Tally:
        """Everybody."""
        return self.views[OVERALL]

    def add(self, pair: Pair) -> None:
        """Add a pair to every slice it is in."""
        facts, cohort = facts_of(pair, self.names), pair.cohort
        for view, tally in self.views.items():
            if matches(view, cohort):
                add_facts(tally, facts)
        if self._by is not None:
            add_facts(self._of_value(cohort.get(self._by, "")), facts)
        if self.overall.pairs % _SETTLE_EVERY == 0:
            for tally in (*self.views.values(), *self.values.values()):
                for sizes in tally.sizes.values():
                    sizes.settle()

    def most(self) -> tuple[list[tuple[str, Tally]], Tally | None]:
        """Return the values with the most pairs, the most first, and the rest together; None: there is no rest."""
        ranked = sorted(self.values.items(), key=lambda item: (-item[1].pairs, item[0]))
        if self.rest is None and len(ranked) <= VALUES_SHOWN:
            return ranked, None
        rest = Tally()
        for tally in (*(tally for _, tally in ranked[VALUES_SHOWN:]), *filter(None, (self.rest,))):
            rest.merge(tally)
        return ranked[:VALUES_SHOWN], rest

    def _of_value(self, value: str) -> Tally:
        tally = self.values.get(value)
        if tally is not None:
            return tally
        if len(self.values) < VALUES_HELD:
            tally = self.values[value] = Tally()
            return tally
        if self.rest is None:
            self.rest = Tally()
        return self.rest
