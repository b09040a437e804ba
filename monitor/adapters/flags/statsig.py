"""Statsig by its Console API: the gate's switch, or the pass percentage of its rules.

Source: Statsig's Console API reference, gates (`/console/v1/gates`). A gate passes or does not: it has no variations,
so the baseline is the side that does not pass. A gate has no scope; its rules are taken back in all environments.
Reviews do not stop the Console API, unless an organisation says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.adapters.flags.api import Api, Call, JsonObject, segment
from monitor.adapters.flags.settings import USUAL, ActuatorSettings, Manner, needed, over_http
from monitor.adapters.flags.vendor import Refusal, Refused, final, gone
from monitor.core.budget import RollbackBy
from monitor.engine.ports import Actuator, RollbackOrder


def build(settings: ActuatorSettings, manner: Manner = USUAL) -> Actuator:
    """Return the actuator of the settings' Statsig.

    Raises:
        ActuatorUnusable: The key is missing.
        WebhookUnusable: The address can never work.
    """
    token = needed("statsig", settings.statsig_token, "statsig_token")
    return over_http(Statsig(), settings.statsig_url, {"statsig-api-key": token}, token, settings, manner)


class Statsig:
    """What is Statsig's own.

    - `disable`: the gate is disabled; nobody passes.
    - `rollout_zero`: every rule passes 0 percent.
    """

    name = "statsig"

    async def read(self, api: Api, order: RollbackOrder) -> JsonObject:
        """Return the gate with its rules."""
        answer = await api.get(_path(order))
        gate = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(gate, dict) or not isinstance(gate.get("isEnabled"), bool):
            raise api.odd("gate", "statsig_url")
        return gate

    def plan(self, state: JsonObject, order: RollbackOrder) -> Sequence[Call]:
        """Return the switch, or one call for each rule that passes anybody."""
        if not state["isEnabled"]:
            return []
        if order.rollback_by is RollbackBy.DISABLE:
            return [Call("PUT", f"{_path(order)}/disable")]
        if state.get("status") == "Launched":
            raise final(
                f"statsig: gate {order.flag_key!r} is launched and passes everybody whatever its rules say; set "
                "flag.rollback_by to disable"
            )
        return [
            Call("PATCH", f"{_path(order)}/rules/{segment(str(rule['id']))}", {**rule, "passPercentage": 0})
            for rule in state.get("rules") or ()
            if rule.get("passPercentage") != 0
        ]

    def back(self, state: JsonObject, order: RollbackOrder, was: JsonObject) -> Sequence[Call]:
        """Return the switch, or one call for each rule that passes another share."""
        if order.rollback_by is RollbackBy.DISABLE:
            if was.get("status") == "Launched":
                raise final(
                    f"statsig: gate {order.flag_key!r} is launched, and a gate that is enabled again is not: a drill "
                    "could not set it back"
                )
            return (
                [Call("PUT", f"{_path(order)}/enable")] if was["isEnabled"] and not state["isEnabled"] else []
            )
        now = {rule["id"]: rule for rule in state.get("rules") or ()}
        calls = []
        for rule in was.get("rules") or ():
            if rule["id"] not in now:
                raise gone("statsig", f"rule {rule['id']!r}", order)
            share = rule.get("passPercentage")
            if now[rule["id"]].get("passPercentage") != share:
                body = {**now[rule["id"]], "passPercentage": share}
                calls.append(Call("PATCH", f"{_path(order)}/rules/{segment(str(rule['id']))}", body))
        return calls

    def shown(self, state: JsonObject, order: RollbackOrder) -> JsonObject:
        """Return the switch and each rule's share."""
        rules = state.get("rules") or ()
        return {
            "isEnabled": state["isEnabled"],
            "status": state.get("status"),
            "passPercentage": {str(rule["id"]): rule.get("passPercentage") for rule in rules},
        }

    def trial(self, calls: Sequence[Call]) -> Sequence[Call]:
        """Return nothing: the Console API's dry runs are for creating only."""
        return ()

    def refusal(self, refused: Refused) -> Refusal | None:
        """Return approval where a review is asked for."""
        if refused.status in (400, 403) and "review" in refused.text.lower():
            return Refusal.APPROVAL
        return Refusal.CONFLICT if refused.status in (409, 412) else None


def _path(order: RollbackOrder) -> str:
    return f"/console/v1/gates/{segment(order.flag_key)}"
