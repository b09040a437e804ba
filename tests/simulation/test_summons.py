"""A page that nobody sees to calls people again, once each, whatever happens to the workers meanwhile."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from monitor.adapters.kafka.topics import LEDGER, PAGES
from monitor.config.budget_file import load_budget
from monitor.wire.cloudevent import from_binary, to_structured
from tests.simulation.nemesis import havoc
from tests.simulation.traffic import Story
from tests.simulation.world import BUDGET, Setup, World

ASKS = Story("model-2", bad=((3, 60),))
CALLS = {"page.reminded": 1, "page.escalated": 2}
ASKING = BUDGET.replace(
    "task_success_delta_pct: -10\n", "task_success_delta_pct: -10\n    tier: B\n"
).replace(
    "within_60m\n", "within_16m\nescalation: [{{after: 2m, on_call: ada}}, {{after: 5m, on_call: bob}}]\n"
)


@pytest.mark.parametrize("seed", [1, 2])
def test_each_call_is_made_once_through_kills_and_outages(seed: int) -> None:
    world = World(seed, Setup(minutes=20, workers=2, partitions=2, hostile=0.0, pause_s=1.0))
    world.stories[:] = [ASKS]
    world.budgets = (load_budget(ASKING.format(release=ASKS.release), "budget.yaml"),)
    world.run(havoc)
    assert world.violations == []
    said = [to_structured(from_binary(one.value, list(one.headers))) for one in world.broker.flat(PAGES)]
    opened = {one["id"] for one in said if one["type"].endswith("page.opened.v1")}
    assert opened, "nobody was asked"
    for name, expected in CALLS.items():
        ids = {one["id"] for one in said if one["type"].endswith(f"{name}.v1")}
        assert len(ids) == expected, name
        assert ids <= {notice.event_id for notice in world.people.told.values()}, f"nobody heard of {name}"
    recorded = Counter(
        str(record.key)
        for record in world.broker.flat(LEDGER)
        if json.loads(record.value or b"{}")["event"]["type"].split(".", 2)[2].removesuffix(".v1") in CALLS
    )
    assert len(recorded) == sum(CALLS.values())
    world.close()
