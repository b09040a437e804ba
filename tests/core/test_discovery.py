"""Which values are judged by themselves: the first ones seen, up to a cap, whoever looks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.cohort import OTHER
from monitor.core.discovery import Discovery
from tests.engine.worlds import LAWS

MINUTES = st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "e", OTHER]), max_size=5), max_size=6)


def test_values_come_in_the_order_of_their_minute_and_then_of_their_name() -> None:
    found = Discovery()
    assert found.see(7, ["globex", "acme"]) == ["acme", "globex"]
    assert found.see(8, ["acme"]) == []
    assert found.see(9, ["acme", "aaa"]) == ["aaa"]
    assert found.first_minutes == {"acme": 7, "globex": 7, "aaa": 9}


def test_beyond_the_cap_they_are_one() -> None:
    found = Discovery(2)
    assert found.see(1, ["b", "a", "c"]) == ["a", "b", OTHER]
    assert found.see(2, ["d", "e", "a"]) == []
    assert found.beyond == 2


def test_what_was_folded_together_is_one_though_there_is_room() -> None:
    found = Discovery(2)
    assert found.see(1, ["a", OTHER]) == ["a", OTHER]
    assert found.see(2, ["a", "b", OTHER]) == ["b"]  # its own fold had no room; here there is some
    assert found.beyond == 1


@LAWS
@given(MINUTES, st.integers(0, 4), st.randoms(use_true_random=False))
def test_no_order_within_a_minute_changes_anything(
    minutes: list[list[str]], most: int, chance: object
) -> None:
    one, other = Discovery(most), Discovery(most)
    for minute, values in enumerate(minutes):
        shuffled = sorted(values, key=lambda value: (hash((chance, value)), value))
        assert one.see(minute, values) == other.see(minute, shuffled)
    assert (one.first_minutes, one.beyond) == (other.first_minutes, other.beyond)
    assert len(one.first_minutes.keys() - {OTHER}) <= most
