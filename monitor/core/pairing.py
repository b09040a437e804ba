"""Pairs shadow requests with the live ones they copy, in bounded memory, in whichever order they come.

A request waits for its partner, and a pair waits for labels that become known later; of each kind the oldest go first
when there are too many. Nothing is judged here, and nothing that was copied in silence is taken for live traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from monitor.core.cohort import Role
from monitor.core.event import Observation
from monitor.core.seen import SEEN_IDS_MAX, SeenIds

WAITING_MAX: Final = 100_000
"""Requests of each arm that wait for their partner at most."""

PAIRED_MAX: Final = 50_000
"""Pairs that wait for later labels at most; then the oldest are complete."""

LATER_MAX: Final = 16
"""Outcome events of one request at most."""


@dataclass(slots=True)
class Side:
    """What is known of one arm's answer: its request, and labels that came later (rarely any)."""

    event: Observation
    later: list[Observation] = field(default_factory=list)

    def fixed_rates(self) -> tuple[bool | None, ...]:
        """Return the labels in the order of `core.indicator.LABELS`, then error and timeout.

        A label is the request's own, else that of the first outcome that has it.
        """
        status, labels = self.event.status, self.event.labels()
        for outcome in self.later:
            labels = tuple(
                mine if mine is not None else more
                for mine, more in zip(labels, outcome.labels(), strict=True)
            )
        return (*labels, status == "error", status == "timeout")

    @property
    def outcomes(self) -> Mapping[str, bool]:
        """The named outcomes, the request's own before those of later labels."""
        found = self.event.outcomes or {}
        for outcome in self.later:
            found = {**(outcome.outcomes or {}), **found}
        return found

    @property
    def severity(self) -> str | None:
        """The severity of its incident, whenever it became known; None without one."""
        said = (one.incident_severity for one in (self.event, *self.later))
        return next((severity for severity in said if severity is not None), None)


class Pair(NamedTuple):
    """One request and what both arms made of it."""

    candidate: Side
    baseline: Side

    @property
    def cohort(self) -> dict[str, str]:
        """The request's cohort; where the arms contradict each other the live one is right."""
        return {**(self.candidate.event.cohort or {}), **(self.baseline.event.cohort or {})}


@dataclass(slots=True)
class Seen:
    """What became of the events.

    Attributes:
        live, shadow: Requests of the baseline and of the candidate's shadow traffic, repeats left out.
        without_id: Of each arm, those without a `request_id`: nothing pairs them.
        again: Of each arm, requests whose `request_id` it had already: the first one counts.
        dropped: Of each arm, those that waited longest when too many did: they count as unpaired.
        duplicates: Events whose `event_id` was seen before.
        labels: Outcome events whose labels were attached to a request.
        labels_without_id, labels_lost: Those that could not be: no `request_id`; or no such request is held, or
            it had `LATER_MAX` of them.
        rehearsed, others: Events of rehearsals, and of other releases or kinds of traffic.
    """

    live: int = 0
    shadow: int = 0
    pairs: int = 0
    without_id: dict[Role, int] = field(default_factory=lambda: dict.fromkeys(Role, 0))
    again: dict[Role, int] = field(default_factory=lambda: dict.fromkeys(Role, 0))
    dropped: dict[Role, int] = field(default_factory=lambda: dict.fromkeys(Role, 0))
    duplicates: int = 0
    labels: int = 0
    labels_without_id: int = 0
    labels_lost: int = 0
    rehearsed: int = 0
    others: int = 0

    def requests(self, role: Role) -> int:
        """Return the requests of an arm."""
        return self.live if role is Role.BASELINE else self.shadow

    def unpaired(self, role: Role) -> int:
        """Return the requests of an arm without a partner, whatever the reason, repeats of a request left out."""
        return self.requests(role) - self.again[role] - self.pairs

    def paired_ratio(self, role: Role) -> float | None:
        """Return which part of an arm's requests is in a pair, 0 to 1; None without any."""
        different = self.requests(role) - self.again[role]
        return self.pairs / different if different else None


class Pairing:
    """Takes events in, gives pairs out once nothing more can come to them.

    Args:
        candidate: The release whose shadow traffic is compared.
        baseline: Whose live traffic it copies; None: any other release's.
        lanes: How many files the events come from: an event is repeated only where one file repeats it.
        waiting_max, paired_max: What is held at most, of each arm and of pairs.
    """

    __slots__ = (
        "_baseline",
        "_candidate",
        "_clocks_ms",
        "_ids",
        "_paired",
        "_paired_max",
        "_waiting",
        "_waiting_max",
        "seen",
    )

    def __init__(
        self,
        candidate: str,
        baseline: str | None = None,
        *,
        lanes: int = 1,
        waiting_max: int = WAITING_MAX,
        paired_max: int = PAIRED_MAX,
    ) -> None:
        self._candidate, self._baseline = candidate, baseline
        self._waiting: dict[Role, dict[str, Side]] = {role: {} for role in Role}
        self._waiting_max = waiting_max
        self._paired: dict[str, Pair] = {}
        self._paired_max = paired_max
        self._ids = [SeenIds(SEEN_IDS_MAX // lanes) for _ in range(lanes)]
        self._clocks_ms = [0] * lanes
        self.seen = Seen()

    def feed(self, event: Observation, lane: int) -> Pair | None:
        """Take one event in; return a pair that must make room, which is complete as far as anybody can tell."""
        clock_ms = self._clocks_ms[lane] = max(self._clocks_ms[lane], event.at_ms)
        if self._ids[lane].is_repeat(event.event_id, clock_ms):
            self.seen.duplicates += 1
            return None
        if event.traffic == "rehearsal":
            self.seen.rehearsed += 1
            return None
        role = self._role(event)
        if role is None:
            self.seen.others += 1
        elif event.is_outcome:
            self._label(role, event)
        else:
            return self._request(role, event)
        return None

    @property
    def forgotten_ids(self) -> int:
        """Event ids that were forgotten early because there were too many: repeats of them count twice."""
        return sum(ids.evicted for ids in self._ids)

    def finish(self) -> Iterator[Pair]:
        """Yield the pairs that are still held."""
        while self._paired:
            yield self._paired.pop(next(iter(self._paired)))

    def _role(self, event: Observation) -> Role | None:
        """Return the arm that an event speaks of. An outcome need not repeat its request's traffic."""
        if event.release == self._candidate:
            return Role.CANDIDATE if event.is_outcome or event.traffic == "shadow" else None
        is_baseline = self._baseline is None or event.release == self._baseline
        return Role.BASELINE if is_baseline and event.traffic == "live" else None

    def _request(self, role: Role, event: Observation) -> Pair | None:
        seen, key = self.seen, event.request_id
        if role is Role.BASELINE:
            seen.live += 1
        else:
            seen.shadow += 1
        if not key:
            seen.without_id[role] += 1
            return None
        if key in self._paired or key in self._waiting[role]:
            seen.again[role] += 1
            return None
        other = Role.CANDIDATE if role is Role.BASELINE else Role.BASELINE
        partner = self._waiting[other].pop(key, None)
        if partner is None:
            self._wait(role, key, event)
            return None
        seen.pairs += 1
        mine = Side(event)
        self._paired[key] = Pair(mine, partner) if role is Role.CANDIDATE else Pair(partner, mine)
        return self._paired.pop(next(iter(self._paired))) if len(self._paired) > self._paired_max else None

    def _wait(self, role: Role, key: str, event: Observation) -> None:
        waiting = self._waiting[role]
        waiting[key] = Side(event)
        if len(waiting) > self._waiting_max:
            del waiting[next(iter(waiting))]
            self.seen.dropped[role] += 1

    def _label(self, role: Role, event: Observation) -> None:
        """Attach an outcome to its request, if that is held; labels the request has already stay as they are."""
        seen, key = self.seen, event.request_id
        if not key:
            seen.labels_without_id += 1
            return
        pair = self._paired.get(key)
        if pair is not None:
            side: Side | None = pair.candidate if role is Role.CANDIDATE else pair.baseline
        else:
            side = self._waiting[role].get(key)
        if side is None or side.event.release != event.release or len(side.later) >= LATER_MAX:
            seen.labels_lost += 1
            return
        seen.labels += 1
        side.later.append(event)
