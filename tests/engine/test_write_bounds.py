"""A write is atomic and has its bounds: no record that the contract allows may make one that cannot be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count, islice

import msgspec
import pytest

from benchmarks.performance.traffic import budget
from monitor.adapters.flush_limits import check_flush
from monitor.adapters.kafka.decode import decode
from monitor.config.budget_file import load_budget
from monitor.core.aggregate import Aggregate
from monitor.core.breakdown import shard_of
from monitor.core.cell import CellKey
from monitor.core.cohort import OVERALL, by_every
from monitor.core.exemplar import Exemplar
from monitor.core.plan import PARTS_MAX, plan_for
from monitor.engine.codec import cell_key, decode_cell, encode_cells
from monitor.engine.ingest import Flush, PartitionIngest
from monitor.engine.pace import SLICE_RECORDS
from monitor.engine.ports import MAX_FLUSH_BYTES, Claim, Partition
from monitor.wire.trace_event import MAX_COHORT_TEXT, MAX_FAILURE_CLASS, MAX_REFERENCE
from tests.engine.logs import START_MS

DIMENSIONS = ("tenant", "workflow", "intent", "language")
RECORDS = 4_000
CANDIDATE, BASELINE = "model-v42-0000", "model-v41"  # of that budget
WIDEST = "\U0001f600"  # four bytes


@dataclass(frozen=True)
class Row:
    """A record as the log has it."""

    offset: int
    timestamp: int
    value: bytes | None


def rows(
    most: int, minutes: int, *, release: str = CANDIDATE, junk: bool = False, severity: str | None = None
) -> list[Row]:
    """Requests of a release, each of a tenant of its own, bad in every way, with texts as long as they may be."""
    made = []
    for number in range(RECORDS):
        at_ms = START_MS + number * minutes * 60_000 // RECORDS
        name = WIDEST * most + f"{number:08x}"
        event = {
            "event_id": f"e{number}",
            "at": at_ms,
            "release": release,
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


def of_one_shard(records: Sequence[Row]) -> list[Row]:
    """Return the same requests, of values that were chosen so that one small cell of each slice holds them all."""
    names = (name for name in map(hex, count()) if shard_of(name) == 0)
    chosen, made = list(islice(names, PARTS_MAX)), []
    for row in records:
        event = msgspec.json.decode(row.value or b"")
        event["cohort"] = dict.fromkeys(DIMENSIONS, chosen[row.offset % PARTS_MAX])
        made.append(replace(row, value=msgspec.json.encode(event)))
    return made


def written(records: Sequence[Row], dimensions: tuple[str, ...]) -> list[Flush]:
    """Return the writes of a partition that holds these records; each is one that is allowed."""
    plan = plan_for([load_budget(budget(cohorts=dimensions), "budget.yaml")])
    claim = Claim(Partition("traces", 0), "owner", {})
    owner = PartitionIngest(
        claim, plan, decode, start_offset=0, max_ids=99_999, event_time=lambda at_ms: at_ms
    )
    found = []

    def write() -> None:
        flush = owner.flush()
        check_flush(flush.batch, flush.expected_offset, flush.fields)
        found.append(flush)
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


def sizes(records: Sequence[Row], dimensions: tuple[str, ...]) -> list[int]:
    """Return how many bytes each of those writes has."""
    flushes = written(records, dimensions)
    return [sum(len(name) + len(value) for name, value in flush.fields.items()) for flush in flushes]


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


@pytest.mark.parametrize("dimensions", [(), *(DIMENSIONS[:many] for many in (1, 2, 3, 4))], ids=len)
@pytest.mark.parametrize("release", [CANDIDATE, BASELINE])
def test_nor_do_records_that_lie_so_far_apart_that_each_opens_cells_of_its_own(
    dimensions: tuple[str, ...], release: str
) -> None:
    """A write has a most of fields too, and every minute has a manifest beside its cells."""
    assert len(written(rows(0, RECORDS, release=release), dimensions)) > 1


def test_ordinary_texts_make_few_writes() -> None:
    """A part is packed anew at each write of its minute: the more fits into one, the less often."""
    assert len(sizes(rows(0, 2), ("tenant",))) <= 2


def test_values_chosen_to_share_a_cell_cost_their_exemplars_and_no_count() -> None:
    """Whoever names tenants knows where they go; what keeps a write small then is said, and is never a count."""
    flushes = written(of_one_shard(rows(MAX_REFERENCE, 1)), DIMENSIONS)
    assert any(flush.is_bare for flush in flushes)
    last = {key: packed for flush in flushes for key, packed in flush.fields.items()}
    tenants = by_every(OVERALL, ("tenant",))
    cells = [(key, decode_cell(last[field])) for field in last if (key := cell_key(field)) is not None]
    assert sum(cell.total().requests for key, cell in cells if key.view == tenants) == RECORDS


@pytest.mark.parametrize("most, is_bare", [(10**6, False), (100, True)])
def test_cells_give_up_the_exemplars_of_their_parts_where_they_would_take_too_much(
    most: int, is_bare: bool
) -> None:
    cell = Aggregate()
    cell.keep("error", Exemplar(1, "of the cell", ""))
    cell.parts["acme"] = part = Aggregate()
    part.requests = 3
    part.keep("error", Exemplar(1, "of a part" * 20, ""))
    key = CellKey(1, "v42", OVERALL)
    packed, told = encode_cells({key: cell}, most)
    found = decode_cell(packed[key])
    assert (told, found.parts["acme"].requests, bool(found.parts["acme"].exemplars)) == (
        is_bare,
        3,
        not is_bare,
    )
    assert found == cell
    assert found.exemplars
