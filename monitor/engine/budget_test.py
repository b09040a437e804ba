"""Runs one test of a budget: rehearsed traffic in, decisions out, held against what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.core.budget import Budget
from monitor.core.decision import Decision
from monitor.core.expectation import Expectation
from monitor.core.ladder import as_if
from monitor.core.traffic_script import TrafficScript
from monitor.engine.backtest import Backtest
from monitor.engine.backtest_result import BudgetResult
from monitor.engine.rehearsed_traffic import START_MS, rehearsed
from monitor.engine.replay import Decode


class TrafficRefused(AssertionError):
    """The decoder refused a rehearsed event: a mistake of ours, never of the person who wrote the test."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An expectation and what came of it.

    Attributes:
        came: What meets it; where it is not met, what came instead.
    """

    expectation: Expectation
    is_met: bool
    came: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a test came to.

    Attributes:
        decisions: All of them, in time order; `minute_of_test` says when.
        result: What each objective came to, and what kept it from acting.
    """

    events: int
    answers: tuple[Answer, ...]
    decisions: tuple[Decision, ...]
    result: BudgetResult

    @property
    def passed(self) -> bool:
        """Tell whether every expectation is met."""
        return all(answer.is_met for answer in self.answers)


def run_budget_test(
    budget: Budget, script: TrafficScript, expected: Sequence[Expectation], *, seed: str, decode: Decode
) -> Rehearsal:
    """Rehearse a script against a budget.

    Args:
        seed: The test's name: where the traffic's schedules begin.
        decode: The hot path's own decoder.

    Raises:
        TrafficRefused: A rehearsed event is not one the product accepts.
    """
    backtest = Backtest({"": budget}, decode)
    decisions: list[Decision] = []
    for line in rehearsed(script, release=budget.release, baseline=budget.baseline, seed=seed):
        decisions += (one.decision for one in backtest.feed(line))
    decisions += (one.decision for one in backtest.finish())
    counts = backtest.counts()
    if counts.rejected or counts.late or counts.duplicates:
        raise TrafficRefused(f"rehearsed traffic must be accepted as a whole, got {counts}")
    return Rehearsal(
        events=counts.accepted,
        answers=tuple(_answer(one, decisions) for one in expected),
        decisions=tuple(decisions),
        result=backtest.results()[0],
    )


def minute_of_test(decision: Decision) -> int:
    """Return the minute of a test's traffic at which a decision was taken; a tick ends its minute."""
    return (decision.at_ms - START_MS) // 60_000


def _answer(expectation: Expectation, decisions: Sequence[Decision]) -> Answer:
    """Hold decisions against an expectation; what is only observed counts as what it would be."""
    decisions = [as_if(one) for one in decisions]
    is_met = expectation.is_met(decisions, START_MS)
    shown = expectation.matching if is_met else expectation.nearest
    return Answer(expectation, is_met, tuple(shown(decisions, START_MS)))
