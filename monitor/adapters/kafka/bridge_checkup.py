"""What `doctor` asks Kafka for the bridge: the collector's topics, what this user may do with them, and its group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monitor.adapters.kafka.checkup import Asker
from monitor.adapters.kafka.client import silent_library
from monitor.adapters.kafka.rights import rights_of
from monitor.adapters.kafka.security import KafkaAccess
from monitor.engine.checkup import Finding, failed, ok, skipped, warning
from monitor.engine.errors import LogUnreachable


class BridgeCheckup(Asker):
    """The questions.

    Args:
        traces: Where the bridge writes; that this topic is there, and how it is kept, is asked for the workers.
        is_wanted: Whether somebody has set a bridge up: where nobody has, topics that are not there are no failure.
    """

    def __init__(
        self, access: KafkaAccess, spans: str, logs: str, traces: str, group: str, *, is_wanted: bool
    ) -> None:
        super().__init__(access)
        self._spans, self._logs, self._traces = spans, logs, traces
        self._group, self._is_wanted = group, is_wanted

    async def ask(self) -> Sequence[Finding]:
        """Tell everything; raises `LogUnreachable` where Kafka does not answer."""
        try:
            with silent_library():
                counts = await self._asked(self._partitions, "asking for the collector's topics")
        except LogUnreachable:
            if self._is_wanted:
                raise
            counts = {}  # what is the matter with Kafka is told of Kafka
        if not self._is_wanted and not counts.get(self._spans):
            return [skipped("bridge", "-", f"no setting of the bridge is set, and no {self._spans} is seen")]
        return [
            *self._topics(counts),
            *await self._rights(counts),
            *await self._in_group("bridge", self._group, "start `rollback-budget bridge`"),
        ]

    async def _partitions(self, admin: Any) -> Mapping[str, int]:
        asked = await admin.describe_topics([self._spans, self._logs])
        return {one["topic"]: len(one["partitions"]) for one in asked if not one["error_code"]}

    def _topics(self, counts: Mapping[str, int]) -> Sequence[Finding]:
        spans, logs = counts.get(self._spans, 0), counts.get(self._logs, 0)
        where = (
            "name it in bridge_{}_topic as the collector's Kafka exporter does, or create it: docs/otlp.md"
        )
        hidden = "does not exist, or may not be seen by this user"
        if not spans:
            return [
                failed("bridge", self._spans, f"{hidden}: the bridge does not start", where.format("spans"))
            ]
        if not logs:
            text = f"{hidden}: spans alone are read, and no evaluation that comes as a log"
            return [warning("bridge", self._logs, text, where.format("logs"))]
        if spans != logs:
            text = f"{spans} partitions, and {self._logs} has {logs}: only one bridge can run"
            remedy = "give both topics the same number, so that bridges which share them get whole traces"
            return [warning("bridge", self._spans, text, remedy)]
        return [ok("bridge", self._spans, f"{spans} partitions, as {self._logs}")]

    async def _rights(self, counts: Mapping[str, int]) -> Sequence[Finding]:
        needed = {name: "read" for name in (self._spans, self._logs) if counts.get(name)}
        needed[self._traces] = "write"
        with silent_library():
            rights = await self._asked(
                lambda admin: rights_of(admin, list(needed)), "asking for this user's rights"
            )
        lacking = [
            failed("bridge", name, f"this user may not {what}", self._grant(name, what))
            for name, use in needed.items()
            if (given := rights.get(name)) is not None
            for what in sorted({use, "describe"} - given)
        ]
        unknown = sorted(name for name in needed if rights.get(name) is None)
        if unknown:
            text = f"the broker does not say what this user may do with {', '.join(unknown)}"
            lacking.append(skipped("bridge", "rights", text))
        return lacking or [
            ok("bridge", "rights", "this user may read spans and logs, and write trace events")
        ]
