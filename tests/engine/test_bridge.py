"""The bridge over topics in memory: nothing is committed before it is acknowledged; standing still is said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from benchmarks.otlp_payloads import evaluation, logs_value, request, spans_value, trace_id
from monitor.adapters.kafka.trace_topic import encode
from monitor.adapters.otlp.decode import decode_logs, decode_spans
from monitor.config.mapping_file import load_mapping
from monitor.core.span import Parts
from monitor.core.span_mapping import Facts
from monitor.engine.bridge import Bridge, BridgePorts, BridgeStuck, Polled, SpanRecord
from monitor.engine.bridge_sight import BridgeSight
from monitor.engine.errors import LogUnreachable
from monitor.engine.ports import Partition
from monitor.engine.span_join import JoinLimits, Place, SpanJoin

MAPPING = load_mapping("otel-genai.v1")
SPANS, LOGS = Partition("otlp_spans", 0), Partition("otlp_logs", 0)
LATER_MS = 10**6


def decoded(record: SpanRecord) -> Mapping[str, Parts] | str:
    return (decode_logs if record.is_logs else decode_spans)(record.value, MAPPING.wanted)


def asked(offset: int, number: int, stamp_ms: int = 0) -> SpanRecord:
    return SpanRecord(Place(SPANS, offset), stamp_ms, spans_value(*request(number)), is_logs=False)


@dataclass
class World:
    """Both topics, the clock and the log of one bridge."""

    polls: list[Polled | LogUnreachable]
    refusals: int = 0
    now: int = 0
    sent: list[tuple[str, bytes]] = field(default_factory=list)
    commits: list[dict[Partition, int]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    told_before: list[Facts] = field(default_factory=list)
    looks: list[tuple[dict[str, int], BridgeSight]] = field(default_factory=list)
    last_word: str = "no word"
    at_end: Callable[[], object] = lambda: None

    async def poll(self) -> Polled:
        self.now += 1_100
        await asyncio.sleep(0)
        if not self.polls:
            self.at_end()
            return Polled(1, (), None, unread=0)
        answer = self.polls.pop(0)
        if isinstance(answer, LogUnreachable):
            raise answer
        return answer

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        self.commits.append(dict(offsets))

    async def recall(self, take: Callable[[Facts], None]) -> None:
        for facts in self.told_before:
            take(facts)

    async def send(self, events: Sequence[tuple[str, bytes]]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise LogUnreachable("the broker is away")
        self.sent += events

    def now_ms(self) -> int:
        return self.now

    def info(self, event: str) -> None:
        self.said.append(event)
        if self.last_word in event:
            self.at_end()

    warning = info

    async def sleep(self, _: float) -> None:
        await asyncio.sleep(0)

    def looked(self, counts: Mapping[str, int], sight: BridgeSight) -> None:
        self.looks.append((dict(counts), sight))

    def bridge(self, *, once: bool = False, encoded: Callable[[Facts], bytes | str] = encode) -> Bridge:
        ports = BridgePorts(self, self, decoded, encoded, self, self, self.sleep, self)
        bridge = Bridge(ports, SpanJoin(MAPPING, JoinLimits()), stuck_s=60, once=once)
        self.at_end = bridge.stop
        return bridge


async def test_open_traces_hold_the_commit_back_and_are_left_for_the_next_start() -> None:
    world = World([Polled(1, [asked(0, 0)], 0), Polled(1, [asked(1, 1, LATER_MS)], LATER_MS)])
    await world.bridge().run()
    assert [key for key, _ in world.sent] == [trace_id(0)]
    assert world.commits == [{SPANS: 0}, {SPANS: 1}]


async def test_a_send_that_fails_is_repeated_and_nothing_is_committed_before() -> None:
    world = World([Polled(1, [asked(0, 0)], LATER_MS)], refusals=3)
    await world.bridge().run()
    assert [key for key, _ in world.sent] == [trace_id(0)]
    assert world.commits == [{SPANS: 1}]
    assert sum("sending 1 events again" in one for one in world.said) == 3


async def test_told_to_end_while_the_broker_is_away_it_ends_and_commits_nothing() -> None:
    world = World([Polled(1, [asked(0, 0)], LATER_MS)], refusals=10**9)
    world.last_word = "sending 1 events again"
    await world.bridge().run()
    assert (world.sent, world.commits) == ([], [{SPANS: 0}])


async def test_after_a_rebalance_what_was_open_is_read_again() -> None:
    world = World([Polled(1, [asked(0, 0)], 0), Polled(2, [asked(0, 0)], LATER_MS)])
    await world.bridge().run()
    assert [key for key, _ in world.sent] == [trace_id(0)]
    assert world.commits[-1] == {SPANS: 1}


async def test_what_is_on_the_traces_topic_already_is_not_told_again_and_late_labels_find_it() -> None:
    before = World([Polled(1, [asked(0, 0)], LATER_MS)])
    await before.bridge().run()
    ((_, value),) = before.sent
    late = SpanRecord(
        Place(LOGS, 0), 9, logs_value(evaluation(0, 1, "task_success", label="fail")), is_logs=True
    )
    told = [json.loads(value), {"event_id": "x"}, {"event_id": "otel-other", "trace_id": "0" * 32}]
    world = World([Polled(1, [asked(0, 0), late], LATER_MS)], told_before=told)
    await world.bridge().run()
    ((key, outcome),) = world.sent
    said = json.loads(outcome)
    assert (key, said["kind"], said["task_success"]) == (trace_id(0), "outcome", False)
    again = World([Polled(1, [asked(0, 0), late], LATER_MS)], told_before=[*told, said])
    await again.bridge().run()
    assert again.sent == []
    assert again.commits == [{SPANS: 1, LOGS: 1}]


async def test_once_tells_of_everything_at_the_end_and_leaves() -> None:
    late = SpanRecord(
        Place(LOGS, 0), 5, logs_value(evaluation(0, 1, "task_success", label="pass")), is_logs=True
    )
    bad = SpanRecord(Place(SPANS, 1), 5, b"\xff\xff", is_logs=False)
    world = World([Polled(1, [asked(0, 0), late, bad], 0, is_at_end=True), Polled(1, [asked(2, 1)], 0)])
    await world.bridge(once=True).run()
    assert len(world.sent) == 1
    assert b'"task_success":true' in world.sent[0][1]
    assert world.commits == [{SPANS: 2, LOGS: 1}]
    assert any("record:not_otlp: 1 more, such as otlp_spans/0@1" in one for one in world.said)


async def test_an_event_that_would_be_a_dead_letter_is_counted_and_not_sent() -> None:
    world = World([Polled(1, [asked(0, 0)], LATER_MS)])
    await world.bridge(encoded=lambda _: "too_long:release").run()
    assert (world.sent, world.commits) == ([], [{SPANS: 1}])
    assert any("unfit:too_long:release: 1 more" in one for one in world.said)


@pytest.mark.parametrize("fault", [LogUnreachable("no answer"), Polled(1, (), None)], ids=["away", "silent"])
async def test_standing_still_ends_it_with_what_to_do(fault: Polled | LogUnreachable) -> None:
    world = World([fault] * 100)
    with pytest.raises(BridgeStuck, match=r"nothing has moved for 6[0-9] s"):
        await world.bridge().run()


async def test_standing_by_is_no_standstill() -> None:
    world = World([Polled(1, (), None, is_standby=True)] * 100)
    await world.bridge().run()
