"""What a case is: a pair of measured releases, the budget that watches them, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.real_rows.traffic import Spell

SUCCESS: Final = "quality.task_success_delta_pct"
PARSING: Final = "format.parse_failures_delta_pp"
P95: Final = "latency.p95_delta_pct"
P50: Final = "latency.p50_delta_pct"
ERRORS: Final = "quality.error_delta_pp"
COST: Final = "cost.cost_per_request_delta_pct"

SEEDS: Final = 20
SOME: Final = 10
FEW: Final = 5
HARD_OR_LONG: Final = ("java", "javascript", "relevance", "executable_parallel_function", "rest")
BLIP: Final = Spell(60, 70)


@dataclass(frozen=True, slots=True)
class Case:
    """One pair of releases.

    Attributes:
        budget: Of `budgets/`.
        minutes: Length of a recording that nothing ends.
        seeds: How many releases are played.
        spell: When the candidate is bad; None = from the first minute on.
        often: Workflows that the candidate gets three times as often as the baseline.
        rolls_back: The objective of the rollback that every seed must come to.
        names: Words that the sentence of every rollback must have.
        pages: (objective, workflow or "" for everybody) that every seed must page.
        never: Objectives that no seed may act on. Where there is no spell, all those are that are harmless in truth.
        contrast: Shows what becomes of a release without one of the monitor's safeguards; promises nothing.
        may_roll_back: No seed may roll back where this is False and `rolls_back` is None.
    """

    name: str
    title: str
    source: str
    baseline: str
    candidate: str
    budget: str = "standard"
    minutes: int = 60
    seeds: int = SEEDS
    spell: Spell | None = None
    often: tuple[str, ...] = ()
    rolls_back: str | None = None
    names: str | None = None
    pages: tuple[tuple[str, str], ...] = ()
    never: tuple[str, ...] = ()
    may_roll_back: bool = False
    contrast: bool = False

    @property
    def rollback(self) -> str:
        """Whether a rollback `must` come, `may`, or may `never`; `contrast`: it shows what a safeguard prevents."""
        if self.contrast:
            return "contrast"
        if self.rolls_back or self.names:
            return "must"
        return "may" if self.may_roll_back else "never"


@dataclass(frozen=True, slots=True)
class Chapter:
    """Cases that ask the same question."""

    title: str
    asks: str
    cases: tuple[Case, ...]
