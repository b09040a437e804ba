"""What a plan says: per objective and slice, the harms that were planned for, and the reasons for its warnings.

`outlook` computes these, `outlook_words` says them in sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from monitor.core.assumptions import Base
from monitor.core.budget import Objective, Unit
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.stats.planning import Split
from monitor.core.stats.rule import Rule

MULTIPLES: Final = (1.25, 1.5, 2.0, 5.0)
"""Harms that are planned for, in times the limit."""

PLANNED_MULTIPLE: Final = 2.0  # a harm of twice the limit should be decided in time, else the plan warns


class Remark(Enum):
    """Why a plan warns."""

    UNDECIDABLE = "undecidable"  # twice the limit is not decided in time
    NEVER = "never"  # no candidate can break the limit
    UNIT = "unit"  # percent where points were meant, or the other way round
    SHARE_UNKNOWN = "share_unknown"  # how much of the traffic a slice gets is not said
    NO_EVIDENCE = "no_evidence"  # the literal rule: chance decides, too
    FEW_SAMPLES = "few_samples"  # the recording holds little of it
    INCIDENTS_NORMAL = "incidents_normal"  # the baseline has incidents, so the first one does not act


@dataclass(frozen=True, slots=True)
class Traffic:
    """The rollout's traffic: all requests, and the candidate's part of them.

    Attributes:
        slices: Share of all requests, 0 to 1, of the slices it is known of.
    """

    requests_per_s: float
    split: Split
    slices: Mapping[CohortKey, float]

    def candidate_per_min(self, view: CohortKey) -> float | None:
        """Return the candidate's requests in a slice a minute; None where the slice's share is not known."""
        share = self.slices.get(view) if view != OVERALL else 1.0
        return None if share is None else self.requests_per_s * 60.0 * self.split.candidate * share


@dataclass(frozen=True, slots=True)
class Harm:
    """One size of harm and what deciding it takes.

    Attributes:
        multiple: In times the limit; `delta` is the same in the limit's unit, signed.
        value: The candidate's value at that harm, as `Base.value`; None where it is not known.
        is_possible: Whether a candidate can be that bad.
        requests: Of the candidate, whether they carry the label or not; None: none suffice, or it is not known.
        minutes: From the harm's beginning to the decision; None where it does not come in time.
    """

    multiple: float
    delta: float
    value: float | None
    is_possible: bool
    requests: int | None
    minutes: int | None


@dataclass(frozen=True, slots=True)
class Swap:
    """The same number read in the other unit.

    Attributes:
        unit: The one that may have been meant; `value` is the candidate's value at the limit then.
        here, there: Candidate requests that decide twice the limit as written, and as it may have been meant.
    """

    unit: Unit
    value: float | None
    here: int | None
    there: int | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one objective can decide in one slice.

    Attributes:
        limit_value: The candidate's value at the limit, as `Base.value`.
        per_min: Candidate requests a minute in the slice; None where its share is not known.
        horizon_min: The longest stretch that is judged.
        smallest: The smallest harm that is decided in time; None where none is, or it is not known.
        enough_share: The smallest candidate share, up to one half, that decides twice the limit in time.
        enough_requests_per_s: All traffic that does, at the share as it is; None where none does.
    """

    objective: Objective
    view: CohortKey
    base: Base
    rule: Rule
    limit_value: float | None
    per_min: float | None
    horizon_min: int
    harms: tuple[Harm, ...]
    smallest: Harm | None
    enough_share: float | None
    enough_requests_per_s: float | None
    swap: Swap | None
    remarks: tuple[Remark, ...]


@dataclass(frozen=True, slots=True)
class SafetyStep:
    """The k-th incident above the allowed ones acts while the baseline's rate predicts at most `expected`."""

    k: int
    expected: float
    requests: int
    minutes: int | None


@dataclass(frozen=True, slots=True)
class SafetyForecast:
    """What the safety limit does in one slice; `steps` only where the baseline has incidents and they count."""

    objective: Objective
    view: CohortKey
    base: Base
    per_min: float | None
    expected_per_day: float | None
    steps: tuple[SafetyStep, ...]
    remarks: tuple[Remark, ...]
