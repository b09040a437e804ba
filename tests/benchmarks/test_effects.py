"""Orders and pages into failing systems: the document is what the results on file give, and what counts is exact."""

from __future__ import annotations

import pytest

from benchmarks.effects import flags, pagers, results
from tests.adapters.flags.servers.base import Fault


def test_the_document_s_tables_are_what_the_results_give() -> None:
    page = results.PAGE
    assert sorted(page.places()) == sorted(results.TABLES)
    assert page.rendered(results.load()) == page.text, "python -m benchmarks.effects.results"


def test_everything_on_file_was_exact() -> None:
    found = results.load()
    for part in ("flags", "pagers"):
        for system in found.get(part, {"systems": {}})["systems"].values():
            rows = [row for row in system["faults"].values() if row is not None]
            assert all(row["exact"] + row.get("twice", 0) == row["runs"] for row in rows)


@pytest.mark.parametrize("name", flags.CASES_OF)
@pytest.mark.parametrize("fault", [Fault.SLOW.value, flags.IN_A_ROW])
async def test_an_order_changes_everything_once_whatever_goes_wrong(name: str, fault: str) -> None:
    row = await flags.measure(name, fault, 3, seed=1)
    assert row is not None
    assert row["exact"] == row["runs"]


async def test_people_are_told_within_half_a_minute_of_a_flag_that_nobody_confirms() -> None:
    row = await flags.measure("webhook", flags.DEAD, 3, seed=1)
    assert row is not None
    assert (row["exact"], row["paged"]) == (3, 3)
    assert isinstance(row["latest_page_s"], float)
    assert row["latest_page_s"] <= 30.0


async def test_an_order_that_met_no_fault_does_not_count() -> None:
    """What is counted can fail."""
    case = flags.CASES_OF["webhook"][0]
    ran = await flags.carry_out(case, [])
    assert not ran.exact


@pytest.mark.parametrize("name", pagers.SYSTEMS)
async def test_a_page_is_told_once_whatever_goes_wrong(name: str) -> None:
    row = await pagers.measure(name, pagers.IN_A_ROW, 3, seed=1)
    assert row == {"runs": 3, "exact": 3}


async def test_a_page_that_never_arrived_does_not_count() -> None:
    """Any 2xx is a receipt of a webhook, as docs/pagers.md says: then nobody was told."""
    assert await pagers.told("webhook", ["wrong answer"]) == 0
    assert await pagers.measure("webhook", "wrong answer", 3, seed=1) is None
