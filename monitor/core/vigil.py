"""What somebody outside of the workers can tell about them: the watch on the monitor, as a pure state.

It knows three things of its own: canary events it has sent, how far the workers say they have stored the log, and
what it has heard of them. All moments are a steady clock's milliseconds: a wall clock that is set changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

CANARIES_MAX: Final = 64  # sent in one look; of a topic with more partitions some wait for the next
AGAIN_MS: Final = (
    60_000  # an unanswered partition gets another canary this seldom: it would only add to the backlog
)
BLIND_MAX: Final = 1_000  # spells of blindness remembered; more are as many as all
_NAMED_MAX: Final = 8  # partitions in a text


class Trouble(StrEnum):
    """What is wrong, worst first where one has to be named; a closed list."""

    KAFKA = "kafka"
    SILENT = "silent"
    DELAY = "delay"
    BLIND = "blind"


@dataclass(frozen=True, slots=True)
class VigilLimits:
    """From when on something is trouble; real milliseconds.

    Attributes:
        silence_ms: Without a word of any worker, or without a whole answer of Kafka.
        delay_ms: Between sending a canary and its being in the stored state.
        blind_ms: For how long the monitor's own "I cannot see" may stand.
        every_ms: Between two canaries of a partition.
    """

    silence_ms: int = 30_000
    delay_ms: int = 30_000
    blind_ms: int = 300_000
    every_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One trouble, since when, and a sentence about it."""

    trouble: Trouble
    since_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class _Canary:
    offset: int
    sent_ms: int


@dataclass(frozen=True, slots=True)
class _Blind:
    since_ms: int
    summary: str


class Vigil:
    """What is known of the workers. Its size is bounded by the partitions and by `BLIND_MAX`.

    Attributes:
        delays_ms: The last answered canary's delay, by partition.
    """

    def __init__(self, limits: VigilLimits, began_ms: int) -> None:
        self.limits = limits
        self.delays_ms: dict[int, int] = {}
        self._partitions: tuple[int, ...] = ()
        self._waiting: dict[int, _Canary] = {}
        self._sent_ms: dict[int, int] = {}
        self._blind: dict[str, _Blind] = {}
        self._heard_ms = self._answer_ms = began_ms
        self._has_heard = self._has_read = False
        self._why = ""

    def found(self, partitions: Iterable[int]) -> None:
        """Note which partitions the traces topic has."""
        self._partitions = tuple(sorted(partitions))
        for known in (self.delays_ms, self._waiting, self._sent_ms):
            for gone in known.keys() - set(self._partitions):
                del known[gone]

    def due(self, at_ms: int) -> list[int]:
        """Return the partitions that get a canary now, those that wait longest first."""

        def pause_ms(partition: int) -> int:
            return AGAIN_MS if partition in self._waiting else self.limits.every_ms

        new = [one for one in self._partitions if one not in self._sent_ms]
        old = [one for one, sent_ms in self._sent_ms.items() if at_ms - sent_ms >= pause_ms(one)]
        return [*new, *old][:CANARIES_MAX]

    def sent(self, partition: int, offset: int, at_ms: int) -> None:
        """Note a canary that the log has acknowledged.

        Args:
            at_ms: When it was sent.
        """
        self._sent_ms.pop(partition, None)
        self._sent_ms[partition] = at_ms  # as the last one: who was served goes to the end of the queue
        waiting = self._waiting.get(partition)
        if waiting is None:
            self._waiting[partition] = _Canary(offset, at_ms)
        elif offset <= waiting.offset:  # the topic was made anew: the old offset would never be reached
            self._waiting[partition] = replace(waiting, offset=offset)

    def stored(self, progress: Mapping[int, int], at_ms: int) -> None:
        """Note how far the workers have stored each partition: the offset of the next record."""
        for partition, canary in list(self._waiting.items()):
            if progress.get(partition, 0) > canary.offset:
                self.delays_ms[partition] = max(0, at_ms - canary.sent_ms)
                del self._waiting[partition]

    def heard(self, at_ms: int) -> None:
        """Note a sign of life of some worker."""
        self._heard_ms, self._has_heard = at_ms, True

    def answered(self, at_ms: int) -> None:
        """Note that Kafka has answered all that was asked in one look."""
        self._answer_ms, self._why = at_ms, ""

    def unanswered(self, why: str) -> None:
        """Note that it did not."""
        self._why = why

    def blind(self, page_id: str, since_ms: int, summary: str) -> None:
        """Note that the monitor says it cannot see; saying it twice changes nothing."""
        if len(self._blind) < BLIND_MAX:
            self._blind.setdefault(page_id, _Blind(since_ms, summary))

    def sees_again(self, page_id: str) -> None:
        """Note that it says it sees again."""
        self._blind.pop(page_id, None)

    def read(self) -> None:
        """Note that all the monitor has said before the watch began is read."""
        self._has_read = True

    def findings(self, at_ms: int) -> tuple[Finding, ...]:
        """Return what is wrong now, worst first."""
        limits, found = self.limits, list[Finding]()
        if at_ms - self._answer_ms >= limits.silence_ms:
            why = f" ({self._why})" if self._why else ""
            text = f"Kafka has not answered the watcher for {_span(at_ms - self._answer_ms)}{why}"
            found.append(Finding(Trouble.KAFKA, self._answer_ms, text))
        if at_ms - self._heard_ms >= limits.silence_ms:
            text = f"no worker has given a sign of life for {_span(at_ms - self._heard_ms)}"
            found.append(Finding(Trouble.SILENT, self._heard_ms, text))
        slow = {one: at_ms - waiting.sent_ms for one, waiting in self._waiting.items()}
        slow = {one: delay_ms for one, delay_ms in slow.items() if delay_ms >= limits.delay_ms}
        slow |= {one: ms for one, ms in self.delays_ms.items() if ms >= limits.delay_ms and one not in slow}
        if slow:
            found.append(Finding(Trouble.DELAY, at_ms - max(slow.values()), self._slow_text(slow)))
        standing = [one for one in self._blind.values() if at_ms - one.since_ms >= limits.blind_ms]
        if standing:
            oldest = min(standing, key=lambda one: one.since_ms)
            text = f"the monitor has said for {_span(at_ms - oldest.since_ms)} that it cannot see: {oldest.summary}"
            found.append(Finding(Trouble.BLIND, oldest.since_ms, text))
        return tuple(found)

    def _slow_text(self, slow: Mapping[int, int]) -> str:
        names = ", ".join(map(str, sorted(slow)[:_NAMED_MAX])) + (", …" if len(slow) > _NAMED_MAX else "")
        return (
            f"canary events take {_span(max(slow.values()))} or longer to be in the stored state "
            f"({len(slow)} of {len(self._partitions)} partitions: {names})"
        )

    def is_well(self, at_ms: int) -> bool:
        """Tell whether all is known, and nothing is wrong: not knowing yet is not being well."""
        is_known = self._has_read and self._has_heard and bool(self._partitions)
        return is_known and self.delays_ms.keys() >= set(self._partitions) and not self.findings(at_ms)


class Phase(StrEnum):
    """How it stands, as people are told."""

    STARTING = "starting"
    WELL = "well"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class WatchState:
    """The phase; in trouble, the findings it began with, and since when all has been well again."""

    phase: Phase = Phase.STARTING
    findings: tuple[Finding, ...] = ()
    eased_ms: int | None = None


def step(
    state: WatchState, findings: tuple[Finding, ...], *, is_well: bool, at_ms: int, eased_ms: int
) -> WatchState:
    """Return the state after one look.

    What is not known yet changes nothing: it neither begins trouble nor ends it.

    Args:
        eased_ms: For how long all has to be well before trouble is over, or a page would flap.
    """
    if findings:
        return WatchState(Phase.TROUBLE, state.findings or findings)
    if not is_well:
        return replace(state, eased_ms=None)
    if state.phase is not Phase.TROUBLE:
        return WatchState(Phase.WELL)
    since_ms = at_ms if state.eased_ms is None else state.eased_ms
    return WatchState(Phase.WELL) if at_ms - since_ms >= eased_ms else replace(state, eased_ms=since_ms)


def _span(span_ms: int) -> str:
    seconds = span_ms // 1000
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
