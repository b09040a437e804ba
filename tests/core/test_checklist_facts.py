"""What the ledger says of a flag's last rollback and of a baseline's past, in any order and however often."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.budget import FlagTarget
from monitor.core.checklist_facts import Returned, last_rollback, past_days
from monitor.core.decision import Decision, Type
from monitor.core.moment import rfc3339
from monitor.core.rehearsal import PREFIX

FLAG = FlagTarget("unleash", "chat", "v41", "v42", scope="p/production")
NAMED = {"actuator": "unleash", "key": "chat", "scope": "p/production"}


def requested(number: int, at_ms: int, release: str = "v42", flag: Any = NAMED) -> Decision:
    return Decision(Type.ROLLBACK_REQUESTED, f"r{number}", release, at_ms, {"flag": flag})


def after(kind: Type, number: int, at_ms: int, **data: object) -> Decision:
    return Decision(kind, f"{kind.value}{number}{at_ms}", "v42", at_ms, {"request_id": f"r{number}", **data})


def test_without_a_rollback_of_this_flag_there_is_none() -> None:
    others = [
        {**NAMED, "key": "search"},
        {**NAMED, "scope": None},
        {**NAMED, "actuator": "flipt"},
        None,
        "chat",
    ]
    strange = [requested(number, 1, flag=one) for number, one in enumerate(others)]
    drill = requested(9, 5, release=f"{PREFIX}x.candidate")
    assert last_rollback([*strange, drill], FLAG) is None


def test_the_newest_counts_in_whatever_order_the_ledger_hands_it_over() -> None:
    story = [
        requested(1, 1_000, release="v41"),
        after(Type.ROLLBACK_VERIFIED, 1, 2_000),
        requested(2, 3_000),
        after(Type.ROLLBACK_FAILED, 2, 4_000, message="no token"),
        after(Type.ROLLBACK_FAILED, 2, 5_000, message="still served"),
    ]
    for order in permutations(story):
        assert last_rollback([*order, *order], FLAG) == Returned("v42", rfc3339(3_000), False, "still served")
    proven = last_rollback([*story, after(Type.ROLLBACK_VERIFIED, 2, 6_000)], FLAG)
    assert proven is not None
    assert proven.is_verified


def armed(at_ms: int, baseline: str, reference: Any, kind: Type = Type.ARMING_CREATED) -> Decision:
    return Decision(kind, f"a{at_ms}", "v42", at_ms, {"baseline": baseline, "reference": reference})


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["v41", "v40"]),
            st.one_of(st.none(), st.just({}), st.integers(0, 28).map(lambda days: {"days": days})),
        ),
        max_size=6,
    )
)
def test_the_newest_arming_against_a_baseline_says_how_much_of_its_past_there_is(
    told: list[tuple[str, dict[str, int] | None]],
) -> None:
    kinds = (Type.ARMING_CREATED, Type.BUDGET_CHANGED)
    made = [armed(at, *one, kinds[at % 2]) for at, one in enumerate(told)]
    ours = [reference for baseline, reference in told if baseline == "v41" and reference is not None]
    expected = ours[-1].get("days") if ours else None
    assert past_days(made, "v41") == past_days(made[::-1], "v41") == expected


def test_of_armings_in_one_millisecond_the_last_by_its_id_counts_however_they_come() -> None:
    one, other = armed(1, "v41", {"days": 3}), replace(armed(1, "v41", {"days": 5}), decision_id="b1")
    assert past_days([one, other], "v41") == past_days([other, one], "v41") == 5
