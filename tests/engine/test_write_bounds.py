"""A write is atomic and has its bounds: no record that the contract allows may make one that cannot be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import pytest

from benchmarks.performance.traffic import budget
from monitor.adapters.flush_limits import check_flush
from monitor.adapters.kafka.decode import decode
from monitor.config.budget_file import load_budget
from monitor.core.plan import plan_for
from monitor.engine.ingest import PartitionIngest
from monitor.engine.pace import SLICE_RECORDS
from monitor.engine.ports import MAX_FLUSH_BYTES, Claim, Partition
from monitor.wire.trace_event import MAX_COHORT_TEXT, MAX_FAILURE_CLASS, MAX_REFERENCE
from tests.engine.logs import START_MS

DIMENSIONS = ("tenant", "workflow", "intent", "language")
RECORDS = 4_000
WIDEST = "\U0001f600"  # four bytes


@dataclass(frozen=True)
class Row:
    """A record as the log has it."""

    offset: int
    timestamp: int
    value: bytes | None


def rows(most: int, minutes: int, *, junk: bool = False, severity: str | None = None) -> list[Row]:
    """Requests of the candidate, each of a tenant of its own, bad in every way, with texts as long as they may be."""
    made = []
    for number in range(RECORDS):
        at_ms = START_MS + number * minutes * 60_000 // RECORDS
        name = WIDEST * most + f"{number:08x}"
        event = {
            "event_id": f"e{number}",
            "at": at_ms,
            "release": "model-v42-0000",
            "cohort": dict.fromkeys(DIMENSIONS, name[-MAX_COHORT_TEXT:]),
            "task_success": False,
            "human_handoff": True,
            "latency_ms": 1.0 + number * 37 % 1_000_000,
            "cost_usd": number % 97 / 7,
            "trace_id": name[-MAX_REFERENCE:],
            "failure_class": WIDEST * min(most, MAX_FAILURE_CLASS),
            "incident_severity": severity,
        }
        is_junk = junk and number % 5 == 0
        made.append(Row(number, at_ms, None if is_junk else msgspec.json.encode(event)))
    return made


def sizes(records: Sequence[Row], dimensions: tuple[str, ...]) -> list[int]:
    """Return how many bytes each write of a partition has that holds these records; each is one that is allowed."""
    plan = plan_for([load_budget(budget(cohorts=dimensions), "budget.yaml")])
    claim = Claim(Partition("traces", 0), "owner", {})
    owner = PartitionIngest(
        claim, plan, decode, start_offset=0, max_ids=99_999, event_time=lambda at_ms: at_ms
    )
    found = []

    def write() -> None:
        flush = owner.flush()
        check_flush(flush.batch, flush.expected_offset, flush.fields)
        found.append(sum(len(name) + len(value) for name, value in flush.fields.items()))
        owner.flushed(flush)

    done = 0
    while done < len(records):
        taken = owner.take(records[done : done + SLICE_RECORDS])
        assert taken or owner.is_full
        done += taken
        owner.handed_over(len(owner.incidents), len(owner.letters))
        if owner.is_full:
            write()
    write()
    assert owner.fold.totals.records == len(records)
    return found


@pytest.mark.parametrize("dimensions", [(), ("tenant",), DIMENSIONS], ids=["whole", "one", "four"])
@pytest.mark.parametrize("minutes", [1, 30])
def test_the_longest_texts_of_the_contract_make_no_write_that_is_too_large(
    dimensions: tuple[str, ...], minutes: int
) -> None:
    found = sizes(rows(MAX_REFERENCE, minutes), dimensions)
    assert max(found) <= MAX_FLUSH_BYTES
    assert len(found) < RECORDS / 4


@pytest.mark.parametrize("severity", ["low", "critical"])
def test_nor_do_incidents_among_records_that_cannot_be_read(severity: str) -> None:
    assert max(sizes(rows(MAX_REFERENCE, 30, junk=True, severity=severity), DIMENSIONS)) <= MAX_FLUSH_BYTES


def test_ordinary_texts_make_few_writes() -> None:
    """A part is packed anew at each write of its minute: the more fits into one, the less often."""
    assert len(sizes(rows(0, 2), ("tenant",))) <= 2
