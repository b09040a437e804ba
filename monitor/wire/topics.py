"""The topics of the contract, and which event goes where: as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TRACES: Final = "llm.traces.v1"
BUDGETS: Final = "rollback.budgets.v1"
COMMANDS: Final = "rollback.commands.v1"
DECISIONS: Final = "rollback.decisions.v1"
REQUESTS: Final = "rollback.requests.v1"
PAGES: Final = "rollback.pages.v1"
EVAL_DEBT: Final = "rollback.eval-debt.v1"
LEDGER: Final = "rollback.ledger.v1"
HISTORY: Final = "rollback.history.v1"
CDEVENTS: Final = "rollback.cdevents.v1"
DEAD_LETTERS: Final = "rollback.dead-letters.v1"

EVENT_TYPES: Final[Mapping[str, str]] = {
    "breach.started": DECISIONS,
    "breach.cleared": DECISIONS,
    "rollback.requested": REQUESTS,
    "page.opened": PAGES,
    "page.acknowledged": PAGES,
    "page.extended": PAGES,
    "page.reminded": PAGES,
    "page.escalated": PAGES,
    "page.expired": PAGES,
    "page.resolved": PAGES,
    "override.created": DECISIONS,
    "override.expired": DECISIONS,
    "rollback.applied": DECISIONS,
    "rollback.verified": DECISIONS,
    "rollback.failed": DECISIONS,
    "rollback.rehearsed": DECISIONS,
    "evaldebt.created": EVAL_DEBT,
    "evaldebt.closed": EVAL_DEBT,
    "release.assessed": DECISIONS,
    "decision.observed": DECISIONS,
    "monitor.blind": PAGES,
    "monitor.recovered": PAGES,
}
"""Name of every published event (`dev.rollbackbudget.<name>.v1` is its type), and its topic."""


def topic_of(name: str) -> str | None:
    """Return the topic an event is published on; None for the ledger's own types, such as `arming.created`."""
    return EVENT_TYPES.get(name)
