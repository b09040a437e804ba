"""An objective that has nothing to be compared by, while the candidate serves people: said as a page, never silent.

It never acts: there is traffic, so `on_no_data` does not apply. `core.lack` tells what is lacking, from the minutes
that the watches take in, the frozen ones of a past included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from monitor.core.budget import Objective, Tier
from monitor.core.cohort import CohortKey
from monitor.core.decision import Decision, Reason
from monitor.core.indicator import IndicatorKind
from monitor.core.lack import Comparison, Lack, carrying
from monitor.core.reference import away_after_min
from monitor.core.watch import Watch
from monitor.core.window import tick_ms
from monitor.core.wording import indicator_words, slice_words
from monitor.engine.finding import unjudged
from monitor.engine.reading import Pair, delay_of, feed
from monitor.engine.silence import no_data_after_min

if TYPE_CHECKING:
    from monitor.engine.evaluate import Evaluator

_WHERE: Final = {
    Lack.EVERYWHERE: "either release",
    Lack.IN_CANDIDATE: "the candidate",
    Lack.IN_BASELINE: "the baseline",
}


@dataclass(slots=True)
class _Known:
    """What is known of one watch; `said` while a page about it may be open."""

    watch: Watch
    comparison: Comparison = field(default_factory=Comparison)
    said: bool = False


class Lacking:
    """What the comparisons of one arming lack."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, CohortKey], _Known] = {}

    def feed(self, watch: Watch, minute: int, pair: Pair, strata: tuple[Pair, ...]) -> None:
        """Let a watch take in a minute, and take note of what it was compared by."""
        feed(watch, minute, pair, strata)
        key = watch.objective.objective_id, watch.view
        known = self._known.get(key)
        if known is None or known.watch is not watch:  # an objective that was changed begins anew
            known = self._known[key] = _Known(watch)
        candidate, baseline = (carrying(watch.objective.indicator, cell) for cell in pair)
        known.comparison.note(candidate, baseline)

    def lack(self, watch: Watch) -> Lack | None:
        """Return what an objective lacks on a slice."""
        known = self._of(watch)
        return None if known is None else _lack(known)

    def judge(self, evaluator: Evaluator, now: int) -> list[Decision]:
        """Say what begins to be lacking, and what no longer is."""
        decisions: list[Decision] = []
        for watch in evaluator.watches.values():
            known = self._of(watch)
            if (
                known is None
                or not evaluator.is_watching(watch.view)
                or evaluator.conditions.lacks_labels(watch)
            ):
                continue
            lack = _lack(known)
            if lack is None and known.said:
                decisions += _resolve(evaluator, watch, now)
            elif lack is not None and not known.said and not _is_said(evaluator, watch, lack):
                decisions += _open(evaluator, known, lack, now)
            known.said = lack is not None
        return decisions

    def qualified(self, watch: Watch, row: dict[str, object]) -> dict[str, object]:
        """Return a row of an assessment: not judged to its end, unless it was acted upon or its baseline is gone."""
        lack = self.lack(watch)
        if lack in (None, Lack.BASELINE) or watch.fired or row["verdict"] == "no_data":
            return row
        evidence = row["evidence"]
        assert isinstance(evidence, dict)
        what = f"{indicator_words(watch.objective)}{slice_words(watch.view)}"
        why = f"no request of {_WHERE[lack]} carries what it is measured by any more"
        return {
            **row,
            "verdict": "no_data",
            "evidence": {**evidence, "doubt": Reason.NO_DATA.value},
            "summary": f"{what}: no_data, because {why}",
        }

    def _of(self, watch: Watch) -> _Known | None:
        known = self._known.get((watch.objective.objective_id, watch.view))
        return known if known is not None and known.watch is watch else None


def _lack(known: _Known) -> Lack | None:
    """Return what is lacking, unless it is a measure of tier B that nobody ever took.

    Whoever limits it has not begun to measure it: that is for the assessment to say (`no_data`), and not for the night.
    """
    objective, comparison = known.watch.objective, known.comparison
    lack = comparison.lacks(no_data_after_min(objective), away_after_min(objective))
    if lack is Lack.EVERYWHERE and objective.tier is Tier.B and not comparison.was_measured:
        return None
    return lack


def _is_said(evaluator: Evaluator, watch: Watch, lack: Lack) -> bool:
    """Tell whether an open page says so of this slice, or of one that holds it: of the baseline, for any objective."""
    return any(
        page.is_open
        and page.reason is Reason.NO_DATA
        and set(page.cohort) <= set(watch.view)
        and (lack is Lack.BASELINE or page.objective_id == watch.objective.objective_id)
        for page in evaluator.commander.pages.values()
    )


def _open(evaluator: Evaluator, known: _Known, lack: Lack, now: int) -> list[Decision]:
    watch, at_ms = known.watch, tick_ms(now)
    minutes, requests = known.comparison.silent_for(lack)
    what = f"{indicator_words(watch.objective)}{slice_words(watch.view)}"
    if lack is Lack.BASELINE:
        text = (
            f"no request to the baseline {evaluator.budget.baseline}{slice_words(watch.view)} for {minutes} min, "
            f"beside {requests:,} of the candidate's, and nothing of its past to compare with: {what} cannot be judged"
        )
    else:
        text = (
            f"none of {requests:,} requests of {_WHERE[lack]} in {minutes} min carries what {what} is measured by: it "
            f"cannot be judged{_remedy(watch.objective)}"
        )
    finding = unjudged(evaluator, watch, now - delay_of(watch.objective))
    return evaluator.commander.open_page(finding, Reason.NO_DATA, at_ms, at_ms, text)


def _remedy(objective: Objective) -> str:
    """Return what to look at first."""
    if objective.indicator.kind is not IndicatorKind.RATE:
        return ""
    return "; do its labels come later than `label_delay` waits?"


def _resolve(evaluator: Evaluator, watch: Watch, now: int) -> list[Decision]:
    what = f"{indicator_words(watch.objective)}{slice_words(watch.view)}"
    return evaluator.commander.resolve(
        watch.objective.objective_id,
        watch.view,
        tick_ms(now),
        Reason.RECOVERED,
        f"{what} can be compared again",
        about=Reason.NO_DATA,
    )
