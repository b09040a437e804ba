"""What the monitor can see: one table, and what a look means. There is no green without fresh progress."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.errors import TimeWentBack
from monitor.core.sight import (
    BLIND_MS,
    LATE_MS,
    NEXT,
    STUCK_MS,
    Cause,
    Facts,
    Sight,
    SightState,
    Sign,
    diagram,
    sign_of,
    step,
    worst,
)

LIVE, LATE, REBUILDING, BLIND, HALTED = Sight
SIGNS = list(Sign)


@pytest.mark.parametrize(
    ("facts", "sign"),
    [
        (Facts(0, 0, False), Sign.FRESH),
        (Facts(LATE_MS - 1, 10 * STUCK_MS, False), Sign.FRESH),
        (Facts(LATE_MS, 0, False), Sign.BEHIND),
        (Facts(BLIND_MS - 1, 0, False), Sign.BEHIND),
        (Facts(BLIND_MS, STUCK_MS - 1, False), Sign.FAR),
        (Facts(BLIND_MS, STUCK_MS, False), Sign.STILL),
        (Facts(0, 0, True), Sign.LOST),
        (Facts(None, 0, False), Sign.LOST),
        (Facts(None, STUCK_MS, True), Sign.STILL),
        (Facts(0, 0, False, store_away_ms=1), Sign.BEHIND),
        (Facts(0, 0, False, log_away_ms=BLIND_MS - 1), Sign.BEHIND),
        (Facts(0, 0, False, ahead_ms=STUCK_MS - 1), Sign.FRESH),
        (Facts(0, 0, False, ahead_ms=STUCK_MS), Sign.AHEAD),
        (Facts(0, 0, True, ahead_ms=STUCK_MS), Sign.LOST),
        (Facts(0, 0, True, store_away_ms=BLIND_MS), Sign.NO_STORE),
        (Facts(0, 0, True, store_away_ms=BLIND_MS, log_away_ms=BLIND_MS), Sign.NO_LOG),
    ],
)
def test_what_a_look_finds(facts: Facts, sign: Sign) -> None:
    assert sign_of(facts) is sign


def test_where_writes_are_rare_it_takes_longer_to_be_blind() -> None:
    behind = Facts(BLIND_MS + 5_000, STUCK_MS + 5_000, False)
    assert sign_of(behind) is Sign.STILL
    assert sign_of(behind, blind_ms=BLIND_MS + 20_000) is Sign.BEHIND


@pytest.mark.parametrize(
    ("signs", "sight", "cause"),
    [
        ([Sign.FRESH], LIVE, None),
        ([Sign.FRESH, Sign.BEHIND], LATE, None),
        ([Sign.FRESH, Sign.FAR], BLIND, Cause.LAG),
        ([Sign.FAR, Sign.BEHIND], BLIND, Cause.LAG),
        ([Sign.FAR, Sign.BEHIND, Sign.FRESH], LIVE, None),
        ([Sign.NO_STORE, Sign.BEHIND], BLIND, Cause.REDIS),
        ([Sign.NO_STORE, Sign.FAR], BLIND, Cause.LAG),
        ([Sign.NO_STORE, Sign.LOST], REBUILDING, Cause.REBUILDING),
        ([Sign.LOST, Sign.FAR, Sign.BEHIND], REBUILDING, Cause.REBUILDING),
        ([Sign.LOST, Sign.STILL], BLIND, Cause.STUCK),
        ([Sign.LOST, Sign.FRESH], LIVE, None),
        ([Sign.NO_LOG], BLIND, Cause.KAFKA),
        ([Sign.FRESH, Sign.AHEAD], BLIND, Cause.CLOCK),
        ([Sign.AHEAD, Sign.BEHIND], BLIND, Cause.CLOCK),
        ([Sign.AHEAD, Sign.FRESH], LIVE, None),
        ([Sign.DEFECT, Sign.FRESH], HALTED, Cause.DEFECT),
        ([Sign.DEFECT, Sign.MENDED], LIVE, None),
    ],
)
def test_what_a_partition_comes_to(signs: list[Sign], sight: Sight, cause: Cause | None) -> None:
    state = SightState(LATE, 0)
    for at_ms, sign in enumerate(signs, 1):
        state = step(state, sign, at_ms=at_ms)
    assert (state.sight, state.cause) == (sight, cause)


def test_the_table_has_every_look_in_every_state() -> None:
    assert set(NEXT) == set(Sight)
    assert all(set(row) == set(Sign) for row in NEXT.values())


@given(st.lists(st.sampled_from(SIGNS), min_size=1, max_size=12))
def test_live_is_only_what_was_just_seen_to_be(signs: list[Sign]) -> None:
    """Law: whatever went before, a look that is not fresh never makes anything live, but for a mended defect."""
    state = SightState(LATE, 0)
    for at_ms, sign in enumerate(signs, 1):
        before, state = state, step(state, sign, at_ms=at_ms)
        if state.sight is LIVE:
            was_mended = sign is Sign.MENDED and before.sight in (LIVE, HALTED)
            assert sign is Sign.FRESH or was_mended
        assert (state.cause is None) == (state.sight in (LIVE, LATE))
        assert (state.since_ms == at_ms) == (state.sight is not before.sight)


def test_a_rebuild_is_told_when_it_takes_as_long_as_blindness() -> None:
    rebuilding = SightState(REBUILDING, 1_000, Cause.REBUILDING)
    assert not rebuilding.is_blind(1_000 + BLIND_MS - 1)
    assert rebuilding.is_blind(1_000 + BLIND_MS)
    assert SightState(BLIND, 0, Cause.LAG).is_blind(0)
    assert SightState(HALTED, 0, Cause.DEFECT).is_blind(0)
    assert not SightState(LATE, 0).is_blind(10 * BLIND_MS)


def test_time_does_not_go_back() -> None:
    with pytest.raises(TimeWentBack):
        step(SightState(LIVE, 5), Sign.FRESH, at_ms=4)
    assert step(SightState(LIVE, 5), Sign.FRESH, at_ms=5) == SightState(LIVE, 5)


def test_a_state_is_as_old_as_the_time_since_it_began_and_never_younger_than_new() -> None:
    assert [SightState(LIVE, 5).age_ms(at_ms) for at_ms in (3, 4, 5, 6, 9)] == [0, 0, 0, 1, 4]


def test_what_a_look_does_not_mention_is_no_trouble() -> None:
    assert Facts(0, 0, False) == Facts(0, 0, False, store_away_ms=0, log_away_ms=0, ahead_ms=0)


def test_the_diagram_shows_every_change_of_the_table_once() -> None:
    head, start, *arrows = diagram().splitlines()
    assert (head, start.split()) == ("stateDiagram-v2", ["[*]", "-->", "LATE"])
    shown = []
    for arrow in arrows:
        path, _, signs = arrow.strip().partition(": ")
        before, after = path.split(" --> ")
        shown += [(Sight[before], Sign[sign], Sight[after]) for sign in signs.split(", ")]
    table = [(sight, sign, NEXT[sight][sign]) for sight in Sight for sign in Sign]
    assert len(shown) == len(set(shown))
    assert set(shown) == {change for change in table if change[0] is not change[2]}


def test_the_worst_stands_for_all() -> None:
    late, old, lag = SightState(LATE, 9), SightState(BLIND, 1, Cause.REDIS), SightState(BLIND, 0, Cause.LAG)
    assert worst([]) is None
    assert worst([late, SightState(LIVE, 0)]) is late
    assert worst([lag, SightState(BLIND, 5, Cause.REDIS), old, late]) is old
    assert worst([old, halted := SightState(HALTED, 7, Cause.DEFECT)]) is halted
