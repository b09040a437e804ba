"""What somebody outside of the workers can tell about them: limits are exact, and not knowing is never good news."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.settings import Settings
from monitor.core.vigil import (
    AGAIN_MS,
    BLIND_MAX,
    CANARIES_MAX,
    Finding,
    Phase,
    Trouble,
    Vigil,
    VigilLimits,
    WatchState,
    step,
)

LIMITS = VigilLimits(silence_ms=30_000, delay_ms=20_000, blind_ms=60_000, every_ms=10_000)
NONE: tuple[Finding, ...] = ()
SOME = (Finding(Trouble.DELAY, 5, "late"),)


def vigil(partitions: int = 2) -> Vigil:
    """Return a watch that began at 0, knows its partitions and has just heard of everybody."""
    made = Vigil(LIMITS, 0)
    made.found(range(partitions))
    made.heard(0)
    made.answered(0)
    made.read()
    return made


def well(partitions: int = 2) -> Vigil:
    """Return a watch to which every partition has answered once, at once."""
    made = vigil(partitions)
    for partition in range(partitions):
        made.sent(partition, 7, 0)
    made.stored(dict.fromkeys(range(partitions), 8), 0)
    return made


def troubles(made: Vigil, at_ms: int) -> list[Trouble]:
    return [one.trouble for one in made.findings(at_ms)]


def alive(made: Vigil, at_ms: int) -> Vigil:
    made.heard(at_ms)
    made.answered(at_ms)
    return made


@pytest.mark.parametrize("missing", ["partitions", "sign", "pages", "canary"])
def test_what_is_not_known_yet_is_not_well_and_no_trouble(missing: str) -> None:
    made = Vigil(LIMITS, 0)
    if missing != "partitions":
        made.found([0])
    if missing != "sign":
        made.heard(0)
    if missing != "pages":
        made.read()
    made.sent(0, 7, 0)
    if missing != "canary":
        made.stored({0: 8}, 0)
    made.answered(0)
    assert not made.is_well(0)
    assert made.findings(0) == ()


def test_all_is_well_when_every_partition_has_answered() -> None:
    assert well().is_well(0)


@pytest.mark.parametrize(
    ("at_ms", "found"),
    [(19_999, []), (20_000, [Trouble.DELAY]), (29_999, [Trouble.DELAY])],
)
def test_a_canary_that_is_not_stored_is_found_at_its_limit(at_ms: int, found: list[Trouble]) -> None:
    made = alive(vigil(), at_ms)
    made.sent(0, 7, 0)
    made.sent(1, 7, 0)
    made.stored({0: 7, 1: 8}, 1_000)  # an offset that is the canary's own has not passed it
    assert troubles(made, at_ms) == found
    assert not made.is_well(at_ms)


@pytest.mark.parametrize(
    ("heard_ms", "answered_ms", "found"),
    [
        (29_999, 29_999, []),
        (0, 29_999, [Trouble.SILENT]),
        (29_999, 0, [Trouble.KAFKA]),
        (0, 0, [Trouble.KAFKA, Trouble.SILENT]),
    ],
)
def test_silence_is_found_at_its_limit_and_kafka_is_named_first(
    heard_ms: int, answered_ms: int, found: list[Trouble]
) -> None:
    made = well()
    made.heard(heard_ms)
    made.answered(answered_ms)
    assert troubles(made, 30_000) == found


def test_why_kafka_does_not_answer_is_said() -> None:
    made = well()
    made.unanswered("no route to host")
    assert "no route to host" in made.findings(30_000)[0].text


@pytest.mark.parametrize(("at_ms", "found"), [(59_999, []), (60_000, [Trouble.BLIND])])
def test_a_blindness_that_stands_is_found_at_its_limit(at_ms: int, found: list[Trouble]) -> None:
    made = alive(well(), at_ms)
    made.blind("p1", 0, "Redis is away")
    made.blind("p1", 50_000, "said twice")
    assert troubles(made, at_ms) == found
    assert all("Redis is away" in one.text for one in made.findings(at_ms))
    made.sees_again("p1")
    assert made.is_well(at_ms)


def test_each_trouble_is_told_with_since_when_for_how_long_and_the_worst_of_it() -> None:
    made = vigil(3)
    made.heard(1_000)
    made.answered(2_000)
    made.unanswered("no route to host")
    made.sent(0, 7, 4_000)
    made.sent(2, 7, 3_000)
    made.blind("p1", 6_000, "Redis is away")
    made.blind("p2", 5_000, "Kafka is away")
    assert made.findings(99_000) == (
        Finding(
            Trouble.KAFKA, 2_000, "Kafka has not answered the watcher for 97 s (no route to host)"
        ),
        Finding(Trouble.SILENT, 1_000, "no worker has given a sign of life for 98 s"),
        Finding(
            Trouble.DELAY, 3_000,
            "canary events take 96 s or longer to be in the stored state (2 of 3 partitions: 0, 2)",
        ),
        Finding(
            Trouble.BLIND, 5_000, "the monitor has said for 94 s that it cannot see: Kafka is away"
        ),
    )  # fmt: skip


def test_a_watch_that_never_had_an_answer_says_so_without_a_reason() -> None:
    text = "Kafka has not answered the watcher for 30 s"
    assert Vigil(LIMITS, 0).findings(30_000)[0] == Finding(Trouble.KAFKA, 0, text)


@pytest.mark.parametrize(
    ("slow", "named"), [(8, "0, 1, 2, 3, 4, 5, 6, 7)"), (9, "0, 1, 2, 3, 4, 5, 6, 7, …)")]
)
def test_of_many_slow_partitions_eight_are_named(slow: int, named: str) -> None:
    made = alive(vigil(10), 20_000)
    for partition in range(slow):
        made.sent(partition, 7, 0)
    (found,) = made.findings(20_000)
    assert found.text.endswith(f"({slow} of 10 partitions: {named}")


def test_a_partition_is_as_slow_as_what_it_waits_for_else_as_its_last_answer() -> None:
    """The last answer took a minute; the canary that is on its way has been so for 25 seconds."""
    made = alive(vigil(2), 85_000)
    made.sent(0, 7, 0)
    made.stored({0: 8}, 60_000)
    assert made.findings(85_000)[0].text.startswith("canary events take 60 s")
    made.sent(0, 9, 60_000)
    assert made.findings(85_000)[0].since_ms == 60_000
    assert made.findings(85_000)[0].text.startswith("canary events take 25 s")
    made.sent(1, 9, 84_000)
    made.stored({1: 10}, 85_000)  # in time: not among the slow
    assert made.findings(85_000)[0].text.endswith("(1 of 2 partitions: 0)")


@pytest.mark.parametrize(("stored_ms", "is_slow"), [(19_999, False), (20_000, True)])
def test_an_answer_is_late_from_its_limit_on(stored_ms: int, is_slow: bool) -> None:
    made = alive(vigil(1), stored_ms)
    made.sent(0, 7, 0)
    made.stored({0: 8}, stored_ms)
    assert troubles(made, stored_ms) == ([Trouble.DELAY] if is_slow else [])


def test_a_delay_is_from_sending_to_storing_and_never_below_nothing() -> None:
    """An answer may have been read before the acknowledgement of its canary was noted."""
    made = vigil(3)
    for partition, sent_ms in enumerate((1_000, 4_000, 5_000)):
        made.sent(partition, 7, sent_ms)
    made.stored({0: 8, 1: 8, 2: 8}, 4_000)
    assert made.delays_ms == {0: 3_000, 1: 0, 2: 0}


def test_a_partition_that_nobody_has_stored_has_not_answered() -> None:
    """Its first canary is the first record of its log."""
    made = vigil(1)
    made.sent(0, 0, 0)
    made.stored({}, 1_000)
    assert made.delays_ms == {}
    made.stored({0: 1}, 2_000)
    assert made.delays_ms == {0: 2_000}


def test_a_blindness_stands_from_when_it_began_and_not_from_when_the_watch_did() -> None:
    made = alive(well(), 109_999)
    made.blind("p1", 50_000, "Redis is away")
    assert troubles(made, 109_999) == []
    assert troubles(alive(made, 110_000), 110_000) == [Trouble.BLIND]


def test_a_canary_that_came_late_is_trouble_until_one_comes_in_time() -> None:
    made = alive(vigil(1), 25_000)
    made.sent(0, 7, 0)
    made.stored({0: 8}, 25_000)
    assert troubles(made, 25_000) == [Trouble.DELAY]
    made.sent(0, 9, 25_000)
    made.stored({0: 10}, 26_000)
    assert made.is_well(26_000)


def test_a_topic_made_anew_is_waited_for_at_its_new_offset_and_since_the_first_canary() -> None:
    made = alive(vigil(1), AGAIN_MS)
    made.sent(0, 1_000, 0)
    made.sent(0, 3, AGAIN_MS)
    assert made.findings(AGAIN_MS)[0].since_ms == 0
    made.stored({0: 4}, AGAIN_MS)
    made.sent(0, 4, AGAIN_MS)
    made.stored({0: 5}, AGAIN_MS)
    assert made.is_well(AGAIN_MS)


def test_a_partition_that_is_gone_is_not_waited_for() -> None:
    made = alive(well(2), 40_000)
    made.sent(1, 9, 0)
    made.found([0])
    assert made.is_well(40_000)


def test_spells_of_blindness_are_bounded() -> None:
    made = alive(well(), 100_000)
    for number in range(BLIND_MAX + 50):
        made.blind(str(number), 0, "x")
    for number in range(BLIND_MAX):
        made.sees_again(str(number))
    assert made.is_well(100_000)


@given(partitions=st.integers(1, 300), rounds=st.integers(1, 40))
def test_canaries_are_bounded_in_rate_and_every_partition_has_its_turn(partitions: int, rounds: int) -> None:
    """At once at most `CANARIES_MAX`, and no partition is left behind."""
    made, sent = vigil(partitions), dict.fromkeys(range(partitions), 0)
    for number in range(rounds):
        at_ms = number * LIMITS.every_ms
        due = made.due(at_ms)
        assert len(due) == min(partitions, CANARIES_MAX)
        for partition in due:
            made.sent(partition, number, at_ms)
            sent[partition] += 1
        made.stored(dict.fromkeys(due, number + 1), at_ms)
    assert max(sent.values()) - min(sent.values()) <= 1


def test_an_unanswered_partition_is_asked_again_after_a_minute_and_not_before() -> None:
    made = vigil(1)
    made.sent(0, 7, 0)
    assert [made.due(at_ms) for at_ms in (59_999, 60_000)] == [[], [0]]


@pytest.mark.parametrize(
    ("silent_ms", "words"),
    [(119_999, "for 119 s"), (120_000, "for 2 min"), (3_599_999, "for 59 min"), (3_600_000, "for 60 min")],
)
def test_a_span_is_said_in_seconds_below_two_minutes(silent_ms: int, words: str) -> None:
    made = vigil()
    made.answered(silent_ms)
    assert [one.text for one in made.findings(silent_ms)] == [f"no worker has given a sign of life {words}"]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60))
def test_an_unanswered_partition_gets_few_canaries(steps_s: list[int]) -> None:
    made, at_ms, sent_ms = vigil(1), 0, list[int]()
    for step_s in steps_s:
        for partition in made.due(at_ms):
            made.sent(partition, len(sent_ms), at_ms)
            sent_ms.append(at_ms)
        at_ms += step_s * 1_000
    assert all(later - earlier >= AGAIN_MS for earlier, later in pairwise(sent_ms))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sent", "stored", "heard", "answered", "blind", "sees"]), st.integers(0, 40)
        ),
        max_size=40,
    )
)
def test_well_and_trouble_exclude_each_other_and_any_unstored_canary_ends_in_trouble(
    events: list[tuple[str, int]],
) -> None:
    made, at_ms, offset = vigil(1), 0, 0
    for what, wait_s in events:
        at_ms += wait_s * 1_000
        match what:
            case "sent":
                made.sent(0, offset, at_ms)
                offset += 1
            case "stored":
                made.stored({0: offset}, at_ms)
            case "heard":
                made.heard(at_ms)
            case "answered":
                made.answered(at_ms)
            case "blind":
                made.blind("p", at_ms, "x")
            case "sees":
                made.sees_again("p")
        assert not (made.is_well(at_ms) and made.findings(at_ms))
    made.sent(0, offset, at_ms)
    at_ms += LIMITS.delay_ms
    assert Trouble.DELAY in troubles(alive(made, at_ms), at_ms)


@pytest.mark.parametrize(
    ("before", "findings", "is_well", "at_ms", "after"),
    [
        (WatchState(), NONE, False, 0, WatchState()),
        (WatchState(), NONE, True, 0, WatchState(Phase.WELL)),
        (WatchState(), SOME, False, 0, WatchState(Phase.TROUBLE, SOME)),
        (WatchState(Phase.WELL), NONE, False, 0, WatchState(Phase.WELL)),
        (WatchState(Phase.WELL), SOME, False, 0, WatchState(Phase.TROUBLE, SOME)),
        (WatchState(Phase.TROUBLE, SOME), NONE, False, 0, WatchState(Phase.TROUBLE, SOME)),
        (WatchState(Phase.TROUBLE, SOME), NONE, True, 100, WatchState(Phase.TROUBLE, SOME, 100)),
        (WatchState(Phase.TROUBLE, SOME, 100), NONE, True, 109, WatchState(Phase.TROUBLE, SOME, 100)),
        (WatchState(Phase.TROUBLE, SOME, 100), NONE, True, 110, WatchState(Phase.WELL)),
        (WatchState(Phase.TROUBLE, SOME, 100), SOME, False, 109, WatchState(Phase.TROUBLE, SOME)),
        (WatchState(Phase.TROUBLE, SOME, 100), NONE, False, 109, WatchState(Phase.TROUBLE, SOME)),
    ],
)
def test_trouble_begins_at_once_and_ends_when_all_has_been_well_for_a_while(
    before: WatchState, findings: tuple[Finding, ...], is_well: bool, at_ms: int, after: WatchState
) -> None:
    assert step(before, findings, is_well=is_well, at_ms=at_ms, eased_ms=10) == after


def test_the_limits_of_who_sets_none_are_the_settings_own() -> None:
    said = Settings()
    asked = (said.watch_silence_s, said.watch_delay_s, said.watch_blind_s, said.watch_every_s)
    limits = VigilLimits()
    assert (limits.silence_ms, limits.delay_ms, limits.blind_ms, limits.every_ms) == tuple(
        1000 * one for one in asked
    )
