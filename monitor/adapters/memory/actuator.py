"""A flag system in memory: shows what an order would do, and stands in for a real one in tests and rehearsals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from monitor.engine.errors import ActuatorFailed
from monitor.engine.ports import Effect, RollbackOrder


@dataclass(slots=True)
class MemoryFlag:
    """One flag: the variations it knows and the one everybody gets, but for cohorts that were rolled back alone."""

    variations: tuple[str, ...]
    serving: str
    cohorts: dict[tuple[tuple[str, str], ...], str] = field(default_factory=dict)

    def served_to(self, cohort: Mapping[str, str]) -> str:
        """Return the variation this cohort gets."""
        return self.cohorts.get(tuple(sorted(cohort.items())), self.serving)


class MemoryActuator:
    """Turns flags of a dict; `failures` are raised first, one per order, then it works."""

    def __init__(self, flags: Mapping[str, MemoryFlag], failures: Iterable[ActuatorFailed] = ()) -> None:
        self.flags = dict(flags)
        self.orders: list[RollbackOrder] = []
        self._failures = list(failures)

    async def probe(self, order: RollbackOrder) -> None:
        """Raise `ActuatorFailed` where the flag or its baseline variation does not exist."""
        self._flag(order)

    async def serve_baseline(self, order: RollbackOrder) -> Effect:
        """Serve the baseline; doing it twice changes nothing.

        Raises:
            ActuatorFailed: A planned failure, an unknown flag or an unknown variation.
        """
        self.orders.append(order)
        if self._failures:
            raise self._failures.pop(0)
        flag = self._flag(order)
        before = flag.served_to(order.cohort)
        if order.cohort:
            flag.cohorts[tuple(sorted(order.cohort.items()))] = order.baseline_variation
        else:
            flag.serving = order.baseline_variation
            flag.cohorts.clear()
        after = flag.served_to(order.cohort)
        return Effect(changed=before != after, before={"serving": before}, after={"serving": after})

    async def serves_baseline(self, order: RollbackOrder) -> bool:
        """Tell whether the cohort, or everybody, gets the baseline."""
        return self._flag(order).served_to(order.cohort) == order.baseline_variation

    async def keep(self, order: RollbackOrder) -> dict[str, object]:
        """Return what is served now, for `put_back`."""
        return {"serving": self._flag(order).serving}

    async def put_back(self, order: RollbackOrder, kept: Mapping[str, object]) -> None:
        """Serve what was served before the drill."""
        self._flag(order).serving = str(kept["serving"])

    def _flag(self, order: RollbackOrder) -> MemoryFlag:
        flag = self.flags.get(order.flag_key)
        if flag is None:
            known = ", ".join(sorted(self.flags)) or "none"
            raise ActuatorFailed(f"no flag {order.flag_key!r}; there are {known}", retryable=False)
        if order.baseline_variation not in flag.variations:
            known = ", ".join(flag.variations)
            raise ActuatorFailed(
                f"no variation {order.baseline_variation!r}; there are {known}", retryable=False
            )
        return flag
