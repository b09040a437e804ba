"""Who is compared with whom: the role a release plays and the slice of traffic a comparison looks at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final, NewType


class Role(Enum):
    """The part a release plays in one comparison."""

    BASELINE = "baseline"
    CANDIDATE = "candidate"


CohortKey = NewType("CohortKey", tuple[tuple[str, str], ...])
"""A slice of the traffic: (dimension, value) pairs, sorted by dimension. The empty key is everybody."""

OVERALL = CohortKey(())
EVERY: Final = "*"
"""In a key: each value of the dimension by itself. No slice is named by it (`monitor.config` refuses it)."""

OTHER: Final = "__other__"
"""The values beyond a cap, added up. A value of this very name is counted among them."""


def cohort_key(pairs: Mapping[str, str]) -> CohortKey:
    """Return the canonical key of a slice, so that equal slices are equal keys."""
    return CohortKey(tuple(sorted(pairs.items())))


def narrowed(key: CohortKey, by: CohortKey) -> CohortKey:
    """Return the slice that satisfies both keys; `by` wins where both name a dimension."""
    return cohort_key({**dict(key), **dict(by)})


def by_every(key: CohortKey, dimensions: Iterable[str]) -> CohortKey:
    """Return the breakdown of a slice by these dimensions; one that the slice fixes stays fixed."""
    return cohort_key({**dict.fromkeys(dimensions, EVERY), **dict(key)})


def joint_value(cohort: Mapping[str, str], dimensions: tuple[str, ...]) -> str:
    """Return a request's part in a breakdown: its value of the dimension, empty where it has none.

    Of several dimensions each value goes with its length, so that no two combinations are the same text.
    """
    if len(dimensions) == 1:
        return cohort.get(dimensions[0], "")
    return "".join(f"{len(value)}:{value}" for value in (cohort.get(name, "") for name in dimensions))


def matches(key: CohortKey, cohort: Mapping[str, str]) -> bool:
    """Tell whether a request of this cohort lies in the slice."""
    for dimension, value in key:  # noqa: SIM110 — a generator would be half of this call's time, once per request
        if cohort.get(dimension) != value:
            return False
    return True
