"""Who is compared with whom: the role a release plays and the slice of traffic a comparison looks at."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NewType


class Role(Enum):
    """The part a release plays in one comparison."""

    BASELINE = "baseline"
    CANDIDATE = "candidate"


CohortKey = NewType("CohortKey", tuple[tuple[str, str], ...])
"""A slice of the traffic: (dimension, value) pairs, sorted by dimension. The empty key is everybody."""

OVERALL = CohortKey(())


def cohort_key(pairs: Mapping[str, str]) -> CohortKey:
    """Return the canonical key of a slice, so that equal slices are equal keys."""
    return CohortKey(tuple(sorted(pairs.items())))


def narrowed(key: CohortKey, by: CohortKey) -> CohortKey:
    """Return the slice that satisfies both keys; `by` wins where both name a dimension."""
    return cohort_key({**dict(key), **dict(by)})


def matches(key: CohortKey, cohort: Mapping[str, str]) -> bool:
    """Tell whether a request of this cohort lies in the slice."""
    for dimension, value in key:  # noqa: SIM110 — a generator would be half of this call's time, once per request
        if cohort.get(dimension) != value:
            return False
    return True
