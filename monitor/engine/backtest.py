"""Backtest: which of many budgets would have acted on recorded traffic, when, and how narrowly.

The live fold and the live evaluator do the work, through `Replay`; here is only who shares a replay, and what is
noted. A record is decoded once for all budgets. Budgets of one release are folded together where that changes
nothing for any of them; each decides exactly as in a replay of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from monitor.core.budget import Budget
from monitor.core.decision import Decision
from monitor.core.event import Observation
from monitor.engine.backtest_notes import BudgetNotes
from monitor.engine.backtest_result import BudgetResult
from monitor.engine.evaluate import Evaluator
from monitor.engine.replay import Decode, Replay, ReplayCounts


class Decided(NamedTuple):
    """A decision and the budgets that lead to it: several where their files say the same."""

    names: tuple[str, ...]
    decision: Decision


class Backtest:
    """Plays one recording, of one partition, for many budgets at once.

    Args:
        budgets: By a name that tells them apart, such as their file; they may share releases.
        decode: The hot path's own decoder.
    """

    def __init__(self, budgets: Mapping[str, Budget], decode: Decode) -> None:
        self._decode = decode
        self._event: Observation | str = ""
        self._names: dict[str, tuple[str, ...]] = {}  # by digest: files that mean the same are one budget
        self._notes: dict[str, BudgetNotes] = {}
        for name, budget in budgets.items():
            self._names[budget.digest] = (*self._names.get(budget.digest, ()), name)
            self._notes.setdefault(budget.digest, BudgetNotes(budget))
        groups = _sharing([notes.budget for notes in self._notes.values()])
        self._replays = [Replay(group, self._decoded, after_tick=self._look) for group in groups]
        self._order = {name: budget.digest for name, budget in budgets.items()}

    def feed(self, value: bytes | None) -> list[Decided]:
        """Take in one record and return the decisions that are due, in time order."""
        self._event = self._decode(value)
        due: list[Decision] = []
        for replay in self._replays:
            due += replay.feed(value)
        return self._taken(due) if due else []

    def finish(self) -> list[Decided]:
        """Close the last minutes and return what was still held back, the assessments last."""
        return self._taken([decision for replay in self._replays for decision in replay.finish()])

    def results(self) -> tuple[BudgetResult, ...]:
        """Return what each budget would have done so far, in the order they were given."""
        return tuple(self._notes[digest].result(name) for name, digest in self._order.items())

    def counts(self) -> ReplayCounts:
        """Return what became of the input; files that mean the same count their decisions once.

        Raises:
            ValueError: There is no budget at all.
        """
        first, *others = (replay.counts() for replay in self._replays)
        for one in others:
            first.decisions.update(one.decisions)
        return first

    def _decoded(self, _value: bytes | None) -> Observation | str:
        """Give every replay the record that `feed` has decoded."""
        return self._event

    def _look(self, evaluator: Evaluator, now: int) -> None:
        self._notes[evaluator.budget.digest].look(evaluator, now)

    def _taken(self, decisions: Sequence[Decision]) -> list[Decided]:
        taken = []
        for decision in sorted(decisions, key=lambda one: one.at_ms):
            digest = str(decision.data["budget_digest"])
            self._notes[digest].take(decision)
            taken.append(Decided(self._names[digest], decision))
        return taken


def _sharing(budgets: Sequence[Budget]) -> list[list[Budget]]:
    """Return the budgets in groups that can be folded together."""
    groups: list[list[Budget]] = []
    for budget in budgets:
        home = next((group for group in groups if all(_fold_alike(budget, one) for one in group)), None)
        if home is None:
            groups.append([budget])
        else:
            home.append(budget)
    return groups


def _fold_alike(one: Budget, other: Budget) -> bool:
    """Tell whether folding for both changes nothing for either.

    The label delay is a release's: a longer one of another budget would move labels into cells that are read
    later. The slices of one are more cells to the other, and nothing else; but an indicator has one set of
    exemplars, which two directions of harm would share.
    """
    if (one.release, one.baseline, _delay_min(one)) != (other.release, other.baseline, _delay_min(other)):
        return False
    worse = {objective.indicator.name: objective.worse for objective in one.objectives}
    return all(
        worse.get(objective.indicator.name, objective.worse) is objective.worse
        for objective in other.objectives
    )


def _delay_min(budget: Budget) -> int:
    return max((objective.label_delay_min for objective in budget.objectives), default=0)
