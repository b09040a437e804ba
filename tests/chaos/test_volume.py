"""A volume's traffic is what it says, its recount agrees with the product, and a single loss is seen and told."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest

from benchmarks.performance.traffic import budget
from monitor.adapters.kafka.decode import decode
from monitor.config.budget_file import load_budget
from monitor.core.aggregate import Aggregate
from monitor.engine.codec import META_FIELD, cell_key, decode_cell, encode_cell
from tests.chaos import volume
from tests.chaos.recount import Counted, Difference, counted, difference
from tests.chaos.report import markdown, merged
from tests.chaos.volume_cases import CASES, Asked, Found, repeated
from tests.chaos.volume_crew import LAST_KILL, PAUSE_S, Killer, Tell
from tests.chaos.volume_traffic import Mixed
from tests.engine.logs import START_MS, Log
from tests.engine.plant import Plant
from tests.integration.workers import Worker
from tests.simulation.oracle import Arrived

MIXED = Mixed(3_000, hostile=300, tenants=40, lead="t7")
END_MS = START_MS + 3_600_000


@dataclass(frozen=True)
class Read:
    """A topic that the product has read: its records, what is stored of it, its dead letters."""

    records: dict[int, list[Arrived]]
    stored: dict[int, dict[str, bytes]]
    letters: list[tuple[int, int]]

    def truth(self) -> dict[int, Counted]:
        return {number: counted(records) for number, records in self.records.items()}

    def differs(self) -> Difference:
        return difference(self.truth(), self.stored, self.letters)


@pytest.fixture(scope="module")
def read() -> Read:
    """The whole of a topic, read by the product's own feed into a store in memory."""
    texts = budget(cohorts=("tenant",))
    plant = Plant((load_budget(texts, "budget.yaml"),), log=Log(partitions=MIXED.partitions))
    for number, value in MIXED.rows(END_MS):
        plant.log.write(number, value, END_MS)
    source = plant.source()
    feed = plant.feed(source)

    async def to_its_end() -> None:
        for _ in range(200):
            await feed.step()
        await feed.flush_all()

    asyncio.run(to_its_end())
    hashes = {one.number: dict(fields) for one, fields in plant.store._hashes.items()}
    records = {
        one.number: [Arrived(row.offset, row.timestamp, row.value) for row in rows]
        for one, rows in plant.log.rows.items()
    }
    return Read(records, hashes, [(one.partition.number, one.offset) for one in plant.topics.letters])


def test_the_recount_agrees_with_the_product_where_nothing_is_wrong(read: Read) -> None:
    assert read.differs() == Difference(0, 0, [])
    totals = [one.totals for one in read.truth().values()]
    assert sum(one.rejected for one in totals) == MIXED.hostile
    assert min(sum(one.duplicates for one in totals), sum(one.late for one in totals)) > 0
    assert sum(row[1] for one in read.truth().values() for row in one.cells.values()) > 0


def with_cell(read: Read, change: Callable[[Aggregate], None]) -> Read:
    """Return it with one part of one stored cell changed."""
    stored = {number: dict(fields) for number, fields in read.stored.items()}
    name = next(name for name in sorted(stored[2]) if cell_key(name) is not None)
    cell = decode_cell(stored[2][name])
    part = cell.parts[min(cell.parts)] if cell.parts else cell
    change(part)
    part.packed = None
    stored[2][name] = encode_cell(cell)
    return replace(read, stored=stored)


def more(name: str, by: int) -> Callable[[Aggregate], None]:
    return lambda cell: setattr(cell, name, getattr(cell, name) + by)


def hit(cell: Aggregate) -> None:
    cell.hits[0] -= 1


def slower(cell: Aggregate) -> None:
    cell.add_sizes("latency", 1, [], [])


@pytest.mark.parametrize(
    ("change", "lost", "double"),
    [
        (more("requests", -1), 1, 0),
        (more("requests", 1), 0, 1),
        (more("errors", 1), 0, 0),
        (hit, 0, 0),
        (slower, 0, 0),
    ],
    ids=["lost", "double", "an error", "a label's hit", "a microsecond"],
)
def test_a_single_count_that_is_wrong_is_told(
    read: Read, change: Callable[[Aggregate], None], lost: int, double: int
) -> None:
    found = with_cell(read, change).differs()
    assert (found.lost, found.double) == (lost, double)
    assert len(found.wrong) == 1
    assert "and it is" in found.wrong[0]


def test_an_event_that_is_hidden_from_the_recount_was_counted_once_too_often(read: Read) -> None:
    ids = Counter(json.loads(one.value or b"")["event_id"] for one in read.records[1] if accepted(one.value))
    last = max(one.offset for one in read.records[1] if accepted(one.value))
    hidden = next(
        one
        for one in read.records[1]
        if accepted(one.value) and ids[json.loads(one.value or b"")["event_id"]] == 1
    )
    assert hidden.offset < last
    rest = [one for one in read.records[1] if one is not hidden]
    found = replace(read, records={**read.records, 1: rest}).differs()
    assert found.double == 1
    assert found.lost == 0


def accepted(value: bytes | None) -> bool:
    """Tell whether the product's decoder takes it for an event of now."""
    read = decode(value)
    return not isinstance(read, str) and read.at_ms <= END_MS


def test_each_hostile_record_is_a_dead_letter_once_or_more_and_no_other_record_is(read: Read) -> None:
    (some, *rest), good = read.letters, next(one for one in read.records[0] if accepted(one.value))
    assert replace(read, letters=[some, *read.letters]).differs().wrong == []
    assert replace(read, letters=rest).differs().lost == 1
    assert replace(read, letters=[*read.letters, (0, good.offset)]).differs().double == 1


@pytest.mark.parametrize("field", [META_FIELD, "all"])
def test_a_partition_without_its_state_is_told(read: Read, field: str) -> None:
    kept = {name: value for name, value in read.stored[3].items() if field not in (name, "all")}
    found = replace(read, stored={**read.stored, 3: kept}).differs()
    assert "partition 3 has no state" in found.wrong
    assert (found.lost > 0) is (field == "all")


def test_the_traffic_is_of_its_seed_and_every_hostile_record_is_one() -> None:
    """Nothing good is refused, nothing hostile is taken; the decoder is the product's, the count the generator's."""
    rows = list(MIXED.rows(END_MS))
    refused = [value for _, value in rows if not accepted(value)]
    assert (len(rows), len(refused)) == (MIXED.counts["records"], MIXED.hostile)
    assert rows == list(MIXED.rows(END_MS))
    assert rows != list(replace(MIXED, lead="t8").rows(END_MS))
    assert len(set(refused)) > 200
    assert 0.02 < MIXED.counts["repeated"] / MIXED.requests < 0.04


def test_tenants_take_turns_where_each_has_to_be_there() -> None:
    mixed = Mixed(500, tenants=500, each_tenant=True)
    events = [json.loads(value or b"") for _, value in mixed.rows(END_MS)]
    assert len({event["cohort"]["tenant"] for event in events}) == 500


def test_a_harmful_candidate_fails_from_the_middle_on() -> None:
    rows = list(Mixed(2_000, harmful=True).rows(END_MS))
    events = [json.loads(value or b"") for _, value in rows]
    good = [event["task_success"] for event in events if event["release"] != "model-v41"]
    assert any(good[: len(good) // 2 - 10])
    assert not any(good[len(good) // 2 + 10 :])


class Few:
    """Two workers that only note that they were killed."""

    def __init__(self, folder: Path) -> None:
        self.workers = [Worker(name, folder, {}) for name in ("w1", "w2")]
        self.killed: list[str] = []

    def kill(self, worker: Worker) -> None:
        self.killed.append(worker.name)


def test_every_kill_of_the_seed_comes_and_none_before_its_place(tmp_path: Path) -> None:
    now, few = [0.0], Few(tmp_path)
    killer = Killer(Random("a"), few, 1_000, 40, clock=lambda: now[0])
    places = list(killer.at)
    assert places == Killer(Random("a"), few, 1_000, 40).at != Killer(Random("b"), few, 1_000, 40).at
    assert max(places) < LAST_KILL * 1_000
    killer(int(places[0]) - 1)
    assert few.killed == []
    killer(1_000)  # progress leaps: they come one after another, with their pauses
    assert len(few.killed) == 1
    for _ in places:
        now[0] += PAUSE_S
        killer(1_000)
    assert len(few.killed) == 40
    assert set(few.killed) == {"w1", "w2"}


def test_a_decision_that_is_published_again_is_told() -> None:
    assert repeated(["a", "b"]) == (2, [])
    assert repeated(["a", "b", "a"]) == (2, ["1 decisions are published again, as ['a']"])


ROW = Found("worker kills", "0 lost, 0 double", 10_300_000, 200, 0, 0, 900.04, 210.3).row() | {
    "command": "make volume",
    "machine": "2 cores",
}


def test_a_broken_promise_stands_in_the_docs_and_one_case_leaves_the_others_alone() -> None:
    kept = merged({"soak": 1}, {"volume": {"kills": ROW}})
    kept = merged(kept, {"volume": {"rebuild": {**ROW, "case": "rebuild", "wrong": ["rebuilt after 99 s"]}}})
    shown = markdown({"volume": kept["volume"]})
    assert "| worker kills | 10,300,000 | 200 | 0 | 0 | 900 | 0 lost, 0 double | 210 MiB |" in shown
    assert "**Broken:** rebuild: rebuilt after 99 s" in shown
    assert "Every promise about volume was kept." in markdown({"volume": {"kills": ROW}})
    assert kept["soak"] == 1


@pytest.mark.parametrize(("wrong", "code"), [([], 0), (["one is missing"], 1)])
def test_the_exit_code_and_the_output_say_how_it_went(
    wrong: list[str], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def case(asked: Asked, _folder: Path | None, tell: Tell) -> Found:
        tell("kills: stored", 1, asked.events or 0)
        return Found("worker kills", "0 lost", wrong=wrong)

    monkeypatch.setitem(CASES, "kills", case)
    assert volume.main(["--only", "kills", "--events", "7", "--seed", "3", "--no-cohorts"]) == code
    out, err = capsys.readouterr()
    assert "kills: stored: 1 of 7" in err
    assert 'make volume ARGS="--seed 3 --events 7 --no-cohorts --only kills"' in err
    assert ("FAILED: kills" in out) is bool(code)


def test_a_case_that_does_not_come_to_its_end_has_failed_and_the_next_is_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stuck(_asked: Asked, _folder: Path | None, _tell: Tell) -> Found:
        raise TimeoutError("3 of 7 records are stored")

    def fine(_asked: Asked, _folder: Path | None, _tell: Tell) -> Found:
        ran.append("rebuild")
        return Found("rebuild", "90 s")

    ran: list[str] = []
    monkeypatch.setitem(CASES, "kills", stuck)
    monkeypatch.setitem(CASES, "rebuild", fine)
    assert volume.main(["--only", "kills", "--only", "rebuild", "--seed", "3"]) == 1
    assert ran == ["rebuild"]


@pytest.mark.chaos
def test_a_small_volume_on_real_servers_is_exact_through_a_kill() -> None:
    found = CASES["kills"](Asked(seed=1, events=20_000, kills=1), None, lambda *_: None)
    assert (found.wrong, found.kills) == ([], 1)
