"""The stories' budgets load, name their own release and flag, and can be decided in the demo's minutes."""

from __future__ import annotations

import pytest

from monitor.config.budget_file import check_budget
from monitor.console.demo.stories import BASELINE, FLAG_KEY, FULL, SHORT, Plan, Story, budget_text, renamed
from monitor.console.demo.traffic import Harm
from monitor.core.budget import Budget, Tier

CASES = [
    pytest.param(plan, story, id=f"{name}-{story.name}")
    for name, plan in (("full", FULL), ("short", SHORT), ("renamed", renamed(SHORT, "-r1")))
    for story in plan.stories
]


def loaded(plan: Plan, story: Story) -> Budget:
    report = check_budget(budget_text(plan, story), f"{story.name}.yaml", require_owner=True)
    assert report.problems == ()
    assert report.budget is not None
    return report.budget


@pytest.mark.parametrize(("plan", "story"), CASES)
def test_a_storys_budget_is_about_its_release_and_its_flag(plan: Plan, story: Story) -> None:
    budget = loaded(plan, story)
    assert (budget.release, budget.baseline) == (story.release, BASELINE)
    assert budget.flag is not None
    assert (budget.flag.actuator, budget.flag.key) == ("flagd-file", FLAG_KEY)
    assert (budget.flag.baseline_variation, budget.flag.candidate_variation) == (BASELINE, story.release)


@pytest.mark.parametrize(("plan", "story"), CASES)
def test_every_promise_is_about_a_limit_of_the_budget(plan: Plan, story: Story) -> None:
    limits = {objective.objective_id: objective for objective in loaded(plan, story).objectives}
    for promise in story.promises:
        if promise.objective is not None:
            assert promise.tier in (None, limits[promise.objective].tier.value)


@pytest.mark.parametrize(("plan", "story"), CASES)
def test_all_four_releases_are_held_to_the_same_limits(plan: Plan, story: Story) -> None:
    first = loaded(plan, plan.stories[0])
    assert loaded(plan, story).objectives == first.objectives
    tiers = {objective.objective_id.split(".")[0]: objective.tier for objective in first.objectives}
    assert tiers == {"quality": Tier.A, "safety": Tier.A, "latency": Tier.B, "escalation": Tier.B}


@pytest.mark.parametrize("plan", [FULL, SHORT])
def test_the_healthy_release_is_watched_exactly_as_long_as_it_serves(plan: Plan) -> None:
    healthy = plan.stories[0]
    assert healthy.harm is Harm.NONE
    assert loaded(plan, healthy).window_min == healthy.lasts_min


@pytest.mark.parametrize("plan", [FULL, SHORT])
def test_a_harmful_release_can_be_decided_before_it_is_given_up(plan: Plan) -> None:
    for story in plan.stories[1:]:
        budget = loaded(plan, story)
        longest = max(objective.hold_min for objective in budget.objectives)
        assert longest + budget.decide_within_min + 20 < plan.give_up_min
