"""What earlier versions stored of one log, as files: this version takes each over and goes on as if it were its own.

A new layout of the state gets a file more: `as_stored(read(STORED, {}))` of the version that has it, before it changes.
"""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest

from monitor.adapters.kafka.decode import decode
from monitor.core.aggregate import Aggregate
from monitor.core.plan import plan_for
from monitor.engine.codec import cell_key, decode_cell, decode_meta, encode_cell
from monitor.engine.ingest import PartitionIngest
from monitor.engine.ports import Claim, Partition
from tests.engine.logs import START_MS, TOPIC, Row
from tests.engine.plant import budget

STATES = sorted((Path(__file__).parent / "states").glob("*.json"))
STORED, ALL = 40, 60


def rows(count: int) -> list[Row]:
    """Return the log that all of them have read: good ones, repeats, latecomers and poison."""
    made = []
    for number in range(count):
        at_ms = START_MS + number * 9_000
        event = {
            "event_id": f"e{number - (number % 7 == 6)}",
            "at": at_ms - (200_000 if number % 11 == 10 else 0),
            "release": "v42" if number % 3 == 0 else "v41",
            "task_success": number % 4 > 0,
            "latency_ms": 500 + number * 10,
        }
        made.append(Row(number, at_ms, b"no json" if number % 13 == 12 else json.dumps(event).encode()))
    return made


def read(count: int, fields: dict[str, bytes]) -> PartitionIngest:
    """Take a state over and read the log up to a record."""
    ingest = PartitionIngest(
        Claim(Partition(TOPIC, 0), "2:w:0", fields),
        plan_for([budget()]),
        decode,
        start_offset=0,
        max_ids=1_000,
        event_time=lambda at_ms: at_ms,
    )
    for _ in ingest.restoring():
        pass
    left = rows(count)[ingest.read_from :]
    while left:
        left = left[ingest.take(left) :]
    return ingest


def as_stored(ingest: PartitionIngest) -> dict[str, bytes]:
    return dict(ingest.flush().fields)


def whole_cells(fields: dict[str, bytes]) -> dict[tuple[int, str], bytes]:
    """Return what is stored of each minute and release; the first version did not break its cells down."""
    found: dict[tuple[int, str], Aggregate] = {}
    for name, packed in fields.items():
        key = cell_key(name)
        if key is not None:
            found.setdefault((key.minute, key.release), Aggregate()).add_total(decode_cell(packed))
    return {key: encode_cell(cell) for key, cell in found.items()}


@pytest.mark.parametrize("path", STATES, ids=lambda path: path.stem)
def test_the_state_of_an_earlier_version_is_taken_over_and_gone_on_with(path: Path) -> None:
    old = {name: b64decode(value) for name, value in json.loads(path.read_text()).items()}
    went_on, alone = read(ALL, old), read(ALL, {})
    assert went_on.read_from < STORED < went_on.offset == ALL
    assert went_on.fold.totals == alone.fold.totals
    assert went_on.fold.clock_ms == alone.fold.clock_ms
    assert whole_cells(old | as_stored(went_on)) == whole_cells(as_stored(alone))


def test_the_last_file_is_the_layout_of_this_version() -> None:
    """Where this fails the layout has changed: keep the last file, and add one of the new layout."""
    last = {name: b64decode(value) for name, value in json.loads(STATES[-1].read_text()).items()}
    now = as_stored(read(STORED, {}))
    assert now.keys() == last.keys()
    assert decode_meta(now["meta"]) == decode_meta(last["meta"])
    assert now == last
