"""What a flagd definition serves, held to the official evaluator."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError

from monitor.adapters.flags.flagd_rules import serves_baseline, turned
from tests.adapters.orders import order

VARIANTS = {"v41": "model-v41", "v42": "model-v42", "v43": "model-v43"}

_condition = st.one_of(
    st.booleans(),
    st.just({"===": [{"var": "tenant"}, "acme"]}),
    st.just({"==": [{"var": "tenant"}, "acme"]}),
    st.just({"ends_with": [{"var": "email"}, "@acme.example"]}),
    st.just({"and": [{"===": [{"var": "tenant"}, "acme"]}]}),
)
_share = st.one_of(
    st.tuples(st.sampled_from(["v41", "v42", "unknown"]), st.integers(-5, 100)).map(list),
    st.sampled_from([["v41"], ["v42"], [], ["v41", 1.5], ["v41", True], [None, 5]]),
)
_leaf = st.one_of(
    st.sampled_from(["v41", "v42", "unknown", None, True, 7]),
    st.lists(_share, min_size=1, max_size=4).map(lambda shares: {"fractional": shares}),
    st.lists(_share, min_size=1, max_size=3).map(lambda shares: {"fractional": [{"var": "tenant"}, *shares]}),
)
_rule = st.recursive(
    _leaf,
    lambda inner: st.one_of(
        st.tuples(_condition, inner, inner).map(lambda parts: {"if": list(parts)}),
        st.tuples(_condition, inner).map(lambda parts: {"if": list(parts)}),
    ),
    max_leaves=4,
)
_flag = st.fixed_dictionaries(
    {
        "state": st.sampled_from(["ENABLED", "ENABLED", "DISABLED"]),
        "variants": st.just(VARIANTS),
        "defaultVariant": st.sampled_from(["v41", "v42"]),
    },
    optional={"targeting": st.one_of(st.just({}), _rule.filter(lambda rule: isinstance(rule, dict)))},
)
_context = st.one_of(
    st.none(),
    st.builds(
        EvaluationContext,
        targeting_key=st.one_of(st.none(), st.text(max_size=12)),
        attributes=st.fixed_dictionaries(
            {},
            optional={
                "tenant": st.sampled_from(["acme", "beta", 5, True, ["acme"]]),
                "email": st.text(max_size=8),
            },
        ),
    ),
)


def served(flag: dict[str, Any], context: EvaluationContext | None) -> str:
    """Return what the official evaluator gives an application whose own default is `code default`."""
    core = FlagdCore()
    core.set_flags({"flags": {"chat-model": copy.deepcopy(flag)}})
    try:
        return core.resolve_string_value("chat-model", "code default", context).value
    except (OpenFeatureError, TypeError, ValueError):  # the SDK turns any failure into the code default
        return "code default"


@given(_flag, _context)
@settings(max_examples=100, deadline=None)
def test_what_counts_as_serving_the_baseline_does_for_the_official_evaluator(
    flag: dict[str, Any], context: EvaluationContext | None
) -> None:
    if serves_baseline(flag, order()):
        assert served(flag, context) == "model-v41"


@given(_flag, _context)
@settings(max_examples=100, deadline=None)
def test_after_an_order_every_context_gets_the_baseline_and_repeating_finds_it_done(
    flag: dict[str, Any], context: EvaluationContext | None
) -> None:
    after = turned({"flags": {"chat-model": flag}}, order())["flags"]["chat-model"]
    assert served(after, context) == "model-v41"
    assert serves_baseline(after, order())


@given(_flag.filter(lambda flag: flag["state"] == "ENABLED"), _context)
@settings(max_examples=100, deadline=None)
def test_a_cohorts_order_turns_that_cohort_and_nobody_else(
    flag: dict[str, Any], context: EvaluationContext | None
) -> None:
    acme = order(cohort={"tenant": "acme"})
    after = turned({"flags": {"chat-model": flag}}, acme)["flags"]["chat-model"]
    assert serves_baseline(after, acme)
    of_acme = context is not None and context.attributes.get("tenant") == "acme"
    assert served(after, context) == ("model-v41" if of_acme else served(flag, context))


def test_a_second_cohorts_guard_leaves_the_first_one_standing() -> None:
    acme, beta = order(cohort={"tenant": "acme"}), order(cohort={"tenant": "beta"})
    flag = {"state": "ENABLED", "variants": VARIANTS, "defaultVariant": "v42"}
    document = turned(turned({"flags": {"chat-model": flag}}, acme), beta)
    after = document["flags"]["chat-model"]
    assert serves_baseline(after, acme)
    assert serves_baseline(after, beta)
    assert not serves_baseline(after, order(cohort={"tenant": "gamma"}))
    assert not serves_baseline(after, order())


@pytest.mark.parametrize(
    ("targeting", "serves"),
    [
        (None, True),
        ({}, True),
        ({"fractional": [["v41", 100], ["v42", 0]]}, True),
        ({"fractional": [["v41", 100]]}, True),
        ({"fractional": [["v41", 99], ["v42", 1]]}, False),
        ({"fractional": [["v41", 100], ["v42"]]}, False),  # no weight means 1
        ({"fractional": [{"var": "tenant"}, ["v41", 100]]}, False),  # an expression could fail
        ({"if": [True, "v41", "v41"]}, False),  # true, but nothing this module wants to prove
        ([], False),
    ],
)
def test_only_what_cannot_fail_counts(targeting: object, serves: bool) -> None:
    flag = {"state": "ENABLED", "variants": VARIANTS, "defaultVariant": "v41", "targeting": targeting}
    assert serves_baseline(flag, order()) == serves


def test_nothing_but_the_flag_and_the_audit_mark_changes() -> None:
    document: dict[str, Any] = {
        "$schema": "https://flagd.dev/schema/v0/flags.json",
        "metadata": {"owner": "chat", "version": "7"},
        "flags": {
            "other": {"state": "DISABLED", "variants": {"on": True}, "defaultVariant": "on"},
            "chat-model": {
                "state": "ENABLED", "variants": VARIANTS, "defaultVariant": "v42",
                "targeting": {"if": [True, "v42"]}, "metadata": {"team": "chat"},
            },
        },
        "$evaluators": {"acme": {"===": [{"var": "tenant"}, "acme"]}},
    }  # fmt: skip
    untouched = copy.deepcopy(document)
    after = turned(document, order(decision_id="d7"))
    assert document == untouched
    flag = after["flags"].pop("chat-model")
    assert flag == {
        "state": "ENABLED", "variants": VARIANTS, "defaultVariant": "v41",
        "metadata": {"team": "chat", "rollbackDecisionId": "d7"},
    }  # fmt: skip
    untouched["flags"].pop("chat-model")
    untouched["metadata"]["rollbackDecisionId"] = "d7"
    assert after == untouched
