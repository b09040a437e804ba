"""What follows from a decision's evidence, beside what the decision says: the values `core.rederive` answers with."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isclose
from typing import Final

from monitor.core.errors import MonitorError

_EQUAL: Final = 1e-7  # relative: what mathematical libraries, and rounded weights, may differ by
_NOTHING: Final = 1e-15  # absolute: what is left where exact arithmetic gives 0


class NoEvidence(MonitorError):
    """A decision that carries no evidence: nothing was judged for it, or an older version made it."""


class EvidenceDamaged(MonitorError):
    """Evidence that cannot be read; the message says where."""


@dataclass(frozen=True, slots=True)
class Check:
    """One number or word of the record beside the one that follows from its sums."""

    what: str
    recorded: object
    found: object

    @property
    def agrees(self) -> bool:
        """Tell whether they are the same, whole numbers exactly and others but for the last digits.

        Null is an unbounded number.
        """
        one, other = _number(self.recorded), _number(self.found)
        if one is None or other is None or (isinstance(self.recorded, int) and isinstance(self.found, int)):
            return self.recorded == self.found
        return isclose(one, other, rel_tol=_EQUAL, abs_tol=_NOTHING)


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer that no float holds was never written by us; it is like nothing else
        return None


@dataclass(slots=True)
class Derivation:
    """What follows from a record.

    Attributes:
        answer: What the rule answers, of `core.sustained.Answer`, `core.incidents.IncidentAnswer`, or a verdict.
        refusal: The first check that keeps the rule from firing.
        x, needed: The evidence that settled it, and what was asked of it; None where none did.
        recorded_x: As the record has it.
    """

    kind: str
    answer: str
    refusal: str | None = None
    x: float | None = None
    needed: float | None = None
    recorded_x: float | None = None
    checks: list[Check] = field(default_factory=list)

    @property
    def disagreements(self) -> list[Check]:
        """Return what does not agree."""
        return [check for check in self.checks if not check.agrees]


def bounded(value: float | None, scale: float = 1.0) -> float | None:
    """Return a number as a record has it: null where it is unbounded or not there."""
    return None if value is None or abs(value) == inf else value * scale
