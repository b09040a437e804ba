"""The outbox: on record before out, what is out not again, and nothing that waits is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from monitor.core.decision import Decision, Type
from monitor.engine.book import LedgerBook
from monitor.engine.breaker import RollbackRefused
from monitor.engine.errors import LogUnreachable
from monitor.engine.live import Live
from monitor.engine.observer import Observer
from monitor.engine.outbox import Outbox
from monitor.engine.ports import LedgerEntry
from tests.engine.plant import Topics

PAGE = Decision(Type.PAGE_OPENED, "page", "v42", 1, {})
ROLLBACK = Decision(Type.ROLLBACK_REQUESTED, "rollback", "v42", 1, {})


class Decided(Observer):
    """Remembers what was decided."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def decided(self, decision: Decision) -> None:
        self.ids.append(decision.decision_id)


class Box:
    """An outbox over lists, and a release that waits in it."""

    def __init__(self) -> None:
        self.topics, self.book, self.given_up = Topics(), LedgerBook(), list[str]()
        self.observer = Decided()
        self.refuses = False
        budget, progress = SimpleNamespace(release="v42"), SimpleNamespace(tick=7)
        self.live = Live(cast("Any", SimpleNamespace(budget=budget, progress=progress)), cast("Any", None))
        self.outbox = Outbox(
            self.topics, self.topics, self.book, cast("Any", self), self.observer, self.given_up.append
        )

    @asynccontextmanager
    async def admitted(self, entries: Sequence[LedgerEntry]) -> AsyncIterator[None]:
        if self.refuses:
            raise RollbackRefused("one too many")
        yield


async def test_all_is_on_record_before_any_is_out_and_rollbacks_go_out_first() -> None:
    box = Box()
    await box.outbox.emit(box.live, [PAGE, ROLLBACK])
    assert box.topics.journal == [
        "record page.opened",
        "record rollback.requested",
        "publish rollback.requested",
        "record rollback.requested",
        "publish page.opened",
        "record page.opened",
    ]
    assert not box.live.unsent
    assert box.observer.ids == ["rollback", "page"]
    assert [(one.after_tick, one.is_published) for one in box.topics.entries] == [(7, False)] * 2 + [
        (7, True)
    ] * 2
    assert box.book.get("page") == LedgerEntry(PAGE, 7, True)


async def test_what_is_out_is_not_said_again_but_a_command_s_answer_is_noted() -> None:
    box = Box()
    await box.outbox.emit(box.live, [PAGE])
    await box.outbox.emit(box.live, [PAGE])
    assert len(box.topics.entries) == 2
    await box.outbox.emit(box.live, [PAGE], "c1")
    assert box.topics.said == [PAGE]
    assert box.topics.entries[-1] == LedgerEntry(PAGE, 7, True, "c1")


async def test_what_is_on_record_and_not_out_goes_out() -> None:
    box = Box()
    box.book.note(LedgerEntry(PAGE, 7))
    await box.outbox.emit(box.live, [PAGE])
    assert box.topics.said == [PAGE]


async def test_what_did_not_get_out_is_on_record_waits_and_goes_out_once() -> None:
    box = Box()
    box.topics.outputs_away = 1
    with pytest.raises(LogUnreachable):
        await box.outbox.emit(box.live, [PAGE])
    assert box.book.get("page") == LedgerEntry(PAGE, 7)
    assert box.live.is_sending("page")
    await box.outbox.send(box.live)
    assert box.topics.said == [PAGE]
    assert not box.live.unsent


async def test_what_did_not_get_on_record_is_not_out() -> None:
    box = Box()
    box.topics.ledger_away = 1
    with pytest.raises(LogUnreachable):
        await box.outbox.emit(box.live, [PAGE])
    assert (box.topics.said, box.book.get("page")) == ([], None)


async def test_a_refused_rollback_leaves_nothing_behind_and_its_evaluation_is_given_up() -> None:
    box = Box()
    box.refuses = True
    with pytest.raises(RollbackRefused):
        await box.outbox.emit(box.live, [ROLLBACK])
    assert box.given_up == ["v42"]
    assert not box.live.unsent
    assert box.topics.journal == []
