"""What `doctor` and a starting worker ask the flag systems: would a rollback turn the flag, as far as that shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from monitor.adapters.closing import close_all
from monitor.adapters.flags import ActuatorSettings, ActuatorUnusable, actuator_for
from monitor.core.budget import Budget, FlagTarget
from monitor.engine.act_events import order_for
from monitor.engine.checkup import Check, Finding, Health, examine, failed, failure, ok, skipped
from monitor.engine.errors import ActuatorFailed

_FLAG_REMEDY: Final = "is the flag system's address right, and may this machine call it?"


async def tell_unusable(
    settings: ActuatorSettings, budgets: Sequence[Budget], tell: Callable[[Finding], None]
) -> None:
    """Ask for the flag of every budget, each within bounds, and tell of those that could not be turned now."""
    for found in await examine(flag_checks(settings, budgets)):
        if found.health is Health.FAILED:
            tell(found)


def flag_checks(settings: ActuatorSettings, budgets: Sequence[Budget]) -> list[Check]:
    """Return a probe per flag that a budget names; one that several name is asked once."""
    asked: dict[FlagTarget, Budget] = {}
    for budget in budgets:
        if budget.flag is not None:
            asked.setdefault(budget.flag, budget)
    if not asked:

        async def nothing() -> Sequence[Finding]:
            return [skipped("flags", "-", "no budget file names a flag")]

        return [Check("flags", "-", nothing, "")]
    return [_flag(settings, flag, budget) for flag, budget in asked.items()]


def _flag(settings: ActuatorSettings, flag: FlagTarget, budget: Budget) -> Check:
    subject = f"{flag.actuator} {flag.key}"

    async def ask() -> Sequence[Finding]:
        try:
            actuator = actuator_for(flag.actuator, settings)
        except ActuatorUnusable as error:
            remedy = f"set that; the budget of {budget.release} turns its flag with it"
            return [failed("flags", subject, str(error), remedy)]
        about = {"release": budget.release, "baseline": budget.baseline}
        try:
            await actuator.probe(order_for(flag, decision_id="doctor", reason="doctor", **about))
        except ActuatorFailed as error:
            return [failure("flags", subject, error, _FLAG_REMEDY)]
        finally:
            await close_all([actuator])
        return [
            ok("flags", subject, "the flag is there and could be turned, as far as that shows without it")
        ]

    return Check("flags", subject, ask, _FLAG_REMEDY)
