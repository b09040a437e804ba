"""LaunchDarkly by its REST API: one semantic patch, which takes effect as a whole or not at all.

Source: the API reference, version 20240415: "Get feature flag", "Update feature flag" (instructions, dry run, 405 where
an approval is required), "Rate limiting". `scope` is `<project>/<environment>`; a variation is named by its name, its
value or its id. Pending scheduled changes and approvals do not stop a rollback (`ignoreConflicts`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from monitor.adapters.flags.api import Api, Call, JsonObject, segment
from monitor.adapters.flags.settings import USUAL, ActuatorSettings, Manner, needed, over_http
from monitor.adapters.flags.vendor import Refusal, Refused, final, gone, listed, scope_of
from monitor.core.budget import RollbackBy
from monitor.engine.ports import Actuator, RollbackOrder

API_VERSION: Final = "20240415"
_SEMANTIC: Final = "application/json; domain-model=launchdarkly.semanticpatch"


def build(settings: ActuatorSettings, manner: Manner = USUAL) -> Actuator:
    """Return the actuator of the settings' LaunchDarkly.

    Raises:
        ActuatorUnusable: The token is missing.
        WebhookUnusable: The address can never work.
    """
    token = needed("launchdarkly", settings.launchdarkly_token, "launchdarkly_token")
    headers = {"authorization": token, "ld-api-version": API_VERSION}
    system = LaunchDarkly(settings.launchdarkly_context_kind)
    return over_http(system, settings.launchdarkly_url, headers, token, settings, manner)


@dataclass(frozen=True, slots=True)
class _Flag:
    """A flag as one order sees it; variations are indices into `ids`."""

    environment: JsonObject
    ids: tuple[str, ...]
    baseline: int
    candidate: int | None

    @property
    def rules(self) -> list[JsonObject]:
        return self.environment.get("rules") or []

    @property
    def fallthrough(self) -> JsonObject:
        return self.environment.get("fallthrough") or {}

    @property
    def off_variation(self) -> int | None:
        return self.environment.get("offVariation")

    def targets(self) -> Iterator[JsonObject]:
        """Yield the individual targets that name anybody."""
        for kind in ("targets", "contextTargets"):
            yield from (one for one in self.environment.get(kind) or () if one.get("values"))


class LaunchDarkly:
    """What is LaunchDarkly's own.

    - `disable`: targeting is off; everybody gets the off variation, which must not be the candidate's.
    - `rollout_zero`: no rule, default rule or individual target gives the candidate; its share goes to the baseline.
    - `serve_variation`: every rule, the default rule and the off variation give the baseline, nobody else is targeted.
      For a cohort: a rule in front of all others gives it the baseline.
    """

    name = "launchdarkly"

    def __init__(self, context_kind: str = "user") -> None:
        self._context_kind = context_kind

    async def read(self, api: Api, order: RollbackOrder) -> JsonObject:
        """Return the flag with the one environment."""
        state = await api.get(_path(order), {"env": scope_of(order)[1]})
        if not isinstance(state, dict) or not isinstance(state.get("variations"), list):
            raise api.odd("feature flag", "launchdarkly_url")
        if not isinstance((state.get("environments") or {}).get(scope_of(order)[1]), dict):
            raise final(f"launchdarkly: flag {order.flag_key!r} has no environment {scope_of(order)[1]!r}")
        return state

    def plan(self, state: JsonObject, order: RollbackOrder) -> Sequence[Call]:
        """Return the one patch, where anything is missing."""
        flag = _flag(state, order)
        if order.cohort:
            instructions = self._for_cohort(flag, order)
        elif order.rollback_by is RollbackBy.DISABLE:
            instructions = _switched_off(flag, order)
        elif order.rollback_by is RollbackBy.ROLLOUT_ZERO:
            instructions = list(_without_candidate(flag))
        else:
            instructions = list(_all_baseline(flag))
        return _patch(instructions, order)

    def back(self, state: JsonObject, order: RollbackOrder, was: JsonObject) -> Sequence[Call]:
        """Return the one patch that puts switch, rules, rollouts and targets where they were."""
        now, then = _flag(state, order), _flag(was, order)
        if order.rollback_by is RollbackBy.DISABLE:
            is_missing = then.environment.get("on") and not now.environment.get("on")
            return _patch([{"kind": "turnFlagOn"}] if is_missing else [], order)
        _check_way_back(then, order)
        return _patch([*_served_before(now, then, order), *_targeted_before(now, then)], order)

    def shown(self, state: JsonObject, order: RollbackOrder) -> JsonObject:
        """Return what the environment serves, and the flag's version."""
        flag = _flag(state, order)
        keys = ("on", "version", "fallthrough", "offVariation", "prerequisites")
        return {
            **{key: flag.environment.get(key) for key in keys},
            "variations": {one: index for index, one in enumerate(flag.ids)},
            "rules": [
                {key: rule[key] for key in ("_id", "variation", "rollout") if rule.get(key) is not None}
                for rule in flag.rules
            ],
            "targeted": {
                f"{one.get('contextKind', 'user')}:{one['variation']}": len(one["values"])
                for one in flag.targets()
            },
        }

    def trial(self, calls: Sequence[Call]) -> Sequence[Call]:
        """Return the patch as a dry run: it finds a missing right or a wanted approval beforehand."""
        return [replace(call, params={**call.params, "dryRun": "true"}) for call in calls]

    def refusal(self, refused: Refused) -> Refusal | None:
        """Return approval for 405 and what says so, conflict for 409."""
        if refused.status == 405 or (refused.status == 403 and "approval" in refused.text.lower()):
            return Refusal.APPROVAL
        return Refusal.CONFLICT if refused.status in (409, 412) else None

    def _for_cohort(self, flag: _Flag, order: RollbackOrder) -> list[JsonObject]:
        spot = f"launchdarkly: flag {order.flag_key!r} in {order.scope!r}"
        if not flag.environment.get("on"):
            raise final(f"{spot}: targeting is off, so rules serve nobody; switch it on there")
        if any(one["variation"] != flag.baseline for one in flag.targets()):
            raise final(
                f"{spot}: individual targets come before every rule and may be in the cohort; remove them"
            )
        if _can_fail_prerequisites(flag):
            raise final(f"{spot}: a failed prerequisite serves the off variation, which is not the baseline")
        clauses = [self._clause(name, value) for name, value in sorted(order.cohort.items())]
        for rule in flag.rules:
            if not _constant(rule, flag.baseline):
                break
            if [_bare(clause) for clause in rule.get("clauses") or ()] == clauses:
                return []
        instruction: JsonObject = {
            "kind": "addRule",
            "clauses": clauses,
            "variationId": flag.ids[flag.baseline],
            "description": f"rollback {order.decision_id}",
        }
        first = {"beforeRuleId": flag.rules[0]["_id"]} if flag.rules else {}
        return [{**instruction, **first}]

    def _clause(self, name: str, value: str) -> JsonObject:
        kind = self._context_kind
        return {"contextKind": kind, "attribute": name, "op": "in", "negate": False, "values": [value]}


def _path(order: RollbackOrder) -> str:
    return f"/api/v2/flags/{segment(scope_of(order)[0])}/{segment(order.flag_key)}"


def _patch(instructions: list[JsonObject], order: RollbackOrder) -> list[Call]:
    if not instructions:
        return []
    body = {
        "environmentKey": scope_of(order)[1],
        "comment": f"{order.release} to {order.baseline}: {order.reason}; decision {order.decision_id}",
        "instructions": instructions,
    }
    return [Call("PATCH", _path(order), body, {"ignoreConflicts": "true"}, {"content-type": _SEMANTIC})]


def _bare(clause: JsonObject) -> JsonObject:
    return {key: clause.get(key) for key in ("contextKind", "attribute", "op", "negate", "values")}


def _flag(state: JsonObject, order: RollbackOrder) -> _Flag:
    variations = state["variations"]
    baseline = _index(variations, order.baseline_variation)
    if baseline is None:
        known = [one.get("name") or one.get("value") for one in variations]
        raise final(
            f"launchdarkly: flag {order.flag_key!r} has no variation {order.baseline_variation!r}; "
            f"there are {listed(known)}"
        )
    candidate = _index(variations, order.candidate_variation)
    if candidate is None and order.rollback_by is RollbackBy.ROLLOUT_ZERO:
        raise final(
            f"launchdarkly: flag {order.flag_key!r} has no variation {order.candidate_variation!r} to take the rollout "
            "from; correct flag.candidate_variation"
        )
    ids = tuple(str(one["_id"]) for one in variations)
    return _Flag(state["environments"][scope_of(order)[1]], ids, baseline, candidate)


def _index(variations: list[JsonObject], name: str) -> int | None:
    """Return a variation's place by its id, its name, or its value as JSON or text; None where it is not one alone."""
    for known in (_ids_of, _names_of, _values_of):
        found = [index for index, one in enumerate(variations) if name in known(one)]
        if len(found) == 1:
            return found[0]
    return None


def _ids_of(variation: JsonObject) -> tuple[Any, ...]:
    return (variation.get("_id"),)


def _names_of(variation: JsonObject) -> tuple[Any, ...]:
    return (variation.get("name"),)


def _values_of(variation: JsonObject) -> tuple[Any, ...]:
    value = variation.get("value")
    return (value, json.dumps(value)) if isinstance(value, str) else (json.dumps(value),)


def _constant(served: JsonObject, variation: int) -> bool:
    """Tell whether a rule or the default rule can give nothing but this variation."""
    if served.get("rollout"):
        return set(_weights(served)) == {variation}
    return served.get("variation") == variation


def _weights(served: JsonObject) -> dict[int, int]:
    """Return the share of each variation that a rollout gives to anybody, in thousandths of a percent."""
    found: dict[int, int] = {}
    for one in served["rollout"]["variations"]:
        if one["weight"]:
            found[one["variation"]] = found.get(one["variation"], 0) + one["weight"]
    return found


def _can_fail_prerequisites(flag: _Flag) -> bool:
    return bool(flag.environment.get("prerequisites")) and flag.off_variation != flag.baseline


def _switched_off(flag: _Flag, order: RollbackOrder) -> list[JsonObject]:
    if flag.candidate is not None and flag.off_variation == flag.candidate:
        raise final(
            f"launchdarkly: flag {order.flag_key!r} in {order.scope!r}: off serves "
            f"{order.candidate_variation!r} itself; set another off variation there"
        )
    return [{"kind": "turnFlagOff"}] if flag.environment.get("on") else []


def _off_instruction(flag: _Flag) -> JsonObject:
    return {"kind": "updateOffVariation", "variationId": flag.ids[flag.baseline]}


def _served(flag: _Flag) -> Iterator[tuple[JsonObject, JsonObject]]:
    """Yield the default rule and every rule, each with the instruction that changes it as far as it names it."""
    yield flag.fallthrough, {"kind": "updateFallthroughVariationOrRollout"}
    for rule in flag.rules:
        yield rule, {"kind": "updateRuleVariationOrRollout", "ruleId": rule["_id"]}


def _all_baseline(flag: _Flag) -> Iterator[JsonObject]:
    if not flag.environment.get("on"):
        if flag.off_variation != flag.baseline:
            yield _off_instruction(flag)
        return
    if _can_fail_prerequisites(flag):
        yield _off_instruction(flag)
    for served, instruction in _served(flag):
        if not _constant(served, flag.baseline):
            yield {**instruction, "variationId": flag.ids[flag.baseline]}
    yield from _untargeted(flag, [one for one in flag.targets() if one["variation"] != flag.baseline])


def _without_candidate(flag: _Flag) -> Iterator[JsonObject]:
    can_be_off = not flag.environment.get("on") or flag.environment.get("prerequisites")
    if can_be_off and flag.off_variation == flag.candidate:
        yield _off_instruction(flag)
    if not flag.environment.get("on"):
        return
    for served, instruction in _served(flag):
        if served.get("rollout"):
            weights = _weights(served)
            if flag.candidate is not None and (freed := weights.pop(flag.candidate, 0)):
                weights[flag.baseline] = weights.get(flag.baseline, 0) + freed
                yield {**instruction, **_rollout(flag, served["rollout"], weights)}
        elif served.get("variation") == flag.candidate:
            yield {**instruction, "variationId": flag.ids[flag.baseline]}
    yield from _untargeted(flag, [one for one in flag.targets() if one["variation"] == flag.candidate])


def _rollout(flag: _Flag, rollout: JsonObject, weights: dict[int, int]) -> JsonObject:
    """Return a rollout with every variation's weight, bucketed as before."""
    kept: JsonObject = {"rolloutWeights": {one: weights.get(index, 0) for index, one in enumerate(flag.ids)}}
    if rollout.get("bucketBy"):
        kept["rolloutBucketBy"] = rollout["bucketBy"]
    if rollout.get("contextKind"):
        kept["rolloutContextKind"] = rollout["contextKind"]
    return kept


def _untargeted(flag: _Flag, targets: Sequence[JsonObject]) -> Iterator[JsonObject]:
    for one in targets:
        yield {
            "kind": "removeTargets",
            "contextKind": one.get("contextKind") or "user",
            "variationId": flag.ids[one["variation"]],
            "values": one["values"],
        }


def _check_way_back(then: _Flag, order: RollbackOrder) -> None:
    """Refuse a drill on what no instruction makes anew: an experiment's allocation, and having no off variation."""
    spot = f"launchdarkly: flag {order.flag_key!r} in {order.scope!r}"
    if any((served.get("rollout") or {}).get("kind") == "experiment" for served, _ in _served(then)):
        raise final(f"{spot}: an experiment runs in it, whose allocation a drill could not set back")
    is_used = not then.environment.get("on") or then.environment.get("prerequisites")
    if then.off_variation is None and is_used:
        raise final(f"{spot}: it has no off variation, and a drill could not take one away again")


def _served_before(now: _Flag, then: _Flag, order: RollbackOrder) -> Iterator[JsonObject]:
    """Yield what gives the off variation, the default rule and every rule back what they served."""
    if then.off_variation is not None and now.off_variation != then.off_variation:
        yield {"kind": "updateOffVariation", "variationId": then.ids[then.off_variation]}
    known = {instruction.get("ruleId"): served for served, instruction in _served(now)}
    for served, instruction in _served(then):
        if instruction.get("ruleId") not in known:
            raise gone("launchdarkly", f"rule {instruction.get('ruleId')!r}", order)
        if _given(known[instruction.get("ruleId")]) == _given(served):
            continue
        if served.get("rollout"):
            yield {**instruction, **_rollout(then, served["rollout"], _weights(served))}
        elif served.get("variation") is not None:
            yield {**instruction, "variationId": then.ids[served["variation"]]}


def _given(served: JsonObject) -> object:
    """Return what a rule or the default rule gives, however its document writes it."""
    if not served.get("rollout"):
        return served.get("variation")
    return _weights(served), *(served["rollout"].get(key) for key in ("bucketBy", "contextKind"))


def _targeted_before(now: _Flag, then: _Flag) -> Iterator[JsonObject]:
    """Yield who was targeted by name and is not any more."""
    left = {(one.get("contextKind") or "user", one["variation"]): one["values"] for one in now.targets()}
    for one in then.targets():
        kind, variation = one.get("contextKind") or "user", one["variation"]
        missing = [value for value in one["values"] if value not in left.get((kind, variation), ())]
        if missing:
            yield {
                "kind": "addTargets",
                "contextKind": kind,
                "variationId": then.ids[variation],
                "values": missing,
            }
