"""Every published event's data model, by the event's name, and the check of a whole event against it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from monitor.core.ids import canonical_json
from monitor.wire.breach import BreachCleared, BreachStarted
from monitor.wire.cloudevent import CloudEvent, to_structured
from monitor.wire.envelope import StructuredEvent
from monitor.wire.eval_debt import EvalDebtClosed, EvalDebtCreated
from monitor.wire.monitor_state import MonitorBlind, MonitorRecovered
from monitor.wire.observed import DecisionObserved
from monitor.wire.override import OverrideCreated, OverrideExpired
from monitor.wire.page import (
    PageAcknowledged,
    PageEscalated,
    PageExpired,
    PageExtended,
    PageOpened,
    PageReminded,
    PageResolved,
)
from monitor.wire.release import ReleaseAssessed
from monitor.wire.rollback import (
    RollbackApplied,
    RollbackFailed,
    RollbackRehearsed,
    RollbackRequested,
    RollbackVerified,
)
from monitor.wire.shared import Message

DATA_MODELS: Final[Mapping[str, type[Message]]] = {
    "breach.started": BreachStarted,
    "breach.cleared": BreachCleared,
    "rollback.requested": RollbackRequested,
    "rollback.applied": RollbackApplied,
    "rollback.verified": RollbackVerified,
    "rollback.failed": RollbackFailed,
    "rollback.rehearsed": RollbackRehearsed,
    "page.opened": PageOpened,
    "page.acknowledged": PageAcknowledged,
    "page.extended": PageExtended,
    "page.reminded": PageReminded,
    "page.escalated": PageEscalated,
    "page.expired": PageExpired,
    "page.resolved": PageResolved,
    "override.created": OverrideCreated,
    "override.expired": OverrideExpired,
    "evaldebt.created": EvalDebtCreated,
    "evaldebt.closed": EvalDebtClosed,
    "release.assessed": ReleaseAssessed,
    "decision.observed": DecisionObserved,
    "monitor.blind": MonitorBlind,
    "monitor.recovered": MonitorRecovered,
}


def check(event: CloudEvent) -> None:
    """Hold an event, as its bytes would leave, against the models of its envelope and its data.

    The ledger's own types (`arming.created`, …) have a checked envelope and free data.

    Raises:
        pydantic.ValidationError: With every place that does not fit.
    """
    StructuredEvent.model_validate_json(canonical_json(to_structured(event)))
    model = DATA_MODELS.get(event.name)
    if model is not None:
        model.model_validate_json(canonical_json(to_structured(event)["data"]))
