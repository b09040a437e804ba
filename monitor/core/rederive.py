"""A decision's verdict, computed again from the evidence it carries, and held against what it says.

The evidence functions are the ones that decided; nothing but the record is read. Where a number in the record
and the one that follows from its sums differ, the record was changed, or made by another version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

from monitor.core.derivation import Check, Derivation, EvidenceDamaged, NoEvidence, bounded
from monitor.core.incidents import IncidentCounts
from monitor.core.rederive_rule import RuleRecord


def derive(data: Mapping[str, Any]) -> Derivation:
    """Return what follows from the evidence of a decision, or of a row of an assessment.

    Args:
        data: The event's data, or the row.

    Raises:
        NoEvidence: It carries none.
        EvidenceDamaged: It carries something else.
    """
    evidence = data.get("evidence")
    if evidence is None:
        raise NoEvidence("this decision carries no evidence: no rule was judged for it")
    try:
        kind = evidence["kind"]
        if kind == "incidents":
            return _of_incidents(data, evidence)
        if kind == "verdict":
            return _of_verdict(data, evidence)
        found = RuleRecord(evidence).derive(data)
        found.checks += _stage_checks(data)
        return found
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise EvidenceDamaged(f"the evidence cannot be read: {type(error).__name__}: {error}") from error


def _stage_checks(data: Mapping[str, Any]) -> Iterator[Check]:
    """Stages decide nothing, so no sums of theirs are kept; what is said of each has to fit together."""
    for one in data.get("stages") or ():
        grown = 100.0 * (one["candidate_ms"] / one["baseline_ms"] - 1.0)
        yield Check(f"stage {one['stage']}: delta", one["delta_pct"], grown)


def _of_incidents(data: Mapping[str, Any], evidence: Mapping[str, Any]) -> Derivation:
    counts = IncidentCounts(**evidence["counts"])
    judged = counts.judge()
    found = Derivation("incidents", judged.answer.value, None, judged.mu, judged.g_k, evidence["mu"])
    found.checks += [
        Check("answer", evidence["answer"], found.answer),
        Check("k", evidence["k"], judged.k),
        Check("mu", evidence["mu"], bounded(judged.mu)),
        Check("g_k", evidence["g_k"], judged.g_k),
    ]
    told, samples = data.get("observed"), data.get("samples")
    if told is not None and samples is not None:
        found.checks += [
            Check("observed: candidate", told["candidate"], counts.incidents),
            Check("observed: baseline", told["baseline"], bounded(judged.mu)),
            Check("samples: baseline", samples["baseline"], counts.reference_requests),
            Check("samples: candidate", samples["candidate"], counts.requests),
        ]
    if data.get("action") == "rollback" and data.get("reason") in ("immediate", "breach"):
        found.checks.append(Check("the decision: the rule's answer", "rollback", found.answer))
    return found


_DOUBTED = {"no_data": "no_data", "traffic_split": "inconclusive"}  # the verdict that such a doubt leaves


def _of_verdict(data: Mapping[str, Any], evidence: Mapping[str, Any]) -> Derivation:
    """The verdict of an assessment's row, from its short evidence."""
    shown = [evidence["within"], evidence["within_recent"]]
    has_data = all(data["samples"].values())
    least = min((inf if one is None else float(one) for one in shown), default=inf)
    if evidence["has_fired"]:
        verdict = "breach"
    elif not has_data:
        verdict = "no_data"
    elif evidence.get("overspent") or evidence.get("few_samples"):
        verdict = "inconclusive"
    else:
        verdict = "healthy" if least >= evidence["needed"] else "inconclusive"
    verdict = _DOUBTED.get(str(evidence.get("doubt")), verdict)
    found = Derivation("verdict", verdict, evidence["refusal"], least, evidence["needed"], bounded(least))
    found.checks.append(Check("verdict", data["verdict"], verdict))
    return found
