"""Any flag system behind one signed URL: the order goes out as a CloudEvent, the flag's state comes back.

Protocol (docs/adding-an-actuator.md):
    POST <url>   body: CloudEvent `dev.rollbackbudget.rollback.order.v1`, id = decision id, data = the order.
                 2xx with `{"serving": "<variation>"}`, read back from the flag system, and optionally
                 `{"changed": bool, "before": {...}}`. With a verify URL any 2xx will do.
    GET <verify_url>?flag=<key>[&scope=<scope>][&cohort.<dimension>=<value>]
                 2xx with `{"serving": "<variation>"}`: what the flag serves now.
    409 and 403 mean that a person has to approve the change; every other 4xx but 408 and 429 is final.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from monitor.adapters.egress import WebhookUnusable
from monitor.adapters.flags.api import API_LIMITS
from monitor.adapters.flags.settings import ActuatorSettings, ActuatorUnusable
from monitor.adapters.http import Answer, Limits, SignedWebhook, WebhookFailed
from monitor.adapters.needed import needed
from monitor.engine.errors import ActuatorFailed, ApprovalRequired
from monitor.engine.ports import Actuator, Effect, RollbackOrder

ORDER_TYPE = "dev.rollbackbudget.rollback.order.v1"
SOURCE = "rollback-budget/actuator"
_APPROVAL = frozenset({403, 409})
_NOT_READABLE = 405  # the endpoint is there and takes POST only: all a probe can ask


def order_event(order: RollbackOrder) -> str:
    """Return the order as a structured-mode CloudEvent; equal orders are equal bytes."""
    data = {
        "release": order.release,
        "baseline": order.baseline,
        "reason": order.reason,
        "flag": order.flag_key,
        "serve": order.baseline_variation,
        "instead_of": order.candidate_variation,
        "scope": order.scope,
        "cohort": dict(order.cohort),
    }
    event = {
        "specversion": "1.0",
        "id": order.decision_id,
        "type": ORDER_TYPE,
        "source": SOURCE,
        "subject": order.release,
        "datacontenttype": "application/json",
        "data": data,
    }
    return json.dumps(event, sort_keys=True, separators=(",", ":"))


def build(settings: ActuatorSettings) -> Actuator:
    """Return the actuator of the settings' webhook.

    Raises:
        ActuatorUnusable: URL or secret is missing.
        WebhookUnusable: One of them can never work.
    """
    both = "actuator_webhook_url", "actuator_webhook_secret"
    url, secret = (
        needed("actuator 'webhook'", one, *both, error=ActuatorUnusable).get_secret_value()
        for one in (settings.actuator_webhook_url, settings.actuator_webhook_secret)
    )
    limits = Limits(total_s=API_LIMITS.total_s, allow_private=settings.webhook_allow_private)
    webhook = SignedWebhook(url, secret, limits=limits)
    verify = settings.actuator_webhook_verify_url
    return WebhookActuator(webhook, verify_url=verify.get_secret_value() if verify is not None else None)


class WebhookActuator:
    """Asks a signed webhook to serve the baseline and believes only what is read back."""

    def __init__(self, webhook: SignedWebhook, *, verify_url: str | None = None) -> None:
        self._webhook, self._verify_url = webhook, verify_url

    async def close(self) -> None:
        """Close the connections."""
        await self._webhook.close()

    async def probe(self, order: RollbackOrder) -> None:
        """Ask the endpoint, without an order, whether it is there and knows us.

        Raises:
            ActuatorFailed: Unreachable, refusing, or not speaking the protocol. With a verify URL that is shown in
                full; without one a POST-only endpoint (405) is taken as present.
        """
        try:
            if self._verify_url is not None:
                await self._read_back(order, once=True)
            else:
                await self._webhook.get(order.decision_id, once=True)
        except WebhookUnusable as error:
            raise ActuatorFailed(str(error), retryable=False) from error
        except WebhookFailed as error:
            if error.status != _NOT_READABLE or self._verify_url is not None:
                raise _failed(error) from error

    async def serves_baseline(self, order: RollbackOrder) -> bool:
        """Ask the verify URL what the flag serves.

        Raises:
            ActuatorFailed: It has no usable answer, or no verify URL is set.
        """
        if self._verify_url is None:
            raise ActuatorFailed(
                "actuator 'webhook': what the flag serves can be read only with the setting "
                "actuator_webhook_verify_url",
                retryable=False,
            )
        try:
            return await self._read_back(order, once=True) == order.baseline_variation
        except WebhookUnusable as error:
            raise ActuatorFailed(str(error), retryable=False) from error
        except WebhookFailed as error:
            raise _failed(error) from error

    async def serve_baseline(self, order: RollbackOrder) -> Effect:
        """Send the order and return once the flag was read back as serving the baseline.

        Raises:
            ApprovalRequired: The flag system wants a person's approval first.
            ActuatorFailed: Anything else; repeating is safe, the receiver knows the decision id.
        """
        try:
            said = _object(await self._webhook.post(order.decision_id, order_event(order)))
            if self._verify_url is None:
                serving = _serving(said, self._webhook.where)
            else:
                serving = await self._read_back(order)
        except WebhookUnusable as error:
            raise ActuatorFailed(str(error), retryable=False) from error
        except WebhookFailed as error:
            raise _failed(error) from error
        if serving != order.baseline_variation:
            raise ActuatorFailed(
                f"{self._webhook.where}: flag {order.flag_key!r} still serves {serving!r} after the order; "
                f"wanted {order.baseline_variation!r}",
                retryable=True,
            )
        return _effect(said, serving)

    async def _read_back(self, order: RollbackOrder, *, once: bool = False) -> str:
        params = {"flag": order.flag_key}
        if order.scope is not None:
            params["scope"] = order.scope
        params |= {f"cohort.{name}": value for name, value in sorted(order.cohort.items())}
        answer = await self._webhook.get(order.decision_id, url=self._verify_url, params=params, once=once)
        return _serving(_object(answer), "verify URL")


def _effect(said: Mapping[str, Any], serving: str) -> Effect:
    before = said.get("before")
    return Effect(
        changed=said.get("changed") is not False,  # not said: assume that something changed
        before=before if isinstance(before, dict) else {},
        after={"serving": serving},
    )


def _object(answer: Answer) -> Mapping[str, Any]:
    try:
        parsed = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _serving(said: Mapping[str, Any], where: str) -> str:
    serving = said.get("serving")
    if not isinstance(serving, str):
        raise ActuatorFailed(
            f'{where}: the answer is no JSON object with "serving"; answer {{"serving": "<variation>"}} '
            "as read back from the flag system",
            retryable=False,
        )
    return serving


def _failed(error: WebhookFailed) -> ActuatorFailed:
    if error.status in _APPROVAL:
        return ApprovalRequired(
            f"{error}: the flag system wants an approval, or the key lacks the right; approve the change there, "
            "or let this key bypass approvals",
            retryable=False,
        )
    return ActuatorFailed(str(error), retryable=error.retryable)
