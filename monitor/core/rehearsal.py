"""Rehearsals: a budget and two releases that exist for a drill, kept apart from real ones by their names.

A release whose name begins with `PREFIX` is compared by its `traffic: rehearsal` alone, every other one by its live
traffic alone. So no rehearsed request is ever counted for a real release, and no live one for a drill.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from monitor.core.decision import Decision, Type
from monitor.core.moment import moment_ms

PREFIX: Final = "rollback-budget-rehearsal-"
VALID_DAYS: Final = 90
"""How long a rehearsal counts: a quarter, in which people, tokens and flags change."""

_DAY_MS: Final = 86_400_000  # validity is told in days


class StandIns(NamedTuple):
    """The two releases of one drill."""

    candidate: str
    baseline: str


def stand_ins(run: str) -> StandIns:
    """Return the names of a drill's releases.

    Args:
        run: Names the drill; unique, at most 64 characters.
    """
    return StandIns(f"{PREFIX}{run}.candidate", f"{PREFIX}{run}.baseline")


def is_rehearsal(release: str) -> bool:
    """Tell whether a release exists for a drill only."""
    return release.startswith(PREFIX)


def traffic_of(release: str) -> str:
    """Return the only kind of traffic that counts for a release."""
    return "rehearsal" if is_rehearsal(release) else "live"


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """The newest rehearsal that speaks for a release; JSON-ready.

    Attributes:
        at: RFC 3339, event time.
        days_ago: Whole days since.
        counts: It succeeded, and is not too old: what a gate may ask for.
        is_real_flag: The release's own flag was turned and set back, not a flag for rehearsals.
    """

    at: str
    days_ago: int
    succeeded: bool
    counts: bool
    is_real_flag: bool
    release: str
    author: str
    summary: str
    expires_at: str | None


def last_rehearsed(
    decisions: Iterable[Decision], *, release: str, budget: str, now_ms: int
) -> Rehearsed | None:
    """Return the newest rehearsal of a release, or of a budget of the same name; None where there was none.

    A release is new every week and its way back is not: a drill under the same budget name speaks for it too.

    Args:
        now_ms: Event time, epoch milliseconds.
    """
    found = [
        one
        for one in decisions
        if one.type is Type.ROLLBACK_REHEARSED
        and (one.release == release or one.data.get("budget") == budget)
    ]
    newest = max(found, key=lambda one: (one.at_ms, one.decision_id), default=None)
    return None if newest is None else _told(newest, now_ms)


def _told(one: Decision, now_ms: int) -> Rehearsed:
    data, expires = one.data, one.data.get("expires_at")
    is_fresh = not isinstance(expires, str) or now_ms < moment_ms(expires)
    succeeded = data.get("succeeded") is True
    return Rehearsed(
        at=str(data.get("decided_at")),
        days_ago=max(0, now_ms - one.at_ms) // _DAY_MS,
        succeeded=succeeded,
        counts=succeeded and is_fresh,
        is_real_flag=data.get("real_flag") is True,
        release=one.release,
        author=str(data.get("author")),
        summary=str(data.get("summary")),
        expires_at=expires if isinstance(expires, str) else None,
    )
