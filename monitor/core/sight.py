"""What the monitor can see of a partition (or a release), as one transition table: the console has no green without it.

Progress is what counts, not liveness: a partition is seen when its events up to a moment ago are in the closed minutes,
whoever is running. The thresholds are real time; what is judged stays event time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Final

from monitor.core.errors import TimeWentBack

# Behind by more than this is late: a flush and a look around each second, and a hiccup.
LATE_MS: Final = 10_000
BLIND_MS: Final = 30_000  # behind, or without an answer, for longer than this is blind
STUCK_MS: Final = 20_000  # neither offset nor clock has moved: that is no slow reading
# What an event may be ahead of its record's time; a clock that is so much ahead is wrong.
AHEAD_MS: Final = 300_000


class Sight(StrEnum):
    """How well something is seen, from best to worst."""

    LIVE = "live"
    LATE = "late"
    REBUILDING = "rebuilding"  # its state is being made from the log, and moves
    BLIND = "blind"
    HALTED = "halted"  # our own defect: nothing more is decided about it


class Cause(StrEnum):
    """Why something is not seen; a closed list, worst first where one has to be named."""

    DEFECT = "defect"
    KAFKA = "kafka"
    REDIS = "redis"
    CLOCK = "clock"
    STUCK = "stuck"
    REBUILDING = "rebuilding"
    LAG = "lag"


class Sign(Enum):
    """What one look finds."""

    FRESH = "fresh"  # read up to a moment ago
    BEHIND = "behind"  # late, or a server does not answer, but not for long
    LOST = "lost"  # its state is gone or behind where it was, and is being made anew
    FAR = "far"  # too far behind, and moving
    STILL = "still"  # behind, and nothing moves
    NO_STORE = "no_store"  # the state store has not answered for too long
    NO_LOG = "no_log"  # the log has not answered for too long
    # Its minutes were closed before their time: what comes for them is late, and judged nowhere.
    AHEAD = "ahead"
    DEFECT = "defect"  # judging it broke
    MENDED = "mended"  # judging it is tried again: another budget, or another arming


_CAUSES: Final = {
    Sign.LOST: Cause.REBUILDING,
    Sign.FAR: Cause.LAG,
    Sign.STILL: Cause.STUCK,
    Sign.NO_STORE: Cause.REDIS,
    Sign.NO_LOG: Cause.KAFKA,
    Sign.AHEAD: Cause.CLOCK,
    Sign.DEFECT: Cause.DEFECT,
}
_ALWAYS: Final = {
    Sign.LOST: Sight.REBUILDING,
    Sign.FAR: Sight.BLIND,
    Sign.STILL: Sight.BLIND,
    Sign.NO_STORE: Sight.BLIND,
    Sign.NO_LOG: Sight.BLIND,
    Sign.AHEAD: Sight.BLIND,
    Sign.DEFECT: Sight.HALTED,
}

# Whoever was blind sees again when everything is read, not when it is nearly so; a rebuild ends the same way. A defect
# does not pass by itself, whatever the partitions look like.
NEXT: Final = {
    Sight.LIVE: {Sign.FRESH: Sight.LIVE, Sign.BEHIND: Sight.LATE, Sign.MENDED: Sight.LIVE, **_ALWAYS},
    Sight.LATE: {Sign.FRESH: Sight.LIVE, Sign.BEHIND: Sight.LATE, Sign.MENDED: Sight.LATE, **_ALWAYS},
    Sight.REBUILDING: {
        **_ALWAYS,
        Sign.FRESH: Sight.LIVE,
        Sign.BEHIND: Sight.REBUILDING,
        Sign.FAR: Sight.REBUILDING,
        Sign.MENDED: Sight.REBUILDING,
    },
    Sight.BLIND: {**_ALWAYS, Sign.FRESH: Sight.LIVE, Sign.BEHIND: Sight.BLIND, Sign.MENDED: Sight.BLIND},
    Sight.HALTED: dict.fromkeys(Sign, Sight.HALTED) | {Sign.MENDED: Sight.LIVE},
}


@dataclass(frozen=True, slots=True)
class SightState:
    """How well something is seen, why not better, and since when: a steady clock's milliseconds.

    Attributes:
        cause: None while it is live or late.
    """

    sight: Sight
    since_ms: int
    cause: Cause | None = None

    def age_ms(self, at_ms: int) -> int:
        """Return for how long it has been so."""
        return max(0, at_ms - self.since_ms)

    def is_blind(self, at_ms: int) -> bool:
        """Tell whether people have to hear of it: blind or halted, or a rebuild that takes as long as blindness."""
        if self.sight is Sight.REBUILDING:
            return self.age_ms(at_ms) >= BLIND_MS
        return self.sight in (Sight.BLIND, Sight.HALTED)


def step(state: SightState, sign: Sign, *, at_ms: int) -> SightState:
    """Return the state after one look.

    Args:
        at_ms: Of a steady clock; never earlier than the last step.

    Raises:
        TimeWentBack: `at_ms` is earlier than `state.since_ms`.
    """
    if at_ms < state.since_ms:
        raise TimeWentBack(at_ms=at_ms, since_ms=state.since_ms)
    sight = NEXT[state.sight][sign]
    if sight in (Sight.LIVE, Sight.LATE):
        cause = None
    elif state.sight is Sight.HALTED or sight is state.sight is Sight.REBUILDING:
        cause = state.cause
    else:
        cause = _CAUSES.get(sign, state.cause)
    if sight is not state.sight:
        return SightState(sight, at_ms, cause)
    return state if cause is state.cause else replace(state, cause=cause)


@dataclass(frozen=True, slots=True)
class Facts:
    """What one look knows of a partition; spans are real milliseconds.

    Attributes:
        behind_ms: How far what is read lies behind the log's own time; None where nothing is known of it.
        still_ms: For how long neither its offset nor its clock has moved.
        is_lost: Its state is missing, damaged, or behind where it was seen before.
        store_away_ms, log_away_ms: For how long the server has not answered; 0 where it does.
        ahead_ms: For how long what is read has been more than `AHEAD_MS` ahead of the log's own time.
    """

    behind_ms: int | None
    still_ms: int
    is_lost: bool
    store_away_ms: int = 0
    log_away_ms: int = 0
    ahead_ms: int = 0


def sign_of(facts: Facts, *, blind_ms: int = BLIND_MS) -> Sign:
    """Return what a look at a partition finds.

    Args:
        blind_ms: From when on being behind is blindness; longer than `BLIND_MS` where flushes are rare.
    """
    if facts.log_away_ms >= blind_ms:
        return Sign.NO_LOG
    if facts.store_away_ms >= blind_ms:
        return Sign.NO_STORE
    if facts.store_away_ms or facts.log_away_ms:
        return Sign.BEHIND
    is_still = facts.still_ms >= STUCK_MS + blind_ms - BLIND_MS
    if facts.is_lost or facts.behind_ms is None:
        return Sign.STILL if is_still else Sign.LOST
    if facts.ahead_ms >= STUCK_MS:
        return Sign.AHEAD
    if facts.behind_ms < LATE_MS + blind_ms - BLIND_MS:
        return Sign.FRESH
    if facts.behind_ms < blind_ms:
        return Sign.BEHIND
    return Sign.STILL if is_still else Sign.FAR


def worst(states: Iterable[SightState]) -> SightState | None:
    """Return the state that stands for all: the worst sight, of those the worst cause, and of those the oldest.

    None of none.
    """
    sights, causes = list(Sight), list(Cause)

    def badness(state: SightState) -> tuple[int, int, int]:
        cause = len(causes) if state.cause is None else causes.index(state.cause)
        return sights.index(state.sight), -cause, -state.since_ms

    return max(states, key=badness, default=None)


def diagram() -> str:
    """Return the table as a Mermaid state diagram: the docs show this text, and a test holds them to it."""
    lines = ["stateDiagram-v2", "    [*] --> LATE"]
    for sight, row in NEXT.items():
        by_target: dict[Sight, list[str]] = {}
        for sign in Sign:
            if row[sign] is not sight:
                by_target.setdefault(row[sign], []).append(sign.name)
        for target, signs in by_target.items():
            lines.append(f"    {sight.name} --> {target.name}: {', '.join(signs)}")
    return "\n".join(lines)
