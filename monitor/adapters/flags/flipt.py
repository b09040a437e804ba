"""Flipt 2 by its environments API: the whole flag with the revision it was read at; a stale revision is refused.

Source: Flipt 2's `environments.proto` and `core.proto` and their OpenAPI document. `scope` is
`<environment>/<namespace>`. A boolean flag's variations are `true` and `false`, and its `enabled` is its default value.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from monitor.adapters.flags.api import Api, Call, JsonObject, segment
from monitor.adapters.flags.settings import (
    USUAL,
    ActuatorSettings,
    Manner,
    needed,
    over_http,
)
from monitor.adapters.flags.vendor import Refusal, Refused, final, listed, scope_of
from monitor.core.budget import RollbackBy
from monitor.engine.ports import Actuator, RollbackOrder

_ALL = 100.0  # percent
_TURNED = ("enabled", "defaultVariant", "rules", "rollouts")  # all that an order may change
_BOOLEANS = {"true": True, "false": False}


def build(settings: ActuatorSettings, manner: Manner = USUAL) -> Actuator:
    """Return the actuator of the settings' Flipt.

    Raises:
        ActuatorUnusable: Address or token is missing.
        WebhookUnusable: The address can never work.
    """
    url = needed("flipt", settings.flipt_url, "flipt_url")
    token = needed("flipt", settings.flipt_token, "flipt_token")
    headers = {"authorization": f"Bearer {token}"}
    return over_http(Flipt(), url, headers, token, settings, manner)


class Flipt:
    """What is Flipt's own.

    - `disable`: a variant flag is off; clients get what their code says. A boolean flag has no such state.
    - `rollout_zero`: the candidate's share of every distribution goes to the baseline, the default variant too.
    - `serve_variation`: every rule distributes nothing but the baseline, which is the default variant too. A boolean
      flag has the baseline in every rollout and as its default, by either of the two.
    """

    name = "flipt"

    async def read(self, api: Api, order: RollbackOrder) -> JsonObject:
        """Return the flag's document and its revision."""
        state = await api.get(f"{_resources(order)}/flipt.core.Flag/{segment(order.flag_key)}")
        resource = state.get("resource") if isinstance(state, dict) else None
        if not isinstance(resource, dict) or not isinstance(resource.get("payload"), dict):
            raise api.odd("flag", "flipt_url")
        return {"resource": resource, "revision": state.get("revision", "")}

    def plan(self, state: JsonObject, order: RollbackOrder) -> Sequence[Call]:
        """Return the one update, where the flag is not as it should be."""
        flag = state["resource"]["payload"]
        wanted = deepcopy(flag)
        if flag.get("type") == "BOOLEAN_FLAG_TYPE":
            _turn_boolean(wanted, order)
        elif order.rollback_by is RollbackBy.DISABLE:
            wanted["enabled"] = False
        else:
            _turn_variants(wanted, order)
        return _update(state, order, wanted)

    def back(self, state: JsonObject, order: RollbackOrder, was: JsonObject) -> Sequence[Call]:
        """Return the one update that puts switch, default, rules and rollouts where they were."""
        now, before = state["resource"]["payload"], was["resource"]["payload"]
        if order.rollback_by is RollbackBy.DISABLE:
            return _update(state, order, {**now, "enabled": bool(before.get("enabled"))})
        if any(_shape(now, kind) != _shape(before, kind) for kind in ("rules", "rollouts")):
            raise final(
                f"flipt: flag {order.flag_key!r}: its rules were changed by somebody else during the drill"
            )
        wanted = {key: value for key, value in now.items() if key not in _TURNED}
        wanted |= {key: deepcopy(before[key]) for key in _TURNED if key in before}
        return _update(state, order, wanted)

    def shown(self, state: JsonObject, order: RollbackOrder) -> JsonObject:
        """Return the revision and what the flag gives."""
        return {"revision": state["revision"], **_meaning(state["resource"]["payload"])}

    def trial(self, calls: Sequence[Call]) -> Sequence[Call]:
        """Return nothing: Flipt has no dry run."""
        return ()

    def refusal(self, refused: Refused) -> Refusal | None:
        """Return conflict for a stale revision (gRPC `ABORTED`, which is 409)."""
        return Refusal.CONFLICT if refused.status in (409, 412) else None


def _resources(order: RollbackOrder) -> str:
    environment, namespace = map(segment, scope_of(order))
    return f"/api/v2/environments/{environment}/namespaces/{namespace}/resources"


def _update(state: JsonObject, order: RollbackOrder, wanted: JsonObject) -> Sequence[Call]:
    if _meaning(wanted) == _meaning(state["resource"]["payload"]):
        return []
    body = {"key": order.flag_key, "payload": wanted, "revision": state["revision"]}
    return [Call("PUT", _resources(order), body)]


def _shape(flag: JsonObject, kind: str) -> list[object]:
    """Return the segments that rules or rollouts are for, in their order: they have no names of their own."""
    return [
        (rule.get("segments"), rule.get("segmentOperator"), sorted(rule.keys() - {"distributions"}))
        for rule in flag.get(kind) or ()
    ]


def _meaning(flag: JsonObject) -> JsonObject:
    """Return what decides: protobuf's JSON leaves out what is false, zero or empty."""
    return {
        "enabled": bool(flag.get("enabled")),
        "defaultVariant": flag.get("defaultVariant") or None,
        "rules": flag.get("rules") or [],
        "rollouts": flag.get("rollouts") or [],
    }


def _turn_boolean(flag: JsonObject, order: RollbackOrder) -> None:
    if order.rollback_by is RollbackBy.DISABLE:
        raise final(
            f"flipt: flag {order.flag_key!r} is boolean: its switch is its default value and its rollouts stay; set "
            "flag.rollback_by to serve_variation"
        )
    if {order.baseline_variation, order.candidate_variation} != set(_BOOLEANS):
        raise final(
            f"flipt: flag {order.flag_key!r} is boolean and has no variation {order.baseline_variation!r} or "
            f"{order.candidate_variation!r}; there are 'false', 'true'"
        )
    wanted = _BOOLEANS[order.baseline_variation]
    flag["enabled"] = wanted
    for rollout in flag.get("rollouts") or ():
        for kind in ("segment", "threshold"):
            if kind in rollout and bool(rollout[kind].get("value")) != wanted:
                rollout[kind]["value"] = wanted


def _turn_variants(flag: JsonObject, order: RollbackOrder) -> None:
    names = [variant["key"] for variant in flag.get("variants") or ()]
    _check_known(names, order.baseline_variation, order)
    if order.rollback_by is RollbackBy.ROLLOUT_ZERO:
        _check_known(names, order.candidate_variation, order)
    elif not flag.get("enabled"):
        raise final(
            f"flipt: flag {order.flag_key!r} is off in {order.scope!r}, so clients get what their code says and not "
            f"{order.baseline_variation!r}; switch it on there, or set flag.rollback_by to disable"
        )
    only_candidate = order.rollback_by is RollbackBy.ROLLOUT_ZERO
    if not only_candidate or flag.get("defaultVariant") == order.candidate_variation:
        flag["defaultVariant"] = order.baseline_variation
    for rule in flag.get("rules") or ():
        rule["distributions"] = _distributed(
            rule.get("distributions") or [], order, only_candidate=only_candidate
        )


def _distributed(now: list[JsonObject], order: RollbackOrder, *, only_candidate: bool) -> list[JsonObject]:
    """Return a rule's distributions with the share taken back; the same list where there is none to take."""
    shares: dict[str, float] = {}
    for one in now:
        shares[one["variant"]] = shares.get(one["variant"], 0.0) + one.get("rollout", 0.0)
    if only_candidate:
        freed = shares.pop(order.candidate_variation, 0.0)
        if not freed:
            return now
        shares[order.baseline_variation] = shares.get(order.baseline_variation, 0.0) + freed
    elif {name for name, share in shares.items() if share} == {order.baseline_variation}:
        return now
    else:
        shares = {order.baseline_variation: _ALL}
    return [{"variant": name, "rollout": share} for name, share in shares.items()]


def _check_known(names: list[Any], name: str, order: RollbackOrder) -> None:
    if name not in names:
        raise final(f"flipt: flag {order.flag_key!r} has no variation {name!r}; there are {listed(names)}")
