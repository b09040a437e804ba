"""What requests repeat: few combinations of release, kind, traffic, severity, status and labels, each numbered once.

A request's shape is one number then, and what follows from it (does it count, which labels does it bring) is looked
up for many requests at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.core.event import HIGH_SEVERITIES, Observation
from monitor.core.plan import Plan
from monitor.core.rehearsal import traffic_of

SHAPES_MAX: Final = 4_096  # labels and releases come from outside, and their combinations are many
LABELS_ONLY: Final = -1
"""The kind of what brings labels only and is no request."""

ERROR, TIMEOUT = 1, 2
"""Columns of `Kinds.table`: after the requests, before what is known of each label, and how often it was true."""

Ints: TypeAlias = NDArray[np.int64]
Chosen: TypeAlias = slice | NDArray[np.bool_] | Ints
"""Some of a column's places: a stretch, or by a mask, or by number."""


class Kinds:
    """The combinations of status and labels met so far, by number."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str | bool | None, ...], int] = {}
        self._rows: list[tuple[int, ...]] = []
        self.labels: list[tuple[str | bool | None, ...]] = []
        self._table: Ints = np.zeros((0, 0), dtype=np.int64)
        self._endings: Ints = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    def number(self, status: str | bool | None, labels: tuple[str | bool | None, ...]) -> int:
        """Return the number of a combination."""
        key = (status, *labels)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._rows)
            known = [label is not None for label in labels]
            self._rows.append((1, status == "error", status == "timeout", *known, *map(bool, labels)))
            self.labels.append(labels)
        return number

    @property
    def table(self) -> Ints:
        """What a request of each kind adds: itself, an error, a timeout, then its known and its true labels."""
        if len(self._table) != len(self._rows):
            self._table = np.array(self._rows, dtype=np.int64)
        return self._table

    @property
    def endings(self) -> Ints:
        """How a request of each kind ended: 0, or `ERROR`, or `TIMEOUT`."""
        if len(self._endings) != len(self._rows):
            self._endings = self.table[:, ERROR] * ERROR + self.table[:, TIMEOUT] * TIMEOUT
        return self._endings

    def clear(self) -> None:
        """Forget all; numbers begin anew."""
        self._numbers.clear()
        self._rows.clear()
        self.labels.clear()
        self._table, self._endings = self._table[:0], self._endings[:0]


class Traits(NamedTuple):
    """What follows from the shapes of some events, one each.

    Attributes:
        kind: As `Kinds` numbers it; `LABELS_ONLY` for what is no request.
        release: The number of its release.
        is_watched, counts: Whether a budget watches the release, and judges it by such traffic.
        is_incident: Whether it counts, and is a high-severity incident.
        delay_ms: How long its labels are on time; 0 for a request.
        may_show: Whether it could be kept as an exemplar.
    """

    kind: Ints
    release: Ints
    is_watched: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    is_incident: NDArray[np.bool_]
    delay_ms: Ints
    may_show: NDArray[np.bool_]

    def only(self, chosen: Chosen) -> Traits:
        """Return those of some of the events."""
        return Traits._make(column[chosen] for column in self)


class Shapes(dict[tuple[str | bool | None, ...], int]):
    """The shapes met under one plan, by number."""

    def __init__(self, plan: Plan, kinds: Kinds) -> None:
        self._plan = plan
        self._kinds = kinds
        self._rows: list[tuple[int, ...]] = []
        self._table: Ints = np.zeros((0, len(Traits._fields)), dtype=np.int64)
        self._shown = {name for name, views in plan.views.items() if any(view.exemplars for view in views)}
        self.releases: list[str] = []
        self._release_numbers: dict[str, int] = {}

    def __missing__(self, shape: tuple[str | bool | None, ...]) -> int:
        release, kind, traffic, severity, status, *labels = shape
        assert isinstance(release, str)
        is_watched = release in self._plan.views
        counts = is_watched and traffic == traffic_of(release)
        is_outcome = kind == "outcome"
        release_number = self._release_numbers.setdefault(release, len(self.releases))
        if release_number == len(self.releases):
            self.releases.append(release)
        number = self[shape] = len(self._rows)
        self._rows.append(
            (
                LABELS_ONLY if is_outcome or not counts else self._kinds.number(status, tuple(labels)),
                release_number,
                is_watched,
                counts,
                counts and severity in HIGH_SEVERITIES,
                self._plan.label_delay_ms.get(release, 0) if is_outcome else 0,
                release in self._shown or severity is not None,
            )
        )
        return number

    def of(self, events: Sequence[Observation]) -> Traits:
        """Return what follows from the shapes of these events."""
        found = np.array(list(map(self.__getitem__, [event.shape() for event in events])), dtype=np.int64)
        if len(self._table) != len(self._rows):
            self._table = np.array(self._rows, dtype=np.int64)
        rows = self._table[found]
        return Traits(
            rows[:, 0],
            rows[:, 1],
            rows[:, 2].astype(bool),
            rows[:, 3].astype(bool),
            rows[:, 4].astype(bool),
            rows[:, 5],
            rows[:, 6].astype(bool),
        )
