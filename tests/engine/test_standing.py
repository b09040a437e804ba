"""Who asks again and again is told the same as who asks once, and what did not change is not worked out again."""

from __future__ import annotations

from dataclasses import replace

from monitor.core.moment import rfc3339
from monitor.engine.ports import LedgerEntry
from monitor.engine.standing import Known, standings
from tests.cli.ledger_world import MINUTE_MS, LedgerWorld
from tests.golden.cases import CASES
from tests.golden.traffic import START_MS

CASE = next(case for case in CASES if case.name == "latency_hold")
NOW_MS = START_MS + 45 * MINUTE_MS


def two_releases() -> list[LedgerEntry]:
    """The ledger of a release with an open page, and of another one that went the same way."""
    ours = list(LedgerWorld(CASE, until_min=45).on_record().entries())
    others = [
        replace(
            entry,
            decision=replace(
                entry.decision, release="assistant-9", decision_id=f"other-{entry.decision.decision_id}"
            ),
        )
        for entry in ours
    ]
    return ours + others


def test_what_is_known_changes_no_answer() -> None:
    entries, known = two_releases(), Known()
    for count in range(1, len(entries) + 1):
        for now_ms in (NOW_MS, NOW_MS + MINUTE_MS):
            assert standings(entries[:count], now_ms, known) == standings(entries[:count], now_ms)


def test_a_release_is_looked_at_anew_when_something_was_recorded_of_it_and_each_minute() -> None:
    entries, known = two_releases(), Known()
    first, second = standings(entries[:-1], NOW_MS, known)
    again, news = standings(entries, NOW_MS, known)
    assert again is first
    assert news is not second
    later = standings(entries, NOW_MS + MINUTE_MS, known)
    assert [one is two for one, two in zip(later, (again, news), strict=True)] == [False, False]


def test_an_override_ends_with_its_minute_also_where_nothing_was_recorded() -> None:
    entries, known = two_releases(), Known()
    held = replace(
        entries[0].decision,
        type=type(entries[0].decision.type)("override.created"),
        decision_id="held",
        data={**entries[0].decision.data, "override_id": "held", "until": rfc3339(NOW_MS + MINUTE_MS)},
    )
    entries.append(replace(entries[0], decision=held))
    ended = [len(standings(entries, at_ms, known)[0].overrides) for at_ms in (NOW_MS, NOW_MS + MINUTE_MS)]
    assert ended == [1, 0]
