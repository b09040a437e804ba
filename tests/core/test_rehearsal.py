"""Rehearsed and live traffic never meet, and the newest drill speaks for a release."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from monitor.adapters.kafka.decode import decode
from monitor.config.budget_file import load_budget
from monitor.config.drill_budget import drill_budget
from monitor.core.decision import Decision, Type
from monitor.core.moment import rfc3339
from monitor.core.partition import PartitionFold
from monitor.core.plan import plan_for
from monitor.core.rehearsal import PREFIX, is_rehearsal, last_rehearsed, stand_ins, traffic_of
from monitor.core.seen import SeenIds
from monitor.wire.rehearsed_traffic import rehearsed_request

NAMES = stand_ins("0123456789ab")
NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
TEXT = """\
release: model-v42
baseline: model-v41
window: 24h
rollback_budget: {quality: {task_success_delta_pct: -2, max_duration_min: 20}}
flag: {actuator: unleash, key: chat, scope: a/b, baseline_variation: v1, candidate_variation: v2, rollback_by: disable}
verify: {share_pct: 1, within: 7m}
"""


def event(number: int, release: str, traffic: str) -> bytes:
    text = rehearsed_request(f"e{number}", release, NOW_MS + number, has_incident=True).decode()
    return text.replace('"traffic":"rehearsal"', f'"traffic":"{traffic}"').encode()


@pytest.mark.parametrize("order", list(permutations(("live", "rehearsal", "live", "shadow"))))
def test_a_release_counts_its_own_kind_of_traffic_alone(order: tuple[str, ...]) -> None:
    """In whatever order they come: also where a request follows one that counts, in the same minute."""
    real = load_budget(TEXT, "a budget")
    drill = load_budget(drill_budget(real, NAMES, real.flag), "a drill") if real.flag else None
    assert drill is not None
    fold = PartitionFold(plan_for([real, drill]), SeenIds(100))
    for number, traffic in enumerate(order):
        for offset, release in ((0, "model-v42"), (100, NAMES.candidate)):
            seen = decode(event(number + offset, release, traffic))
            assert not isinstance(seen, str)
            fold.fold(seen, None)
    requests: dict[str, int] = {}
    for key, cell in fold.cells.items():
        requests[key.release] = requests.get(key.release, 0) + cell.total().requests
    assert requests == {"model-v42": 2, NAMES.candidate: 1}
    assert [one.release for one in fold.take_incidents()].count(NAMES.candidate) == 1
    assert fold.totals.accepted == 2 * len(order)


def test_the_drills_budget_turns_the_flag_as_the_real_one_would() -> None:
    real = load_budget(TEXT, "a budget")
    assert real.flag is not None
    flag = replace(real.flag, key="chat-rehearsal")
    drill = load_budget(drill_budget(real, NAMES, flag), "a drill")
    assert (drill.release, drill.baseline) == NAMES
    assert (drill.flag, drill.verify) == (flag, real.verify)
    (objective,) = drill.objectives
    assert (objective.immediate, objective.literal) == (True, True)


def test_names_tell_drills_apart() -> None:
    assert all(map(is_rehearsal, NAMES))
    assert {traffic_of(name) for name in NAMES} == {"rehearsal"}
    assert traffic_of("model-v42") == "live"
    assert len(stand_ins("x" * 64).candidate) <= 128
    assert NAMES.candidate.startswith(PREFIX)


def drilled(
    days_ago: float, *, succeeded: bool = True, release: str = "v2", budget: str = "chat"
) -> Decision:
    at_ms = NOW_MS - round(days_ago * DAY_MS)
    data: dict[str, object] = {
        "budget": budget,
        "succeeded": succeeded,
        "decided_at": rfc3339(at_ms),
        "expires_at": rfc3339(at_ms + 90 * DAY_MS),
        "author": "dana",
        "summary": "rehearsed",
    }
    return Decision(Type.ROLLBACK_REHEARSED, f"{at_ms}", release, at_ms, data)


@pytest.mark.parametrize(
    ("drills", "told"),
    [
        ([], None),
        ([drilled(3.9)], (3, True)),
        ([drilled(89.9)], (89, True)),
        ([drilled(90)], (90, False)),
        ([drilled(1, succeeded=False)], (1, False)),
        ([drilled(5), drilled(1, succeeded=False)], (1, False)),
        ([drilled(1), drilled(5, succeeded=False)], (1, True)),
        ([drilled(0, release="v1")], (0, True)),
        ([drilled(0, budget="another")], (0, True)),
        ([drilled(0, release="v1", budget="another")], None),
    ],
)
def test_the_newest_drill_of_a_release_or_its_budget_counts(
    drills: list[Decision], told: tuple[int, bool] | None
) -> None:
    found = last_rehearsed(drills, release="v2", budget="chat", now_ms=NOW_MS)
    assert (None if found is None else (found.days_ago, found.counts)) == told
