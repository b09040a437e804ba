"""What is noted about one budget while a recording is played: bounded, however long the recording is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from monitor.core.budget import Budget, Objective, OnSilence
from monitor.core.cohort import CohortKey, cohort_key
from monitor.core.curve import Curve
from monitor.core.decision import Decision, Reason, Type
from monitor.core.ladder import as_if
from monitor.core.sustained import Judgement
from monitor.core.watch import Watch
from monitor.core.window import minute_of, tick_ms
from monitor.engine.backtest_result import BudgetResult, Closest, Fate, Moment, ObjectiveResult
from monitor.engine.evaluate import Evaluator, Stage

SHOWN_MIN: Final = 5  # the curve shows at least so many minutes at once: a single one is mostly chance
_NO_BREACH: Final = frozenset({Reason.NO_DATA.value, Reason.BLIND.value, Reason.BOTH_DEGRADED.value})

Key = tuple[str, CohortKey]


@dataclass(slots=True)
class _Act:
    """A page or a rollback: when, why, and what was seen."""

    at_ms: int
    reason: str
    delta: float | None


class _ObjectiveNotes:
    """Notes about one objective on one slice."""

    def __init__(self, objective: Objective, cohort: CohortKey) -> None:
        self.objective = objective
        self.cohort = cohort
        self.breach_ms: int | None = None
        self.act: _Act | None = None
        self.rollback_ms: int | None = None
        self.is_held = False
        self.row: Mapping[str, Any] = {}
        self.curve = Curve(objective.worse)
        self.closest: tuple[int, Judgement] | None = None
        self._judgement: Judgement | None = None
        self._refusals: Counter[str] = Counter()
        self._last_refusal: str | None = None
        self._has_acted = False

    def look(self, watch: Watch, now: int) -> None:
        """Note what a tick showed, once it was judged or only taken in."""
        end = now - watch.objective.label_delay_min
        if end > watch.first_minute:
            start = max(watch.first_minute, end - max(watch.rule.hold_min, SHOWN_MIN))
            self.curve.add(end - 1, watch.series.observed(start, end).delta)
        judgement = watch.judgement
        if judgement is None or judgement is self._judgement:
            return
        self._judgement = judgement
        self._last_refusal = judgement.refusal.value if judgement.refusal else None
        if self._has_acted:
            return
        self._has_acted = watch.acted or watch.spent_paged
        # What is younger than its duration is refused for that alone.
        if self._last_refusal is not None and end - watch.first_minute >= watch.rule.hold_min:
            self._refusals[self._last_refusal] += 1
        closest = self.closest
        if self._has_acted or closest is None or judgement.strongest > closest[1].strongest:
            self.closest = end, judgement

    def take(self, decision: Decision, *, on_silence: OnSilence) -> None:
        """Note a decision about this objective."""
        at_ms = decision.at_ms
        if decision.type is Type.BREACH_STARTED and self.breach_ms is None:
            self.breach_ms = at_ms
        elif decision.type is Type.PAGE_EXPIRED and on_silence is OnSilence.HOLD:
            self.is_held = True
        elif decision.type in (Type.PAGE_OPENED, Type.ROLLBACK_REQUESTED):
            self._take_act(decision.data, at_ms)
            if decision.type is Type.ROLLBACK_REQUESTED and self.rollback_ms is None:
                self.rollback_ms = at_ms

    def _take_act(self, data: Mapping[str, Any], at_ms: int) -> None:
        reason = str(data["reason"])
        # A breach tells more than a page about missing traffic that came before it.
        if self.act is None or (self.act.reason in _NO_BREACH and reason not in _NO_BREACH):
            self.act = _Act(at_ms, reason, data["observed"]["delta"])

    def result(self, first_minute: int | None) -> ObjectiveResult:
        """Return what it all came to."""
        act, row, seen = self.act, self.row, self.row.get("observed", {})
        samples = row.get("samples", {"baseline": 0, "candidate": 0})
        zero = first_minute or 0
        breach_ms = self.breach_ms
        if breach_ms is None and act is not None and act.reason not in _NO_BREACH:
            breach_ms = act.at_ms  # incidents act without a breach before
        return ObjectiveResult(
            objective=self.objective,
            cohort=self.cohort,
            fate=self._fate(),
            reason=None if act is None else act.reason,
            first_breach=_moment(breach_ms, zero),
            acted=_moment(None if act is None else act.at_ms, zero),
            rolled_back=_moment(self.rollback_ms, zero),
            delta=seen.get("delta") if act is None or act.delta is None else act.delta,
            closest=self._closest(zero),
            last_refusal=self._last_refusal,
            usual_refusal=max(self._refusals, key=self._refusals.__getitem__, default=None),
            verdict=str(row.get("verdict", "no_data")),
            mde=row.get("mde"),
            minutes_spent=int(row.get("minutes_spent", 0)),
            samples=(samples["baseline"], samples["candidate"]),
            curve=tuple((minute - zero, value) for minute, value in self.curve.points()),
            step_min=self.curve.step_min,
        )

    def _fate(self) -> Fate:
        if self.rollback_ms is not None:
            return Fate.ROLLED_BACK
        if self.is_held:
            return Fate.HELD
        return Fate.QUIET if self.act is None else Fate.PAGED

    def _closest(self, zero: int) -> Closest | None:
        if self.closest is None or self.objective.evidence.value == "off":
            return None
        minute, judgement = self.closest
        return Closest(minute - zero, judgement.strongest, judgement.x_star)


@dataclass(slots=True)
class BudgetNotes:
    """Notes about one budget."""

    budget: Budget
    first_minute: int | None = None
    last_tick: int | None = None
    is_complete: bool = False
    objectives: dict[Key, _ObjectiveNotes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for objective in self.budget.objectives:
            for cohort in objective.views():
                self.objectives[objective.objective_id, cohort] = _ObjectiveNotes(objective, cohort)

    def look(self, evaluator: Evaluator, now: int) -> None:
        """Note what a tick of the evaluator showed."""
        if self.is_complete:
            return
        self.first_minute = evaluator.progress.first_minute
        self.last_tick = now
        self.is_complete = evaluator.progress.stage is Stage.ENDED
        for (objective_id, cohort), watch in evaluator.watches.items():
            self._of(objective_id, cohort).look(watch, now)

    def take(self, decision: Decision) -> None:
        """Note a decision of this budget; what it only observed counts as what it would be."""
        decision = as_if(decision)
        data: Mapping[str, Any] = decision.data
        if decision.type is Type.RELEASE_ASSESSED:
            for row in data["objectives"]:
                self._of(row["objective"], cohort_key(row["cohort"])).row = row
        elif data.get("objective") is not None:
            notes = self._of(str(data["objective"]), cohort_key(data["cohort"]))
            notes.take(decision, on_silence=self.budget.silence)

    def _of(self, objective_id: str, cohort: CohortKey) -> _ObjectiveNotes:
        notes = self.objectives.get((objective_id, cohort))
        if notes is None:  # a slice that is only watched: which values it has, the traffic says
            objective = next(one for one in self.budget.objectives if one.objective_id == objective_id)
            notes = self.objectives[objective_id, cohort] = _ObjectiveNotes(objective, cohort)
        return notes

    def result(self, name: str) -> BudgetResult:
        """Return what the budget would have done."""
        results = tuple(one.result(self.first_minute) for one in self.objectives.values())
        requests = [one for one in results if one.rolled_back is not None]
        first = self.first_minute
        return BudgetResult(
            name=name,
            budget=self.budget,
            began_at_ms=None if first is None else tick_ms(first),
            minutes=0 if first is None or self.last_tick is None else self.last_tick - first,
            complete=self.is_complete,
            rollback=min(requests, key=_requested_ms, default=None),
            objectives=results,
        )


def _requested_ms(result: ObjectiveResult) -> int:
    assert result.rolled_back is not None, "only requests are compared"
    return result.rolled_back.at_ms


def _moment(at_ms: int | None, zero: int) -> Moment | None:
    return None if at_ms is None else Moment(minute_of(at_ms) - zero, at_ms)
