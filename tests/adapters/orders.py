"""Rollback orders, as the tests of actuators give them."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.core.budget import RollbackBy
from monitor.engine.ports import RollbackOrder


def order(
    *,
    decision_id: str = "d1",
    flag_key: str = "chat-model",
    baseline: str = "v41",
    scope: str | None = None,
    cohort: Mapping[str, str] | None = None,
    candidate: str = "v42",
    rollback_by: RollbackBy = RollbackBy.SERVE_VARIATION,
) -> RollbackOrder:
    """Return the order "serve v41 instead of v42"."""
    return RollbackOrder(
        decision_id=decision_id,
        release="model-v42",
        baseline="model-v41",
        reason="breach",
        actuator="any",
        flag_key=flag_key,
        baseline_variation=baseline,
        candidate_variation=candidate,
        scope=scope,
        cohort=cohort or {},
        rollback_by=rollback_by,
    )
