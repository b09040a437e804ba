"""A decision's verdict follows from its own evidence, whatever was judged; a record that was changed does not pass."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final

import numpy as np
import pytest

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Accounting, Budget, EvidenceMode, Objective, Tier, Unit
from monitor.core.cohort import OVERALL
from monitor.core.decision import Action, Reason
from monitor.core.derivation import EvidenceDamaged, NoEvidence
from monitor.core.ids import canonical_json
from monitor.core.incidents import IncidentCounts
from monitor.core.indicator import LABELS, Direction, indicator
from monitor.core.moment import moment_ms, rfc3339
from monitor.core.record import Arming, finding_data
from monitor.core.rederive import derive
from monitor.core.safety import incident_evidence
from monitor.core.sketch import Sketch
from monitor.core.stats.rule import rule_for
from monitor.core.sustained import Answer, Refusal
from monitor.core.watch import Change, Watch

START: Final = 29_000_000
MAX_EVENT_BYTES: Final = 48 * 1024


def objective(metric: str, limit: float, unit: Unit = Unit.PERCENT, hold: int = 8, **more: Any) -> Objective:
    found = indicator(metric)
    worse = found.worse or Direction.HIGHER_IS_WORSE
    return Objective(f"group.{metric}", found, worse, limit, unit, hold, Tier.A, **more)


JUDGED: Final = {
    "success": objective("task_success", -3.0),
    "strict": objective("task_success", -3.0, evidence=EvidenceMode.STRICT),
    "points": objective("human_handoff", 4.0, Unit.POINTS),
    "literal": objective("task_success", -3.0, hold=4, evidence=EvidenceMode.OFF),
    "at once": objective("task_success", -3.0, hold=0),
    "few samples": objective("task_success", -3.0, min_samples=4_000),
    "cumulative": objective("task_success", -3.0, accounting=Accounting.CUMULATIVE),
    "p95": objective("p95", 15.0),
    "p50 at once": objective("p50", 10.0, hold=0),
    "p99 literal": objective("p99", 15.0, hold=4, evidence=EvidenceMode.OFF),
    "cost": objective("cost_per_request", 10.0),
}


class Run:
    """A watch over seeded traffic: healthy, harmful spells, gaps."""

    def __init__(
        self, judged: Objective, seed: int, *, window_min: int = 1440, per_minute: int = 120
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.judged, self.per_minute = judged, per_minute
        rule = rule_for(judged, window_min=window_min, objectives=3)
        self.budget = Budget("model-v42", "model-v41", "0" * 64, window_min, (judged,))
        self.watch = Watch(judged, OVERALL, rule, START)
        self.now = START

    def minute(self, harm: float, *, gap: bool = False) -> Change:
        """Close a minute and judge it; `harm` is a factor on failures, latencies or costs."""
        self.take(harm, gap=gap)
        return self.watch.judge(self.now)

    def take(self, harm: float, *, gap: bool = False) -> None:
        """Close a minute."""
        self.watch.append(
            self.now, self._cell(0 if gap else self.per_minute, harm), self._cell(2 * self.per_minute, 1.0)
        )
        self.now += 1

    def _cell(self, requests: int, harm: float) -> Aggregate:
        made = Aggregate()
        made.requests = n = int(self.rng.poisson(requests))
        for label, failing in (("task_success", False), ("human_handoff", True)):
            hits = int(self.rng.binomial(n, min(1.0, 0.08 * harm)))
            place = LABELS.index(label)
            made.known[place], made.hits[place] = n, hits if failing else n - hits
        source = self.judged.indicator.source
        if source in ("latency", "cost"):
            made.sketches[source] = Sketch()
            for value in np.exp(self.rng.normal(12.0 + np.log(harm), 0.5, n)):
                made.sketches[source].add(int(value))
        return made

    def data(
        self, change: Change, reason: Reason = Reason.NO_DATA, action: Action = Action.PAGE
    ) -> dict[str, Any]:
        """The data of a decision about what the watch shows now, through JSON."""
        finding = self.watch.finding(self.now, 5, change.judgement)
        arming = Arming("model-v42", 1, "0" * 64, 0)
        told = finding_data(
            self.budget, arming, finding, action=action, reason=reason, at_ms=self.now * 60_000, summary="so"
        )
        loaded: dict[str, Any] = json.loads(canonical_json(told))
        assert loaded == told
        return loaded

    def until_it_fires(self, harm: float) -> dict[str, Any]:
        while True:
            change = self.minute(harm)
            if change.judgement.answer is Answer.FIRES:
                return self.data(change, Reason.BREACH, Action.ROLLBACK)


def spells(rng: np.random.Generator) -> Iterator[tuple[float, bool]]:
    """An hour and more: (harm, whether the candidate sends nothing)."""
    while True:
        harm, gap = float(rng.choice([1.0, 1.0, 1.3, 2.0, 4.0])), bool(rng.random() < 0.1)
        yield from [(harm, gap)] * int(rng.integers(1, 3 if gap else 25))


@pytest.mark.parametrize("name", JUDGED)
@pytest.mark.parametrize("seed", range(2))
def test_the_verdict_of_every_tick_follows_from_its_record(name: str, seed: int) -> None:
    """Same answer, same refusal, and every number of the record agrees with its sums."""
    run = Run(JUDGED[name], 100 * seed + len(name))
    story = spells(run.rng)
    answers = set()
    for _ in range(60):
        harm, gap = next(story)
        change = run.minute(harm, gap=gap)
        found = derive(run.data(change))
        judgement = change.judgement
        assert found.disagreements == []
        assert found.answer == judgement.answer.value
        assert found.refusal == (None if judgement.refusal is None else judgement.refusal.value)
        answers.add(judgement.answer)
    assert len(answers) > 1


def test_every_refusal_follows_from_its_record() -> None:
    """Healthy, a burst, harm that comes and goes, a recovery, silence: the checks refuse in all their ways."""
    refusals: set[Refusal | None] = set()
    bad = (
        [1.0] * 10
        + [6.0] * 6
        + [1.0] * 6
        + [2.5] * 4
        + [1.0] * 3
        + [2.5] * 30
        + [1.0, 2.5, 0.5, 0.2, 0.1, 0.1]
    )
    for seed, name in enumerate(("success", "few samples", "p95", "success", "literal")):
        run = Run(JUDGED[name], seed, per_minute=(300, 300, 300, 60, 60)[seed])
        for harm in bad:
            change = run.minute(harm)
            found = derive(run.data(change))
            assert found.disagreements == []
            assert found.refusal == (change.judgement.refusal and change.judgement.refusal.value)
            refusals.add(change.judgement.refusal)
    assert refusals == {None, *Refusal}


def test_minutes_that_add_up_follow_from_the_blocks_that_show_it() -> None:
    run = Run(JUDGED["cumulative"], 3, per_minute=300)
    while not run.watch.is_overspent:
        for harm in (5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 1.0, 1.0):
            change = run.minute(harm)
    data = run.data(change, Reason.CUMULATIVE, Action.ROLLBACK)
    assert derive(data).disagreements == []
    assert sum(block["minutes"] for block in data["evidence"]["spent"]["blocks"]) > run.judged.hold_min
    data["evidence"]["spent"]["blocks"].pop()
    assert [check.what for check in derive(data).disagreements] == ["spent: more than granted"]


# What was changed ------------------------------------------------------------------------------------------------

NOT_TOLD_TWICE: Final = {"window_min", "min_samples", "accounting", "points", "hits"}
"""What stands in a record once: only the budget could tell that it was changed."""


def is_asked(name: str, data: Any, path: tuple[Any, ...]) -> bool:
    """Tell whether the verdict rests on a number at all, and a second one of the record with it."""
    if NOT_TOLD_TWICE & set(path) or path == ("spent", "minutes"):
        return False
    if name == "literal" and path[-1] == "x_star":
        return False  # the letter asks for no evidence
    if name == "p95" and "bins" in path:
        return False  # the least sum of two tails may lie where one arm's bins say nothing
    if name == "cost" and path[-1] == "skew":
        return False  # it only sets a floor
    if path[-1] == "above":
        return "shown_capped" in path  # told to people there; elsewhere it decides nothing
    if name == "cost" and path[-1] in ("variance", "n"):
        return bool(stretch_at(data, path)["x"] > 0)  # below the floor there is no evidence
    return True


def stretch_at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path[: path.index("sums")]:
        data = data[key]
    return data


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for name, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(one, (*path, name))
    elif value is not None:
        yield path


def changed(value: Any, factor: float) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return value * factor + factor - 1 if isinstance(value, float) else value.replace("1", "2")


@pytest.mark.parametrize("name", ["success", "points", "at once", "literal", "p95", "cost"])
def test_a_record_that_was_changed_does_not_agree(name: str) -> None:
    run = Run(JUDGED[name], 7)
    for _ in range(20):
        run.minute(1.0)
    data = run.until_it_fires(3.0)
    assert derive(data).disagreements == []
    tried = 0
    for path in leaves(data["evidence"]):
        if not is_asked(name, data["evidence"], path):
            continue
        other = deepcopy(data)
        inner = other["evidence"]
        for key in path[:-1]:
            inner = inner[key]
        new = changed(inner[path[-1]], 1e12 if path[0] in ("dispersion", "dispersions") else 1.01)
        if new == inner[path[-1]]:
            continue
        inner[path[-1]] = new
        tried += 1
        assert not passes(other), path
    assert tried > 100


@pytest.mark.parametrize("arm, bins", [("candidate", -3), ("baseline", 3)])
def test_latencies_that_were_moved_do_not_agree(arm: str, bins: int) -> None:
    data = Run(JUDGED["p95"], 7).until_it_fires(3.0)
    for role in ("strongest", "window", "rest", "newest", "weakest"):
        other = deepcopy(data)
        for pair in other["evidence"]["stretches"][role]["sums"][arm]["bins"]:
            pair[0] += bins
        assert not passes(other)


@pytest.mark.parametrize(
    "name, value", [("delta", -9.0), ("candidate", 0.5), ("baseline", 0.99), ("unit", "pp")]
)
def test_what_people_were_told_is_held_against_the_sums(name: str, value: object) -> None:
    run = Run(JUDGED["success"], 7)
    data = run.until_it_fires(3.0)
    data["observed"][name] = value
    assert derive(data).disagreements


@pytest.mark.parametrize(
    "change", [{"limit": -2.0}, {"held_min": 2}, {"samples": {"baseline": 1, "candidate": 1}}]
)
def test_a_decision_is_held_against_its_evidence(change: dict[str, Any]) -> None:
    data = Run(JUDGED["success"], 7).until_it_fires(3.0)
    assert derive({**data, **change}).disagreements


def test_a_rollback_for_a_breach_needs_a_rule_that_fires() -> None:
    run = Run(JUDGED["success"], 7)
    change = run.minute(1.0)
    data = run.data(change, Reason.BREACH, Action.ROLLBACK)
    assert "the decision: the rule's answer" in [check.what for check in derive(data).disagreements]
    assert derive(run.data(change, Reason.COMMANDER, Action.ROLLBACK)).disagreements == []


def test_a_check_that_is_left_out_is_no_pass() -> None:
    data = Run(JUDGED["success"], 7).until_it_fires(3.0)
    for role in ("strongest", "window", "newest", "weakest", "rest", "recovery"):
        other = deepcopy(data)
        del other["evidence"]["stretches"][role]
        assert not passes(other), role


ENDS: Final = {
    role: f"{role}: ends at the tick" for role in ("strongest", "window", "newest", "rest", "recent")
}


@pytest.mark.parametrize(("role", "check"), [*ENDS.items(), ("shown", "breach_started_at")])
def test_a_stretch_of_other_minutes_is_no_evidence_of_this_tick(role: str, check: str) -> None:
    """Moved as a whole by a minute it still agrees with its own sums."""
    data = Run(JUDGED["success"], 7).until_it_fires(3.0)
    stretch = data["evidence"]["stretches"][role]
    for name in ("start", "end"):
        stretch[name] = rfc3339(moment_ms(stretch[name]) - 60_000)
    assert check in [one.what for one in derive(data).disagreements]


def passes(data: dict[str, Any]) -> bool:
    """Tell whether a record is readable and agrees with itself."""
    try:
        return not derive(data).disagreements
    except EvidenceDamaged:
        return False


def test_without_evidence_nothing_follows() -> None:
    with pytest.raises(NoEvidence):
        derive({"evidence": None})
    with pytest.raises(EvidenceDamaged, match="KeyError"):
        derive({"evidence": {}})


# Safety, and the rows of an assessment ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "counts, answer",
    [
        (IncidentCounts(0, 1, 500, 0, 9_000, 0, False, 0.05), "rollback"),
        (IncidentCounts(0, 1, 500, 4, 9_000, 0, False, 0.05), "page"),
        (IncidentCounts(6, 0, 500, 4, 9_000, 0, False, 0.05), "rollback"),
        (
            IncidentCounts(0, 6, 500, 4, 9_000, 0, False, 0.05),
            "page",
        ),  # open minutes: the requests are not known
        (IncidentCounts(1, 0, 500, 4, 9_000, 0, True, 0.05), "rollback"),
        (IncidentCounts(1, 0, 500, 4, 0, 0, False, 0.05), "page"),  # mu is unbounded
        (IncidentCounts(2, 0, 500, 4, 9_000, 2, False, 0.05), "quiet"),
    ],
)
def test_a_safety_decision_follows_from_its_counts(counts: IncidentCounts, answer: str) -> None:
    judged = counts.judge()
    evidence = incident_evidence(counts, judged, START * 60_000)
    seen = {"candidate": counts.incidents, "baseline": evidence["mu"]}
    samples = {"baseline": counts.reference_requests, "candidate": counts.requests}
    data = {"evidence": json.loads(canonical_json(evidence)), "observed": seen, "samples": samples}
    found = derive(data)
    assert (found.answer, judged.answer.value, found.disagreements) == (answer, answer, [])
    for name in ("closed", "opened", "requests", "reference_requests"):
        other = deepcopy(data)
        other["evidence"]["counts"][name] += 40
        assert derive(other).disagreements
    for name, wrong in (("answer", "none"), ("k", judged.k + 1), ("mu", 0.5), ("g_k", judged.g_k + 0.01)):
        other = deepcopy(data)
        other["evidence"][name] = wrong
        assert name in [one.what for one in derive(other).disagreements]


# Bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["p50 at once", "p95", "cumulative"])
def test_a_record_of_a_whole_day_stays_small(name: str) -> None:
    """A long hold, every check reached, a whole day of points: the largest records there are."""
    judged = JUDGED[name]
    if judged.hold_min:
        judged = objective(judged.indicator.name, judged.limit, hold=480, accounting=judged.accounting)
    run = Run(judged, 5, per_minute=60)
    for minute in range(1439):
        run.take(1.0 if minute < 300 else 1.6)
    data = run.data(run.minute(1.6))
    assert data["evidence"]["answer"] == "fires"
    assert len(data["evidence"]["points"]["candidate"]) <= 480
    assert len(canonical_json(data)) < MAX_EVENT_BYTES
    assert derive(data).disagreements == []
