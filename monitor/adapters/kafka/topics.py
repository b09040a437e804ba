"""The product's topics as data: their names, and how each is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TRACES: Final = "llm.traces.v1"
DEAD_LETTERS: Final = "rollback.dead-letters.v1"
DECISIONS: Final = "rollback.decisions.v1"
REQUESTS: Final = "rollback.requests.v1"
PAGES: Final = "rollback.pages.v1"
EVAL_DEBT: Final = "rollback.eval-debt.v1"
CDEVENTS: Final = "rollback.cdevents.v1"
LEDGER: Final = "rollback.ledger.v1"
HISTORY: Final = "rollback.history.v1"
COMMANDS: Final = "rollback.commands.v1"
BUDGETS: Final = "rollback.budgets.v1"
INCIDENTS: Final = "rollback.incidents.v1"
CLOCK: Final = "rollback.clock.v1"

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
MAX_MESSAGE_BYTES: Final = 1_048_576  # the producers' own bound on a batch; a single event has at most 64 KiB
FULL_REPLICATION: Final = 3


@dataclass(frozen=True, slots=True)
class WantedTopic:
    """One topic as the product wants it.

    Attributes:
        compacted: The newest record of each key stays; otherwise records go by age alone.
        fades: Of a compacted topic, records also go by age: for ever would be for nothing.
        retention_ms: Age at which records may go, where we create the topic.
        least_retention_ms: Below this an existing topic is a finding.
        stamped_by_broker: The topic is useless without the broker's own stamps, not only weaker.
    """

    name: str
    partitions: int
    compacted: bool = False
    fades: bool = False
    retention_ms: int = 30 * _DAY_MS
    least_retention_ms: int = 7 * _DAY_MS
    segment_ms: int | None = None
    stamped_by_broker: bool = False

    @property
    def cleanup(self) -> tuple[str, ...]:
        """The clean-up policies that keep what is needed, the wanted one first."""
        if self.fades:
            return ("compact,delete", "delete,compact", "compact")
        return ("compact",) if self.compacted else ("delete",)

    def settings(self, replication: int) -> dict[str, str]:
        """Return what the topic is created with."""
        settings = {
            "cleanup.policy": self.cleanup[0],
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
            "min.insync.replicas": str(in_sync(replication)),
            "unclean.leader.election.enable": "false",
        }
        if not self.compacted or self.fades:
            settings["retention.ms"] = str(self.retention_ms)
        if self.segment_ms is not None:
            settings["segment.ms"] = str(self.segment_ms)  # only closed segments are ever deleted
        return settings


def product_topics(
    *, traces: str = TRACES, trace_partitions: int = 8, cdevents: bool = False
) -> tuple[WantedTopic, ...]:
    """Return every topic of the product.

    Args:
        trace_partitions: Bounds how many workers can share the work.
        cdevents: Twins of decisions are published for delivery tools, on a topic of their own.
    """
    return (
        *((WantedTopic(CDEVENTS, 3),) if cdevents else ()),
        # Twice the longest window and a day: a lost store is read again from here.
        WantedTopic(traces, trace_partitions, retention_ms=7 * _DAY_MS, least_retention_ms=3 * _DAY_MS),
        WantedTopic(DEAD_LETTERS, 1),
        WantedTopic(DECISIONS, 3),
        WantedTopic(REQUESTS, 3),
        WantedTopic(PAGES, 3),
        WantedTopic(EVAL_DEBT, 3),
        WantedTopic(COMMANDS, 1),
        WantedTopic(BUDGETS, 1, compacted=True),
        WantedTopic(LEDGER, 3, compacted=True),
        # Four weeks are looked at; a release of a year ago is nobody's baseline.
        WantedTopic(HISTORY, 3, compacted=True, fades=True, retention_ms=35 * _DAY_MS),
        WantedTopic(INCIDENTS, 1, retention_ms=_DAY_MS, least_retention_ms=_HOUR_MS, segment_ms=_HOUR_MS),
        WantedTopic(
            CLOCK,
            1,
            retention_ms=_HOUR_MS,
            least_retention_ms=0,
            segment_ms=_HOUR_MS // 6,
            stamped_by_broker=True,
        ),
    )


def in_sync(replication: int) -> int:
    """How many copies must have a record before it is acknowledged: one may be away, where there are three."""
    return 2 if replication >= FULL_REPLICATION else 1
