"""What a test of a budget expects of the decisions, and whether they meet it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.core.cohort import CohortKey
from monitor.core.decision import Decision, Type

EXPECTABLE: Final = (
    Type.ROLLBACK_REQUESTED,
    Type.PAGE_OPENED,
    Type.PAGE_EXPIRED,
    Type.PAGE_RESOLVED,
    Type.BREACH_STARTED,
    Type.BREACH_CLEARED,
    Type.DEBT_CREATED,
    Type.RELEASE_ASSESSED,
)
"""What recorded traffic alone can lead to: without commands there is no override and no acknowledgement."""

HAPPENINGS: Final = (Type.BREACH_STARTED, Type.PAGE_OPENED, Type.ROLLBACK_REQUESTED, Type.DEBT_CREATED)
"""What does not happen where nothing happens."""

_MINUTE_MS: Final = 60_000  # expectations are written in minutes


@dataclass(frozen=True, slots=True)
class Expectation:
    """A decision that is to come, or not to come; a condition of None leaves it open.

    Attributes:
        types: Any of these.
        is_forbidden: None may come, instead of at least one.
        between_min: First and last minute of the test, both allowed.
        count: Exactly so many, instead of at least one.
        verdict: Of an objective in `release.assessed`.
    """

    types: tuple[Type, ...]
    is_forbidden: bool = False
    objective_id: str | None = None
    cohort: CohortKey | None = None
    reason: str | None = None
    tier: str | None = None
    verdict: str | None = None
    between_min: tuple[int, int] | None = None
    count: int | None = None

    def matching(self, decisions: Sequence[Decision], start_ms: int) -> list[Decision]:
        """Return the decisions that it speaks of.

        Args:
            start_ms: When the test's traffic began, event time.
        """
        return [one for one in decisions if self._speaks_of(one) and self._is_in_time(one, start_ms)]

    def is_met(self, decisions: Sequence[Decision], start_ms: int) -> bool:
        """Tell whether the decisions of a whole test are as expected."""
        found = len(self.matching(decisions, start_ms))
        if self.is_forbidden:
            return found == 0
        return found > 0 if self.count is None else found == self.count

    def nearest(self, decisions: Sequence[Decision], start_ms: int) -> list[Decision]:
        """Return what came instead: what is not to come, else its own kind, else all about its objective."""
        if self.is_forbidden:
            return self.matching(decisions, start_ms)
        same = [one for one in decisions if one.type in self.types]
        about = [
            one for one in decisions if self._is_about(one.data) and one.type is not Type.RELEASE_ASSESSED
        ]
        return [one for one in same if self._is_about(one.data)] or about or same

    def _speaks_of(self, decision: Decision) -> bool:
        if decision.type not in self.types:
            return False
        if decision.type is Type.RELEASE_ASSESSED:
            rows: Sequence[Mapping[str, Any]] = decision.data["objectives"]  # type: ignore[assignment]  # JSON-ready
            return any(self._is_about(row) and self.verdict in (None, row["verdict"]) for row in rows)
        has_reason = self.reason in (None, decision.data.get("reason"))
        return has_reason and self.tier in (None, decision.data.get("tier")) and self._is_about(decision.data)

    def _is_about(self, said: Mapping[str, Any]) -> bool:
        if self.objective_id not in (None, said.get("objective", self.objective_id)):
            return False
        return self.cohort is None or dict(self.cohort) == said.get("cohort", dict(self.cohort))

    def _is_in_time(self, decision: Decision, start_ms: int) -> bool:
        if self.between_min is None:
            return True
        first, last = self.between_min
        return first * _MINUTE_MS <= decision.at_ms - start_ms <= last * _MINUTE_MS

    @property
    def words(self) -> str:
        """Return it as a person reads it: `rollback.requested of quality.… between 50m and 60m`."""
        if self.types == HAPPENINGS:
            return "nothing"
        return " ".join(self._words())

    def _words(self) -> Iterator[str]:
        if self.is_forbidden:
            yield "no"
        if self.count is not None:
            yield f"{self.count} ×"
        yield " or ".join(one.value for one in self.types)
        if self.objective_id is not None:
            yield f"of {self.objective_id}"
        if self.cohort is not None:
            yield "for " + (", ".join(f"{name}={value}" for name, value in self.cohort) or "everybody")
        if self.tier is not None:
            yield f"in tier {self.tier}"
        if self.verdict is not None:
            yield f"with the verdict {self.verdict}"
        if self.reason is not None:
            yield f"because of {self.reason}"
        if self.between_min is not None:
            first, last = self.between_min
            yield f"at {first}m" if first == last else f"between {first}m and {last}m"
