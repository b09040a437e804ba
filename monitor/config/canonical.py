"""A budget's meaning as plain JSON, and its digest: equal meaning, equal digest, whatever the file looks like.

The ledger stores the canonical form; `from_canonical` reads it back without loss.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from monitor.core.budget import (
    Accounting,
    BaselineMode,
    Budget,
    EscalationStep,
    EvidenceMode,
    FlagTarget,
    Mode,
    Objective,
    OnNoData,
    OnSilence,
    RollbackBy,
    Scope,
    Tier,
    TierAction,
    TrafficSplit,
    Unit,
    Verification,
)
from monitor.core.cohort import CohortKey, cohort_key
from monitor.core.errors import MonitorError
from monitor.core.indicator import Direction, indicator

FORM: Final = 1
"""The version of the canonical form; another one is another digest."""


class CanonicalInvalid(MonitorError):
    """A stored budget that this version cannot read."""


def canonical(budget: Budget) -> dict[str, Any]:
    """Return the budget's meaning, defaults applied, as JSON values; its digest is left out."""
    return {
        "form": FORM,
        "release": budget.release,
        "baseline": budget.baseline,
        "window_min": budget.window_min,
        "objectives": [_objective(one) for one in budget.objectives],
        "tier_a": budget.tier_a.value,
        "decide_within_min": budget.decide_within_min,
        "on_silence": budget.on_silence.value,
        "name": budget.name,
        "owner": budget.owner,
        "on_call": budget.on_call,
        "flag": _flag(budget.flag) if budget.flag else None,
        "strata": list(budget.strata),
        "exemplars": budget.exemplars,
        "follow_ups": list(budget.follow_ups),
        # Left out where it is not declared: budgets of before it keep their digests.
        **({} if budget.traffic is None else {"traffic": _traffic(budget.traffic)}),
        **({} if budget.verify == Verification() else {"verify": _verify(budget.verify)}),
        **({} if budget.max_extension_min is None else {"max_extension_min": budget.max_extension_min}),
        **({} if not budget.escalation else {"escalation": [_step(one) for one in budget.escalation]}),
        **({} if budget.mode is Mode.AUTO else {"mode": budget.mode.value}),
    }


def digest_of(budget: Budget) -> str:
    """Return the SHA-256 of the budget's canonical JSON in hexadecimal: keys sorted, no blanks, UTF-8."""
    text = json.dumps(
        canonical(budget), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def with_digest(budget: Budget) -> Budget:
    """Return the budget with the digest of its meaning."""
    return replace(budget, digest=digest_of(budget))


def from_canonical(stored: Mapping[str, Any]) -> Budget:
    """Return the budget that a canonical form means, with its digest.

    Raises:
        CanonicalInvalid: Another form, or values that no budget has.
    """
    if stored.get("form") != FORM:
        raise CanonicalInvalid(f"a stored budget has form {stored.get('form')!r}; this version reads {FORM}")
    try:
        return with_digest(_budget(stored))
    except (KeyError, TypeError, ValueError, AttributeError, MonitorError) as problem:
        raise CanonicalInvalid(
            f"a stored budget cannot be read: {type(problem).__name__}: {problem}"
        ) from problem


def _objective(one: Objective) -> dict[str, Any]:
    return {
        "id": one.objective_id,
        "indicator": one.indicator.name,
        "worse": one.worse.value,
        "limit": _number(one.limit),
        "unit": one.unit.value,
        "hold_min": one.hold_min,
        "tier": one.tier.value,
        "immediate": one.immediate,
        "where": dict(one.where),
        "critical_cohorts": [dict(cohort) for cohort in one.critical_cohorts],
        "watched_dimensions": list(one.watched_dimensions),
        "scope": one.scope.value,
        "accounting": one.accounting.value,
        "evidence": one.evidence.value,
        "min_samples": one.min_samples,
        "label_delay_min": one.label_delay_min,
        "on_no_data": one.on_no_data.value,
        "baseline_mode": one.baseline_mode.value,
        "literal": one.literal,
        "ignores_override": one.ignores_override,
    }


def _flag(target: FlagTarget) -> dict[str, Any]:
    """Return the flag; the usual way is left out, so that budgets of before there were others keep their digests."""
    named = {name: value for name, value in asdict(target).items() if name != "rollback_by"}
    way = target.rollback_by
    return named if way is RollbackBy.SERVE_VARIATION else {**named, "rollback_by": way.value}


def _read_flag(stored: Mapping[str, Any]) -> FlagTarget:
    way = RollbackBy(stored.get("rollback_by", RollbackBy.SERVE_VARIATION.value))
    return FlagTarget(**{**stored, "rollback_by": way})


def _traffic(declared: TrafficSplit) -> dict[str, Any]:
    return {name: _number(value) for name, value in asdict(declared).items()}


def _verify(asked: Verification) -> dict[str, Any]:
    return {"share_pct": _number(asked.share_pct), "within_min": asked.within_min}


def _read_verify(stored: Mapping[str, Any] | None) -> Verification:
    if stored is None:
        return Verification()
    return Verification(share_pct=float(stored["share_pct"]), within_min=stored["within_min"])


def _step(one: EscalationStep) -> dict[str, Any]:
    return {"after_min": one.after_min, "pagers": list(one.pagers), "on_call": one.on_call}


def _read_step(stored: Mapping[str, Any]) -> EscalationStep:
    return EscalationStep(stored["after_min"], tuple(stored["pagers"]), stored["on_call"])


def _number(value: float) -> int | float:
    """Return 15 for 15.0: one number, one text, in every language that writes canonical JSON (RFC 8785)."""
    return int(value) if float(value).is_integer() else value


def _cohort(stored: Mapping[str, str]) -> CohortKey:
    return cohort_key(dict(stored))


def _budget(stored: Mapping[str, Any]) -> Budget:
    return Budget(
        release=stored["release"],
        baseline=stored["baseline"],
        digest="",
        window_min=stored["window_min"],
        objectives=tuple(_read_objective(one) for one in stored["objectives"]),
        tier_a=TierAction(stored["tier_a"]),
        decide_within_min=stored["decide_within_min"],
        on_silence=OnSilence(stored["on_silence"]),
        name=stored["name"],
        owner=stored["owner"],
        on_call=stored["on_call"],
        flag=_read_flag(stored["flag"]) if stored["flag"] else None,
        strata=tuple(stored["strata"]),
        exemplars=stored["exemplars"],
        follow_ups=tuple(stored["follow_ups"]),
        traffic=_read_traffic(stored.get("traffic")),
        verify=_read_verify(stored.get("verify")),
        max_extension_min=stored.get("max_extension_min"),
        escalation=tuple(_read_step(one) for one in stored.get("escalation", ())),
        mode=Mode(stored.get("mode", Mode.AUTO.value)),
    )


def _read_traffic(stored: Mapping[str, Any] | None) -> TrafficSplit | None:
    if stored is None:
        return None
    return TrafficSplit(**{name: float(value) for name, value in stored.items()})


def _read_objective(stored: Mapping[str, Any]) -> Objective:
    return Objective(
        objective_id=stored["id"],
        indicator=indicator(stored["indicator"]),
        worse=Direction(stored["worse"]),
        limit=float(stored["limit"]),
        unit=Unit(stored["unit"]),
        hold_min=stored["hold_min"],
        tier=Tier(stored["tier"]),
        immediate=stored["immediate"],
        where=_cohort(stored["where"]),
        critical_cohorts=tuple(_cohort(cohort) for cohort in stored["critical_cohorts"]),
        watched_dimensions=tuple(stored["watched_dimensions"]),
        scope=Scope(stored["scope"]),
        accounting=Accounting(stored["accounting"]),
        evidence=EvidenceMode(stored["evidence"]),
        min_samples=stored["min_samples"],
        label_delay_min=stored["label_delay_min"],
        on_no_data=OnNoData(stored["on_no_data"]),
        baseline_mode=BaselineMode(stored["baseline_mode"]),
        literal=stored["literal"],
        ignores_override=stored["ignores_override"],
    )
