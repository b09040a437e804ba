"""After the flag was turned: the traffic is watched until it shows that the rollback took effect, or that it did not.

Only closed minutes and the ledger's record of the turned flag count, so any worker comes to the same answer, and one
that takes the release over finds it again. A replay turns no flag: there nothing is proven, and nothing fails.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from monitor.core.budget import Scope
from monitor.core.cohort import OVERALL, CohortKey, by_every, cohort_key, narrowed
from monitor.core.decision import Decision, Reason, Type
from monitor.core.ids import decision_id
from monitor.core.moment import rfc3339
from monitor.core.verification import (
    Proof,
    ProofRule,
    Served,
    ServedMinute,
    Standing,
    most_served,
    ratio_of,
    step,
)
from monitor.core.window import minute_of, tick_ms
from monitor.engine.act_events import identity
from monitor.engine.proof_words import (
    failed_words,
    undone_words,
    unproven_words,
    verified_words,
)
from monitor.engine.reading import Reading, delay_of
from monitor.engine.recovery import Recoveries

if TYPE_CHECKING:
    from monitor.engine.evaluate import Evaluator

BEFORE_MIN: Final = 15  # minutes before the request that say which share the candidate had
KEPT_MIN: Final = 120  # minutes remembered: a flag that was turned is known of long before these are over
_PAGES: Final = {
    Standing.FAILED: Reason.ROLLBACK_FAILED,
    Standing.UNPROVEN: Reason.ROLLBACK_UNPROVEN,
    Standing.UNDONE: Reason.ROLLBACK_UNDONE,
}


@dataclass(slots=True)
class Case:
    """One rollback that was asked for, and what the traffic says of it.

    Attributes:
        cohort: What goes back alone; `OVERALL` is the release.
        data: The request's.
        ratio_before: The candidate's share before the request, once its minutes are closed.
        next_minute: The first minute that is not weighed yet.
        proven_minute: The first minute after the proof; None while there is none, and once it is undone.
    """

    request_id: str
    cohort: CohortKey
    at_ms: int
    data: Mapping[str, object]
    ratio_before: float | None = None
    is_measured: bool = False
    next_minute: int = 0
    proven_minute: int | None = None
    proof: Proof = field(default_factory=Proof)


class Proofs:
    """The rollbacks of one arming, each held against the traffic."""

    def __init__(self) -> None:
        self.cases: dict[CohortKey, Case] = {}
        self._applied: dict[str, int] = {}
        self._minutes: dict[CohortKey, deque[ServedMinute]] = {}
        self._recoveries = Recoveries()
        self._is_over = False

    def requested(self, decision: Decision) -> None:
        """Take note of a request; a repeat changes nothing."""
        data = decision.data
        alone = data.get("cohort") if data.get("scope") == Scope.COHORT.value else None
        pairs = {str(name): str(one) for name, one in alone.items()} if isinstance(alone, Mapping) else {}
        cohort = cohort_key(pairs)
        self.cases.setdefault(cohort, Case(decision.decision_id, cohort, decision.at_ms, data))

    def applied(self, request_id: str, at_ms: int) -> None:
        """Take note that the flag was turned; of several times the first one counts, in whatever order they come."""
        self._applied[request_id] = min(at_ms, self._applied.get(request_id, at_ms))

    def stop(self) -> None:
        """Watch no longer: a person disarmed the release."""
        self._is_over = True

    def tick(self, evaluator: Evaluator, now: int, reading: Reading) -> list[Decision]:
        """Weigh the minute before `now`, and return what it shows of the rollbacks that were carried out."""
        if self._is_over:
            return []
        self._append(evaluator, now - 1, reading)
        self._recoveries.append(evaluator, now, reading, is_short=not self.cases)
        decisions: list[Decision] = []
        for case in self.cases.values():
            if not case.is_measured and case.at_ms <= tick_ms(now):
                case.ratio_before, case.is_measured = self._before(case), True
            applied_ms = self._applied.get(case.request_id)
            if case.is_measured and applied_ms is not None:
                decisions += self._weigh(evaluator, case, applied_ms)
            decisions += self._recoveries.judge(evaluator, now, case)
        return decisions

    def _append(self, evaluator: Evaluator, minute: int, reading: Reading) -> None:
        for cohort, view in _wholes(evaluator):
            pair = reading.cohort(minute, view) if cohort else reading.overall(minute, OVERALL)
            whole = Served(cohort, pair[0].requests, pair[0].requests + pair[1].requests)
            # Who is served what is asked only once the release has to go back, and while somebody still is.
            is_asked = not cohort and cohort in self.cases and whole.candidate > 0
            within = tuple(_critical(evaluator, minute, reading)) if is_asked else ()
            most = most_served((*within, *_parts(evaluator, minute, reading))) if is_asked else None
            kept = self._minutes.setdefault(cohort, deque(maxlen=KEPT_MIN))
            kept.append(ServedMinute(minute, whole, within, most))

    def _before(self, case: Case) -> float | None:
        end = minute_of(case.at_ms)
        return ratio_of(
            one for one in self._minutes.get(case.cohort, ()) if end - BEFORE_MIN <= one.minute < end
        )

    def _weigh(self, evaluator: Evaluator, case: Case, applied_ms: int) -> list[Decision]:
        asked = evaluator.budget.verify
        rule = ProofRule(applied_ms, asked.within_min * 60_000, asked.max_ratio, case.ratio_before)
        decisions: list[Decision] = []
        for minute in self._minutes.get(case.cohort, ()):
            if minute.minute < case.next_minute:
                continue
            before, case.next_minute = case.proof.standing, minute.minute + 1
            case.proof = step(case.proof, minute, rule)
            if case.proof.standing is not before:
                is_proven = case.proof.standing is Standing.VERIFIED
                case.proven_minute = case.next_minute if is_proven else None
                decisions += _said(evaluator, case, rule, before, tick_ms(minute.minute + 1))
        return decisions


def _wholes(evaluator: Evaluator) -> Iterator[tuple[CohortKey, CohortKey]]:
    """Yield what can go back, and the slice whose requests show it."""
    yield OVERALL, OVERALL
    shown: dict[CohortKey, CohortKey] = {}
    for objective in evaluator.budget.objectives:
        if objective.scope is Scope.COHORT:
            for cohort in objective.critical_cohorts:
                view = narrowed(objective.where, cohort)
                shown[cohort] = min(shown.get(cohort, view), view, key=len)
    yield from shown.items()


def _critical(evaluator: Evaluator, minute: int, reading: Reading) -> Iterator[Served]:
    """Yield the slices that the budget calls critical: each has to be rid of the candidate by itself."""
    views = {
        view
        for one in evaluator.budget.objectives
        if not delay_of(one)  # a slice that is judged later is read later
        for view in one.views()[1:]
    }
    for view in sorted(views):
        candidate, baseline = reading.cohort(minute, view)
        yield Served(view, candidate.requests, candidate.requests + baseline.requests)


def _parts(evaluator: Evaluator, minute: int, reading: Reading) -> Iterator[Served]:
    """Yield the slices that the traffic is told apart by, where a slice has a name of one value."""
    dimensions = {
        dimension
        for one in evaluator.budget.objectives
        if not one.where and not delay_of(one)
        for dimension in one.watched_dimensions
    }
    dimensions |= set(evaluator.budget.strata) if len(evaluator.budget.strata) == 1 else set()
    for dimension in sorted(dimensions):
        mine, theirs = reading.values(minute, by_every(OVERALL, (dimension,)))
        for value, part in mine.items():
            other = theirs[value].requests if value in theirs else 0
            if value:  # requests that carry no value of it are nobody in particular
                yield Served(cohort_key({dimension: value}), part.requests, part.requests + other)


def _said(evaluator: Evaluator, case: Case, rule: ProofRule, before: Standing, at_ms: int) -> list[Decision]:
    """Return what a changed standing leads to."""
    decisions: list[Decision] = []
    about = _PAGES.get(before)
    release = evaluator.budget.release
    standing = case.proof.standing
    if standing is Standing.VERIFIED:
        text = verified_words(release, case.proof, case.cohort, _seconds(case, at_ms))
        if before is not Standing.UNDONE:
            decisions.append(_verified(evaluator, case, rule, at_ms, text))
    elif standing is Standing.FAILED:
        text = failed_words(release, case.proof, case.cohort, _after_s(rule, at_ms))
        decisions.append(_failed(evaluator, case, at_ms, text))
    elif standing is Standing.UNPROVEN:
        text = unproven_words(release, case.proof, rule, case.cohort, _after_s(rule, at_ms))
    else:
        text = undone_words(release, case.proof, case.cohort)
    commander = evaluator.commander
    if about is not None:
        decisions += commander.resolve(None, case.cohort, at_ms, Reason.RECOVERED, text, about=about)
    reason = _PAGES.get(standing)
    if reason is not None:
        more = {"request_id": case.request_id}
        decisions += commander.open_release_page(reason, at_ms, text, cohort=case.cohort, more=more)
    return decisions


def _seconds(case: Case, at_ms: int) -> float:
    return max(0, at_ms - case.at_ms) / 1000


def _after_s(rule: ProofRule, at_ms: int) -> float:
    return max(0, at_ms - rule.applied_ms) / 1000


def _verified(evaluator: Evaluator, case: Case, rule: ProofRule, at_ms: int, text: str) -> Decision:
    more = {
        "share_before": None if rule.ratio_before is None else round(rule.ratio_before, 6),
        "share_after": round(case.proof.clean.ratio, 6),
        "seconds": _seconds(case, at_ms),
    }
    return _follow_up(evaluator, Type.ROLLBACK_VERIFIED, case, at_ms, text, more)


def _failed(evaluator: Evaluator, case: Case, at_ms: int, text: str) -> Decision:
    last = case.proof.last
    most = None if last is None else last.most
    more: dict[str, object] = {
        "reason": "traffic_stays",
        "message": text,
        "retryable": True,
        "share_after": None if last is None else round(last.whole.ratio, 6),
        "still_served": dict(case.cohort if most is None else most.cohort),
    }
    return _follow_up(evaluator, Type.ROLLBACK_FAILED, case, at_ms, text, more)


def _follow_up(
    evaluator: Evaluator, type_: Type, case: Case, at_ms: int, text: str, more: Mapping[str, object]
) -> Decision:
    data = {
        **identity(case.data),
        "request_id": case.request_id,
        "decided_at": rfc3339(at_ms),
        "summary": text,
        **more,
    }
    arming = evaluator.arming
    event_id = decision_id(type_.value, arming.release, arming.number, cohort=dict(case.cohort))
    return Decision(type_, event_id, arming.release, at_ms, data)
