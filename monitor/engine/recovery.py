"""Whether a rollback that is proven also helped: the metric that broke is watched on, and a page says if it stays.

Only closed minutes count, and the minute of the proof: any worker comes to the same page under the same id. A replay
turns no flag, so nothing is proven there and nothing is asked here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from monitor.core.aggregate import Aggregate
from monitor.core.budget import BaselineMode, Objective, Scope
from monitor.core.cohort import CohortKey, cohort_key, narrowed
from monitor.core.decision import Decision, Reason
from monitor.core.recovery import (
    BACK_MIN,
    PAST_MIN,
    RECOVERY_MIN,
    find_unrecovered,
    is_back,
    not_helped_words,
)
from monitor.core.window import minute_of, tick_ms
from monitor.core.wording import indicator_words, slice_words
from monitor.engine.reading import Reading, delay_of

if TYPE_CHECKING:
    from monitor.engine.evaluate import Evaluator
    from monitor.engine.verify import Case

KEPT_MIN: Final = 150  # minutes kept once a rollback was asked for: its proof may become known late
_Key = tuple[str, CohortKey]


class Recoveries:
    """What the baseline serves, per objective and slice, and which rollbacks were asked about."""

    def __init__(self) -> None:
        self._minutes: dict[_Key, deque[tuple[int, Aggregate]]] = {}
        self._before: dict[str, list[Aggregate]] = {}
        self._looked: dict[str, int] = {}  # by request: the minute of the proof it was looked at for
        self._paged: set[str] = set()

    def append(self, evaluator: Evaluator, now: int, reading: Reading, *, is_short: bool) -> None:
        """Take in what the baseline served in the newest minute of each objective that has all its labels.

        Args:
            is_short: Nothing was asked to be rolled back: only what may become the past of a rollback is kept.
        """
        for objective in evaluator.budget.objectives:
            if not objective.is_guarded:
                continue
            delay_min = delay_of(objective)
            minute = now - 1 - delay_min
            for view in objective.views():
                read = reading.overall if view == objective.where else reading.cohort
                served = read(minute, view, with_labels=delay_min > 0)[1]
                kept = self._minutes.setdefault((objective.objective_id, view), deque())
                if not kept or minute > kept[-1][0]:  # a changed budget may wait longer for its labels
                    kept.append((minute, served))
                while len(kept) > (PAST_MIN if is_short else KEPT_MIN):
                    kept.popleft()

    def judge(self, evaluator: Evaluator, now: int, case: Case) -> list[Decision]:
        """Return what a tick shows of one rollback: that it did not help, once, or that the metric is back."""
        asked = _asked(evaluator, case)
        if asked is None:
            return []
        objective, view = asked
        judged_to = now - delay_of(objective)
        before = self._remember(case, objective, view, judged_to)
        if case.request_id in self._paged:
            return self._back(evaluator, case, objective, view, before, now)
        start = case.proven_minute
        if before is None or start is None or judged_to < start + RECOVERY_MIN:
            return []
        if self._looked.get(case.request_id) == start:
            return []
        self._looked[case.request_id] = start
        after = self._between(objective, view, start, start + RECOVERY_MIN)
        if len(after) < RECOVERY_MIN:
            return []
        past = _past(evaluator, case, view, start, RECOVERY_MIN) or before
        found = find_unrecovered(objective, past, after)
        if found is None:
            return []
        self._paged.add(case.request_id)
        at_ms = tick_ms(start + RECOVERY_MIN + delay_of(objective))
        text = not_helped_words(evaluator.budget.release, objective, view, found)
        return evaluator.commander.open_release_page(
            Reason.ROLLBACK_DID_NOT_HELP,
            at_ms,
            text,
            cohort=case.cohort,
            more={"request_id": case.request_id},
        )

    def _remember(
        self, case: Case, objective: Objective, view: CohortKey, judged_to: int
    ) -> list[Aggregate] | None:
        """Return the baseline's hour before the request; None until its labels are there."""
        asked_at = minute_of(case.at_ms)
        if case.request_id not in self._before and judged_to >= asked_at:
            found = self._between(objective, view, asked_at - PAST_MIN, asked_at)
            self._before[case.request_id] = found
        return self._before.get(case.request_id)

    def _between(self, objective: Objective, view: CohortKey, start: int, end: int) -> list[Aggregate]:
        kept = self._minutes.get((objective.objective_id, view), ())
        return [one for minute, one in kept if start <= minute < end]

    def _back(
        self,
        evaluator: Evaluator,
        case: Case,
        objective: Objective,
        view: CohortKey,
        before: list[Aggregate] | None,
        now: int,
    ) -> list[Decision]:
        """Resolve the page once the newest minutes are within the limit."""
        end = now - delay_of(objective)
        newest = self._between(objective, view, end - BACK_MIN, end)
        past = _past(evaluator, case, view, end - BACK_MIN, BACK_MIN) or before or []
        if not is_back(objective, past, newest):
            return []
        self._paged.discard(case.request_id)
        text = f"{indicator_words(objective)}{slice_words(view)} is back within its limit after the rollback"
        about = Reason.ROLLBACK_DID_NOT_HELP
        return evaluator.commander.resolve(
            None, case.cohort, tick_ms(now), Reason.RECOVERED, text, about=about
        )


def _asked(evaluator: Evaluator, case: Case) -> tuple[Objective, CohortKey] | None:
    """Return the objective and the slice whose breach a rollback answered; None where it answered none.

    Incidents have no level to come back to; a commander may have ordered it for reasons of their own.
    """
    named = case.data.get("objective")
    objective = next((one for one in evaluator.budget.objectives if one.objective_id == named), None)
    if objective is None or not objective.is_guarded:
        return None
    if case.data.get("reason") == Reason.COMMANDER.value and not _was_beyond(objective, case.data):
        return None
    if case.data.get("scope") == Scope.COHORT.value:
        view = narrowed(objective.where, case.cohort)
    else:
        pairs = case.data.get("cohort")
        found = pairs.items() if isinstance(pairs, Mapping) else ()
        view = cohort_key({str(name): str(one) for name, one in found})
    return objective, view if view in objective.views() else objective.where


def _was_beyond(objective: Objective, data: Mapping[str, object]) -> bool:
    seen = data.get("observed")
    delta = seen.get("delta") if isinstance(seen, Mapping) else None
    if not isinstance(delta, int | float):
        return False
    return delta < objective.limit if objective.limit < 0 else delta > objective.limit


def _past(evaluator: Evaluator, case: Case, view: CohortKey, start: int, length: int) -> list[Aggregate]:
    """Return the captured past of some minutes, where the breach was judged by it: the baseline had no traffic."""
    if case.data.get("baseline_mode") != BaselineMode.FROZEN.value:
        return []
    return [evaluator.reference.past(view, minute) for minute in range(start, start + length)]
