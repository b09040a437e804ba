"""When a comparison must not be trusted: each condition is said as a page, and none of them acts on production.

- Labels that cover the candidate less than the baseline (`core.coverage`): the objective is not judged.
- A traffic split that is not the declared one (`core.split`): nothing but safety rolls back by itself.
- Both arms degraded (`core.degraded`): a rollback that the shared cause explains is withheld.
- Units that go back and forth between the arms (`core.units`): said once, and nothing is withheld.

A rollback that is withheld pages instead, with the reason; a commander's order is carried out all the same. All
is judged from closed minutes, once per tick and before the rule, so it is the same live, replayed and recovered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.coverage import Coverage, has_labels, labelled
from monitor.core.decision import Decision, Reason
from monitor.core.degraded import Degraded, find_degraded, is_mostly_shared, is_over
from monitor.core.record import Finding
from monitor.core.split import SplitWatch
from monitor.core.units import Moves, UnitWatch
from monitor.core.watch import Watch
from monitor.core.window import tick_ms
from monitor.core.wording import finding_words, indicator_words, slice_words, value_words
from monitor.engine.finding import unjudged
from monitor.engine.reading import Pair, Reading, delay_of

if TYPE_CHECKING:
    from monitor.engine.evaluate import Evaluator

DEGRADED_AGAIN_MS: Final = 6 * 3_600_000  # a shared cause that comes back earlier is not said again

LATE_SHARE: Final = 0.01  # of what came: more is worth a warning

_WHY: Final = {
    Reason.NO_DATA: "labels of the candidate's requests are missing",
    Reason.TRAFFIC_SPLIT: "the traffic split is not the declared one",
    Reason.BOTH_DEGRADED: "the baseline has lost as much, so a shared cause is likelier",
}


@dataclass(slots=True)
class _Doubts:
    """What is known about one watch.

    Attributes:
        degraded: Both arms, as they were found; None while they are not degraded.
        said_ms: When that was said last.
    """

    watch: Watch
    coverage: Coverage | None
    degraded: Degraded | None = None
    said_ms: int | None = None


class Conditions:
    """What speaks against trusting one arming's comparisons."""

    def __init__(self) -> None:
        self._doubts: dict[tuple[str, CohortKey], _Doubts] = {}
        self._split: SplitWatch | None = None
        self._units: UnitWatch | None = UnitWatch()  # until it was said that they do not stick
        self._requests = 0  # of the candidate, in closed minutes

    def judge(self, evaluator: Evaluator, now: int, reading: Reading) -> list[Decision]:
        """Take in what is closed at a tick, and say what begins or ends with it."""
        everybody = reading.overall(now - 1, OVERALL)
        self._requests += everybody[0].requests
        decisions = self._judge_split(evaluator, now, everybody)
        decisions += self._judge_units(evaluator, now, reading)
        known = {key: self._of(watch) for key, watch in evaluator.watches.items()}
        self._doubts = {}
        for key, watch in evaluator.watches.items():
            doubts = self._doubts[key] = known[key] or _Doubts(watch, _coverage(watch))
            if now - delay_of(watch.objective) <= watch.first_minute or not evaluator.is_watching(watch.view):
                continue
            decisions += _judge_coverage(evaluator, doubts, now, reading)
            if watch.view == watch.objective.where:
                decisions += _judge_degraded(evaluator, doubts, now)
        return decisions

    def lacks_labels(self, watch: Watch) -> bool:
        """Tell whether an objective cannot be judged on a slice, because labels of the candidate are missing."""
        doubts = self._of(watch)
        return doubts is not None and doubts.coverage is not None and doubts.coverage.is_short

    @property
    def is_split_wrong(self) -> bool:
        """Tell whether the requests are split otherwise than declared."""
        return self._split is not None and self._split.is_wrong

    def is_in_doubt(self, watch: Watch) -> bool:
        """Tell whether a page about an objective waits, because what it shows proves nothing now."""
        return self.is_split_wrong or self.lacks_labels(watch)

    def withhold(
        self, evaluator: Evaluator, watch: Watch, finding: Finding, at_ms: int
    ) -> list[Decision] | None:
        """Return the page that comes instead of a rollback; None where the rule's answer stands.

        The watch has not acted then: once the condition is over and the rule still fires, it does.
        """
        if not evaluator.budget.is_automatic(watch.objective):
            return None
        doubt = self._doubt(watch, finding)
        if doubt is None:
            return None
        key = watch.objective.objective_id, watch.view, Reason.BREACH
        known = evaluator.commander.pages.get(key)
        if known is not None and known.is_open:
            return []
        reason, why = doubt
        watch.spent_paged = True  # whoever hears of the breach knows of its minutes
        text = f"{finding_words(finding)}; not rolled back: {why}"
        return evaluator.execute(
            finding, reason, watch.trigger.episode_ms, at_ms, rolls_back=False, text=text
        )

    def qualified(self, watch: Watch, row: dict[str, object]) -> dict[str, object]:
        """Return a row of an assessment with the verdict that is left where a condition holds at the end.

        What was acted upon stays a breach.
        """
        if watch.fired:
            return row
        if self.lacks_labels(watch):
            verdict, doubt = "no_data", Reason.NO_DATA
        elif self.is_split_wrong and row["verdict"] in ("healthy", "breach"):
            verdict, doubt = "inconclusive", Reason.TRAFFIC_SPLIT
        else:
            return row
        what = f"{indicator_words(watch.objective)}{slice_words(watch.view)}"
        evidence = row["evidence"]
        assert isinstance(evidence, dict)
        return {
            **row,
            "verdict": verdict,
            "evidence": {**evidence, "doubt": doubt.value},
            "summary": f"{what}: {verdict}, because {_WHY[doubt]}",
        }

    def warnings(self, late_count: int) -> list[str]:
        """Return what a reader of the assessment should know before believing it."""
        said = []
        if late_count > LATE_SHARE * (late_count + self._requests):
            said.append(
                f"{late_count:,} events of the candidate came too late to be judged, beside {self._requests:,} "
                "requests in time: is a partition behind, or label_delay too short?"
            )
        if self.is_split_wrong:
            said.append(f"{_WHY[Reason.TRAFFIC_SPLIT]}: compare nothing across the arms")
        if self._units is None:
            said.append("units went back and forth between the arms: each arm's outcomes carry the other's")
        return said

    def _of(self, watch: Watch) -> _Doubts | None:
        """Return what is known about a watch; an objective that was changed has a new one."""
        doubts = self._doubts.get((watch.objective.objective_id, watch.view))
        return doubts if doubts is not None and doubts.watch is watch else None

    def _doubt(self, watch: Watch, finding: Finding) -> tuple[Reason, str] | None:
        if self.is_split_wrong:
            return Reason.TRAFFIC_SPLIT, _WHY[Reason.TRAFFIC_SPLIT]
        doubts = self._of(watch)
        degraded = None if doubts is None else doubts.degraded
        if degraded is None:
            return None
        # What the baseline had before is known of the first gauge: of a mean, the capped one.
        seen, limit, factor = finding.seen.capped or finding.seen, watch.series.limit, watch.factor
        if not is_mostly_shared(limit, seen.candidate, seen.baseline, degraded.before * factor):
            return None
        return Reason.BOTH_DEGRADED, _WHY[Reason.BOTH_DEGRADED]

    def _judge_split(self, evaluator: Evaluator, now: int, everybody: Pair) -> list[Decision]:
        """Test the split, from the first whole minute of the candidate on."""
        declared, first, at_ms = evaluator.budget.traffic, evaluator.progress.first_minute, tick_ms(now)
        decisions: list[Decision] = []
        if self._split is not None and self._split.declared != declared:
            decisions = _resolve_split(evaluator, at_ms, Reason.BUDGET_CHANGED, "the budget changed")
            self._split = None
        if declared is None or first is None or now - 1 <= first:
            return decisions
        if self._split is None:
            self._split = SplitWatch(declared)
        if not self._split.append(*(arm.requests for arm in everybody)):
            return decisions
        meant = f"{declared.candidate_share_pct:g} %"
        if self._split.is_wrong:
            share = self._split.seen.share * 100
            text = (
                f"{share:.3g} % of the requests reach the candidate where the budget declares {meant}: "
                "until that is right for an hour, no comparison rolls back by itself"
            )
            return [*decisions, *evaluator.commander.open_release_page(Reason.TRAFFIC_SPLIT, at_ms, text)]
        text = f"the candidate gets its {meant} of the requests again"
        return [*decisions, *_resolve_split(evaluator, at_ms, Reason.RECOVERED, text)]

    def _judge_units(self, evaluator: Evaluator, now: int, reading: Reading) -> list[Decision]:
        """Say it, once per arming, when units go back and forth between the arms."""
        found = None if self._units is None else self._units.append(*reading.units(now - 1))
        if found is None or not found.is_not_sticky:
            return []
        self._units = None
        return evaluator.commander.open_release_page(Reason.NOT_STICKY, tick_ms(now), _moved_words(found))


def _moved_words(found: Moves) -> str:
    left, came = (one.moved / one.units for one in (found.left, found.came))
    return (
        f"units go back and forth between the arms: within an hour the other arm served {left:.0%} of the smaller "
        f"arm's units afterwards and {came:.0%} of them before, so each arm's outcomes carry the other's; is the "
        "assignment sticky by unit_id?"
    )


def _resolve_split(evaluator: Evaluator, at_ms: int, reason: Reason, text: str) -> list[Decision]:
    return evaluator.commander.resolve(None, OVERALL, at_ms, reason, text, about=Reason.TRAFFIC_SPLIT)


def _coverage(watch: Watch) -> Coverage | None:
    return Coverage(watch.objective.hold_min) if has_labels(watch.objective) else None


def _judge_coverage(evaluator: Evaluator, doubts: _Doubts, now: int, reading: Reading) -> list[Decision]:
    """Hold both arms' labels against each other; what is short is not judged, and its minutes are not spent."""
    watch, coverage = doubts.watch, doubts.coverage
    if coverage is None:
        return []
    objective, view, delay_min = watch.objective, watch.view, delay_of(watch.objective)
    minute, late, source = now - 1 - delay_min, delay_min > 0, objective.indicator.source
    is_overall = view == objective.where
    read = reading.overall if is_overall else reading.cohort
    strata = reading.strata(minute, view, with_labels=late) if is_overall else ()
    pairs = [
        (labelled(candidate, source), labelled(baseline, source))
        for candidate, baseline in (read(minute, view, with_labels=late), *strata)
    ]
    coverage.append(minute, pairs[0], pairs[1:])
    has_changed = coverage.judge()
    if coverage.is_short:
        watch.spend.skip(minute + 1)
    if not has_changed:
        return []
    what = f"{indicator_words(objective)}{slice_words(view)}"
    if not coverage.is_short:
        text = f"the candidate's requests carry labels as the baseline's do: {what} is judged again"
        return evaluator.commander.resolve(
            objective.objective_id, view, tick_ms(now), Reason.RECOVERED, text, about=Reason.NO_DATA
        )
    found = coverage.shortfall()
    assert found is not None, "it was evident"
    text = (
        f"labels of {found.candidate:.0%} of the candidate's requests against {found.baseline:.0%} of the "
        f"baseline's over {found.span_min} min: {what} cannot be compared"
    )
    return evaluator.commander.open_page(
        unjudged(evaluator, watch, now - delay_of(watch.objective)),
        Reason.NO_DATA,
        tick_ms(now),
        tick_ms(now),
        text,
    )


def _judge_degraded(evaluator: Evaluator, doubts: _Doubts, now: int) -> list[Decision]:
    """Say it, once in six hours, when both arms are worse than the baseline was before."""
    watch, at_ms = doubts.watch, tick_ms(now)
    objective, judged_to = watch.objective, now - delay_of(watch.objective)
    if doubts.degraded is not None:
        if not is_over(watch.series, judged_to, doubts.degraded):
            return []
        doubts.degraded = None
        text = f"{indicator_words(objective)} of both arms is no longer as bad"
        return evaluator.commander.resolve(
            objective.objective_id, watch.view, at_ms, Reason.RECOVERED, text, about=Reason.BOTH_DEGRADED
        )
    found = find_degraded(watch.series, judged_to, objective.hold_min, watch.rule.x_star)
    if found is None:
        return []
    doubts.degraded = found
    if doubts.said_ms is not None and at_ms - doubts.said_ms < DEGRADED_AGAIN_MS:
        return []
    doubts.said_ms = at_ms
    candidate, baseline, before = (
        value_words(objective, value * watch.factor)
        for value in (found.candidate, found.baseline, found.before)
    )
    text = (
        f"{indicator_words(objective)}{slice_words(watch.view)} of both arms is far from the {before} that the "
        f"baseline had before (candidate {candidate}, baseline {baseline} over "
        f"{found.recent[1] - found.recent[0]} min): a shared cause is likely, and no rollback would help"
    )
    return evaluator.commander.open_page(
        unjudged(evaluator, watch, now - delay_of(watch.objective)),
        Reason.BOTH_DEGRADED,
        at_ms,
        at_ms,
        text,
        about=Reason.BOTH_DEGRADED,
    )
