"""The trigger's table, all of it: unknown never completes a hold and never clears."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.errors import TimeWentBack
from monitor.core.sustained import Answer
from monitor.core.trigger import Phase, TriggerState, diagram, step
from tests.engine.worlds import LAWS

INACTIVE, PENDING, FIRING = Phase.INACTIVE, Phase.PENDING, Phase.FIRING
SUSPECT, FIRES, RECOVERED, UNKNOWN = Answer.SUSPECT, Answer.FIRES, Answer.RECOVERED, Answer.UNKNOWN

TABLE = {
    (INACTIVE, SUSPECT): PENDING,
    (INACTIVE, FIRES): FIRING,
    (INACTIVE, RECOVERED): INACTIVE,
    (INACTIVE, UNKNOWN): INACTIVE,
    (PENDING, SUSPECT): PENDING,
    (PENDING, FIRES): FIRING,
    (PENDING, RECOVERED): INACTIVE,
    (PENDING, UNKNOWN): PENDING,
    (FIRING, SUSPECT): FIRING,
    (FIRING, FIRES): FIRING,
    (FIRING, RECOVERED): INACTIVE,
    (FIRING, UNKNOWN): FIRING,
}
ANSWERS = st.lists(st.sampled_from(Answer), max_size=30)


def _walk(answers: list[Answer]) -> list[TriggerState]:
    states = [TriggerState(INACTIVE, 0, 0)]
    for number, answer in enumerate(answers, start=1):
        states.append(step(states[-1], answer, at_ms=number * 60_000))
    return states


def test_the_table_is_whole() -> None:
    assert set(TABLE) == {(phase, answer) for phase in Phase for answer in Answer}


@pytest.mark.parametrize("phase, answer", TABLE)
def test_every_step(phase: Phase, answer: Answer) -> None:
    state = TriggerState(phase, since_ms=60_000, episode_ms=30_000)
    found = step(state, answer, at_ms=120_000)
    assert found.phase is TABLE[phase, answer]
    assert found.since_ms == (60_000 if found.phase is phase else 120_000)
    begins = phase is INACTIVE and found.phase is not INACTIVE
    assert found.episode_ms == (120_000 if begins else 30_000)


@pytest.mark.parametrize("phase", Phase)
def test_silence_is_not_recovery_and_no_breach(phase: Phase) -> None:
    """A trigger that loses its data stays where it was, since when it was."""
    state = TriggerState(phase, since_ms=0, episode_ms=0)
    assert step(state, UNKNOWN, at_ms=60_000) == state


@LAWS
@given(ANSWERS, st.data())
def test_unknown_minutes_change_nothing_wherever_they_come(
    answers: list[Answer], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(answers)))
    with_gap = [*answers[:at], UNKNOWN, *answers[at:]]
    assert [one.phase for one in _walk(with_gap)][-1] is [one.phase for one in _walk(answers)][-1]


@LAWS
@given(ANSWERS)
def test_an_episode_keeps_its_start_until_it_is_over(answers: list[Answer]) -> None:
    states = _walk(answers)
    for before, after in pairwise(states):
        if before.phase is not INACTIVE:
            assert after.episode_ms == before.episode_ms


def test_time_does_not_go_back() -> None:
    state = TriggerState(FIRING, since_ms=120_000, episode_ms=60_000)
    assert step(state, FIRES, at_ms=120_000) == state
    with pytest.raises(TimeWentBack) as refused:
        step(state, FIRES, at_ms=119_999)
    assert (refused.value.at_ms, refused.value.since_ms) == (119_999, 120_000)


def test_the_diagram_is_the_table() -> None:
    text = diagram()
    for (phase, answer), target in TABLE.items():
        line = next(one for one in text.splitlines() if f"{phase.name} --> {target.name}:" in one)
        assert answer.name in line.split(": ")[1].split(", ")
