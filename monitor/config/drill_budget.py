"""The budget of a drill: the real one's flag and proof, and one objective that a single incident breaks."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from monitor.core.budget import Budget, FlagTarget
from monitor.core.rehearsal import StandIns

GROUP: Final = "rehearsal"


def drill_flag(flag: FlagTarget, key: str) -> FlagTarget:
    """Return the switch that a drill turns: the real one's twin, or itself."""
    return replace(flag, key=key)


def drill_budget(budget: Budget, names: StandIns, flag: FlagTarget) -> bytes:
    """Return the drill's budget as it is published; it loads as any other.

    The rule is not what is rehearsed (`test` and `backtest` do that): one marked incident asks for it at once,
    so that a drill takes minutes where a sustained breach takes its duration.
    """
    switch: dict[str, Any] = {
        "actuator": flag.actuator,
        "key": flag.key,
        "baseline_variation": flag.baseline_variation,
        "candidate_variation": flag.candidate_variation,
        "rollback_by": flag.rollback_by.value,
    }
    if flag.scope is not None:
        switch["scope"] = flag.scope
    document = {
        "release": names.candidate,
        "baseline": names.baseline,
        "window": "24h",
        "name": f"rehearsal of {budget.name or budget.release}"[:128],
        "rollback_budget": {
            GROUP: {
                "high_severity_incidents_increase": 0,
                "action": "immediate_rollback",
                "literal": True,  # the first one acts, also where no past of the stand-ins is known: there is none
                "on_no_data": "hold",
            }
        },
        "flag": switch,
        "verify": {"share_pct": budget.verify.share_pct, "within": f"{budget.verify.within_min}m"},
    }
    return json.dumps(document).encode()
