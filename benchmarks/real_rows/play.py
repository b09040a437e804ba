"""One recording through the product's own replay, and what it decided, counted in minutes since the release began."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from benchmarks.real_rows.traffic import MINUTE_MS, START_MS
from monitor.adapters.kafka.decode import decode
from monitor.core.budget import Budget
from monitor.core.cohort import CohortKey, cohort_key
from monitor.core.decision import Decision, Reason, Type
from monitor.engine.replay import Replay

RELEASE: Final = "the release"
"""The subject of a page that is about no objective."""
BREACHES: Final = frozenset({Reason.BREACH.value, Reason.CUMULATIVE.value, Reason.IMMEDIATE.value})
"""Reasons that say that a limit was broken; all others say that something could not be judged, or not alone."""

Subject: TypeAlias = tuple[str, CohortKey]
"""An objective, and the slice it was judged on."""


@dataclass(frozen=True, slots=True)
class Act:
    """A rollback that was asked for, or a page that was opened.

    Attributes:
        minute: Since the candidate's first minute.
        says: The sentence that people read.
    """

    subject: Subject
    minute: float
    reason: str
    says: str

    @property
    def is_breach(self) -> bool:
        """Tell whether it says that a limit was broken."""
        return self.reason in BREACHES


@dataclass(frozen=True, slots=True)
class Assessed:
    """What an objective came to at the end."""

    verdict: str
    observed: Mapping[str, float | None]
    samples: tuple[int, int]
    mde: float | None


@dataclass(frozen=True, slots=True)
class Played:
    """What became of one recording.

    Attributes:
        rollback: The request to roll back, which ends the recording: the flag would serve the baseline.
        pages: The first page of every subject and reason, in time order.
    """

    rollback: Act | None
    pages: tuple[Act, ...]
    assessed: Mapping[Subject, Assessed]


def play(budget: Budget, lines: Iterable[bytes]) -> Played:
    """Replay lines until a rollback is requested, or to their end."""
    replay = Replay([budget], decode)
    decisions: list[Decision] = []
    fed = 0
    for line in lines:
        fed += 1
        if due := replay.feed(line):
            decisions += due
            if any(one.type is Type.ROLLBACK_REQUESTED for one in due):
                break
    decisions += replay.finish()
    counts = replay.counts()
    assert counts.accepted == fed, f"{counts.accepted} of {fed} lines were accepted: {counts.rejected}"
    return played(decisions)


def played(decisions: Iterable[Decision]) -> Played:
    """Return what decisions come to."""
    rollback: Act | None = None
    pages: dict[tuple[Subject, str], Act] = {}
    assessed: dict[Subject, Assessed] = {}
    for one in decisions:
        if one.type is Type.ROLLBACK_REQUESTED and rollback is None:
            rollback = _act(one)
        elif one.type is Type.PAGE_OPENED:
            act = _act(one)
            pages.setdefault((act.subject, act.reason), act)
        elif one.type is Type.RELEASE_ASSESSED:
            rows: Any = one.data["objectives"]
            assessed = {_subject(row): _assessed(row) for row in rows}
    return Played(rollback, tuple(pages.values()), assessed)


def _act(decision: Decision) -> Act:
    data = decision.data
    minute = (decision.at_ms - START_MS) / MINUTE_MS
    return Act(_subject(data), minute, str(data["reason"]), str(data["summary"]))


def _subject(data: Mapping[str, Any]) -> Subject:
    return str(data["objective"] or RELEASE), cohort_key(data["cohort"])


def _assessed(row: Mapping[str, Any]) -> Assessed:
    seen, samples = row["observed"], row["samples"]
    kept = {name: seen[name] for name in ("baseline", "candidate", "delta", "lower", "upper")}
    return Assessed(str(row["verdict"]), kept, (samples["baseline"], samples["candidate"]), row["mde"])
