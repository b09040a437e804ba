"""Every instrument of a worker, as data: the one place a metric is declared, and what the docs are held to.

Label values are closed sets, so `/metrics` has a bounded number of series whatever traffic brings: no release, tenant,
cohort or partition is a label. The one exception, `release`, is opt-in and capped (see `metrics.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from monitor.core.budget import Mode
from monitor.core.decision import Type
from monitor.core.sight import Cause, Sight
from monitor.wire.rejection import Fault

SCOPE = "rollback_budget"


class Kind(Enum):
    """How an instrument counts."""

    COUNTER = "counter"  # only grows
    GAUGE = "gauge"  # the last value counts
    HISTOGRAM = "histogram"  # a distribution, in fixed buckets


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric.

    Attributes:
        name: Without the prefix and without the unit and `_total`, which the Prometheus format appends.
        unit: UCUM: `s`, `By`, or an annotation such as `{event}`, which adds nothing to the name.
        labels: Each label with every value it may have.
        buckets: Upper bounds of a histogram, in its unit.
        per_release: Carries the opt-in label `release` where that is switched on.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()
    per_release: bool = False

    @property
    def exposed(self) -> str:
        """The name as Prometheus shows it."""
        unit = {"s": "_seconds", "By": "_bytes"}.get(self.unit, "")
        return f"{SCOPE}_{self.name}{unit}{'_total' if self.kind is Kind.COUNTER else ''}"


OTHER = "other"  # what a value outside a label's set is counted as, where the value comes from outside

REJECTIONS = (*(fault.value for fault in Fault), OTHER)
MODES = tuple(mode.value for mode in Mode)
SIGHTS = tuple(sight.value for sight in Sight)
DECISIONS = (*(kind.value for kind in Type), OTHER)
_FAST = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SLOW = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)

INSTRUMENTS: tuple[Instrument, ...] = (
    Instrument(
        "events", Kind.COUNTER, "{event}", "Trace events read, by what became of them.",
        {"result": ("accepted", "late", "duplicate", "rejected")},
    ),
    Instrument(
        "dead_letters", Kind.COUNTER, "{event}", "Rejected records written to the dead-letter topic, by reason.",
        {"reason": REJECTIONS},
    ),
    Instrument(
        "flushes", Kind.COUNTER, "{flush}", "Writes of a partition's state, by the store's answer.",
        {"answer": ("applied", "already_mine", "fenced", "failed")},
    ),
    Instrument(
        "batch_duration", Kind.HISTOGRAM, "s", "Time to decode, fold and store one batch.",
        {}, _FAST,
    ),
    Instrument("batch_events", Kind.HISTOGRAM, "{event}", "Records in one batch.", {}, (1, 10, 100, 1_000, 10_000)),
    Instrument("watermark_lag", Kind.GAUGE, "s", "How far the watermark is behind the broker's clock.", {}),
    Instrument("consumer_lag", Kind.GAUGE, "{event}", "Records not yet read, over all partitions owned.", {}),
    Instrument("partitions_owned", Kind.GAUGE, "{partition}", "Partitions this worker reads.", {}),
    Instrument("lease_held", Kind.GAUGE, "{lease}", "Releases this worker evaluates.", {}, per_release=True),
    Instrument(
        "armed_releases", Kind.GAUGE, "{release}", "Releases with a budget, by what they are doing.",
        {"state": ("armed", "locked", "blind", "rebuilding")},
    ),
    Instrument(
        "watched_releases", Kind.GAUGE, "{release}", "Releases watched, by their budget's mode.", {"mode": MODES},
    ),
    Instrument(
        "caps", Kind.COUNTER, "{cap}", "Dimensions with more values than are judged by themselves, once a release.",
    ),
    Instrument("ticks", Kind.COUNTER, "{tick}", "Minutes evaluated.", {"result": ("decided", "failed")}),
    Instrument("tick_duration", Kind.HISTOGRAM, "s", "Time to evaluate one minute of one release.", {}, _FAST),
    Instrument(
        "decisions", Kind.COUNTER, "{decision}", "Decisions recorded in the ledger, by type.",
        {"type": DECISIONS}, per_release=True,
    ),
    Instrument(
        "decision_delay", Kind.HISTOGRAM, "s",
        "From the moment a decision was possible (a tick: two minutes after it) until it was on record and out.",
        {}, _SLOW,
    ),
    Instrument(
        "effects", Kind.COUNTER, "{effect}", "Rollbacks and pages carried out, by result.",
        {
            "effect": ("rollback", "page"),
            "result": ("done", "already_done", "no_flag", "try_later", "refused"),
        },
    ),
    Instrument(
        "effect_duration", Kind.HISTOGRAM, "s", "Time until an effect was confirmed or given up.",
        {"effect": ("rollback", "page")}, _SLOW,
    ),
    Instrument(
        "breaker_open", Kind.GAUGE, "{breaker}", "1 while the rollback-storm breaker is open.",
    ),
    Instrument(
        "automatic_rollbacks", Kind.GAUGE, "{rollback}", "Rollbacks nobody ordered that the breaker counts now.",
    ),
    Instrument("rollbacks_withheld", Kind.COUNTER, "{rollback}", "Rollbacks that the breaker made into pages."),
    Instrument(
        "blind", Kind.GAUGE, "{cause}", "1 while the monitor cannot see, by cause.",
        {"cause": tuple(cause.value for cause in Cause)},
    ),
    Instrument(
        "partitions", Kind.GAUGE, "{partition}", "Partitions of the traces topic, by how well they are seen.",
        {"sight": SIGHTS},
    ),
    Instrument(
        "sight_age", Kind.GAUGE, "s", "For how long something has been seen so, the longest; 0 where nothing is.",
        {"sight": SIGHTS},
    ),
    Instrument("open_pages", Kind.GAUGE, "{page}", "Open pages of the releases this worker evaluates.", {}),
    Instrument(
        "heartbeat_timestamp", Kind.GAUGE, "s", "When the last round was completed: stands still where we do.", {},
    ),
)  # fmt: skip

BY_NAME: Mapping[str, Instrument] = {instrument.name: instrument for instrument in INSTRUMENTS}
