"""The traffic of the volumes: the benchmarks' requests, and among them what must not be counted, or not twice.

A few requests in a hundred are sent again (the same bytes, to the same partition), some fail, some come too late for
their minute. What is hostile fits no contract: it is drawn from the same seed and mixed in one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from benchmarks.performance.traffic import Traffic
from tests.simulation.traffic import POISON

SPAN_MIN = 60
REPEATED = 0.03  # of all requests
FAILED = 0.02
LATE = 0.005
LATE_BY_MS = 150_000  # beyond what an event may be behind its partition's clock, and what disorder there is
WITHIN = 400  # records of a partition between a request and its repeat, at most
LARGE = 1_000  # one in so many hostile records is larger than a record may be: they would fill a disk
_SMALL = tuple(value for value in POISON if value is None or len(value) < 1_000)
_TOO_LARGE = b"x" * 70_000


@dataclass(frozen=True)
class Mixed:
    """What is in a topic.

    Attributes:
        requests: Different ones; repeats and hostile records are beside them.
        each_tenant: Tenants take turns, so that every one of them is there.
        harmful: Whether the candidate fails from the middle on, so that there is something to decide.
        lead: Begins every event id, and is the seed with it.
    """

    requests: int
    tenants: int = 120
    hostile: int = 0
    each_tenant: bool = False
    harmful: bool = False
    partitions: int = 4
    compression: str | None = None
    lead: str = "v"
    counts: dict[str, int] = field(default_factory=dict, compare=False)

    @property
    def traffic(self) -> Traffic:
        """The requests themselves."""
        return Traffic(
            self.requests,
            tenants=self.tenants,
            partitions=self.partitions,
            span_min=SPAN_MIN,
            lead=self.lead,
        )

    def rows(self, end_ms: int) -> Iterator[tuple[int, bytes | None]]:
        """Yield partition and value of every record; `counts` says afterwards how many there were of each kind."""
        draw = Random(f"mixed/{self.lead}")
        within = max(1, min(WITHIN, self.requests // (self.partitions * SPAN_MIN)))  # and within a minute
        recent: list[deque[bytes]] = [deque(maxlen=within) for _ in range(self.partitions)]
        self.counts.clear()
        self.counts.update(records=0, repeated=0, late=0, failed=0, hostile=0)
        left, good = self.hostile, self.requests
        for number, (partition, line) in enumerate(self.traffic.rows(end_ms)):
            event = self._changed(draw, number, line, end_ms)
            recent[partition].append(event)
            yield self._counted(partition, event)
            if draw.random() < REPEATED:
                self.counts["repeated"] += 1
                yield self._counted(partition, draw.choice(recent[partition]))
            # So many as are left are spread over the requests that are left, each place as likely as the next.
            share = left / (good - number)
            for _ in range(int(share + draw.random()) if number + 1 < good else left):
                left -= 1
                self.counts["hostile"] += 1
                yield self._counted(draw.randrange(self.partitions), hostile(draw, event, end_ms))

    def _counted(self, partition: int, value: bytes | None) -> tuple[int, bytes | None]:
        self.counts["records"] += 1
        return partition, value

    def _changed(self, draw: Random, number: int, line: bytes, end_ms: int) -> bytes:
        chance = draw.random()
        if self.each_tenant:
            head, _, rest = line.partition(b'"tenant":"tenant-')
            line = head + b'"tenant":"tenant-%06d' % (number % self.tenants) + rest[rest.index(b'"') :]
        if self.harmful and number > self.requests // 2 and b'"release":"model-v42' in line:
            line = line.replace(b'"task_success":true', b'"task_success":false')
        if chance < FAILED:
            self.counts["failed"] += 1
            return line[:-1] + b',"status":"error"}'
        if chance > 1 - LATE and number * SPAN_MIN * 60_000 > 2 * LATE_BY_MS * self.requests:
            self.counts["late"] += 1
            head, _, rest = line.partition(b'"at":')
            at_ms, _, tail = rest.partition(b",")
            return head + b'"at":%d,' % (int(at_ms) - LATE_BY_MS) + tail
        return line


def hostile(draw: Random, event: bytes, end_ms: int) -> bytes | None:
    """Draw a record that fits no contract, most of them made of an event that does.

    Args:
        end_ms: No record is later than an hour after this: what claims to be is from the future.
    """
    if draw.randrange(LARGE) == 0:
        return _TOO_LARGE
    kind = draw.randrange(7)
    if kind == 0:
        return draw.choice(_SMALL)
    if kind == 1:
        return event[: draw.randrange(len(event) - 1)]
    if kind == 2:
        at = draw.randrange(len(event))
        return event[:at] + bytes([draw.randrange(0x80, 0xC0)]) + event[at:]  # UTF-8 begins no letter with it
    if kind == 3:
        return draw.randbytes(draw.randrange(1, 200)) + b"\xff"
    if kind == 4:
        return event.replace(b'"release":"', b'"was":"', 1)
    if kind == 5:
        later = end_ms + 3_600_000 + draw.randrange(10**12)
        return b'{"event_id":"f%d","at":%d,"release":"model-v41"}' % (draw.getrandbits(60), later)
    return event.replace(b'"task_success":', b'"task_success":"yes","was":', 1)
