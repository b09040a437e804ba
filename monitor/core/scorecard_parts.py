"""The parts of a scorecard, each read from decisions as they stand on record.

A record may come from a file that anybody wrote: what is missing in it, or is not what it should be, is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from monitor.core.decision import Decision, Type
from monitor.core.eval_debt import EvalDebt
from monitor.core.moment import rfc3339

VERDICTS: Final = ("breach", "no_data", "inconclusive", "not_assessed", "healthy")

WATCHED_COUNTS: Final = ("values", "breach", "no_data", "inconclusive", "healthy", "shown", "beyond_cap")
_SILENT: Final = frozenset({Type.PAGE_DELIVERED, Type.DEBT_CREATED, Type.DEBT_CLOSED})
"""What has a table of its own, or tells of the monitor's own work."""

_FOLLOW_UPS: Final = (Type.ROLLBACK_APPLIED, Type.ROLLBACK_VERIFIED, Type.ROLLBACK_FAILED)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this is about; None is not on record.

    Attributes:
        budget_digest: Of the budget in force at the end.
        armed_at, ended_at: RFC 3339, event time.
        armed_late: The candidate had traffic before.
        arming_id: The arming's own event; its key in the ledger.
        has_spec: Whether the budget itself is on record, so that an objective without a row is seen to be missing.
    """

    release: str
    arming: int
    baseline: str | None
    budget: str | None
    budget_digest: str | None
    mode: str | None
    armed_at: str | None
    armed_late: bool | None
    arming_id: str | None
    owner: str | None
    on_call: str | None
    has_spec: bool
    source: str


@dataclass(frozen=True, slots=True)
class Row:
    """One objective on one slice, as the newest assessment has it.

    Attributes:
        is_whole: The slice is everybody the objective is about, and no cohort of it.
        tier: `A` is hard: it rolls back. `B` is soft: it asks a person.
        limit, baseline, candidate, delta, lower, upper: As in `release.assessed`; delta, its interval and the limit in
            `unit` (`pct`, `pp`, `increase`).
        verdict: One of `VERDICTS`; `not_assessed` where the budget has the objective and the assessment does not.
        mde: Smallest harmful delta that the samples could have shown, in `unit`.
        minutes_spent: Beyond the limit.
    """

    objective: str
    metric: str | None
    cohort: dict[str, str]
    is_whole: bool
    tier: str | None
    verdict: str
    limit: float | None
    unit: str | None
    baseline: float | None
    candidate: float | None
    delta: float | None
    lower: float | None
    upper: float | None
    confidence: float | None
    mde: float | None
    requests_baseline: int | None
    requests_candidate: int | None
    minutes_spent: int | None
    late_count: int | None
    baseline_mode: str | None
    summary: str | None


@dataclass(frozen=True, slots=True)
class Assessed:
    """The newest assessment; `watched` counts the verdicts of all watched cohorts, shown as rows or not."""

    id: str
    decided_at: str
    stage: str | None
    complete: bool
    late_count: int | None
    warnings: list[str]
    summary: str | None
    watched: list[dict[str, str | int | None]]


@dataclass(frozen=True, slots=True)
class Happening:
    """One decision on record.

    Attributes:
        who: The person who ordered or signed it.
    """

    at: str
    type: str
    id: str
    objective: str | None
    cohort: dict[str, str]
    who: str | None
    words: str | None


@dataclass(frozen=True, slots=True)
class Rollback:
    """One request to roll back and what became of it; None is not on record.

    Attributes:
        cohort: The slice that goes back; empty: the whole release.
        applied_s, verified_s, failed_s: Seconds of event time from the request.
        message: Why it failed.
        newest: `requested`, `applied`, `verified` or `failed`: what was said last.
    """

    request_id: str
    requested_at: str | None
    reason: str | None
    summary: str | None
    cohort: dict[str, str]
    applied_at: str | None
    applied_s: float | None
    verified_at: str | None
    verified_s: float | None
    failed_at: str | None
    failed_s: float | None
    message: str | None
    newest: str


@dataclass(frozen=True, slots=True)
class Owed:
    """An evaluation case that a breach of this arming owes."""

    debt_id: str
    objective: str | None
    cohort: dict[str, str]
    owner: str | None
    due_at: str
    is_open: bool
    closed_by: str | None
    closed_at: str | None
    evaluation: str | None


def identity_of(
    decisions: Sequence[Decision], release: str, arming: int, spec: Mapping[str, Any] | None, source: str
) -> Identity:
    """Return who the record is about.

    Args:
        spec: The budget in force at the end, in its canonical form; None where it is not on record.
    """
    newest, armed = newest_data(decisions), first_of(decisions, Type.ARMING_CREATED)
    late = [one.data["armed_late"] for one in decisions if isinstance(one.data.get("armed_late"), bool)]
    return Identity(
        release=release,
        arming=arming,
        baseline=text_of(newest.get("baseline")),
        budget=text_of(newest.get("budget")),
        budget_digest=text_of(newest.get("budget_digest")),
        mode=text_of(newest.get("mode")),
        armed_at=_at(armed),
        armed_late=any(late) if late else None,
        arming_id=None if armed is None else armed.decision_id,
        owner=text_of((spec or {}).get("owner")),
        on_call=text_of((spec or {}).get("on_call")),
        has_spec=spec is not None,
        source=source,
    )


def newest_data(decisions: Sequence[Decision]) -> Mapping[str, Any]:
    """Return the data of the newest decision that names the budget; empty where none does."""
    return next((one.data for one in reversed(decisions) if text_of(one.data.get("budget_digest"))), {})


def assessed_of(one: Decision) -> Assessed:
    """Return the head of an assessment."""
    data = one.data
    return Assessed(
        id=one.decision_id,
        decided_at=rfc3339(one.at_ms),
        stage=text_of(data.get("stage")),
        complete=data.get("complete") is True,
        late_count=count_of(data.get("late_count")),
        warnings=[str(words) for words in listed_of(data.get("warnings"))],
        summary=text_of(data.get("summary")),
        watched=[_watched(row) for row in listed_of(data.get("watched")) if isinstance(row, Mapping)],
    )


def _watched(row: Mapping[str, Any]) -> dict[str, str | int | None]:
    named = {name: text_of(row.get(name)) for name in ("objective", "dimension")}
    return {**named, **{name: count_of(row.get(name)) for name in WATCHED_COUNTS}}


def rows_of(one: Decision | None, spec: Mapping[str, Any] | None) -> list[Row]:
    """Return the rows of an assessment, and one of verdict `not_assessed` for each objective that it lacks.

    The first row of an objective is of everybody it is about; critical and watched cohorts follow.
    """
    found: list[Row] = []
    seen: set[str] = set()
    rows = [] if one is None else listed_of(one.data.get("objectives"))
    for data in rows:
        if isinstance(data, Mapping) and isinstance(data.get("objective"), str):
            found.append(_row(data, is_whole=data["objective"] not in seen))
            seen.add(data["objective"])
    for asked in listed_of((spec or {}).get("objectives")):
        if isinstance(asked, Mapping) and isinstance(asked.get("id"), str) and asked["id"] not in seen:
            own = {"objective": asked["id"], "metric": asked.get("indicator"), "tier": asked.get("tier")}
            seen_as = {"limit": asked.get("limit"), "observed": {"unit": asked.get("unit")}}
            found.append(_row({**own, **seen_as}, is_whole=True))
    return found


def _row(data: Mapping[str, Any], *, is_whole: bool) -> Row:
    seen, samples = _mapping(data.get("observed")), _mapping(data.get("samples"))
    verdict = data.get("verdict")
    return Row(
        objective=str(data["objective"]),
        metric=text_of(data.get("metric")),
        cohort=cohort_of(data),
        is_whole=is_whole,
        tier=text_of(data.get("tier")),
        verdict=verdict if verdict in VERDICTS else "not_assessed",
        limit=number_of(data.get("limit")),
        unit=text_of(seen.get("unit")),
        **{name: number_of(seen.get(name)) for name in _OBSERVED},
        mde=number_of(data.get("mde")),
        requests_baseline=count_of(samples.get("baseline")),
        requests_candidate=count_of(samples.get("candidate")),
        minutes_spent=count_of(data.get("minutes_spent")),
        late_count=count_of(data.get("late_count")),
        baseline_mode=text_of(data.get("baseline_mode")),
        summary=text_of(data.get("summary")),
    )


_OBSERVED: Final = ("baseline", "candidate", "delta", "lower", "upper", "confidence")


def happenings_of(decisions: Iterable[Decision]) -> list[Happening]:
    """Return what happened, in the order of the decisions."""
    return [
        Happening(
            at=rfc3339(one.at_ms),
            type=one.type.value,
            id=one.decision_id,
            objective=text_of(one.data.get("objective")),
            cohort=cohort_of(one.data),
            who=_who(one.data),
            words=text_of(one.data.get("summary")) or text_of(one.data.get("message")),
        )
        for one in decisions
        if one.type not in _SILENT
    ]


def _who(data: Mapping[str, Any]) -> str | None:
    return text_of(data.get("author")) or text_of(_mapping(data.get("ordered_by")).get("author"))


def rollbacks_of(decisions: Sequence[Decision]) -> list[Rollback]:
    """Return every request to roll back with what followed, the first first."""
    by_request: dict[str, list[Decision]] = {}
    for one in decisions:
        if one.type is Type.ROLLBACK_REQUESTED:
            by_request.setdefault(one.decision_id, []).append(one)
        elif one.type in _FOLLOW_UPS:
            by_request.setdefault(str(one.data.get("request_id")), []).append(one)
    return [_rollback(request_id, steps) for request_id, steps in by_request.items()]


def _rollback(request_id: str, steps: Sequence[Decision]) -> Rollback:
    request = first_of(steps, Type.ROLLBACK_REQUESTED)
    applied, verified, failed = (last_of(steps, kind) for kind in _FOLLOW_UPS)
    about = steps[0].data if request is None else request.data
    newest = next((one for one in reversed(steps) if one.type in _FOLLOW_UPS), None)

    def after(one: Decision | None) -> float | None:
        return None if one is None or request is None else (one.at_ms - request.at_ms) / 1000

    return Rollback(
        request_id=request_id,
        requested_at=_at(request),
        reason=text_of(about.get("reason")),
        summary=None if request is None else text_of(request.data.get("summary")),
        cohort=cohort_of(about) if about.get("scope") == "cohort" else {},
        applied_at=_at(applied),
        applied_s=after(applied),
        verified_at=_at(verified),
        verified_s=after(verified),
        failed_at=_at(failed),
        failed_s=after(failed),
        message=None if failed is None else text_of(failed.data.get("message")),
        newest="requested" if newest is None else newest.type.value.partition(".")[2],
    )


def owed_of(debts: Iterable[EvalDebt]) -> Iterator[Owed]:
    """Yield the evaluation cases that are owed, and those that were."""
    for one in debts:
        closed = one.closed or {}
        yield Owed(
            debt_id=one.debt_id,
            objective=text_of(one.data.get("objective")),
            cohort=cohort_of(one.data),
            owner=text_of(one.data.get("owner")),
            due_at=rfc3339(one.due_ms),
            is_open=one.is_open,
            closed_by=text_of(closed.get("author")),
            closed_at=text_of(closed.get("decided_at")),
            evaluation=text_of(closed.get("evaluation")),
        )


def first_of(decisions: Iterable[Decision], kind: Type) -> Decision | None:
    """Return the first decision of a type; None where there is none."""
    return next((one for one in decisions if one.type is kind), None)


def cohort_of(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the slice that data names; empty for everybody."""
    return {str(name): str(value) for name, value in _mapping(data.get("cohort")).items()}


def text_of(value: object) -> str | None:
    """Return a text that says something, else None."""
    return value if isinstance(value, str) and value else None


def number_of(value: object) -> float | None:
    """Return a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < _HUGE and isfinite(value) else None


_HUGE: Final = 1e300  # beyond it an integer of a JSON text is no float


def count_of(value: object) -> int | None:
    """Return a whole number that is not negative, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def last_of(decisions: Sequence[Decision], kind: Type) -> Decision | None:
    """Return the last decision of a type; None where there is none."""
    return first_of(reversed(decisions), kind)


def _at(one: Decision | None) -> str | None:
    return None if one is None else rfc3339(one.at_ms)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def listed_of(value: object) -> Sequence[Any]:
    """Return the items of a list; none where it is none."""
    return value if isinstance(value, list | tuple) else ()
