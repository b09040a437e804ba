"""Decision ids: the same decision has the same id, another one has another, and nothing else goes into it."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.ids import canonical_json, decision_id, event_type

COHORTS = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4)


def test_an_id_is_the_hash_of_what_was_decided() -> None:
    text = '["dev.rollbackbudget.page.opened.v1","model-v42",1,"latency.p95_delta_pct",{"a":"é","b":"x"},1795341600000]'
    found = decision_id(
        "page.opened", "model-v42", 1, "latency.p95_delta_pct", {"b": "x", "a": "é"}, 1_795_341_600_000
    )
    assert found == sha256(text.encode()).hexdigest()


def test_a_release_is_asked_to_roll_back_once_per_arming() -> None:
    text = '["dev.rollbackbudget.rollback.requested.v1","model-v42",3]'
    first = decision_id("rollback.requested", "model-v42", 3, "quality.task_success_delta_pct", {}, 60_000)
    second = decision_id("rollback.requested", "model-v42", 3, "latency.p95_delta_pct", None, 120_000)
    assert first == second == sha256(text.encode()).hexdigest()
    assert first != decision_id("rollback.requested", "model-v42", 4)
    assert first != decision_id("rollback.requested", "model-v42", 3, cohort={"tenant": "acme"})


def test_name_and_full_type_give_the_same_id() -> None:
    assert event_type("page.opened") == event_type(event_type("page.opened"))
    assert decision_id("page.opened", "r", 1) == decision_id("dev.rollbackbudget.page.opened.v1", "r", 1)


@given(COHORTS)
def test_the_order_of_dimensions_does_not_matter(cohort: dict[str, str]) -> None:
    turned = dict(reversed(cohort.items()))
    assert decision_id("breach.started", "r", 1, "o", cohort, 0) == decision_id(
        "breach.started", "r", 1, "o", turned, 0
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["page.opened", "breach.started"]),
            st.text(max_size=4),
            st.integers(1, 3),
            st.none() | st.text(max_size=4),
            st.none() | COHORTS,
            st.none() | st.integers(0, 3),
        ),
        min_size=2,
        max_size=2,
    )
)
def test_different_decisions_have_different_ids(
    two: list[tuple[str, str, int, str | None, dict[str, str], int]],
) -> None:
    one, other = two
    assert (decision_id(*one) == decision_id(*other)) == (one == other)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
    )
)
def test_canonical_json_is_json(value: object) -> None:
    assert json.loads(canonical_json(value)) == value


def test_canonical_json_has_no_word_for_what_is_not_finite() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"delta": float("nan")})
