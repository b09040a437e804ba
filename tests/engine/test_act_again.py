"""A turned flag that did not help: it is turned once more, then people are told, whatever happens in between."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from monitor.adapters.memory.pager import MemoryPager
from monitor.core.decision import ABOUT_PROOF, Type
from monitor.engine.act import Outcome
from monitor.engine.act_events import follow_up_id, notice_of
from monitor.engine.errors import ActuatorFailed, PagerFailed
from monitor.engine.page_words import Severity, page_words
from monitor.engine.ports import About
from tests.engine.acting import REQUEST_ID, SCHEMAS, World, page, request

AGAIN = follow_up_id(Type.ROLLBACK_APPLIED, "e-page.opened")


def stays() -> dict[str, Any]:
    """The page that says that the candidate is still served."""
    return page(reason="rollback_failed", request_id=REQUEST_ID, summary="v42 is still served")


async def turned_back() -> World:
    """A world in which the flag was turned, and somebody turned it back."""
    world = World()
    await world.act().on_request(request())
    world.flag.serving = "v42"
    return world


async def test_the_flag_is_turned_once_more_and_recorded_beside_the_first_time() -> None:
    world = await turned_back()
    first = dict(world.ledger.records)
    assert await world.act().on_page(stays()) is Outcome.DONE
    assert world.flag.serving == "v41"
    assert {
        one: world.ledger.records[one] for one in first
    } == first  # the first time is when the proof began
    again = world.ledger.records[AGAIN][2]
    assert (again["request_id"], again["changed"], again["arming"]) == (REQUEST_ID, True, 1)
    assert world.told()[-1] == ("opened", "v42 is still served")


async def test_told_again_it_turns_nothing_a_second_time_is_all() -> None:
    world = await turned_back()
    await world.act().on_page(stays())
    world.flag.serving = "v42"
    assert await world.act().on_page(stays()) is Outcome.ALREADY_DONE
    assert world.flag.serving == "v42"


async def test_a_crash_before_it_is_recorded_turns_it_again_which_is_harmless() -> None:
    world = await turned_back()
    world.ledger.crash_at = world.ledger.appended + 1
    with pytest.raises(ConnectionResetError):
        await world.act().on_page(stays())
    assert await world.act().on_page(stays()) is Outcome.DONE
    assert len(world.ledger.of(Type.ROLLBACK_APPLIED)) == 2
    assert world.flag.serving == "v41"


async def test_a_flag_system_that_refuses_keeps_nobody_from_being_told_and_is_on_record() -> None:
    world = await turned_back()
    world.failures.append(ActuatorFailed("401", retryable=False))
    assert await world.act().on_page(stays()) is Outcome.DONE
    assert world.told()[-1] == ("opened", "v42 is still served")
    (failed,) = world.ledger.of(Type.ROLLBACK_FAILED)
    schema = json.loads((SCHEMAS / "rollback.failed.v1.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(failed)
    assert (failed["reason"], failed["request_id"]) == ("actuator", REQUEST_ID)


async def test_a_silent_pager_does_not_delay_it() -> None:
    world = await turned_back()
    world.pager = MemoryPager([PagerFailed("403", retryable=False)])
    with pytest.raises(PagerFailed):
        await world.act().on_page(stays())
    assert world.flag.serving == "v41"
    assert AGAIN in world.ledger.records


@pytest.mark.parametrize(
    "event",
    [
        page(),
        page(
            reason="rollback_unproven", request_id=REQUEST_ID
        ),  # it was turned, and nothing speaks against it
        page(reason="rollback_undone", request_id=REQUEST_ID),  # somebody may have meant it: a person decides
        page(reason="rollback_failed", request_id="another"),
        page("page.resolved", reason="recovered", request_id=REQUEST_ID),
    ],
)
async def test_no_other_page_turns_a_flag(event: dict[str, Any]) -> None:
    world = await turned_back()
    assert await world.act().on_page(event) is Outcome.DONE
    assert world.flag.serving == "v42"


@pytest.mark.parametrize("reason", sorted(ABOUT_PROOF))
def test_its_page_is_loud_and_asks_for_no_decision(reason: str) -> None:
    notice = notice_of(page(reason=reason, summary="v42 is still served"), "opened")
    words = page_words(notice)
    assert (notice.about, words.severity) == (About.NOT_PROVEN, Severity.CRITICAL)
    assert words.title == "Rollback of model-v42 NOT PROVEN: v42 is still served"
    assert [command for _, command in words.commands] == [
        "rollback-budget acknowledge --page p1 model-v42",
        "rollback-budget explain e-page.opene",
        "rollback-budget status model-v42",
    ]
    ended = notice_of(page("page.resolved", reason="recovered"), "resolved", notice.event)
    assert (ended.about, page_words(ended).title[:8]) == (About.NOT_PROVEN, "Resolved")


def test_the_page_of_a_rollback_that_did_not_help_says_so_and_asks_for_no_decision() -> None:
    notice = notice_of(page(reason="rollback_did_not_help", summary="success is still low"), "opened")
    words = page_words(notice)
    assert (notice.about, words.severity) == (About.NOT_HELPED, Severity.CRITICAL)
    assert words.title == "Rollback of model-v42 DID NOT HELP: success is still low"
    assert [command for _, command in words.commands] == [
        "rollback-budget acknowledge --page p1 model-v42",
        "rollback-budget explain e-page.opene",
        "rollback-budget status model-v42",
    ]
