"""That the monitor cannot see is a page: nobody who looks away from it stops it from going up the budgets' paths."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from monitor.core.decision import EVERY_RELEASE, Decision, Type
from monitor.engine.act_events import follow_up_id, notice_of
from monitor.engine.book import Command
from monitor.engine.effect_ledger import EffectLedger
from monitor.engine.page_words import page_words
from monitor.engine.ports import About, LedgerEntry
from monitor.engine.standing import standings
from monitor.wire.cloudevent import of_decision, to_structured
from monitor.wire.messages import check
from tests.engine.plant import Plant, budget
from tests.engine.post import BLIND, RECOVERED, Post, post
from tests.engine.test_lookout import without_log, without_store

PATH = "escalation:\n  - {after: 5m, pagers: [slack]}\n  - {after: 10m, on_call: platform lead}\n"
CALLED = (("rollback_budget:", f"{PATH}rollback_budget:"),)
MINUTE_S = 60


async def blind(*budgets: Any) -> Post:
    """Return an instance whose partitions nobody reads any more, a moment after it has said so."""
    made = Plant(budgets=budgets or (budget(*CALLED),))
    one = post(made)
    await one.seconds(2)
    made.traffic(0, 4)
    await one.seconds(3)
    await one.seconds(40, reads=False)
    assert len(made.topics.of(BLIND)) == 1
    return one


def said(one: Post) -> list[Decision]:
    """Return the calls so far, each once and in the contract's form."""
    found = {call.decision_id: call for call in one.made.topics.of(Type.PAGE_ESCALATED)}
    for call in found.values():
        check(of_decision(call))
    return list(found.values())


def steps(one: Post) -> Sequence[object]:
    return [call.data["step"] for call in said(one)]


def order(one: Post, **more: Any) -> None:
    at_ms = one.made.log.now_ms
    one.control.commands.note(Command("acknowledge", f"c{at_ms}", "v42", "ada", "looking", at_ms, **more))


async def test_a_blindness_that_nobody_has_seen_goes_up_the_path_once_each_step() -> None:
    one = await blind()
    (page,) = one.made.topics.of(BLIND)
    await one.seconds(5 * MINUTE_S - 30, reads=False)
    assert steps(one) == []
    await one.seconds(60, reads=False)
    assert steps(one) == [1]
    await one.seconds(10 * MINUTE_S, reads=False)
    first, second = said(one)
    assert (first.data["pagers"], second.data["on_call"]) == (["slack"], "platform lead")
    assert {one.data["page_id"] for one in (first, second)} == {page.decision_id}
    assert {one.data["reason"] for one in (first, second)} == {"not_acknowledged"}
    assert "cannot see v42" in str(first.data["summary"])
    assert not one.made.topics.of(Type.ROLLBACK_REQUESTED), "it never acts"
    await one.seconds(5)
    assert one.made.topics.of(RECOVERED)
    await one.seconds(20 * MINUTE_S)
    assert steps(one) == [1, 2]


@pytest.mark.parametrize("how", ["by its page", "by its release"])
async def test_somebody_who_has_seen_it_is_not_called_again(how: str) -> None:
    one = await blind()
    (page,) = one.made.topics.of(BLIND)
    order(one, page_id=page.decision_id if how == "by its page" else None)
    await one.seconds(20 * MINUTE_S, reads=False)
    assert said(one) == []
    (seen,) = one.made.topics.of(Type.PAGE_ACKNOWLEDGED)
    check(of_decision(seen))
    assert (seen.data["page_id"], seen.data["author"]) == (page.decision_id, "ada")


async def test_a_second_person_who_has_seen_it_is_answered_too() -> None:
    one = await blind()
    order(one)
    await one.seconds(2, reads=False)
    order(one)
    await one.seconds(2, reads=False)
    assert one.control.commands.waiting("v42", one.control.book) == []


async def test_what_it_was_told_late_is_counted_from_when_it_was_told() -> None:
    one = await blind()
    (page,) = one.made.topics.of(BLIND)
    await one.seconds(3 * MINUTE_S, reads=False)
    told = {"event_id": page.decision_id, "page_id": page.decision_id, "state": "opened"}
    told_id = follow_up_id(Type.PAGE_DELIVERED, page.decision_id)
    delivered = Decision(Type.PAGE_DELIVERED, told_id, EVERY_RELEASE, one.made.log.now_ms, told)
    one.made.topics.entries.append(LedgerEntry(delivered, None, True))
    await one.seconds(3 * MINUTE_S, reads=False)
    assert steps(one) == []
    await one.seconds(2 * MINUTE_S + 5, reads=False)
    assert steps(one) == [1]


async def test_without_the_store_it_is_called_all_the_same_and_by_any_worker_under_one_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = await blind()
    next_ = post(one.made, "next")
    next_.follow()
    without_store(monkeypatch, one.made)
    for _ in range(3 * MINUTE_S):  # a second each, on the clocks of both
        await one.seconds(1, follows=False)
        await next_.seconds(1, follows=False)
    assert steps(one) == [1]
    assert len(one.made.topics.of(Type.PAGE_ESCALATED)) == 2, "both called before they heard of each other"


async def test_what_an_outage_of_the_log_kept_back_is_not_escalated_as_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = post(Plant(budgets=(budget(*CALLED),)))
    await one.seconds(2)
    one.made.traffic(0, 4)
    await one.seconds(3)
    with monkeypatch.context() as outage:
        without_log(outage, one)
        await one.seconds(20 * MINUTE_S, reads=False)
    await one.seconds(30, reads=False)
    assert one.made.topics.of(BLIND)
    assert said(one) == []


async def test_a_path_that_many_budgets_share_is_walked_once_and_names_them() -> None:
    others = [budget(*CALLED, ("release: v42", f"release: v{number}")) for number in (43, 44)]
    quiet = budget(("release: v42", "release: v45"))
    watches = budget(*CALLED, ("release: v42", "release: v46\nmode: observe"))
    one = await blind(budget(*CALLED), *others, quiet, watches)
    await one.seconds(6 * MINUTE_S, reads=False)
    (call,) = said(one)
    assert "cannot see v42, v43, v44: it goes to slack (step 1 of 2)" in str(call.data["summary"])
    assert call.release == call.data["release"] == "v42"


async def test_who_was_called_hears_its_end_and_everybody_what_it_is_about() -> None:
    one = await blind()
    await one.seconds(6 * MINUTE_S, reads=False)
    (page,), (call,) = one.made.topics.of(BLIND), said(one)
    ledger = EffectLedger(cast("Any", SimpleNamespace(book=one.control.book)), *[cast("Any", None)] * 3)
    past = await ledger.page("v42", page.decision_id)
    assert (await ledger.page(EVERY_RELEASE, page.decision_id)).escalated_to == {"slack"}
    notice = notice_of(to_structured(of_decision(call)), "escalated", past.opening)
    assert notice.about is About.BLIND
    words = page_words(notice)
    assert words.title.startswith("Escalated, nobody watches v42: nobody has seen for 5 min")
    assert ("Not watched", "v42") in words.facts
    assert words.commands[0][1] == f"rollback-budget acknowledge --page {page.decision_id} v42"


async def test_the_first_word_of_it_says_how_to_answer_it() -> None:
    one = await blind()
    (page,) = one.made.topics.of(BLIND)
    words = page_words(notice_of(to_structured(of_decision(page)), "opened"))
    assert [what for what, _ in words.commands] == ["I am on it", "How it stands"]


async def test_what_fails_on_its_way_out_goes_out_once() -> None:
    one = await blind()
    one.made.topics.outputs_away = 3
    await one.seconds(6 * MINUTE_S, reads=False)
    assert steps(one) == [1]
    assert len(one.made.topics.of(Type.PAGE_ESCALATED)) == 1


async def test_a_release_shows_no_page_of_the_monitors_as_its_own() -> None:
    one = await blind()
    await one.seconds(6 * MINUTE_S, reads=False)
    (standing,) = standings(one.control.book.entries(), one.made.log.now_ms)
    assert standing.pages == []
