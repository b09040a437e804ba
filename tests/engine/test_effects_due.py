"""What a restart still owes: effects that were recorded as wanted and not as done, while they are still wanted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from monitor.core.decision import Decision, Type
from monitor.engine.act_events import follow_up_id
from monitor.engine.book import LedgerBook
from monitor.engine.ports import LedgerEntry

NOW_MS = 1_790_000_000_000
DAY_MS = 24 * 3_600_000
REQUESTED, APPLIED, DELIVERED = Type.ROLLBACK_REQUESTED, Type.ROLLBACK_APPLIED, Type.PAGE_DELIVERED


def entry(
    type_: Type, name: str, *, at_ms: int = NOW_MS, published: bool = True, **data: object
) -> LedgerEntry:
    return LedgerEntry(Decision(type_, name, "v42", at_ms, {"arming": 1, **data}), None, published)


def done(cause: str, *kinds: Type) -> list[LedgerEntry]:
    return [entry(kind, follow_up_id(kind, cause)) for kind in kinds]


def due(entries: Iterable[LedgerEntry]) -> list[str]:
    """Return the ids of what a restart has to carry out, in a ledger with one arming before these entries."""
    book = LedgerBook()
    for one in (entry(Type.ARMING_CREATED, "a1"), *entries):
        book.note(one)
    return [one.decision.decision_id for one in book.without_effect(NOW_MS - DAY_MS)]


FLAG: dict[str, Any] = {"flag": {"key": "chat"}}
REQUEST = entry(REQUESTED, "r", **FLAG)
PAGE = entry(Type.PAGE_OPENED, "p", page_id="p")


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param([REQUEST], ["r"], id="nobody has begun"),
        pytest.param([REQUEST, *done("r", DELIVERED)], ["r"], id="told, and the flag not turned"),
        pytest.param([REQUEST, *done("r", APPLIED)], ["r"], id="turned, and nobody told"),
        pytest.param([REQUEST, *done("r", APPLIED, DELIVERED)], [], id="turned and told"),
        pytest.param([entry(REQUESTED, "r"), *done("r", DELIVERED)], [], id="no flag to turn"),
        pytest.param([PAGE], ["p"], id="a page nobody got"),
        pytest.param([PAGE, *done("p", DELIVERED)], [], id="a page somebody got"),
        pytest.param(
            [PAGE, entry(Type.PAGE_RESOLVED, "x", at_ms=NOW_MS + 1, page_id="p")],
            [],
            id="a page that is over",
        ),
        pytest.param(
            [PAGE, entry(Type.PAGE_RESOLVED, "x", at_ms=NOW_MS - 1, page_id="p")],
            ["p"],
            id="a page that came back",
        ),
        pytest.param(
            [entry(REQUESTED, "r", published=False, **FLAG)],
            [],
            id="the outbox publishes it: the topic brings it",
        ),
        pytest.param(
            [entry(REQUESTED, "r", at_ms=NOW_MS - DAY_MS - 1, **FLAG)],
            [],
            id="a day old: a person's business",
        ),
        pytest.param(
            [REQUEST, entry(Type.ARMING_CREATED, "a2", arming=2)],
            [],
            id="armed again since: not wanted any more",
        ),
        pytest.param([entry(Type.BREACH_STARTED, "b")], [], id="nothing anybody acts on"),
    ],
)
def test_only_what_is_still_wanted_and_not_done_is_begun_by_a_restart(
    entries: list[LedgerEntry], expected: list[str]
) -> None:
    assert due(entries) == expected
