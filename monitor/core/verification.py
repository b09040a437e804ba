"""Proof from the stream: did the candidate's live traffic really go away once the flag was turned?

A minute is above the limit, clean, or empty. Clean minutes add up to a proof: their number of requests has to be
so large that, at the share the candidate had before, chance would hardly have left it out. Nothing seen is no proof.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from math import ceil, log, log1p
from typing import Final

from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.window import tick_ms

CHANCE: Final = 0.05
"""That a candidate which is still served is not seen in the clean minutes that prove it is not."""
BACK_MIN: Final = 2  # minutes in a row above the limit: one straggler after the proof is no return


@dataclass(frozen=True, slots=True)
class Served:
    """What a slice was served by: requests of the candidate, and of both arms."""

    cohort: CohortKey
    candidate: int
    requests: int

    @property
    def ratio(self) -> float:
        """The candidate's share, 0 to 1; 0 where nothing was requested."""
        return self.candidate / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class ServedMinute:
    """One closed minute of what goes back.

    Attributes:
        minute: Since the epoch.
        whole: All of it: the release, or the cohort that goes back alone.
        within: Slices of it that have to go back too, each by itself.
        most: The slice with the candidate's largest share, where slices are told apart.
    """

    minute: int
    whole: Served
    within: tuple[Served, ...] = ()
    most: Served | None = None

    def is_above(self, max_ratio: float) -> bool:
        """Tell whether the candidate has more than its share anywhere."""
        return any(one.ratio > max_ratio for one in (self.whole, *self.within))


class Standing(Enum):
    """What the traffic says of a rollback that was applied."""

    WATCHING = "watching"
    UNPROVEN = "unproven"  # its time is over, and there was too little traffic to tell
    FAILED = "failed"  # its time is over, and the candidate is still served
    VERIFIED = "verified"
    UNDONE = "undone"  # the candidate is served again


@dataclass(frozen=True, slots=True)
class ProofRule:
    """What is to be proven.

    Attributes:
        applied_ms: When the flag was read back; only whole minutes after it count.
        within_ms: How long the proof may take from then on.
        max_ratio: The share the candidate may keep, 0 to 1.
        ratio_before: The share it had, 0 to 1; None where that is not known.
    """

    applied_ms: int
    within_ms: int
    max_ratio: float
    ratio_before: float | None

    @property
    def requests_needed(self) -> int:
        """How many requests of both arms prove it: that many would show the candidate, but for `CHANCE`.

        Source: n independent requests all miss a share of p with probability (1 - p)^n.
        """
        before = self.ratio_before
        if not before or before >= 1.0:
            return 1
        return ceil(log(CHANCE) / log1p(-before))


@dataclass(frozen=True, slots=True)
class Proof:
    """How far a proof has come.

    Attributes:
        clean: Requests in the clean minutes since the last one above the limit.
        above: Minutes in a row above the limit, empty ones left out.
        last: The newest minute above the limit.
    """

    standing: Standing = Standing.WATCHING
    clean: Served = Served(OVERALL, 0, 0)
    above: int = 0
    last: ServedMinute | None = None


def step(proof: Proof, minute: ServedMinute, rule: ProofRule) -> Proof:
    """Return what a proof has come to with one more minute; minutes come in order, each once."""
    if tick_ms(minute.minute) < rule.applied_ms:
        return proof
    if minute.is_above(rule.max_ratio):
        proof = replace(proof, clean=Served(OVERALL, 0, 0), above=proof.above + 1, last=minute)
    elif minute.whole.requests:
        clean, whole = proof.clean, minute.whole
        added = Served(OVERALL, clean.candidate + whole.candidate, clean.requests + whole.requests)
        proof = replace(proof, clean=added, above=0)
    is_due = tick_ms(minute.minute + 1) >= rule.applied_ms + rule.within_ms
    return replace(proof, standing=_standing(proof, rule, is_due=is_due))


def _standing(proof: Proof, rule: ProofRule, *, is_due: bool) -> Standing:
    if not proof.above and proof.clean.requests >= rule.requests_needed:
        return Standing.VERIFIED
    match proof.standing:
        case Standing.WATCHING if is_due:
            return Standing.FAILED if proof.above else Standing.UNPROVEN
        case Standing.UNPROVEN if proof.above >= BACK_MIN:
            return Standing.FAILED
        case Standing.VERIFIED if proof.above >= BACK_MIN:
            return Standing.UNDONE
        case standing:
            return standing


def ratio_of(minutes: Iterable[ServedMinute]) -> float | None:
    """Return the candidate's share over some minutes, 0 to 1; None where nothing was requested."""
    candidate = requests = 0
    for one in minutes:
        candidate += one.whole.candidate
        requests += one.whole.requests
    return candidate / requests if requests else None


def most_served(slices: Iterable[Served]) -> Served | None:
    """Return the slice with the candidate's largest share; of equal ones that with more of its requests."""
    served = (one for one in slices if one.candidate)
    return max(served, key=lambda one: (one.ratio, one.candidate, one.cohort), default=None)
