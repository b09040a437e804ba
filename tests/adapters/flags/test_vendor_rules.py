"""What each system's own rules make of an order: the odd flags, which the suite over all of them does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from monitor.adapters.flags.api import Call, JsonObject
from monitor.adapters.flags.flipt import Flipt
from monitor.adapters.flags.growthbook import GrowthBook
from monitor.adapters.flags.launchdarkly import LaunchDarkly
from monitor.adapters.flags.posthog import PostHog
from monitor.adapters.flags.statsig import Statsig
from monitor.adapters.flags.unleash import Unleash
from monitor.adapters.flags.vendor import FlagApi
from monitor.core.budget import RollbackBy
from monitor.engine.errors import ActuatorFailed
from monitor.engine.ports import RollbackOrder
from tests.adapters.flags.servers.flipt import FliptServer
from tests.adapters.flags.servers.growthbook import GrowthBookServer
from tests.adapters.flags.servers.launchdarkly import LaunchDarklyServer
from tests.adapters.flags.servers.posthog import PostHogServer
from tests.adapters.flags.servers.statsig import StatsigServer
from tests.adapters.flags.servers.unleash import UnleashServer
from tests.adapters.orders import order

DISABLE, ZERO, SERVE = RollbackBy.DISABLE, RollbackBy.ROLLOUT_ZERO, RollbackBy.SERVE_VARIATION
ACME = {"tenant": "acme"}


def by(way: RollbackBy, scope: str | None = "chat/production", **more: Any) -> RollbackOrder:
    """Return an order to go back that way."""
    return replace(order(scope=scope, rollback_by=way), **more)


def unleash(enabled: bool = True, *, variants: bool = True, **strategy: object) -> JsonObject:
    """Return an environment; the first two strategies are changed."""
    server = UnleashServer(with_variants=variants)
    return {"enabled": enabled, "strategies": [{**one, **strategy} for one in server.strategies]}


def launchdarkly(**environment: object) -> JsonObject:
    """Return a flag whose environment differs in what is given."""
    server = LaunchDarklyServer()
    server.environment |= environment
    return server._flag()  # type: ignore[no-any-return]  # JSON


def growthbook(rules: Sequence[Mapping[str, object]] | None = None, **feature: object) -> JsonObject:
    """Return a feature; other rules, where they are given."""
    made = GrowthBookServer()._feature()
    return {**made, **({} if rules is None else {"rules": list(rules)}), **feature}


def rule(**more: object) -> JsonObject:
    """Return a GrowthBook rule for everybody in production."""
    base = {"id": "r", "type": "force", "value": "v41", "enabled": True, "condition": ""}
    return {**base, "allEnvironments": False, "environments": ["production"], **more}


def flipt(**flag: object) -> JsonObject:
    """Return a resource whose flag differs in what is given."""
    server = FliptServer()
    return {"resource": {"payload": {**server.flag, **flag}}, "revision": "1"}


def boolean(enabled: bool, *values: bool) -> JsonObject:
    """Return a boolean flag with a segment and a threshold rollout."""
    kinds = ("segment", "threshold")
    rollouts = [{kind: {"value": value}} for kind, value in zip(kinds, values, strict=False)]
    return flipt(type="BOOLEAN_FLAG_TYPE", enabled=enabled, variants=[], rules=[], rollouts=rollouts)


def posthog(active: bool = True, *, variants: bool = True) -> JsonObject:
    """Return a flag."""
    return {**PostHogServer(with_variants=variants).flag, "active": active}


def statsig(**gate: object) -> JsonObject:
    """Return a gate that differs in what is given."""
    return {**StatsigServer().gate, **gate}


off = growthbook(environments={"production": {"enabled": False}})
ROLLED_BACK = {
    "rollout": {"variations": [{"variation": 1, "weight": 100_000}, {"variation": 2, "weight": 0}]}
}
BOOLS = {"baseline_variation": "false", "candidate_variation": "true", "scope": "production/default"}


@pytest.mark.parametrize(
    ("system", "state", "wanted"),
    [
        (Unleash(), unleash(False), by(DISABLE)),
        (Unleash(), unleash(False), by(ZERO)),
        (LaunchDarkly(), launchdarkly(on=False), by(ZERO)),
        (LaunchDarkly(), launchdarkly(on=False, offVariation=1), by(SERVE)),
        (
            LaunchDarkly(),
            launchdarkly(
                rules=[], targets=[], contextTargets=[],
                fallthrough=ROLLED_BACK,
            ),
            by(SERVE),
        ),
        (GrowthBook(), off, by(DISABLE, "production")),
        (GrowthBook(), off, by(ZERO, "production")),
        (GrowthBook(), growthbook([rule(), rule(value="v42")]), by(SERVE, "production")),
        (GrowthBook(), growthbook([rule(condition="{}"), rule(value="v42")]), by(SERVE, "production")),
        (
            GrowthBook(),
            growthbook([rule(condition='{ "tenant": "acme" }'), rule(value="v42")]),
            by(SERVE, "production", cohort=ACME),
        ),
        (
            GrowthBook(),
            growthbook([rule(value="v42", environments=["staging"]), rule()]),
            by(ZERO, "production"),
        ),
        (Flipt(), boolean(False, False, False), by(SERVE, **BOOLS)),
        (Flipt(), boolean(False), by(ZERO, **BOOLS)),
        (Flipt(), flipt(enabled=False), by(DISABLE, "production/default")),
        (PostHog(), posthog(False), by(DISABLE, "7")),
        (PostHog(), posthog(False), by(ZERO, "7")),
        (Statsig(), statsig(isEnabled=False), by(DISABLE, None)),
        (Statsig(), statsig(isEnabled=False), by(ZERO, None)),
    ],
)  # fmt: skip
def test_nothing_is_left_to_do(system: FlagApi, state: JsonObject, wanted: RollbackOrder) -> None:
    assert list(system.plan(state, wanted)) == []


@pytest.mark.parametrize(
    ("system", "state", "wanted", "says"),
    [
        (Unleash(), unleash(False), by(SERVE), "is off .* switch it on"),
        (Unleash(), {"enabled": True, "strategies": []}, by(ZERO), "without any active strategy"),
        (Unleash(), unleash(disabled=True), by(SERVE), "without any active strategy"),
        (Unleash(), unleash(variants=False), by(SERVE), "no variant 'v41'; there are none"),
        (Unleash(), unleash(variants=False, parameters={}), by(ZERO), "has no rollout to set to zero"),
        (Unleash(), unleash(), by(ZERO, candidate_variation="V42"), "no variant 'V42'"),
        (LaunchDarkly(), launchdarkly(offVariation=2), by(DISABLE), "off serves 'v42' itself"),
        (LaunchDarkly(), launchdarkly(), by(ZERO, candidate_variation="V42"), "no variation 'V42'"),
        (LaunchDarkly(), launchdarkly(on=False), by(SERVE, cohort=ACME), "targeting is off"),
        (LaunchDarkly(), launchdarkly(), by(SERVE, cohort=ACME), "individual targets come before"),
        (
            LaunchDarkly(),
            launchdarkly(targets=[], contextTargets=[], prerequisites=[{"key": "other"}]),
            by(SERVE, cohort=ACME),
            "failed prerequisite",
        ),
        (GrowthBook(), off, by(SERVE, "production"), "is off .* switch it on"),
        (
            GrowthBook(),
            growthbook(defaultValue="v42"),
            by(ZERO, "production"),
            "default value is the candidate's",
        ),
        (GrowthBook(), growthbook(), by(ZERO, "production", candidate_variation="V42"), "no value 'V42'"),
        (
            GrowthBook(),
            growthbook([rule(value="v42"), rule(type="experiment", value=[{"value": "v42", "weight": 1}])]),
            by(SERVE, "production"),
            "type 'experiment'",
        ),
        (Flipt(), flipt(enabled=False), by(SERVE, "production/default"), "is off"),
        (Flipt(), flipt(), by(ZERO, "production/default", candidate_variation="V42"), "no variation 'V42'"),
        (Flipt(), boolean(True), by(SERVE, "production/default"), "is boolean and has no variation"),
        (Flipt(), boolean(True), by(DISABLE, **BOOLS), "its switch is its default value"),
        (PostHog(), posthog(False), by(SERVE, "7"), "is inactive"),
        (PostHog(), posthog(variants=False), by(SERVE, "7"), "no variant 'v41'; there are none"),
        (PostHog(), posthog(), by(ZERO, "7", candidate_variation="V42"), "no variant 'V42'"),
        (Statsig(), statsig(status="Launched"), by(ZERO, None), "is launched and passes everybody"),
    ],
)
def test_what_would_not_serve_the_baseline_is_refused(
    system: FlagApi, state: JsonObject, wanted: RollbackOrder, says: str
) -> None:
    with pytest.raises(ActuatorFailed, match=says) as failed:
        system.plan(state, wanted)
    assert not failed.value.retryable


def only(calls: Sequence[Call]) -> Any:
    """Return the body of the one call."""
    (call,) = calls
    return call.body


def test_launchdarkly_keeps_how_a_rollout_is_bucketed() -> None:
    first = only(LaunchDarkly().plan(launchdarkly(), by(ZERO)))["instructions"][0]
    assert first == {
        "kind": "updateFallthroughVariationOrRollout",
        "rolloutWeights": {"id-40": 10_000, "id-41": 90_000, "id-42": 0},
        "rolloutBucketBy": "tenant",
        "rolloutContextKind": "user",
    }


def test_launchdarkly_serves_the_baseline_where_a_prerequisite_fails() -> None:
    state = launchdarkly(prerequisites=[{"key": "other", "variation": 0}], offVariation=2)
    for way in (SERVE, ZERO):
        kinds = [one["kind"] for one in only(LaunchDarkly().plan(state, by(way)))["instructions"]]
        assert "updateOffVariation" in kinds


@pytest.mark.parametrize(("on", "kinds"), [(False, ["updateOffVariation"])])
def test_launchdarkly_that_is_off_serves_the_baseline_as_off(on: bool, kinds: list[str]) -> None:
    body = only(LaunchDarkly().plan(launchdarkly(on=on, offVariation=2), by(SERVE)))
    assert [one["kind"] for one in body["instructions"]] == kinds


@pytest.mark.parametrize("named", ["v41", "model-v41", '"model-v41"', "id-41"])
def test_launchdarkly_knows_a_variation_by_name_value_or_id(named: str) -> None:
    body = only(LaunchDarkly().plan(launchdarkly(), by(SERVE, baseline_variation=named)))
    assert body["instructions"][0]["variationId"] == "id-41"


def test_launchdarkly_is_asked_in_a_dry_run_whether_it_would_agree() -> None:
    calls = LaunchDarkly().plan(launchdarkly(), by(SERVE))
    (trial,) = LaunchDarkly().trial(calls)
    assert trial.params == {"ignoreConflicts": "true", "dryRun": "true"}


def test_growthbook_takes_a_shared_rule_out_of_one_environment_only() -> None:
    server = GrowthBookServer()
    staging = server.served_in("staging")
    server.rules = only(GrowthBook().plan(server._feature(), by(ZERO, "production")))["rules"]
    assert server.served_in("production") == {"v40", "v41"}
    assert server.served_in("staging") == staging


def test_flipt_boolean_goes_back_by_value() -> None:
    for way in (SERVE, ZERO):
        payload = only(Flipt().plan(boolean(True, True, False), by(way, **BOOLS)))["payload"]
        assert payload["enabled"] is False
        assert [next(iter(one.values()))["value"] for one in payload["rollouts"]] == [False, False]


def test_posthog_without_variants_is_rolled_out_to_nobody() -> None:
    groups = only(PostHog().plan(posthog(variants=False), by(ZERO, "7")))["filters"]["groups"]
    assert [group["rollout_percentage"] for group in groups] == [0, 0]


def test_posthog_keeps_payloads_and_conditions() -> None:
    before = posthog()["filters"]
    after = only(PostHog().plan(posthog(), by(SERVE, "7")))["filters"]
    assert after["payloads"] == before["payloads"]
    assert [group["properties"] for group in after["groups"]] == [
        group["properties"] for group in before["groups"]
    ]


def test_unleash_without_variants_is_rolled_out_to_nobody() -> None:
    calls = Unleash().plan(unleash(variants=False), by(ZERO))
    assert [call.body for call in calls] == [
        [{"op": "replace", "path": "/parameters/rollout", "value": "0"}]
    ] * 2
