"""Equal meaning, equal digest; and what the ledger keeps is the whole meaning."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.budget_file import load_budget
from monitor.config.canonical import CanonicalInvalid, canonical, digest_of, from_canonical
from monitor.core.budget import Budget, Objective, Verification
from tests.config.written import Tree, budgets, yaml_forms

SEED: Tree = {
    "release": "model-v42",
    "baseline": "model-v41",
    "window": "24h",
    "rollback_budget": {"quality": {"task_success_delta_pct": -2, "max_duration_min": 20}},
}


def loaded(tree: Tree) -> Budget:
    return load_budget(json.dumps(tree), "tree.json")


def changed(**keys: object) -> Tree:
    return {**SEED, **keys}


def in_group(**keys: object) -> Tree:
    return changed(rollback_budget={"quality": {**SEED["rollback_budget"]["quality"], **keys}})


@given(tree=budgets())
@settings(max_examples=30, deadline=None)
def test_the_ledger_gives_back_what_it_was_given(tree: Tree) -> None:
    budget = loaded(tree)
    assert from_canonical(json.loads(json.dumps(canonical(budget)))) == budget
    assert budget.digest == digest_of(budget)


@given(data=st.data(), tree=budgets())
@settings(max_examples=30, deadline=None)
def test_the_form_of_a_file_is_no_part_of_its_meaning(data: st.DataObject, tree: Tree) -> None:
    """Comments, the order of keys, block or JSON, +15 or 15.0: the same budget, the same digest."""
    text = data.draw(yaml_forms(tree))
    assert load_budget(text, "budget.yaml") == loaded(tree)


@pytest.mark.parametrize(
    "same",
    [
        changed(window="1440m"),
        changed(window="86400s"),
        changed(window="1d"),
        changed(decision={}),
        changed(decision={"tier_b_breach": "incident_commander_decision_within_15m"}),
        changed(strata=["workflow"], exemplars=5, follow_ups=[]),
        in_group(tier="A", scope="release", where={}, cohorts=[], label_delay="0m", literal=False),
        in_group(task_success_delta_pct=-2.0, max_duration_min=20.0),
    ],
)
def test_a_default_written_out_changes_nothing(same: Tree) -> None:
    assert loaded(same).digest == loaded(SEED).digest


@pytest.mark.parametrize(
    "other",
    [
        changed(release="model-v43"),
        changed(window="23h"),
        changed(owner="me"),
        changed(decision={"tier_a_breach": "page"}),
        changed(traffic={"candidate_share_pct": 10}),
        changed(rollback_budget={"other": SEED["rollback_budget"]["quality"]}),
        in_group(task_success_delta_pct=-2.001),
        in_group(max_duration_min=21),
        in_group(tier="B"),
        in_group(where={"task": "critical"}),
        in_group(cohorts=["tenant=acme"]),
        in_group(cohorts=["tenant"]),
    ],
)
def test_another_meaning_has_another_digest(other: Tree) -> None:
    assert loaded(other).digest != loaded(SEED).digest


def test_a_default_of_the_split_written_out_changes_nothing() -> None:
    short, long = {"candidate_share_pct": 10}, {"candidate_share_pct": 10.0, "tolerance_pct": 5}
    assert loaded(changed(traffic=short)).digest == loaded(changed(traffic=long)).digest


def test_the_usual_proof_written_out_changes_nothing_and_another_one_is_read_back() -> None:
    usual: tuple[Tree, ...] = ({}, {"within": "5m"}, {"share_pct": 0.1, "within": "300s"})
    assert {loaded(changed(verify=one)).digest for one in usual} == {loaded(SEED).digest}
    other = loaded(changed(verify={"share_pct": 1, "within": "10m"}))
    assert other.verify == Verification(share_pct=1.0, within_min=10)
    assert other.digest != loaded(SEED).digest
    assert from_canonical(json.loads(json.dumps(canonical(other)))) == other


def test_the_usual_mode_written_out_changes_nothing_and_another_one_is_read_back() -> None:
    assert loaded(changed(mode="auto")).digest == loaded(SEED).digest
    for mode in ("observe", "page"):
        other = loaded(changed(mode=mode))
        assert other.digest != loaded(SEED).digest
        assert from_canonical(json.loads(json.dumps(canonical(other)))) == other


def test_the_digest_of_a_budget_stays_what_it_is() -> None:
    """The ledger holds digests: whoever changes the canonical form must raise `FORM` and this value with it."""
    assert loaded(SEED).digest == "b0157b7ee35aad2579c5741d2ec7ec0b698e5d146cad2b3c2c07c4b101a15d8b"


def test_every_field_of_the_core_is_part_of_the_canonical_form() -> None:
    plain = loaded(SEED)
    assert not {"escalation", "max_extension_min", "mode"} & canonical(plain).keys()  # digests of before stay
    steps = [{"after": "5m", "on_call": "ada"}]
    more: Tree = {"decision": {"max_extension": "5m"}, "escalation": steps, "mode": "page"}
    form = canonical(loaded(changed(traffic={"candidate_share_pct": 10}, verify={"within": "9m"}, **more)))
    assert set(form) == {field.name for field in fields(Budget)} - {"digest"} | {"form"}
    renamed = {"objective_id": "id"}
    assert set(form["objectives"][0]) == {renamed.get(field.name, field.name) for field in fields(Objective)}


@pytest.mark.parametrize(
    "change",
    [
        {"form": 2},
        {"form": None},
        {"tier_a": "nothing"},
        {"mode": "nothing"},
        {"objectives": [{}]},
        {"objectives": 5},
        {"flag": {"actuator": "flagd"}},
        {"strata": None},
        {"traffic": {"share": 10}},
        {"traffic": 10},
    ],
)
def test_a_form_of_another_version_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(CanonicalInvalid, match="stored budget"):
        from_canonical({**canonical(loaded(SEED)), **change})


def test_a_form_that_lacks_a_field_is_refused() -> None:
    form = canonical(loaded(SEED))
    del form["release"]
    with pytest.raises(CanonicalInvalid, match="release"):
        from_canonical(form)


def test_a_digest_does_not_depend_on_the_one_a_budget_carries() -> None:
    budget = loaded(SEED)
    assert digest_of(replace(budget, digest="something else")) == budget.digest
