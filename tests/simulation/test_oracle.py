"""The oracle by hand: small logs whose truth is written beside them; and it knows nothing of the product."""

from __future__ import annotations

import ast
import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.simulation import oracle
from tests.simulation.oracle import Arrived, Cell, Limit, Totals

M = 60_000
NOW = 1_000 * M


def event(at_ms: int, event_id: str = "e", release: str = "new", **more: Any) -> bytes:
    return json.dumps({"event_id": event_id, "at": at_ms, "release": release, **more}).encode()


def totals(*records: tuple[int, int, bytes | None]) -> Totals:
    arrived = [Arrived(offset, at_ms, value) for offset, at_ms, value in records]
    return oracle.truth_of({0: arrived}, ["new", "old"]).totals[0]


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([(0, NOW, event(NOW))], Totals(accepted=1)),
        ([(0, NOW, None), (1, NOW, b"{")], Totals(rejected=2)),
        ([(0, NOW, event(NOW + 300_000))], Totals(accepted=1)),
        ([(0, NOW, event(NOW + 300_001))], Totals(rejected=1)),
        ([(5, NOW, event(NOW)), (8, NOW, event(NOW, "f"))], Totals(accepted=2, gaps=2)),
        ([(0, NOW, event(NOW)), (1, NOW, event(NOW))], Totals(accepted=1, duplicates=1)),
        ([(0, NOW, event(NOW)), (1, NOW + 3 * M, event(NOW + 3 * M))], Totals(accepted=2)),
        ([(0, NOW, event(NOW)), (1, NOW, event(NOW - 120_001, "f"))], Totals(accepted=1, late=1)),
        ([(0, NOW, event(NOW, release="else"))], Totals(accepted=1, others=1)),
    ],
)
def test_every_record_has_one_fate(records: list[tuple[int, int, bytes | None]], expected: Totals) -> None:
    assert totals(*records) == expected


def test_what_the_contract_leaves_open_is_refused() -> None:
    """Not late by its partition's clock, and in a minute that the broker's time may have closed."""
    with pytest.raises(oracle.Unsure):
        totals((0, NOW, event(NOW)), (1, NOW + 4 * M, event(NOW, "f")))


def test_where_producers_are_real_what_is_open_is_set_apart_and_no_more_than_that() -> None:
    records = [Arrived(0, NOW, event(NOW)), Arrived(1, NOW + 4 * M, event(NOW, "f"))]
    truth = oracle.truth_of({0: records}, ["new"], is_strict=False)
    assert truth.totals[0] == Totals(accepted=1, unsure=1)
    assert truth.unsure == {(NOW // M, "new")}
    allowed = [Totals(accepted=2), Totals(accepted=1, late=1)]
    wrong = [Totals(accepted=1), Totals(accepted=3), Totals(late=2), Totals(accepted=1, duplicates=1)]
    assert all(truth.totals[0].allows(one) for one in allowed)
    assert not any(truth.totals[0].allows(one) for one in wrong)


@pytest.mark.parametrize(
    ("hits", "minute"),
    [
        ([10, 10, 10, 10], None),
        ([9, 9, 9, 9], None),  # exactly ten percent less is not beyond
        ([8, 8, 8, 8], 3),
        ([8, 8, 8, 9, 8], None),
        ([9, 8, 8, 8, 8], 4),
    ],
)
def test_the_letter_of_the_rule(hits: list[int], minute: int | None) -> None:
    truth = oracle.Truth()
    for number, hit in enumerate(hits):
        truth.cells[number, "new"] = Cell(requests=10, known=10, hits=hit)
        truth.cells[number, "old"] = Cell(requests=10, known=10, hits=10)
    limit = Limit("new", "old", Fraction(10), hold_min=4, literal_safety=True)
    assert oracle.breaks(truth, limit, 0, 100) == minute


def test_the_oracle_imports_nothing_but_the_standard_library() -> None:
    tree = ast.parse(Path(oracle.__file__).read_text(encoding="utf-8"))
    named = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
        )
    }
    assert named <= sys.stdlib_module_names
