"""Decision ids: the same decision has the same id from any worker, any interleaving, live or replayed.

An id is the SHA-256 of canonical JSON that names what was decided: never a digest, a worker, a wall clock
or a reason (contract, section 2).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

TYPE_PREFIX: Final = "dev.rollbackbudget."
TYPE_VERSION: Final = ".v1"
ROLLBACK_REQUESTED: Final = f"{TYPE_PREFIX}rollback.requested{TYPE_VERSION}"


def canonical_json(value: object) -> str:
    """Return the one text of a JSON value: keys sorted by code point, no space, no escape that can be avoided.

    Raises:
        ValueError: A float in it is not finite.
        TypeError: Something in it is no JSON value.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def event_type(name: str) -> str:
    """Return the CloudEvents type of a name: `page.opened` is `dev.rollbackbudget.page.opened.v1`.

    A full type comes back as it is.
    """
    return name if name.startswith(TYPE_PREFIX) else f"{TYPE_PREFIX}{name}{TYPE_VERSION}"


def decision_id(
    type_: str,
    release: str,
    arming: int,
    objective: str | None = None,
    cohort: Mapping[str, str] | None = None,
    episode_start: int | None = None,
) -> str:
    """Return the id of a decision, 64 hexadecimal digits.

    Of a request to roll back there is one per release and arming, however many limits break: its id is made
    of `[type, release, arming]` alone. `rollback.requested` for one cohort only (`scope: cohort`) is once
    per cohort and arming: pass it the cohort and `[type, release, arming, cohort]` is hashed.

    Args:
        type_: The event's name (`page.opened`) or full type; both give the same id.
        arming: The arming's number.
        objective: As `quality.task_success_delta_pct`.
        cohort: The slice as an object, `{}` for the overall view.
        episode_start: Start of the episode (the breach, the page, the override), epoch milliseconds.
    """
    full = event_type(type_)
    parts: list[object] = [full, release, arming]
    if full == ROLLBACK_REQUESTED:
        parts += [dict(cohort)] if cohort else []
    else:
        parts += [objective, None if cohort is None else dict(cohort), episode_start]
    return sha256(canonical_json(parts).encode()).hexdigest()
