"""What a flagd flag definition serves, and the definition that serves the baseline: pure functions over parsed JSON.

Source: the flag definition format of flagd (`state`, `variants`, `defaultVariant`, `targeting` in JsonLogic with
`fractional`, `metadata` of scalars). A flag whose rules fail at evaluation serves the caller's code default, which
need not be the baseline; therefore nothing counts as "serves the baseline" but what cannot fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from monitor.engine.errors import ActuatorFailed
from monitor.engine.ports import RollbackOrder

JsonObject = dict[str, Any]

DECISION_KEY = (
    "rollbackDecisionId"  # flag and flag-set metadata; evaluations bring it back in `flag_metadata`
)


def flag_of(document: object, order: RollbackOrder, where: str) -> JsonObject:
    """Return the order's flag out of a flag definition file, checked as far as the order needs it.

    Raises:
        ActuatorFailed: Not a flag definition, no such flag, or a flag without the baseline variation.
    """
    flags = document.get("flags") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(flags, dict):
        raise refused(f"{where}: holds no object `flags`; this actuator edits flagd flag definitions")
    if not isinstance(document.get("metadata", {}), dict):
        raise refused(f"{where}: `metadata` must be an object")
    flag = flags.get(order.flag_key)
    if not isinstance(flag, dict):
        raise refused(f"{where}: no flag {order.flag_key!r}; there are {_listed(flags)}")
    spot = f"{where}: flag {order.flag_key!r}"
    variants = flag.get("variants")
    if not isinstance(variants, dict) or variants.get(order.baseline_variation) is None:
        known = _listed(variants) if isinstance(variants, dict) else "none"
        raise refused(f"{spot}: no variation {order.baseline_variation!r}; there are {known}")
    if not isinstance(flag.get("metadata", {}), dict):
        raise refused(f"{spot}: `metadata` must be an object of scalars")
    _check_scope(flag, order, spot)
    return flag


def refused(message: str) -> ActuatorFailed:
    """Return a failure that asking again will not change."""
    return ActuatorFailed(message, retryable=False)


def _check_scope(flag: JsonObject, order: RollbackOrder, spot: str) -> None:
    """Refuse a cohort's order that could not be carried out without touching everybody else."""
    for dimension in order.cohort:
        if not dimension or "." in dimension:
            raise refused(
                f"{spot}: cohort dimension {dimension!r} cannot be a context attribute; use a name without dots"
            )
    if order.cohort and flag.get("state") != "ENABLED":
        raise refused(
            f"{spot}: state is {flag.get('state')!r}, so nobody is served by it; enabling it for one cohort "
            "would change what all others get: set it to ENABLED first"
        )


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(repr(name) for name in sorted(names)) or "none"


def serves_baseline(flag: JsonObject, order: RollbackOrder) -> bool:
    """Tell whether the flag gives every context (of the order's cohort) the baseline, whatever its attributes."""
    if flag.get("state") != "ENABLED":
        return False  # clients get their code default, which nobody here knows
    baseline, targeting = order.baseline_variation, flag.get("targeting")
    if flag.get("defaultVariant") == baseline and _is_constant(targeting, baseline):
        return True
    return bool(order.cohort) and _is_guarded(targeting, order)


def _is_constant(targeting: object, baseline: str) -> bool:
    """Tell whether the rules can name nothing but the baseline (or nothing: then the default, the same, is served)."""
    if not targeting:
        return targeting in (None, {})
    if not isinstance(targeting, dict) or targeting.keys() != {"fractional"}:
        return False
    shares = targeting["fractional"]
    if not isinstance(shares, list) or not shares:
        return False
    return all(_is_share(share) and (share[0] == baseline or share[1:] == [0]) for share in shares)


def _is_share(share: object) -> bool:
    return (
        isinstance(share, list)
        and 1 <= len(share) <= 2
        and isinstance(share[0], str)
        and all(
            isinstance(weight, int) and not isinstance(weight, bool) and weight >= 0 for weight in share[1:]
        )
    )


def _is_guarded(targeting: object, order: RollbackOrder) -> bool:
    """Tell whether the cohort's guard stands in front of the rules, itself or behind guards of other cohorts.

    A guard for another cohort may name another variation, so only guards for the same baseline are passed over.
    """
    while isinstance(targeting, dict) and targeting.keys() == {"if"}:
        branches = targeting["if"]
        if (
            not isinstance(branches, list)
            or len(branches) not in (2, 3)
            or branches[1] != order.baseline_variation
        ):
            return False
        if branches[0] == _condition(order):
            return True
        if not _is_condition(branches[0]):
            return False
        targeting = branches[2] if len(branches) == 3 else None
    return False


def _condition(order: RollbackOrder) -> JsonObject:
    """Return the JsonLogic that is true for the cohort's contexts; strict equality cannot fail on odd attributes."""
    return {"and": [{"===": [{"var": name}, value]} for name, value in sorted(order.cohort.items())]}


def _is_condition(condition: object) -> bool:
    """Tell whether a condition has the shape of ours, which cannot fail at evaluation."""
    terms = condition.get("and") if isinstance(condition, dict) and condition.keys() == {"and"} else None
    return isinstance(terms, list) and all(_is_term(term) for term in terms)


def _is_term(term: object) -> bool:
    sides = term.get("===") if isinstance(term, dict) and term.keys() == {"==="} else None
    if not isinstance(sides, list) or len(sides) != 2 or not isinstance(sides[1], str):
        return False
    return isinstance(sides[0], dict) and sides[0].keys() == {"var"} and isinstance(sides[0]["var"], str)


def turned(document: JsonObject, order: RollbackOrder) -> JsonObject:
    """Return the document with the order carried out; everything it does not need to touch is the same.

    The whole release: enabled, the baseline as default, no rules. One cohort: a guard in front of the rules.
    """
    flag = dict(document["flags"][order.flag_key])
    if order.cohort:
        rest = [flag["targeting"]] if flag.get("targeting") else []
        flag["targeting"] = {"if": [_condition(order), order.baseline_variation, *rest]}
    else:
        flag |= {"state": "ENABLED", "defaultVariant": order.baseline_variation}
        flag.pop("targeting", None)
    flag["metadata"] = {**flag.get("metadata", {}), DECISION_KEY: order.decision_id}
    return {
        **document,
        "flags": {**document["flags"], order.flag_key: flag},
        "metadata": {**document.get("metadata", {}), DECISION_KEY: order.decision_id},
    }


def kept(document: JsonObject, order: RollbackOrder) -> JsonObject:
    """Return what `turned` changes, as it stands: the flag, and the decision that the flag set names."""
    return {
        "flag": deepcopy(document["flags"][order.flag_key]),
        "decision": document.get("metadata", {}).get(DECISION_KEY),
    }


def restored(document: JsonObject, order: RollbackOrder, was: JsonObject) -> JsonObject:
    """Return the document with what was kept in its place again."""
    whole = {**document, "flags": {**document["flags"], order.flag_key: deepcopy(was["flag"])}}
    metadata = {name: one for name, one in document.get("metadata", {}).items() if name != DECISION_KEY}
    if was["decision"] is not None:
        metadata[DECISION_KEY] = was["decision"]
    whole.pop("metadata", None)
    return {**whole, "metadata": metadata} if metadata else whole
