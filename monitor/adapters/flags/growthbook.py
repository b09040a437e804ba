"""GrowthBook by its REST API v2: the environment's switch, or the feature's rules, published at once.

Source: the OpenAPI document of GrowthBook's API v2: features, toggle, update (which replaces all rules in one
revision). `scope` is `<environment>`; a variation is a value of the feature. There is no revision to compare with: who
saves rules in the same moment is overwritten, and what is read back is believed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from monitor.adapters.flags.api import Api, Call, JsonObject, segment
from monitor.adapters.flags.settings import USUAL, ActuatorSettings, Manner, needed, over_http
from monitor.adapters.flags.vendor import Refusal, Refused, final, gone, listed
from monitor.core.budget import RollbackBy
from monitor.engine.ports import Actuator, RollbackOrder

_WRITABLE: Final = frozenset({"force", "rollout", "experiment-ref", "safe-rollout"})
_OURS: Final = "rollback: "
_TURNED: Final = ("enabled", "coverage", "allEnvironments", "environments")  # of a rule, by `_without`
_APPROVAL: Final = (
    "review",
    "approv",
)  # 403: "This feature requires a review before publishing changes to: ..."


def build(settings: ActuatorSettings, manner: Manner = USUAL) -> Actuator:
    """Return the actuator of the settings' GrowthBook.

    Raises:
        ActuatorUnusable: The key is missing.
        WebhookUnusable: The address can never work.
    """
    token = needed("growthbook", settings.growthbook_token, "growthbook_token")
    headers = {"authorization": f"Bearer {token}"}
    return over_http(GrowthBook(), settings.growthbook_url, headers, token, settings, manner)


class GrowthBook:
    """What is GrowthBook's own.

    - `disable`: the environment is off; clients get what their code says.
    - `rollout_zero`: no rule gives the candidate in this environment any more; what is left, or the default, is served.
    - `serve_variation`: a rule in front of all others forces the baseline's value. For a cohort it has its condition.
    """

    name = "growthbook"

    async def read(self, api: Api, order: RollbackOrder) -> JsonObject:
        """Return the feature with all its rules and environments."""
        answer = await api.get(_path(order))
        feature = answer.get("feature") if isinstance(answer, dict) else None
        if not isinstance(feature, dict) or not isinstance(feature.get("environments"), dict):
            raise api.odd("feature", "growthbook_url")
        if order.scope not in feature["environments"]:
            known = sorted(feature["environments"])
            raise final(f"growthbook: no environment {order.scope!r}; there are {listed(known)}")
        return feature

    def plan(self, state: JsonObject, order: RollbackOrder) -> Sequence[Call]:
        """Return the switch, or the whole list of rules as it should be."""
        is_on = bool(state["environments"][order.scope].get("enabled"))
        if order.rollback_by is RollbackBy.DISABLE:
            return [_switched(order, on=False)] if is_on else []
        if not is_on:
            return _off(order)
        rules = (
            _forced(state, order)
            if order.rollback_by is RollbackBy.SERVE_VARIATION
            else _emptied(state, order)
        )
        return [] if rules is None else [_written(rules, order)]

    def back(self, state: JsonObject, order: RollbackOrder, was: JsonObject) -> Sequence[Call]:
        """Return the switch, or the rules of now with what the order did to them undone."""
        if order.rollback_by is RollbackBy.DISABLE:
            then, now = (bool(one["environments"][order.scope].get("enabled")) for one in (was, state))
            return [_switched(order, on=True)] if then and not now else []
        rules = list(state.get("rules") or ())
        wanted = (
            _without_forced(rules, was, order)
            if order.rollback_by is RollbackBy.SERVE_VARIATION
            else (_refilled(rules, was, order))
        )
        return [] if wanted == rules else [_written(wanted, order)]

    def shown(self, state: JsonObject, order: RollbackOrder) -> JsonObject:
        """Return the environment's switch and, rule by rule, what it gives."""
        keys = (
            "id",
            "type",
            "enabled",
            "condition",
            "value",
            "coverage",
            "controlValue",
            "variationValue",
            "variations",
        )
        return {
            "enabled": bool(state["environments"][order.scope].get("enabled")),
            "defaultValue": state.get("defaultValue"),
            "rules": [
                {key: rule[key] for key in keys if rule.get(key) not in (None, "")}
                for rule in _rules(state, order)
            ],
        }

    def trial(self, calls: Sequence[Call]) -> Sequence[Call]:
        """Return nothing: GrowthBook has no dry run."""
        return ()

    def refusal(self, refused: Refused) -> Refusal | None:
        """Return approval for a 403 that asks for a review, missing for the 400 about an unknown feature."""
        text = refused.text.lower()
        if refused.status == 403 and any(mark in text for mark in _APPROVAL):
            return Refusal.APPROVAL
        if refused.status == 400 and "could not find a feature" in text:
            return Refusal.MISSING
        return Refusal.CONFLICT if refused.status in (409, 412) else None


def _path(order: RollbackOrder) -> str:
    return f"/api/v2/features/{segment(order.flag_key)}"


def _switched(order: RollbackOrder, *, on: bool) -> Call:
    return Call(
        "POST", f"{_path(order)}/toggle", {"reason": _reason(order), "environments": {order.scope: on}}
    )


def _written(rules: list[JsonObject], order: RollbackOrder) -> Call:
    foreign = [rule["type"] for rule in rules if rule["type"] not in _WRITABLE]
    if foreign:
        raise final(
            f"growthbook: feature {order.flag_key!r} has rules of type {listed(foreign)}, which the API does not "
            "write; set flag.rollback_by to disable"
        )
    return Call("POST", _path(order), {"rules": rules})


def _reason(order: RollbackOrder) -> str:
    return f"{order.release} to {order.baseline}: {order.reason}; decision {order.decision_id}"


def _off(order: RollbackOrder) -> Sequence[Call]:
    """Judge an environment that is off: the candidate is not served, and one value for all is not served either."""
    if order.rollback_by is RollbackBy.ROLLOUT_ZERO:
        return []
    raise final(
        f"growthbook: feature {order.flag_key!r} is off in {order.scope!r}, so clients get what their code says "
        f"and not {order.baseline_variation!r}; switch it on there, or set flag.rollback_by to disable"
    )


def _is_in(rule: JsonObject, scope: str | None) -> bool:
    return bool(rule.get("allEnvironments")) or scope in (rule.get("environments") or ())


def _rules(state: JsonObject, order: RollbackOrder) -> Iterator[JsonObject]:
    """Yield the rules that are evaluated in the order's environment."""
    return (rule for rule in state.get("rules") or () if rule.get("enabled") and _is_in(rule, order.scope))


def _values(rule: JsonObject) -> list[str]:
    """Return what a rule can give."""
    match rule["type"]:
        case "safe-rollout":
            return [rule["controlValue"], rule["variationValue"]]
        case "force" | "rollout":
            return [rule["value"]]
        case "experiment":
            return [one["value"] for one in rule.get("value") or ()]
    return [one["value"] for one in rule.get("variations") or ()]


def _check_known(state: JsonObject, value: str, order: RollbackOrder, key: str) -> None:
    """Refuse a value that the feature does not know: a force rule would serve whatever is written in the budget."""
    known = {state.get("defaultValue")} | {one for rule in state.get("rules") or () for one in _values(rule)}
    if value not in known:
        raise final(
            f"growthbook: feature {order.flag_key!r} has no value {value!r}; there are "
            f"{listed(sorted(map(str, known)))}; correct flag.{key}"
        )


def _condition(order: RollbackOrder) -> str:
    return json.dumps(dict(sorted(order.cohort.items())), separators=(",", ":")) if order.cohort else ""


def _plain(rule: JsonObject) -> bool:
    """Tell whether nothing but its condition decides whom a rule is for."""
    others = ("savedGroups", "savedGroupTargeting", "prerequisites", "scheduleRules", "projects")
    return rule["type"] == "force" and not rule.get("sparse") and not any(rule.get(key) for key in others)


def _forced(state: JsonObject, order: RollbackOrder) -> list[JsonObject] | None:
    """Return the rules with the baseline's in front; None where it is there, or behind others that give the same."""
    _check_known(state, order.baseline_variation, order, "baseline_variation")
    wanted = _condition(order)
    for rule in _rules(state, order):
        if set(_values(rule)) != {order.baseline_variation}:
            break
        if _plain(rule) and _same(rule.get("condition") or "", wanted):
            return None
    first = {
        "type": "force",
        "description": f"{_OURS}{_reason(order)}",
        "value": order.baseline_variation,
        "condition": wanted,
        "enabled": True,
        "allEnvironments": False,
        "environments": [order.scope],
    }
    return [first, *(state.get("rules") or ())]


def _same(condition: str, wanted: str) -> bool:
    """Tell whether two conditions are the same JSON; an empty object asks for nothing."""
    try:
        return bool(json.loads(condition or "{}") == json.loads(wanted or "{}"))
    except ValueError:
        return False


def _emptied(state: JsonObject, order: RollbackOrder) -> list[JsonObject] | None:
    """Return the rules with none that gives the candidate in this environment; None where there is none."""
    candidate = order.candidate_variation
    if state.get("defaultValue") == candidate:
        raise final(
            f"growthbook: feature {order.flag_key!r}: the default value is the candidate's {candidate!r}, so no "
            "rollout can be zero; set flag.rollback_by to serve_variation"
        )
    _check_known(state, candidate, order, "candidate_variation")
    giving = [rule for rule in _rules(state, order) if _gives(rule, candidate)]
    if not giving:
        return None
    environments = sorted(state["environments"])
    return [_without(rule, order, environments) if rule in giving else rule for rule in state["rules"]]


def _gives(rule: JsonObject, value: str) -> bool:
    return value in _values(rule) and not (rule["type"] == "rollout" and rule.get("coverage") == 0)


def _without(rule: JsonObject, order: RollbackOrder, environments: list[str]) -> JsonObject:
    """Return a rule that does nothing in this environment and the same as before in all others."""
    now = environments if rule.get("allEnvironments") else list(rule.get("environments") or ())
    others = [one for one in now if one != order.scope]
    if others:
        return {**rule, "allEnvironments": False, "environments": others}
    return {**rule, "coverage": 0} if rule["type"] == "rollout" else {**rule, "enabled": False}


def _without_forced(rules: list[JsonObject], was: JsonObject, order: RollbackOrder) -> list[JsonObject]:
    """Return the rules without the one in front that the order has added."""
    known = {rule["id"] for rule in was.get("rules") or ()}
    return [
        rule
        for rule in rules
        if rule["id"] in known
        or not str(rule.get("description")).startswith(_OURS)
        or rule.get("value") != order.baseline_variation
    ]


def _refilled(rules: list[JsonObject], was: JsonObject, order: RollbackOrder) -> list[JsonObject]:
    """Return the rules with each that gave the candidate here as it was."""
    giving = {rule["id"]: rule for rule in _rules(was, order) if _gives(rule, order.candidate_variation)}
    if missing := giving.keys() - {rule["id"] for rule in rules}:
        raise gone("growthbook", f"rule {listed(sorted(missing))}", order)
    return [_as_before(rule, giving[rule["id"]]) if rule["id"] in giving else rule for rule in rules]


def _as_before(rule: JsonObject, was: JsonObject) -> JsonObject:
    kept = {key: value for key, value in rule.items() if key not in _TURNED}
    return kept | {key: was[key] for key in _TURNED if key in was}
