"""The gate: a pipeline asks whether a release may go on to its next stage, and is told promote, hold or roll back.

A budget says when to stop, a gate when to go on, and both by the same objectives: nothing is measured here, only what
the monitor has said of the release is read. A pipeline goes on upon evidence alone: what is not known holds it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from monitor.core.budget import Mode, Tier
from monitor.core.sight import Sight


class Answer(StrEnum):
    """What the pipeline is to do; of several grounds the last in this list decides."""

    PROMOTE = "promote"
    HOLD = "hold"
    ROLL_BACK = "roll_back"


class Ground(StrEnum):
    """Why: a closed list."""

    ROLLED_BACK = "rolled_back"
    BREACH = "breach"
    SUSPECT = "suspect"
    INCONCLUSIVE = "inconclusive"
    NO_DATA = "no_data"
    NOT_ASSESSED = "not_assessed"
    NOT_WATCHED = "not_watched"
    NOT_SEEN = "not_seen"
    HALTED = "halted"
    PAGE_OPEN = "page_open"
    EVAL_DEBT = "eval_debt"
    NOT_REHEARSED = "not_rehearsed"
    OVERRIDDEN = "overridden"
    MODE = "mode"


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that speaks for an answer, or that is to be known beside it (`PROMOTE`)."""

    ground: Ground
    asks_for: Answer
    words: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a release when a pipeline asks; a text is None, and a list empty, where there is nothing.

    Attributes:
        assessment: The data of `release.assessed`: of the stage that ends now, or of the whole window.
        unanswered: Why there is no such assessment.
        is_watched: Its budget is armed and its window is not over, or was watched to its end.
        rollback: The rollback that was asked for, in words.
        sight: How well the traffic is seen now.
        halted: Why the monitor itself does not judge this release.
        breaches, pages: Open ones; breaches of watched cohorts among them.
        overrides: In force, in words, by the objective each holds back; None holds back all of them.
        debts: Evaluation cases that are owed from before this release.
        rehearsed: The newest drill of its way back, in words; `has_rehearsed`: it counts.
    """

    assessment: Mapping[str, object] | None
    unanswered: str | None
    is_watched: bool
    rollback: str | None
    sight: Sight
    halted: str | None
    breaches: Sequence[str]
    pages: Sequence[str]
    overrides: Mapping[str | None, str]
    debts: Sequence[str]
    rehearsed: str | None
    has_rehearsed: bool
    mode: Mode


@dataclass(frozen=True, slots=True)
class Asked:
    """What the pipeline asks for.

    Attributes:
        spared: Objectives that need not be healthy; in breach they may not be all the same.
        wants_rehearsal: Hold a release whose way back was not rehearsed.
        allows_debt: Go on although evaluation cases are owed.
    """

    spared: Collection[str] = ()
    wants_rehearsal: bool = False
    allows_debt: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """Every ground of the answer, the weightiest first."""

    points: tuple[Point, ...]

    @property
    def answer(self) -> Answer:
        """What the weightiest ground asks for; without any, to go on."""
        return self.points[0].asks_for if self.points else Answer.PROMOTE


# In the order of the answers: of several grounds the last decides.
_WEIGHT: Final = {answer: weight for weight, answer in enumerate(Answer)}
_UNDECIDED: Final = {"inconclusive": Ground.INCONCLUSIVE, "no_data": Ground.NO_DATA}


def gate(known: Known, asked: Asked) -> Gate:
    """Return the answer.

    Promoted is what is seen, watched and healthy in every objective, with nothing open about it.
    """
    points = [*_standing(known), *_verdicts(known, asked), *_readiness(known, asked)]
    return Gate(tuple(sorted(points, key=lambda one: -_WEIGHT[one.asks_for])))


def _standing(known: Known) -> Iterator[Point]:
    if known.rollback is not None:
        yield Point(Ground.ROLLED_BACK, Answer.ROLL_BACK, known.rollback)
    if not known.is_watched:
        yield Point(Ground.NOT_WATCHED, Answer.HOLD, "nothing watches it any more: arm it again")
    if known.halted is not None:
        yield Point(Ground.HALTED, Answer.HOLD, known.halted)
    if known.sight is not Sight.LIVE:
        words = f"the monitor does not see the traffic as it is: {known.sight.value.upper()}"
        yield Point(Ground.NOT_SEEN, Answer.HOLD, words)
    yield from _each(Ground.SUSPECT, Answer.HOLD, known.breaches)
    yield from _each(Ground.PAGE_OPEN, Answer.HOLD, known.pages)
    yield from _each(Ground.OVERRIDDEN, Answer.PROMOTE, known.overrides.values())
    if known.mode is not Mode.AUTO:
        words = f"its budget's mode is {known.mode.value}: nothing rolls it back by itself"
        yield Point(Ground.MODE, Answer.PROMOTE, words)


def _verdicts(known: Known, asked: Asked) -> Iterator[Point]:
    """Yield what the objectives ask for: each is to be healthy for everybody, and no slice may be in breach."""
    rows = [] if known.assessment is None else known.assessment["objectives"]
    if not isinstance(rows, list) or not rows:
        why = known.unanswered or "its budget has no objective"
        yield Point(Ground.NOT_ASSESSED, Answer.HOLD, f"not assessed: {why}")
        return
    seen: set[str] = set()
    for row in rows:
        # The first row of an objective is of everybody it is about; critical and watched cohorts follow.
        name, verdict, words = str(row["objective"]), str(row["verdict"]), str(row["summary"])
        is_whole = name not in seen
        seen.add(name)
        if verdict == "breach":
            is_held_back = None in known.overrides or name in known.overrides
            is_grave = row.get("tier") == Tier.A.value and is_whole and not is_held_back
            yield Point(Ground.BREACH, Answer.ROLL_BACK if is_grave else Answer.HOLD, words)
        elif verdict in _UNDECIDED and is_whole:
            answer = Answer.PROMOTE if name in asked.spared else Answer.HOLD
            yield Point(_UNDECIDED[verdict], answer, words)


def _readiness(known: Known, asked: Asked) -> Iterator[Point]:
    yield from _each(Ground.EVAL_DEBT, Answer.PROMOTE if asked.allows_debt else Answer.HOLD, known.debts)
    if not known.has_rehearsed:
        words = known.rehearsed or "its way back was never rehearsed"
        answer = Answer.HOLD if asked.wants_rehearsal else Answer.PROMOTE
        yield Point(Ground.NOT_REHEARSED, answer, words)


def _each(ground: Ground, answer: Answer, said: Iterable[str]) -> Iterator[Point]:
    return (Point(ground, answer, words) for words in said)
