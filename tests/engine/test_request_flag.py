"""How a flag goes back travels with the request: from the budget through its canonical form to the order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.config.budget_file import load_budget
from monitor.config.canonical import canonical, from_canonical, with_digest
from monitor.core.budget import RollbackBy
from monitor.engine.act_events import order_of
from monitor.engine.errors import ActuatorFailed
from monitor.engine.request import switch_of

FILE = Path(__file__).parent.parent / "config" / "good" / "flag_rollout_zero.yaml"


def request(flag: dict[str, object]) -> dict[str, Any]:
    """Return a request with that flag."""
    data = {
        "release": "model-v42",
        "baseline": "model-v41",
        "flag": flag,
        "baseline_variation": "v41",
        "candidate_variation": "v42",
    }
    return {"type": "dev.rollbackbudget.rollback.requested.v1", "id": "r1", "data": data}


@pytest.mark.parametrize("way", list(RollbackBy))
def test_the_order_goes_back_the_way_the_budget_says(way: RollbackBy) -> None:
    loaded = load_budget(FILE.read_bytes(), FILE.name)
    assert loaded.flag is not None
    stored = from_canonical(
        canonical(with_digest(replace(loaded, flag=replace(loaded.flag, rollback_by=way))))
    )
    assert stored.flag is not None
    ordered = order_of(request(switch_of(stored.flag)))
    assert (ordered.rollback_by, ordered.scope, ordered.actuator) == (way, "chat/production", "launchdarkly")


def test_the_usual_way_is_not_said_so_that_older_budgets_keep_their_digests() -> None:
    loaded = load_budget(FILE.read_bytes(), FILE.name)
    assert loaded.flag is not None
    usual = replace(loaded.flag, rollback_by=RollbackBy.SERVE_VARIATION)
    assert "rollback_by" not in canonical(replace(loaded, flag=usual))["flag"]
    assert "rollback_by" not in switch_of(usual)
    assert with_digest(replace(loaded, flag=usual)).digest != with_digest(loaded).digest


def test_an_order_that_goes_back_in_an_unknown_way_is_refused() -> None:
    flag: dict[str, object] = {"actuator": "unleash", "key": "k", "rollback_by": "toggle"}
    with pytest.raises(ActuatorFailed, match="toggle") as failed:
        order_of(request(flag))
    assert not failed.value.retryable
