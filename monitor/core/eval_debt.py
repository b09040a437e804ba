"""Eval debt: breaches that still lack an evaluation case, each with an owner, a due date and a case to begin from.

Traces are named by their ids; what was said in them never comes here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Final

from monitor.core.budget import Budget, Objective, Unit
from monitor.core.decision import Decision, Type
from monitor.core.ids import decision_id
from monitor.core.indicator import INCIDENTS, IndicatorKind
from monitor.core.moment import moment_ms, rfc3339
from monitor.core.record import Arming, Finding, evidence_data, release_data, trace_ids

DUE_MS: Final = 7 * 24 * 3_600_000
"""A week: one planning round of a team, and short against the life of a release's successor."""


class Check(StrEnum):
    """How a case can be judged: by measuring, or by somebody who reads the answer."""

    LATENCY_MS = "latency_ms"
    COST_USD = "cost_usd"
    PARSES = "parses"
    NOT_REFUSED = "not_refused"
    JUDGED = "judged"


_EXPECTED: Final = {
    "task_success": "the task is done as the user asked",
    "parse_failures": "the answer parses as its format says",
    "citation_validity": "every citation is valid",
    "refusal": "the request is answered and not refused",
    "abstention": "an answer is given",
    "human_handoff": "it is settled without a person who takes over",
    "user_retry": "the user needs no second try",
    "tool_success": "every tool call succeeds",
    "fallback": "no fallback is used",
    "error": "it ends without an error",
    "timeout": "it ends in time",
    "tokens_per_request": "it takes no more tokens than the baseline",
    INCIDENTS: "no high-severity incident follows",
}
_CHECKS: Final = {"parse_failures": Check.PARSES, "refusal": Check.NOT_REFUSED}


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A case to begin from: what a good answer to one of the traces has to be.

    Attributes:
        most: Of a measured check the most it may be, in the check's unit; None for the others.
    """

    title: str
    expect: str
    check: Check
    most: float | None = None


def skeleton(finding: Finding, release: str) -> Skeleton:
    """Return the case that would have shown a breach, as far as its objective alone tells."""
    objective = finding.objective
    title = f"{objective.objective_id} broke in {release}"
    source, kind = objective.indicator.source, objective.indicator.kind
    most = _most(objective, finding.seen.baseline)
    if kind is IndicatorKind.QUANTILE and most is not None:
        if source == "latency":
            return Skeleton(title, f"it is answered within {most:,.0f} ms", Check.LATENCY_MS, most)
        stage = source.removeprefix("stage.")
        return Skeleton(title, f"its stage {stage} ends within {most:,.0f} ms", Check.JUDGED)
    if source == "cost" and most is not None:
        return Skeleton(title, f"it costs at most {most:.6g} USD", Check.COST_USD, most)
    check = _CHECKS.get(objective.indicator.name, Check.JUDGED)
    return Skeleton(title, _expected(objective), check)


def _most(objective: Objective, baseline: float | None) -> float | None:
    """Return the largest value that the limit allows over the baseline's; None where there is none."""
    if baseline is None or not isfinite(baseline) or objective.unit is not Unit.PERCENT:
        return None
    return round(baseline * (1.0 + objective.limit / 100.0), 6)


def _expected(objective: Objective) -> str:
    name = objective.indicator.name
    if name.startswith("outcome."):
        outcome = name.removeprefix("outcome.")
        return f"{outcome} holds" if objective.limit < 0 else f"{outcome} does not happen"
    return _EXPECTED.get(name, f"{name} is no worse than with the baseline")


def debt(
    budget: Budget, arming: Arming, finding: Finding, classes: list[str], episode_ms: int, at_ms: int
) -> Decision:
    """Return the eval debt that a breach opens when it pages or rolls back."""
    objective = finding.objective
    cohort, objective_id = dict(finding.view), objective.objective_id
    kind = Type.DEBT_CREATED
    event_id = decision_id(kind.value, budget.release, arming.number, objective_id, cohort, episode_ms)
    case = skeleton(finding, budget.release)
    data = {
        **release_data(budget, arming),
        "debt_id": event_id,
        "objective": objective_id,
        "metric": objective.indicator.name,
        "cohort": cohort,
        "owner": budget.owner,
        "decided_at": rfc3339(at_ms),
        "due_at": rfc3339(at_ms + DUE_MS),
        "failure_classes": classes,
        "exemplars": trace_ids(finding.exemplars),
        "case": {"title": case.title, "expect": case.expect, "check": case.check.value, "most": case.most},
        "evidence": evidence_data(finding),
        "follow_ups": list(budget.follow_ups),
        "summary": f"write an evaluation case for {objective_id}: it broke in {budget.release}",
    }
    return Decision(kind, event_id, budget.release, at_ms, data)


@dataclass(frozen=True, slots=True)
class EvalDebt:
    """One debt as it stands.

    Attributes:
        data: Of the event that opened it.
        closed: Of the event that closed it; None while it is open.
    """

    debt_id: str
    release: str
    baseline: str
    due_ms: int
    data: Mapping[str, object]
    closed: Mapping[str, object] | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether nobody has closed it."""
        return self.closed is None

    def is_overdue(self, now_ms: int) -> bool:
        """Tell whether it is open beyond its due date; `now_ms` is event time, epoch milliseconds."""
        return self.is_open and now_ms > self.due_ms


def debt_of(data: Mapping[str, object], closed: Mapping[str, object] | None = None) -> EvalDebt:
    """Return a debt from the data of the event that opened it, and of the one that closed it."""
    due_ms = moment_ms(str(data["due_at"]))
    release, baseline = str(data["release"]), str(data["baseline"])
    return EvalDebt(str(data["debt_id"]), release, baseline, due_ms, data, closed)


def debts_of(decisions: Iterable[Decision]) -> list[EvalDebt]:
    """Return every debt that decisions tell of, the first due first; their order and repeats mean nothing."""
    opened: dict[str, Mapping[str, object]] = {}
    closed: dict[str, Mapping[str, object]] = {}
    for one in decisions:
        if one.type is Type.DEBT_CREATED:
            opened[str(one.data["debt_id"])] = one.data
        elif one.type is Type.DEBT_CLOSED:
            closed[str(one.data["debt_id"])] = one.data
    found = (debt_of(data, closed.get(debt_id)) for debt_id, data in opened.items())
    return sorted(found, key=lambda one: (one.due_ms, one.debt_id))


def closing_id(owed: Mapping[str, object]) -> str:
    """Return the id of the one event that closes a debt, whoever closes it."""
    number = owed["arming"]
    arming = number if isinstance(number, int) else 0
    return decision_id(Type.DEBT_CLOSED.value, str(owed["release"]), arming, str(owed["debt_id"]), {})


def closing(
    owed: Mapping[str, object], at_ms: int, *, author: str, note: str, evaluation: str | None
) -> Decision:
    """Return the event that closes a debt.

    Args:
        owed: The data of the event that opened it.
        evaluation: Where the case is.
    """
    where = f": {evaluation}" if evaluation else ""
    data = {
        **{name: owed[name] for name in ("release", "baseline", "budget", "budget_digest", "arming")},
        **{name: owed[name] for name in ("debt_id", "objective", "cohort")},
        "author": author,
        "note": note,
        "evaluation": evaluation,
        "decided_at": rfc3339(at_ms),
        "summary": f"{author} closed the eval debt for {owed['objective']} of {owed['release']}{where}",
    }
    return Decision(Type.DEBT_CLOSED, closing_id(owed), str(owed["release"]), at_ms, data)


def owed_before(debts: Iterable[EvalDebt], release: str, baseline: str) -> list[EvalDebt]:
    """Return the open debts that a release comes after: its own earlier ones, and those of its predecessors.

    Predecessors are its baseline, whatever was tried against its baseline, and what came before those in turn.
    """
    debts = list(debts)
    line = {baseline}
    while grown := {one.baseline for one in debts if one.release in line} - line:
        line |= grown
    return [one for one in debts if one.is_open and (one.release in {release, *line} or one.baseline in line)]


def owed_at(debts: Iterable[EvalDebt], release: str, baseline: str, arming: int | None) -> list[EvalDebt]:
    """Return what was owed before this arming: what it broke itself is a breach, and no debt from before.

    Args:
        arming: The newest one of the release; None where it was never armed.
    """
    return [
        one
        for one in owed_before(debts, release, baseline)
        if arming is None or (one.release, one.data.get("arming")) != (release, arming)
    ]
