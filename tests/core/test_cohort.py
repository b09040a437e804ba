"""Slices: equal slices are equal keys, and a request lies in a slice when it satisfies every pair."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.cohort import OVERALL, CohortKey, cohort_key, matches, narrowed
from tests.engine.worlds import LAWS

PAIRS = st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=4)


@LAWS
@given(PAIRS)
def test_the_order_of_pairs_does_not_matter(pairs: dict[str, str]) -> None:
    assert cohort_key(dict(reversed(pairs.items()))) == cohort_key(pairs)
    assert dict(cohort_key(pairs)) == pairs


@LAWS
@given(PAIRS, PAIRS)
def test_a_narrowed_slice_satisfies_both_keys(key: dict[str, str], by: dict[str, str]) -> None:
    both = narrowed(cohort_key(key), cohort_key(by))
    assert matches(cohort_key(by), dict(both))
    assert set(dict(both)) == {*key, *by}


@LAWS
@given(PAIRS)
def test_everybody_is_in_the_overall_slice(cohort: dict[str, str]) -> None:
    assert matches(OVERALL, cohort)
    assert matches(cohort_key(cohort), cohort)


@pytest.mark.parametrize(
    "key, cohort, inside",
    [
        ({"tenant": "acme"}, {"tenant": "acme", "language": "de"}, True),
        ({"tenant": "acme"}, {"tenant": "Acme"}, False),
        ({"tenant": "acme"}, {"language": "de"}, False),  # a request that does not say is in no slice
        ({"tenant": "acme", "language": "de"}, {"tenant": "acme"}, False),
        ({"tenant": ""}, {}, False),
    ],
)
def test_membership(key: dict[str, str], cohort: dict[str, str], inside: bool) -> None:
    assert matches(cohort_key(key), cohort) is inside


def test_narrowing_by_an_equal_dimension_takes_the_narrower_value() -> None:
    assert narrowed(CohortKey((("tenant", "a"),)), CohortKey((("tenant", "b"),))) == (("tenant", "b"),)
