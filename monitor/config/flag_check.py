"""What a budget asks of its flag system, against what that can do: said when the file is read, not in the night."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.config.flag_systems import FLAG_SYSTEMS, FlagSystem, scope_problem
from monitor.config.problem import near
from monitor.config.source import Source
from monitor.config.translate import either
from monitor.core.budget import RollbackBy, Scope

_USUAL = RollbackBy.SERVE_VARIATION.value


def check_flag(kept: Mapping[str, Any], source: Source) -> None:
    """Report what the flag's system does not know or cannot do; what was refused before is left alone.

    Args:
        kept: What fits the models of the file.
    """
    flag = kept.get("flag")
    if not isinstance(flag, dict) or not isinstance(flag.get("actuator"), str):
        return
    actuator = str(flag["actuator"])
    system = FLAG_SYSTEMS.get(actuator)
    if system is None:
        known = ", ".join(sorted(FLAG_SYSTEMS))
        message = (
            f'"{actuator}" is no flag system of this monitor{near(actuator, FLAG_SYSTEMS)}; there are {known}'
        )
        source.error(("flag", "actuator"), message)
        return
    way = _check_way(flag, actuator, system, source)
    scope = flag.get("scope")
    if ("flag", "scope") not in source.keys or scope is not None:
        if problem := scope_problem(system, None if scope is None else str(scope)):
            source.error(("flag", "scope"), f"{problem} ({actuator})")
    if way is not None:
        _check_cohorts(kept, actuator, system, way, source)


def check_verify(kept: Mapping[str, Any], source: Source) -> None:
    """Say it when a proof is described and no flag is: what others turn back, nobody here knows when."""
    if "verify" in kept and ("flag",) not in source.keys:
        message = "without a flag it holds for nothing: whoever carries the request out proves it"
        source.warning(("verify",), message)


def _check_way(
    flag: Mapping[str, Any], actuator: str, system: FlagSystem, source: Source
) -> RollbackBy | None:
    """Return how to roll back there, None where that cannot be told or done."""
    path = ("flag", "rollback_by")
    if path in source.keys and "rollback_by" not in flag:
        return None
    way = RollbackBy(str(flag.get("rollback_by", _USUAL)))
    if way in system.ways:
        return way
    allowed = either([one.value for one in system.ways])
    if path in source.keys:
        source.error(path, f"{actuator} cannot {way.value}; use {allowed}")
    else:
        source.error(path, f"missing; {actuator} cannot {way.value}, so say how to roll back: {allowed}")
    return None


def _check_cohorts(
    kept: Mapping[str, Any], actuator: str, system: FlagSystem, way: RollbackBy, source: Source
) -> None:
    """Report the groups that ask for a cohort's rollback where only the whole release can go back."""
    groups = kept.get("rollback_budget")
    if way in system.cohort_ways or not isinstance(groups, dict):
        return
    can = " or ".join(one.value for one in system.cohort_ways)
    remedy = f"set flag.rollback_by to {can}, or use release" if can else "use release"
    for name, group in groups.items():
        if isinstance(group, dict) and group.get("scope") == Scope.COHORT.value:
            message = f"{actuator} cannot roll back one cohort by {way.value}; {remedy}"
            source.error(("rollback_budget", name, "scope"), message)
