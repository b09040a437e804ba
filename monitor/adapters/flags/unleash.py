"""Unleash by its Admin API (version 5 and later): the environment's switch, or its strategies' rollout and variants.

Source: the OpenAPI document of Unleash 7 (`/docs/openapi.json`): features, environments, strategies. `scope` is
`<project>/<environment>`. With change requests on, a direct edit is answered 403 and names the permission to skip them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from monitor.adapters.flags.api import Api, Call, JsonObject, segment
from monitor.adapters.flags.settings import (
    USUAL,
    ActuatorSettings,
    Manner,
    needed,
    over_http,
)
from monitor.adapters.flags.vendor import Refusal, Refused, final, gone, listed, scope_of
from monitor.core.budget import RollbackBy
from monitor.engine.ports import Actuator, RollbackOrder

_ALL = 1000  # variant weights of a strategy sum to this
_SKIP = "SKIP_CHANGE_REQUEST"


def build(settings: ActuatorSettings, manner: Manner = USUAL) -> Actuator:
    """Return the actuator of the settings' Unleash.

    Raises:
        ActuatorUnusable: Address or token is missing.
        WebhookUnusable: The address can never work.
    """
    url = needed("unleash", settings.unleash_url, "unleash_url")
    token = needed("unleash", settings.unleash_token, "unleash_token")
    return over_http(Unleash(), url, {"authorization": token}, token, settings, manner)


class Unleash:
    """What is Unleash's own.

    - `disable`: the environment is off; clients get what their code says for a flag that is off.
    - `rollout_zero`: in every active strategy the candidate's variant has weight 0; without variants the rollout is 0.
    - `serve_variation`: in every active strategy the baseline's variant has all the weight. Whom the strategies do not
      reach still gets what the code says.
    """

    name = "unleash"

    async def read(self, api: Api, order: RollbackOrder) -> JsonObject:
        """Return the feature's environment: whether it is on, and its strategies."""
        state = await api.get(_environment(order))
        if not isinstance(state, dict) or not isinstance(state.get("enabled"), bool):
            raise api.odd("environment of a feature", "unleash_url")
        return state

    def plan(self, state: JsonObject, order: RollbackOrder) -> Sequence[Call]:
        """Return the switch, or one patch for each strategy that does not fit yet."""
        if order.rollback_by is RollbackBy.DISABLE:
            return [Call("POST", f"{_environment(order)}/off")] if state["enabled"] else []
        if not state["enabled"]:
            return _off(order)
        active = list(_active(state))
        if not active:
            raise final(
                f"unleash: flag {order.flag_key!r} is on in {order.scope!r} without any active strategy, which is on "
                "for everybody; set flag.rollback_by to disable"
            )
        _check_candidate(active, order)
        return _patches([(one, _patch(one, order)) for one in active], order)

    def back(self, state: JsonObject, order: RollbackOrder, was: JsonObject) -> Sequence[Call]:
        """Return the switch, or one patch for each strategy that gives something else now."""
        if order.rollback_by is RollbackBy.DISABLE:
            return (
                [Call("POST", f"{_environment(order)}/on")] if was["enabled"] and not state["enabled"] else []
            )
        now = {one["id"]: one for one in state.get("strategies") or ()}
        patches = []
        for one in _active(was):
            if one["id"] not in now:
                raise gone("unleash", f"strategy {one['id']!r}", order)
            patches.append((one, _patch_back(now[one["id"]], one)))
        return _patches(patches, order)

    def shown(self, state: JsonObject, order: RollbackOrder) -> JsonObject:
        """Return the switch and, strategy by strategy, what it gives to how many."""
        return {
            "enabled": state["enabled"],
            "strategies": [
                {
                    "id": one["id"],
                    "name": one.get("name"),
                    "rollout": (one.get("parameters") or {}).get("rollout"),
                    "weights": {variant["name"]: variant["weight"] for variant in _variants(one)},
                }
                for one in _active(state)
            ],
        }

    def trial(self, calls: Sequence[Call]) -> Sequence[Call]:
        """Return nothing: Unleash has no dry run."""
        return ()

    def refusal(self, refused: Refused) -> Refusal | None:
        """Return approval where change requests stand in the way."""
        if refused.status == 403 and (_SKIP in refused.text or "change request" in refused.text.lower()):
            return Refusal.APPROVAL
        return Refusal.CONFLICT if refused.status in (409, 412) else None


def _environment(order: RollbackOrder) -> str:
    project, environment = map(segment, scope_of(order))
    return f"/api/admin/projects/{project}/features/{segment(order.flag_key)}/environments/{environment}"


def _patches(found: list[tuple[JsonObject, list[JsonObject]]], order: RollbackOrder) -> list[Call]:
    return [
        Call("PATCH", f"{_environment(order)}/strategies/{segment(str(one['id']))}", body=patch)
        for one, patch in found
        if patch
    ]


def _patch_back(now: JsonObject, was: JsonObject) -> list[JsonObject]:
    """Return the JSON patch that a strategy needs to give what it gave."""
    if _variants(was):
        same = _variants(now) == _variants(was)
        return [] if same else [{"op": "replace", "path": "/variants", "value": _variants(was)}]
    rollout = (was.get("parameters") or {}).get("rollout")
    if rollout is None or (now.get("parameters") or {}).get("rollout") == rollout:
        return []
    return [{"op": "replace", "path": "/parameters/rollout", "value": rollout}]


def _active(state: JsonObject) -> Iterator[JsonObject]:
    return (one for one in state.get("strategies") or () if not one.get("disabled"))


def _variants(strategy: JsonObject) -> list[JsonObject]:
    return strategy.get("variants") or []


def _off(order: RollbackOrder) -> Sequence[Call]:
    """Judge a flag that is off: the candidate is not served; one variation for all is not served either."""
    if order.rollback_by is RollbackBy.ROLLOUT_ZERO:
        return []
    raise final(
        f"unleash: flag {order.flag_key!r} is off in {order.scope!r}, so clients get what their code says and not "
        f"{order.baseline_variation!r}; switch it on there, or set flag.rollback_by to disable"
    )


def _check_candidate(active: list[JsonObject], order: RollbackOrder) -> None:
    """Refuse to call a rollout zero because the candidate's name is written in another way there."""
    names = {variant["name"] for one in active for variant in _variants(one)}
    if order.rollback_by is RollbackBy.ROLLOUT_ZERO and names and order.candidate_variation not in names:
        raise final(
            f"unleash: flag {order.flag_key!r} in {order.scope!r} has no variant {order.candidate_variation!r} to take "
            f"the rollout from; there are {listed(sorted(names))}; correct flag.candidate_variation"
        )


def _patch(strategy: JsonObject, order: RollbackOrder) -> list[JsonObject]:
    """Return the JSON patch that a strategy needs, none where it fits."""
    variants = _variants(strategy)
    if not variants and order.rollback_by is RollbackBy.ROLLOUT_ZERO:
        return _without_rollout(strategy, order)
    names = [variant["name"] for variant in variants]
    if order.baseline_variation not in names:
        raise final(
            f"unleash: flag {order.flag_key!r} in {order.scope!r}: a strategy has no variant "
            f"{order.baseline_variation!r}; there are {listed(names)}"
        )
    wanted = _weights(variants, order)
    if wanted == {variant["name"]: variant["weight"] for variant in variants}:
        return []
    return [
        {"op": "replace", "path": "/variants", "value": [_weighed(one, wanted, order) for one in variants]}
    ]


def _without_rollout(strategy: JsonObject, order: RollbackOrder) -> list[JsonObject]:
    rollout = (strategy.get("parameters") or {}).get("rollout")
    if rollout is None:
        raise final(
            f"unleash: flag {order.flag_key!r} in {order.scope!r}: strategy {strategy.get('name')!r} has no rollout to "
            "set to zero; set flag.rollback_by to disable"
        )
    return [] if str(rollout) == "0" else [{"op": "replace", "path": "/parameters/rollout", "value": "0"}]


def _weights(variants: list[JsonObject], order: RollbackOrder) -> dict[str, int]:
    """Return the weights that serve the baseline: all of it, or the candidate's added to its own."""
    now: dict[str, int] = {variant["name"]: variant["weight"] for variant in variants}
    if order.rollback_by is RollbackBy.SERVE_VARIATION:
        return {name: _ALL if name == order.baseline_variation else 0 for name in now}
    freed = now.get(order.candidate_variation, 0)
    if not freed:
        return now
    return now | {
        order.candidate_variation: 0,
        order.baseline_variation: now[order.baseline_variation] + freed,
    }


def _weighed(variant: JsonObject, wanted: dict[str, int], order: RollbackOrder) -> dict[str, Any]:
    """Return a variant with its weight fixed; the baseline's is the variable one that Unleash asks for."""
    kind = "variable" if variant["name"] == order.baseline_variation else "fix"
    return {**variant, "weight": wanted[variant["name"]], "weightType": kind}
