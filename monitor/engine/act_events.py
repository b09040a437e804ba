"""From an event to the order, the notice and the follow-up's data: what `act` reads and says, as pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from monitor.core.budget import FlagTarget, RollbackBy
from monitor.core.decision import ABOUT_PROOF, EVERY_RELEASE, Reason, Type
from monitor.core.ids import TYPE_PREFIX, TYPE_VERSION, canonical_json, event_type
from monitor.engine.errors import ActuatorFailed
from monitor.engine.ports import About, Effect, PageNotice, RollbackOrder

_CARRIED = (
    "release",
    "baseline",
    "budget",
    "budget_digest",
    "arming",
    "mode",
    "objective",
    "metric",
    "cohort",
    "tier",
    "reason",
)


def follow_up_id(kind: Type, cause_id: str) -> str:
    """Return the id of what follows from a decision: SHA-256 of canonical JSON, as every decision's id."""
    return sha256(canonical_json([event_type(kind.value), cause_id]).encode()).hexdigest()


def order_of(event: Mapping[str, Any]) -> RollbackOrder:
    """Return the order a `rollback.requested` asks for.

    Only `data["scope"] == "cohort"` narrows it to `data["cohort"]`: else that names where the breach was seen,
    and the whole release goes back.

    Raises:
        ActuatorFailed: The event's flag lacks a key.
    """
    data = data_of(event)
    flag = {**data, **data["flag"]}
    try:
        return RollbackOrder(
            decision_id=str(event["id"]),
            release=str(data["release"]),
            baseline=str(data["baseline"]),
            reason=str(data.get("reason", "")),
            actuator=str(flag["actuator"]),
            flag_key=str(flag["key"]),
            baseline_variation=str(flag["baseline_variation"]),
            candidate_variation=str(flag["candidate_variation"]),
            scope=data["flag"].get("scope"),
            cohort=dict(data.get("cohort") or {}) if data.get("scope") == "cohort" else {},
            rollback_by=RollbackBy(data["flag"].get("rollback_by", RollbackBy.SERVE_VARIATION.value)),
        )
    except KeyError as error:
        message = f"rollback request {event['id']}: its data lacks {error}; the flag cannot be turned from it"
        raise ActuatorFailed(message, retryable=False) from error
    except ValueError as error:
        message = (
            f"rollback request {event['id']}: flag.rollback_by: {error}; the flag cannot be turned from it"
        )
        raise ActuatorFailed(message, retryable=False) from error


def order_for(
    flag: FlagTarget, *, decision_id: str, release: str, baseline: str, reason: str
) -> RollbackOrder:
    """Return the order to turn a budget's flag for everybody, as a person asks about it beside any decision."""
    return RollbackOrder(
        decision_id=decision_id,
        release=release,
        baseline=baseline,
        reason=reason,
        actuator=flag.actuator,
        flag_key=flag.key,
        baseline_variation=flag.baseline_variation,
        candidate_variation=flag.candidate_variation,
        scope=flag.scope,
        rollback_by=flag.rollback_by,
    )


def notice_of(event: Mapping[str, Any], state: str, opened: Mapping[str, Any] | None = None) -> PageNotice:
    """Return what a person is told about an event of the pages topic.

    Args:
        opened: The data of the page's newest opening, where the event is a later change of it.
    """
    data = data_of(event)
    release, kind = str(data.get("release") or EVERY_RELEASE), kind_of(event)
    deadline = data.get("deadline")
    return PageNotice(
        event_id=str(event["id"]),
        page_id=str(data.get("page_id") or event["id"]),
        state=state,
        release=release,
        text=str(
            data.get("summary")
            or f"{kind} for {data.get('release') or 'the monitor'}: {data.get('reason', 'see the event')}"
        ),
        deadline_ms=int(datetime.fromisoformat(deadline).timestamp() * 1000)
        if isinstance(deadline, str)
        else None,
        event=data,
        about=_about(kind, data, opened or data),
        opened=opened or {},
        pagers=tuple(map(str, data.get("pagers") or ())),
    )


def _about(kind: str, data: Mapping[str, Any], opening: Mapping[str, Any]) -> About:
    if kind.startswith("monitor.") or opening.get("reason") == Reason.BLIND:
        return About.BLIND
    if kind in (Type.PAGE_ACKNOWLEDGED, Type.PAGE_ESCALATED) and data.get("request_id"):
        return About.NOT_APPLIED
    if opening.get("reason") == Reason.ROLLBACK_DID_NOT_HELP:
        return About.NOT_HELPED
    return About.NOT_PROVEN if opening.get("reason") in ABOUT_PROOF else About.PAGE


def kind_of(event: Mapping[str, Any]) -> str:
    """Return the event's type without prefix and version, e.g. `page.opened`."""
    return str(event.get("type", "")).removeprefix(TYPE_PREFIX).removesuffix(TYPE_VERSION)


def data_of(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the event's data; empty where it is no object."""
    data = event.get("data")
    return data if isinstance(data, Mapping) else {}


def identity(data: Mapping[str, Any]) -> dict[str, object]:
    """Return what names the decision an effect belongs to."""
    return {name: data[name] for name in _CARRIED if name in data} | {"action": "rollback"}


def applied_data(
    event: Mapping[str, Any], order: RollbackOrder, effect: Effect, seconds: float
) -> dict[str, object]:
    """Return the data of `rollback.applied`; `seconds` from the first attempt to the read-back."""
    return {
        **identity(data_of(event)),
        "request_id": order.decision_id,
        "actuator": order.actuator,
        "flag": order.flag_key,
        "changed": effect.changed,
        "before": dict(effect.before),
        "after": dict(effect.after),
        "seconds": round(seconds, 3),
    }


def _why(data: Mapping[str, Any]) -> str:
    return str(
        data.get("summary") or f"{data.get('objective', 'its budget')}: {data.get('reason', 'breach')}"
    )


def _notice(
    event: Mapping[str, Any], *, about: About, page_id: str, event_id: str, state: str, text: str
) -> PageNotice:
    data = data_of(event)
    return PageNotice(
        event_id=event_id,
        page_id=page_id,
        state=state,
        release=str(data.get("release", "")),
        text=text,
        deadline_ms=None,
        event=data,
        about=about,
    )


def informed(event: Mapping[str, Any], how: str) -> PageNotice:
    """Return the notice that a rollback happened, or was asked for; its id is the request's."""
    data, request_id = data_of(event), str(event["id"])
    text = f"Rollback of {data.get('release')} to {data.get('baseline')}: {how}. Why: {_why(data)}"
    return _notice(
        event, about=About.ROLLED_BACK, page_id=request_id, event_id=request_id, state="informed", text=text
    )


def not_applied(event: Mapping[str, Any], failed_id: str, message: str) -> PageNotice:
    """Return the page that nobody's flag was turned: the loudest thing this monitor says."""
    data = data_of(event)
    text = (
        f"Rollback of {data.get('release')} to {data.get('baseline')} is NOT APPLIED: {message}. "
        f"Users may still get {data.get('release')}: turn the flag by hand. Why: {_why(data)}"
    )
    return _notice(
        event, about=About.NOT_APPLIED, page_id=failed_id, event_id=failed_id, state="opened", text=text
    )


def applied_after_all(event: Mapping[str, Any], failed_id: str) -> PageNotice:
    """Return the notice that closes the page of `not_applied`."""
    data = data_of(event)
    text = f"Rollback of {data.get('release')} to {data.get('baseline')} is applied now"
    resolved_id = follow_up_id(Type.PAGE_RESOLVED, failed_id)
    return _notice(
        event, about=About.NOT_APPLIED, page_id=failed_id, event_id=resolved_id, state="resolved", text=text
    )
