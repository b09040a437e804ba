"""Units that go back and forth: from the events through the fold, the store's packing and a merge, to one page."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.adapters.kafka.decode import TraceRecord
from monitor.core.aggregate import Aggregate, merged
from monitor.core.budget import EvidenceMode
from monitor.core.cell import CellKey
from monitor.core.cohort import OVERALL
from monitor.core.decision import Decision, Type
from monitor.core.plan import plan_for
from monitor.core.units import UnitSample, unit_hash
from monitor.core.window import tick_ms
from monitor.engine.codec import decode_cell, encode_cell
from monitor.engine.evaluate import Stage
from monitor.engine.seal import StateDamaged
from tests.engine.worlds import (
    BASELINE,
    CANDIDATE,
    LAWS,
    START_MS,
    T0,
    budget,
    folded,
    objective,
    plan_of,
    replayed,
    seen,
)

CELL = CellKey(T0, CANDIDATE, OVERALL)


def traffic(share: float, sticks: bool, *, minutes: int = 75, per_min: int = 40) -> list[TraceRecord]:
    rng = np.random.default_rng(7)
    events = []
    for number in range(minutes * per_min):
        unit = int(rng.integers(0, 600))
        draw = int.from_bytes(unit_hash(f"s{unit}"), "big") / 2**64 if sticks else rng.random()
        events.append(
            seen(
                f"e{number}",
                START_MS + number * 60_000 // per_min,
                CANDIDATE if draw < share else BASELINE,
                unit_id=f"user-{unit}",
                task_success=number % 10 > 0,
                cohort={"workflow": f"w{number % 3}"},
            )
        )
    return events


def pages(decisions: list[Decision]) -> list[Decision]:
    return [one for one in decisions if one.type is Type.PAGE_OPENED]


@pytest.mark.parametrize("partitions", [1, 3])
def test_assignment_per_request_pages_once_and_acts_on_nothing(partitions: int) -> None:
    events = traffic(0.5, sticks=False, minutes=140)
    replay, out = replayed(
        budget(objective(hold=20, evidence=EvidenceMode.DEFAULT)),
        events,
        partitions=partitions,
        place=lambda number: number % partitions,
    )
    (page,) = pages(out)
    assert (page.data["reason"], page.data["objective"], page.data["deadline"]) == ("not_sticky", None, None)
    assert "units go back and forth between the arms" in str(page.data["summary"])
    assert page.at_ms <= tick_ms(T0 + 70)
    assert replay.evaluators[0].progress.stage is Stage.ENDED
    assert any("units went back and forth" in text for text in out[-1].data["warnings"])  # type: ignore[attr-defined]


def test_the_partitions_make_no_difference() -> None:
    events = traffic(0.5, sticks=False)
    one, three = (
        replayed(
            budget(objective(hold=20, evidence=EvidenceMode.DEFAULT)),
            events,
            partitions=n,
            place=lambda number, n=n: number % n,
        )[1]
        for n in (1, 3)
    )
    assert [page.data["summary"] for page in pages(one)] == [page.data["summary"] for page in pages(three)]
    assert [page.decision_id for page in pages(one)] == [page.decision_id for page in pages(three)]


def test_assignment_that_sticks_says_nothing() -> None:
    assert (
        pages(
            replayed(
                budget(objective(hold=20, evidence=EvidenceMode.DEFAULT)),
                traffic(0.3, sticks=True, minutes=140),
            )[1]
        )
        == []
    )


@pytest.mark.parametrize("strata", [(), ("workflow",)])
def test_a_release_s_units_are_in_its_overall_cell_however_it_is_broken_down(strata: tuple[str, ...]) -> None:
    events = [
        seen(f"e{n}", START_MS, unit_id=f"user-{n % 5}", cohort={"workflow": f"w{n % 3}"}) for n in range(20)
    ]
    fold, _ = folded(events, plan_for([budget(strata=strata)]))
    assert fold.cells[CELL].units == _sample(range(5))
    assert CELL in fold.changed
    assert all(one.units is None for key, one in fold.cells.items() if key != CELL)
    assert sum(one.total().requests for one in fold.cells.values()) == 20


def test_labels_that_come_later_and_requests_without_a_unit_bring_none() -> None:
    events = [
        seen("a", START_MS, task_success=True),
        seen("b", START_MS, unit_id="user-1", kind="outcome", task_success=True),
    ]
    fold, _ = folded(events, plan_of(objective()))
    assert all(one.units is None for one in fold.cells.values())


@LAWS
@given(st.lists(st.integers(0, 999), max_size=700), st.lists(st.integers(0, 999), max_size=700))
def test_a_stored_sample_comes_back_and_merges(one: list[int], other: list[int]) -> None:
    cells = []
    for ids in (one, other):
        made = Aggregate()
        for unit in ids:
            made.serve(f"user-{unit}")
        cells.append(decode_cell(encode_cell(made)))
        assert cells[-1] == made
    assert merged(cells).units == (_sample([*one, *other]) if one or other else None)


@pytest.mark.parametrize("packed", [b"1234567", b"12345678" * 257])
def test_a_damaged_sample_is_refused(packed: bytes) -> None:
    cell = list(msgspec.msgpack.decode(encode_cell(Aggregate())))
    with pytest.raises(StateDamaged, match="sample"):
        decode_cell(msgspec.msgpack.encode([*cell, packed]))


def _sample(ids: object) -> UnitSample:
    made = UnitSample()
    for one in ids:  # type: ignore[attr-defined]
        made.offer(f"user-{one}")
    return made
