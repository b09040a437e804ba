"""Recording the instruments of the catalogue, and nothing else: an undeclared name or label is an error of ours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from opentelemetry.metrics import Counter, Histogram, Meter
from opentelemetry.metrics import _Gauge as Gauge  # the API's own name for its synchronous gauge

from monitor.adapters.telemetry.catalog import INSTRUMENTS, OTHER, SCOPE, Instrument, Kind
from monitor.core.errors import MonitorError

RELEASE = "release"
REST = "__other__"  # all releases beyond the cap, as with cohorts


class UndeclaredMetric(MonitorError):
    """A metric, a label or a label's value that the catalogue does not know; declare it there first."""


class Metrics:
    """The instruments, ready to record.

    Counters of a closed label set start at 0, so a rate over the first increment is seen (an absent series has none).
    """

    def __init__(
        self, meter: Meter, *, max_release_labels: int = 0, instruments: Sequence[Instrument] = INSTRUMENTS
    ) -> None:
        """Create every instrument.

        Args:
            meter: Where they are created.
            max_release_labels: Releases with a label of their own on the instruments that may carry one;
                the rest is `__other__`. 0, the default, means no such label at all.
            instruments: What this process has to show.
        """
        self._declared = {instrument.name: instrument for instrument in instruments}
        self._max_releases, self._releases = max_release_labels, set[str]()
        self._made: dict[str, Counter | Gauge | Histogram] = {}
        for instrument in instruments:
            made = self._made[instrument.name] = _make(meter, instrument)
            if isinstance(made, Counter) and not (instrument.per_release and max_release_labels):
                for values in product(*instrument.labels.values()):
                    made.add(0, dict(zip(instrument.labels, values, strict=True)))

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter.

        Raises:
            UndeclaredMetric: The catalogue has no such counter, label or value; or the amount is negative.
        """
        made, instrument = self._made.get(name), self._declared.get(name)
        if not isinstance(made, Counter) or instrument is None or amount < 0:
            raise UndeclaredMetric(f"{name!r} is no counter that could grow by {amount:g}; see catalog.py")
        made.add(amount, self._checked(instrument, labels))

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge; raises as `count`."""
        made, instrument = self._made.get(name), self._declared.get(name)
        if instrument is None or instrument.kind is not Kind.GAUGE or not isinstance(made, Gauge):
            raise UndeclaredMetric(f"{name!r} is no gauge; see catalog.py")
        made.set(value, self._checked(instrument, labels))

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add one value, in the instrument's unit, to a histogram; raises as `count`."""
        made, instrument = self._made.get(name), self._declared.get(name)
        if not isinstance(made, Histogram) or instrument is None:
            raise UndeclaredMetric(f"{name!r} is no histogram; see catalog.py")
        made.record(value, self._checked(instrument, labels))

    def _checked(self, instrument: Instrument, labels: dict[str, str]) -> dict[str, str]:
        """Return the labels to record: declared ones only, foreign values as `other` where there is one."""
        given = dict(labels)
        release = given.pop(RELEASE, None) if instrument.per_release else None
        if given.keys() != instrument.labels.keys():
            allowed = ", ".join(instrument.labels) or "none"
            raise UndeclaredMetric(f"{instrument.name}: got labels {sorted(given)}; declared are {allowed}")
        for label, value in given.items():
            values = instrument.labels[label]
            if value not in values:
                if OTHER not in values:
                    raise UndeclaredMetric(
                        f"{instrument.name}: {label}={value!r}; declared are {', '.join(values)}"
                    )
                given[label] = OTHER
        if release is not None and self._max_releases:
            given[RELEASE] = self._capped(release)
        return given

    def _capped(self, release: str) -> str:
        if release not in self._releases:
            if len(self._releases) >= self._max_releases:
                return REST
            self._releases.add(release)
        return release


def _make(meter: Meter, instrument: Instrument) -> Counter | Gauge | Histogram:
    name, unit, description = f"{SCOPE}.{instrument.name}", instrument.unit, instrument.description
    if instrument.kind is Kind.COUNTER:
        return meter.create_counter(name, unit, description)
    if instrument.kind is Kind.GAUGE:
        return meter.create_gauge(name, unit, description)
    return meter.create_histogram(
        name, unit, description, explicit_bucket_boundaries_advisory=instrument.buckets
    )
