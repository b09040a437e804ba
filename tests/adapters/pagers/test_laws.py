"""Whatever goes wrong on the way, in whatever order: people are called once for each opening, and see how it ended."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.core.decision import Type
from monitor.engine.act import Outcome
from tests.adapters.pagers.rigs import RIGS, Rig
from tests.adapters.pagers.systems import serving
from tests.adapters.pagers.test_faults import CHANGE, DATA, PAGE, acting, ledger
from tests.engine.acting import page

# Those that cost no real time; the slow ones are in the table of faults.
QUICK = st.sampled_from(["500", "500 after applying", "429", "reset"])
ONE_ROUND = st.tuples(st.booleans(), st.booleans())  # was it seen, did it run out
LIVES = st.lists(ONE_ROUND, min_size=1, max_size=3)


def life(rounds: list[tuple[bool, bool]], is_over: bool) -> list[dict[str, Any]]:
    """Return the events of a page that opens once a round, each with its own id and later than the one before."""
    events: list[dict[str, Any]] = []
    for number, (seen, ran_out) in enumerate(rounds, 1):
        kinds = ["page.opened", *["page.acknowledged"] * seen, *["page.expired"] * ran_out]
        if number < len(rounds) or is_over:
            kinds.append("page.resolved")
        for kind in kinds:
            at = f"2026-11-18T11:{len(events):02d}:00.000Z"
            data = {**(DATA if kind == "page.opened" else CHANGE), "decided_at": at, "author": "ann"}
            events.append(page(kind, **data) | {"id": f"e{len(events)}"})
    return events


def shown(rounds: list[tuple[bool, bool]], is_over: bool, rig: Rig) -> str:
    """Return how a person has to find the page in the end."""
    if is_over:
        return "resolved"
    seen, ran_out = rounds[-1]
    is_loud_again = ran_out and not rig.name.startswith(
        "pagerduty"
    )  # who acknowledged an incident there has it
    return "acknowledged" if seen and not is_loud_again and rig.acknowledges else "open"


@pytest.mark.parametrize("name", ["alertmanager", "pagerduty", "slack"])
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(LIVES, st.booleans(), st.lists(QUICK, max_size=12), st.sets(st.integers(0, 11), max_size=4))
async def test_people_are_called_once_for_each_opening_and_see_its_end(
    name: str, rounds: list[tuple[bool, bool]], is_over: bool, faults: list[str], restarts: set[int]
) -> None:
    rig, book = RIGS[name](), ledger()
    rig.front.faults = faults
    events = life(rounds, is_over)
    async with serving(rig.front):
        act = acting(rig, book)
        for number, event in enumerate(events):
            if number in restarts:
                act = acting(rig, book)
            assert await act.on_page(event) is Outcome.DONE
        await rig.close()
    assert rig.pages() == {PAGE: shown(rounds, is_over, rig)}
    assert rig.messages() == (1 if name == "alertmanager" else len(rounds))
    assert len(book.of(Type.PAGE_DELIVERED)) == len(rounds)
