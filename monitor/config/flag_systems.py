"""What each flag system can do: a budget that asks for more is refused when it is read, not when it has to act.

The adapters of `monitor.adapters.flags` have the same names (a test compares them) and refuse by this table too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from monitor.core.budget import RollbackBy

_DISABLE, _ZERO, _SERVE = RollbackBy.DISABLE, RollbackBy.ROLLOUT_ZERO, RollbackBy.SERVE_VARIATION


@dataclass(frozen=True, slots=True)
class FlagSystem:
    """One system's abilities.

    Attributes:
        ways: What "roll back" can be there, the usual one first.
        cohort_ways: With which of them a single cohort can be rolled back; empty: only the whole release.
        is_set_back: Whether a drill can turn the flag and set it back; elsewhere a person sets it back.
        scope: What `flag.scope` names there, part by part with slashes between; None where it may say anything.
    """

    ways: tuple[RollbackBy, ...]
    cohort_ways: tuple[RollbackBy, ...] = ()
    scope: tuple[str, ...] | None = None
    is_set_back: bool = True


FLAG_SYSTEMS: Final[Mapping[str, FlagSystem]] = {
    "flagd": FlagSystem(ways=(_SERVE,), cohort_ways=(_SERVE,)),
    "flagd-file": FlagSystem(ways=(_SERVE,), cohort_ways=(_SERVE,)),
    "flagd-http": FlagSystem(ways=(_SERVE,), cohort_ways=(_SERVE,)),
    "flipt": FlagSystem(ways=(_SERVE, _ZERO, _DISABLE), scope=("environment", "namespace")),
    "gofeatureflag-file": FlagSystem(ways=(_SERVE, _ZERO, _DISABLE), cohort_ways=(_SERVE,)),
    "growthbook": FlagSystem(ways=(_SERVE, _ZERO, _DISABLE), cohort_ways=(_SERVE,), scope=("environment",)),
    "launchdarkly": FlagSystem(
        ways=(_SERVE, _ZERO, _DISABLE), cohort_ways=(_SERVE,), scope=("project", "environment")
    ),
    "posthog": FlagSystem(ways=(_SERVE, _ZERO, _DISABLE), scope=("project",)),
    "statsig": FlagSystem(ways=(_ZERO, _DISABLE), scope=()),
    "unleash": FlagSystem(ways=(_SERVE, _ZERO, _DISABLE), scope=("project", "environment")),
    "webhook": FlagSystem(ways=(_SERVE,), cohort_ways=(_SERVE,), is_set_back=False),
}


def scope_problem(system: FlagSystem, scope: str | None) -> str | None:
    """Return what is wrong with a `flag.scope` for this system, None where nothing is."""
    if system.scope is None:
        return None
    wanted = "/".join(f"<{part}>" for part in system.scope)
    if not system.scope:
        return None if scope is None else f'"{scope}" has no meaning there; remove it'
    if scope is None:
        return f"missing; write {wanted}"
    parts = scope.split("/")
    if len(parts) != len(system.scope) or not all(part.strip() == part and part for part in parts):
        return f'"{scope}" is not {wanted}'
    return None
