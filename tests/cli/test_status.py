"""`rollback-budget status`: how releases stand, from the ledger alone, with what to type next."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from monitor.adapters.kafka.ledger import KafkaLedger
from monitor.cli import main, sight, status
from monitor.cli.orders import entries_of
from monitor.config.settings import Settings
from monitor.core.decision import EVERY_RELEASE, Decision, Reason, Type
from monitor.core.ids import decision_id
from monitor.core.moment import rfc3339
from monitor.core.record import release_data
from monitor.engine.answer import answer
from monitor.engine.book import Command
from monitor.engine.errors import StoreUnreachable
from monitor.engine.ports import LedgerEntry, Partition
from monitor.engine.standing import Standing, standings
from tests.cli.ledger_world import MINUTE_MS, LedgerWorld, arming_of
from tests.cli.verbs import at_ledger, now_is
from tests.golden.cases import CASES
from tests.golden.traffic import START_MS

BY_NAME = {case.name: case for case in CASES}
HOLD = BY_NAME["latency_hold"]
OBJECTIVE = "latency.p95_delta_pct"
P = "ROLLBACK_BUDGET_"


def at(minute: float) -> int:
    return START_MS + int(minute * MINUTE_MS)


def stands(world: LedgerWorld, minute: float = 45) -> Standing:
    (found,) = standings(entries_of(world.ledger_records()), at(minute))
    return found


def order(world: LedgerWorld, minute: float, kind: str, **more: Any) -> list[Decision]:
    """What a worker does with an order, put on record."""
    command = Command(kind, f"{kind}-{minute}", "assistant-8", "dana", "because", at(minute), **more)
    decisions = answer(world.evaluator, command)
    asyncio.run(world.record(decisions, command.command_id))
    return decisions


def delivered(event_id: str, minute: float) -> Decision:
    data = {"page_id": event_id, "event_id": event_id, "state": "opened", "release": "assistant-8"}
    return Decision(Type.PAGE_DELIVERED, f"{int(minute):064x}", "assistant-8", at(minute), data)


def test_a_watched_release_shows_its_breach_and_its_page() -> None:
    world = LedgerWorld(HOLD, until_min=45)
    found = stands(world)
    assert (found.release, found.baseline, found.arming, found.stage) == (
        "assistant-8",
        "assistant-7",
        1,
        "watching",
    )
    assert (found.since, found.budget_digest) == ("2026-11-02T09:00:00.000Z", world.budget.digest)
    (breach,) = found.breaches
    assert (breach["objective"], breach["cohort"], breach["tier"]) == (OBJECTIVE, {}, "B")
    (page,) = found.pages
    named, why = f"--page {page['page_id']}", "--reason 'decided from the page'"
    commands = page["commands"]
    assert isinstance(commands, list)
    assert commands[:4] == [
        f"rollback-budget decide {named} {why} assistant-8 rollback",
        f"rollback-budget decide {named} {why} assistant-8 continue",
        f"rollback-budget acknowledge {named} assistant-8",
        f"rollback-budget extend --by 5m {named} --reason looking assistant-8",
    ]
    assert commands[4].startswith("rollback-budget explain ")
    assert (page["delivered_at"], page["acknowledged_by"], page["expired_at"]) == (None, None, None)
    assert found.rollback is None
    assert found.assessment is None
    assert found.eval_debt >= 1
    assert found.last_decisions[-1]["type"] in ("page.opened", "evaldebt.created")


def test_the_commander_s_clock_runs_from_the_delivery() -> None:
    world = LedgerWorld(HOLD, until_min=45)
    opened_ms = next(page.opened_ms for page in world.evaluator.commander.pages.values() if page.is_open)
    event_id = next(page.event_id for page in world.evaluator.commander.pages.values() if page.is_open)
    minute = (opened_ms - START_MS) / MINUTE_MS
    undelivered = stands(world).pages[0]["deadline"]
    asyncio.run(world.record([delivered(event_id, minute + 3)]))
    (page,) = stands(world).pages
    assert page["delivered_at"] == f"2026-11-02T09:{int(minute + 3)}:00.000Z"
    assert (undelivered, page["deadline"]) == tuple(
        f"2026-11-02T09:{int(minute + wait)}:00.000Z" for wait in (15, 18)
    )


def test_of_several_pagers_the_first_that_reached_somebody_starts_the_clock() -> None:
    world = LedgerWorld(HOLD, until_min=45)
    event_id = next(page.event_id for page in world.evaluator.commander.pages.values() if page.is_open)
    asyncio.run(world.record([delivered(event_id, 46), delivered(event_id, 44), delivered(event_id, 45)]))
    assert stands(world).pages[0]["delivered_at"] == "2026-11-02T09:44:00.000Z"


def test_what_was_ordered_is_seen() -> None:
    world = LedgerWorld(HOLD, until_min=45)
    order(world, 44.1, "acknowledge")
    assert stands(world).pages[0]["acknowledged_by"] == "dana"
    order(world, 44.2, "decide", decision="continue", until_ms=at(60))
    found = stands(world)
    assert found.pages == []
    (held,) = found.overrides
    assert (held["objective"], held["until"], held["author"], held["note"]) == (
        OBJECTIVE,
        "2026-11-02T10:00:00.000Z",
        "dana",
        "because",
    )
    assert stands(world, 60).overrides == []  # over, even while nobody evaluates the release
    order(world, 44.3, "decide", decision="rollback")
    found = stands(world)
    assert (found.stage, found.breaches, found.overrides) == ("locked", [], [])
    assert found.rollback is not None
    assert (found.rollback["reason"], found.rollback["applied"]) == ("commander", None)


def test_a_rollback_is_shown_as_not_verified_until_the_traffic_proves_it() -> None:
    world = LedgerWorld(HOLD, until_min=45)
    (request, *_) = order(world, 44.1, "decide", decision="rollback")
    told = {**release_data(world.budget, world.evaluator.arming), "request_id": request.decision_id}
    turned = {"actuator": "flagd", "flag": "chat", "changed": True, "before": {}, "after": {}, "seconds": 0.1}
    proof = {
        "share_before": 0.5,
        "share_after": 0.0,
        "seconds": 60.0,
        "summary": "it serves 0 of 90 requests",
    }

    def said() -> list[str]:
        found = stands(world)
        assert found.rollback is not None
        return [line for line, _ in status._rollback_lines(found.rollback)][1:]

    assert said() == []
    applied = Decision(Type.ROLLBACK_APPLIED, "a" * 64, "assistant-8", at(44.2), {**told, **turned})
    asyncio.run(world.record([applied]))
    not_yet = "rollback not verified: the traffic has not shown yet that the candidate is gone"
    assert said() == [f"rollback applied {rfc3339(at(44.2))}", not_yet]
    verified = Decision(Type.ROLLBACK_VERIFIED, "b" * 64, "assistant-8", at(45), {**told, **proof})
    asyncio.run(world.record([verified]))
    assert said()[1:] == [f"rollback verified {rfc3339(at(45))}: it serves 0 of 90 requests"]


def test_a_page_about_an_unproven_rollback_asks_for_no_decision() -> None:
    world = LedgerWorld(HOLD, until_min=45)
    order(world, 44.1, "decide", decision="rollback")
    text = "v8 is still served"
    opened = world.evaluator.commander.open_release_page(Reason.ROLLBACK_FAILED, at(44.5), text)
    asyncio.run(world.record(opened))
    (page,) = stands(world).pages
    assert page["commands"] == [
        f"rollback-budget acknowledge --page {page['page_id']} assistant-8",
        f"rollback-budget explain {opened[0].decision_id[:12]}",
        "rollback-budget status assistant-8",
    ]


def test_a_page_that_ran_out_stays_until_somebody_decides() -> None:
    (page,) = stands(LedgerWorld(HOLD, until_min=70), 70).pages
    assert page["expired_at"] is not None


def test_a_rollback_locks_until_the_release_is_armed_again() -> None:
    world = LedgerWorld(BY_NAME["task_success"], until_min=60)
    found = stands(world, 60)
    assert (found.stage, found.pages, found.breaches) == ("locked", [], [])
    asyncio.run(world.record([arming_of(world.budget, 2, at(65))]))
    found = stands(world, 66)
    assert (found.stage, found.arming, found.rollback, found.eval_debt) == ("watching", 2, None, 1)


def test_a_disarmed_release_has_ended() -> None:
    world = LedgerWorld(HOLD, until_min=45)
    order(world, 45, "disarm")
    found = stands(world)
    assert (found.stage, found.pages) == ("ended", [])


def test_a_budget_changed_while_armed_begins_changed_objectives_anew() -> None:
    """The breach of an objective that a new budget writes in another way is no longer open; others stay open."""
    world = LedgerWorld(HOLD, until_min=45)
    spec = json.loads(json.dumps(arming_of(world.budget).data["spec"]))
    for number, (objective_id, expected) in enumerate(
        [("quality.task_success_delta_pct", 1), (OBJECTIVE, 0)]
    ):
        (row,) = (row for row in spec["objectives"] if row["id"] == objective_id)
        row["limit"] *= 2
        data = {**release_data(world.budget, world.evaluator.arming), "spec": json.loads(json.dumps(spec))}
        changed = Decision(Type.BUDGET_CHANGED, f"{number:064x}", "assistant-8", at(45 + number), data)
        asyncio.run(world.record([changed]))
        assert len(stands(world, 47).breaches) == expected


def test_the_order_of_the_entries_means_nothing() -> None:
    world = LedgerWorld(HOLD, until_min=70)
    entries = entries_of(world.ledger_records())
    expected = standings(sorted(entries, key=_time), at(70))
    for seed in range(20):
        mixed = random.Random(seed).sample(entries, len(entries))
        (found,) = standings(mixed, at(70))
        assert (found.stage, found.pages, found.breaches) == (
            expected[0].stage,
            expected[0].pages,
            expected[0].breaches,
        )


def _time(entry: LedgerEntry) -> int:
    return entry.decision.at_ms


def horizons(behind_s: Mapping[int, float | None]) -> Callable[[Settings], Awaitable[sight.Horizons]]:
    """Return a store whose partitions are so many seconds behind; None has no usable state."""

    async def stored(_settings: Settings) -> sight.Horizons:
        return {
            Partition("llm.traces.v1", number): None if far_s is None else at(45) - round(far_s * 1000)
            for number, far_s in behind_s.items()
        }

    return stored


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> LedgerWorld:
    monkeypatch.setattr(sight, "stored_horizons", horizons({0: 2, 1: 4}))
    now_is(monkeypatch, at(45))
    return at_ledger(monkeypatch, LedgerWorld(HOLD, until_min=45))


def test_people_see_what_to_type(world: LedgerWorld, capsys: pytest.CaptureFixture[str]) -> None:
    event_id = next(page.event_id for page in world.evaluator.commander.pages.values() if page.is_open)
    asyncio.run(world.record([delivered(event_id, 44)]))
    assert main(["status"]) == 0
    out = capsys.readouterr().out
    (page,) = stands(world).pages
    head, row, *rest = out.splitlines()
    assert head.split()[:7] == ["release", "stage", "mode", "arming", "since", "baseline", "budget"]
    assert row.split()[:4] == ["assistant-8", "watching", "auto", "1"]
    text = "\n".join(rest)
    assert f"assistant-8, arming 1, budget {world.budget.digest[:12]}" in text
    assert f"breach since {stands(world).breaches[0]['since']}: p95 latency is " in text
    assert "delivered 2026-11-02T09:44:00.000Z" in text
    assert f"deadline {page['deadline']}: 14 min left" in text
    for command in page["commands"]:  # type: ignore[attr-defined]  # a list, as JSON has it
        assert f"    {command}\n" in text


def test_machines_get_json(world: LedgerWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "assistant-8", "--output", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    (release,) = said["releases"]
    assert said["now"].startswith("2026-11-02T09:45:0")
    assert set(release) == set(Standing.__dataclass_fields__)
    assert release["pages"][0]["commands"][0].startswith("rollback-budget decide --page ")


def test_an_open_breaker_is_said_with_what_to_type(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{P}BREAKER_MAX_ROLLBACKS", "1")
    data = release_data(world.budget, world.evaluator.arming) | {"reason": Reason.BREACH.value}
    asked = Decision(Type.ROLLBACK_REQUESTED, "f" * 64, "another", at(40), data | {"release": "another"})
    entry = LedgerEntry(asked, None, True)
    assert main(["status"]) == 0
    assert "breaker" not in capsys.readouterr().out
    asyncio.run(KafkaLedger(world).append(entry))
    assert main(["status"]) == 0
    out = capsys.readouterr().out
    assert (
        "breaker open: 1 automatic rollbacks within 60 min over all releases, 1 are allowed; what should"
        in out
    )
    assert f"\n  {status.CLOSE_BREAKER}\n" in out
    assert main(["status", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["breaker"]["is_open"] is True


def test_a_release_that_nobody_knows_is_1(world: LedgerWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "assistant-9"]) == 1
    assert capsys.readouterr().err == "rollback-budget: assistant-9 was never armed; known are assistant-8\n"


def test_an_empty_ledger_is_no_error(world: LedgerWorld, capsys: pytest.CaptureFixture[str]) -> None:
    for records in itertools.chain(world.records("rollback.ledger.v1")):
        records.clear()
    assert main(["status"]) == 0
    assert capsys.readouterr().out == "no release was armed yet: give a worker a budget, or publish one\n"
    assert main(["status", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["releases"] == []


def blind(subject: str, cause: str, minute: float, kind: Type = Type.MONITOR_BLIND) -> Decision:
    """What a worker has on record of a blindness, or of its end."""
    page_id = decision_id("monitor.blind", subject, 0, cause, {}, at(40))
    is_over = kind is Type.MONITOR_RECOVERED
    data = {
        "release": None if subject == EVERY_RELEASE else subject,
        "releases": ["assistant-8"],
        "cause": cause,
        "partitions": [],
        "reason": "recovered" if is_over else "blind",
        "since": rfc3339(at(40)),
        "decided_at": rfc3339(at(minute)),
        "page_id": page_id,
        "summary": f"blind of {cause}",
        **({"blind_seconds": 1.0} if is_over else {}),
    }
    return Decision(kind, decision_id(kind.value, subject, 0, cause, {}, at(40)), subject, at(minute), data)


@pytest.mark.parametrize(
    ("behind_s", "line", "others"),
    [
        ({0: 2, 1: 4}, "sight LIVE: read up to ", 0),
        ({0: 2, 1: 15}, "sight LATE: read up to ", 1),
        ({0: 2, 1: 90}, "sight BLIND (lag): read up to ", 1),
        ({0: 2, 1: None}, "sight REBUILDING: read up to ", 1),
        ({0: None, 1: None}, "sight REBUILDING", 2),
    ],
)
def test_what_is_seen_is_said_by_the_progress_of_every_partition(
    world: LedgerWorld,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    behind_s: Mapping[int, float | None],
    line: str,
    others: int,
) -> None:
    """No worker is asked: a dead one leaves its partitions behind."""
    monkeypatch.setattr(sight, "stored_horizons", horizons(behind_s))
    assert main(["status"]) == 0
    out = capsys.readouterr().out
    assert line in out
    assert sum(row.startswith("  llm.traces.v1/") for row in out.splitlines()) == others
    assert ("nothing is decided meanwhile" in out) == ("BLIND" in line or "REBUILDING" in line)


def test_a_store_that_does_not_answer_is_blindness_and_no_error(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_settings: Settings) -> sight.Horizons:
        raise StoreUnreachable("redis://here: no answer")

    monkeypatch.setattr(sight, "stored_horizons", away)
    asyncio.run(world.record([blind(EVERY_RELEASE, "redis", 41)]))
    assert main(["status"]) == 0
    out = capsys.readouterr().out
    assert "sight BLIND (redis)\n  redis://here: no answer\n  blind of redis\n" in out
    assert main(["status", "--output", "json"]) == 0
    said = json.loads(capsys.readouterr().out)["sight"]
    assert (said["sight"], said["cause"], said["said"]["since"]) == ("blind", "redis", rfc3339(at(40)))


def test_a_blindness_that_is_over_is_said_no_more(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    began, ended = (blind(EVERY_RELEASE, "lag", 41 + one, kind) for one, kind in enumerate(_BOTH))
    asyncio.run(world.record([began, ended]))
    assert main(["status", "--output", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["sight"]["said"] is None
    assert [one["release"] for one in said["releases"]] == ["assistant-8"]


_BOTH = (Type.MONITOR_BLIND, Type.MONITOR_RECOVERED)


def test_a_release_halted_by_a_defect_is_never_shown_as_watched(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(world.record([blind("assistant-8", "defect", 41)]))
    assert main(["status"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1].split()[:2] == ["assistant-8", "halted"]
    assert "halted: blind of defect" in out
