"""The evaluator of one armed release: closed minutes, incidents and commands in, decisions out.

A pure state machine in event time. Live evaluation, replay, backtest and recovery after a crash drive this
class and no other; recovery is running it again over the stored minutes and the ledger's commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget, Mode, Objective
from monitor.core.cell import CellKey, Incident
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.decision import Decision, Reason, Type
from monitor.core.eval_debt import debt
from monitor.core.ids import decision_id
from monitor.core.moment import rfc3339
from monitor.core.record import Arming, Finding, failure_classes, release_data
from monitor.core.reference import BaselineChoice
from monitor.core.rehearsal import is_rehearsal
from monitor.core.rules import rules_for
from monitor.core.safety import SafetyWatch
from monitor.core.trigger import Phase
from monitor.core.watch import Change, Watch
from monitor.core.window import tick_ms
from monitor.core.wording import finding_words, stage_words
from monitor.engine.alarm import hear, judge_incidents, watches_of
from monitor.engine.assess import assessment
from monitor.engine.breach import breach_event
from monitor.engine.breaker import Breaker
from monitor.engine.cohorts import Cohorts
from monitor.engine.commander import Commander
from monitor.engine.conditions import Conditions
from monitor.engine.finding import finding_of
from monitor.engine.lacking import Lacking
from monitor.engine.ladder import change_mode
from monitor.engine.reading import Reading, reads_of
from monitor.engine.request import ask
from monitor.engine.silence import commander_silent, no_traffic
from monitor.engine.verify import Proofs


class Stage(Enum):
    """How far an armed release has come."""

    WAITING = "waiting"  # the candidate has had no live request yet
    WATCHING = "watching"
    LOCKED = "locked"  # a rollback was requested: nothing more until a person arms it again
    ENDED = "ended"  # the window is over, or the release was disarmed


@dataclass(slots=True)
class Progress:
    """Where an evaluation stands, for people and for recovery.

    Attributes:
        requested: When which cohort was asked to be rolled back; `OVERALL` is the release.
        observed: The same of what a budget that only observes would have asked for.
        late_count: Late events of the candidate up to the tick.
    """

    stage: Stage = Stage.WAITING
    first_minute: int | None = None
    first_at_ms: int | None = None
    tick: int | None = None
    requested: dict[CohortKey, int] = field(default_factory=dict)
    observed: dict[CohortKey, int] = field(default_factory=dict)
    late_count: int = 0


class Evaluator:
    """Judges one arming of one budget.

    Args:
        delivered_when_opened: True in replay, where the commander's clock runs from the tick.
        breaker: What allows rollbacks that nobody ordered; without one all are.
    """

    def __init__(
        self, budget: Budget, arming: Arming, *, delivered_when_opened: bool, breaker: Breaker | None = None
    ) -> None:
        self.budget = budget
        self.arming = arming
        self.progress = Progress()
        self.commander = Commander(budget, arming, delivered_when_opened=delivered_when_opened)
        self.watches: dict[tuple[str, CohortKey], Watch] = {}
        self.cohorts = Cohorts()
        self.conditions = Conditions()
        self.lacking = Lacking()
        self.reference = BaselineChoice()
        self.proofs = Proofs()
        self.breaker = breaker or Breaker()
        self.safety = [one for objective in budget.objectives for one in watches_of(objective)]
        self._reads = reads_of(budget)
        self._owed: set[str] = set()

    def needed(self, now: int) -> list[CellKey]:
        """Return the keys of the cells that `tick(now, cells)` reads."""
        return [one.key(now) for one in self._reads]

    def tick(self, now: int, cells: Mapping[CellKey, Aggregate], late_count: int = 0) -> list[Decision]:
        """Close the minute before `now` and return what follows from it.

        Args:
            now: The tick, in minutes since the epoch; each follows the last one.
            cells: Merged over all partitions; a missing key is an empty cell.
            late_count: Late events of the candidate so far, for the assessment.
        """
        progress = self.progress
        progress.tick, progress.late_count = now, late_count
        reading = Reading(self.budget, cells)
        if progress.stage is Stage.ENDED:
            return self.proofs.tick(self, now, reading)
        decisions = self._end_overrides(tick_ms(now))
        self._start(now, reading)
        self._append(now, reading)
        if progress.stage is Stage.WATCHING:
            decisions += self.conditions.judge(self, now, reading)
            decisions += self._judge(now)
            decisions += self.cohorts.judge(self, now)
            decisions += judge_incidents(self, self.safety, tick_ms(now))
            decisions += commander_silent(self, now)
            decisions += self.lacking.judge(self, now)
            decisions += no_traffic(self, now)
        decisions += self.proofs.tick(self, now, reading)
        first = progress.first_minute
        if first is not None and now - first >= self.budget.window_min:
            decisions += self.finish(now, late_count, complete=True)
        return decisions

    def _end_overrides(self, at_ms: int) -> list[Decision]:
        """End what is over; a breach that was held back may act again on current evidence."""
        decisions = []
        for override, decision in self.commander.end_overrides(at_ms):
            decisions.append(decision)
            watched = (one.watch for one in self.cohorts.all())
            meant: list[Watch | SafetyWatch] = [*self.watches.values(), *self.safety, *watched]
            for watch in meant:
                if override.objective_id in (None, watch.objective.objective_id):
                    watch.acted = False
        return decisions

    def _start(self, now: int, reading: Reading) -> None:
        cell, _ = reading.overall(now - 1, OVERALL)
        if self.progress.first_minute is not None or not cell.requests:
            return
        if self.progress.stage is Stage.WAITING:
            self.progress.stage = Stage.WATCHING
        self.progress.first_minute = now - 1
        self.progress.first_at_ms = cell.first_at_ms
        self._watch(self.budget.objectives, now - 1)

    def _watch(self, objectives: tuple[Objective, ...], first_minute: int) -> None:
        rules = rules_for(self.budget)
        for objective in objectives:
            if objective.is_guarded:
                for view in objective.views():
                    key = (objective.objective_id, view)
                    self.watches[key] = Watch(objective, view, rules[key], first_minute)

    def _append(self, now: int, reading: Reading) -> None:
        self.reference.see(now - 1, reading.overall(now - 1, OVERALL)[1])
        for safety in self.safety:
            read = reading.overall if safety.view == safety.objective.where else reading.cohort
            safety.append(now - 1, *read(now - 1, safety.view))
        for watch in self.watches.values():
            delay_min = watch.objective.label_delay_min
            minute, view, late = now - 1 - delay_min, watch.view, delay_min > 0
            if minute < watch.first_minute:
                continue
            is_whole = view == watch.objective.where
            read = reading.overall if is_whole else reading.cohort
            strata = reading.strata(minute, view, with_labels=late) if is_whole else ()
            pair = read(minute, view, with_labels=late)
            pair, strata = self.reference.arms(watch, minute, pair, strata)
            self.lacking.feed(watch, minute, pair, strata)
        self.cohorts.append(self, now, reading)

    def _judge(self, now: int) -> list[Decision]:
        decisions: list[Decision] = []
        for watch in list(self.watches.values()):
            judged_to = now - watch.objective.label_delay_min
            if not self.is_watching(watch.view) or judged_to <= watch.first_minute:
                continue
            if self.conditions.lacks_labels(watch):
                continue
            change = watch.judge(judged_to)
            decisions += self._announce(watch, change, judged_to, tick_ms(now))
            if watch.fires(change):
                decisions += self._act(watch, change, judged_to, tick_ms(now))
            decisions += self._page_spent(watch, judged_to, tick_ms(now))
        return decisions

    @property
    def is_over(self) -> bool:
        """Tell whether nothing is decided any more: the release is locked, or no longer watched."""
        return self.progress.stage in (Stage.LOCKED, Stage.ENDED)

    def is_watching(self, view: CohortKey) -> bool:
        """Tell whether a slice is still judged: nothing is, once it was asked to be rolled back."""
        return self.progress.stage is Stage.WATCHING and not self.is_requested(view)

    def is_requested(self, view: CohortKey) -> bool:
        """Tell whether a slice, or one that holds it, was asked to be rolled back."""
        requested = self.progress.requested  # asked for every cohort at every tick, and mostly empty
        return bool(requested) and any(set(cohort) <= set(view) for cohort in requested)

    def _announce(self, watch: Watch, change: Change, judged_to: int, at_ms: int) -> list[Decision]:
        if change.started:
            finding = finding_of(self, watch, judged_to, change.judgement)
            return [breach_event(self, Type.BREACH_STARTED, watch, finding, at_ms)]
        if change.cleared:
            finding = finding_of(self, watch, judged_to, None)
            episode_ms = change.before.episode_ms
            cleared = breach_event(self, Type.BREACH_CLEARED, watch, finding, at_ms, episode_ms)
            return [cleared, *self._recovered(watch, at_ms)]
        return []

    def _recovered(self, watch: Watch, at_ms: int) -> list[Decision]:
        """Close what was asked about a breach that cleared; `continue` lasts until the last slice is clear."""
        objective_id = watch.objective.objective_id
        text = f"{objective_id} is back within its limit"
        resolved = self.commander.resolve(
            objective_id, watch.view, at_ms, Reason.RECOVERED, text, about=Reason.BREACH
        )
        if self.is_breached(objective_id):
            return resolved
        return [*resolved, *self.commander.end_continued(objective_id, at_ms)]

    def is_breached(self, objective_id: str) -> bool:
        """Tell whether an objective is beyond its limit on any slice that is still judged."""
        return any(
            one.trigger.phase is not Phase.INACTIVE
            for one in self.watches.values()
            if one.objective.objective_id == objective_id and not self.is_requested(one.view)
        ) or any(one.acted for one in self.safety if one.objective.objective_id == objective_id)

    def _act(self, watch: Watch, change: Change, judged_to: int, at_ms: int) -> list[Decision]:
        if watch.acted and not self.commander.is_overridden:
            return []
        finding = finding_of(self, watch, judged_to, change.judgement)
        objective = watch.objective
        if self.commander.held_by(objective, finding.seen.delta) is not None:
            watch.acted = False  # what the commander has answered is asked again when the answer ends
            watch.spent_paged = True  # and its minutes are part of the answer
            return []
        if watch.acted:
            return []
        withheld = self.conditions.withhold(self, watch, finding, at_ms)
        if withheld is not None:
            return withheld
        watch.acted = watch.fired = True
        watch.spent_paged = True  # whoever hears of the breach knows of its minutes
        reason = Reason.CUMULATIVE if watch.is_cumulative else Reason.BREACH
        rolls_back, why_not = self.budget.is_automatic(objective), self.reference.page_only(finding)
        text = f"{finding_words(finding)}{why_not}" if rolls_back else ""
        rolls_back = rolls_back and not why_not
        return self.execute(
            finding, reason, watch.trigger.episode_ms, at_ms, rolls_back=rolls_back, text=text
        )

    def execute(
        self,
        finding: Finding,
        reason: Reason,
        episode_ms: int,
        at_ms: int,
        *,
        rolls_back: bool,
        text: str = "",
    ) -> list[Decision]:
        """Page or roll back for a finding, and open its eval debt, once per episode.

        A drill owes nothing, nor does what is only observed.
        """
        text = text or finding_words(finding)
        owed = debt(self.budget, self.arming, finding, failure_classes(finding.exemplars), episode_ms, at_ms)
        is_owed = self.budget.mode is not Mode.OBSERVE and not is_rehearsal(owed.release)
        debts = [owed] if is_owed and owed.decision_id not in self._owed else []
        self._owed.update(one.decision_id for one in debts)
        if rolls_back:
            return [*debts, *ask(self, finding, reason, at_ms, text, episode_ms=episode_ms)]
        return [*self.commander.open_page(finding, reason, episode_ms, at_ms, text), *debts]

    def request(
        self, finding: Finding, reason: Reason, at_ms: int, text: str, *, whole: bool = False
    ) -> list[Decision]:
        """Ask for the rollback, once; what the breaker withholds pages instead (`engine.request`)."""
        return ask(self, finding, reason, at_ms, text, whole=whole)

    def _page_spent(self, watch: Watch, judged_to: int, at_ms: int) -> list[Decision]:
        """Page, once, when bad minutes add up to more than the budget without a sustained breach."""
        if watch.is_cumulative or watch.acted or watch.spent_paged or not watch.is_overspent:
            return []
        if self.commander.held_by(watch.objective, None) is not None:
            return []
        watch.spent_paged = True
        finding = finding_of(self, watch, judged_to, None)
        text = (
            f"{watch.objective.objective_id} was broken for {watch.spend.minutes} min in all, "
            f"and no stretch of {watch.objective.hold_min} min shows it alone{stage_words(finding.stages)}"
        )
        # A breach that is under way keeps its episode: when it is sustained after all, its debt is this one.
        episode_ms = at_ms if watch.trigger.phase is Phase.INACTIVE else watch.trigger.episode_ms
        return self.execute(finding, Reason.CUMULATIVE, episode_ms, at_ms, rolls_back=False, text=text)

    def incident(self, incident: Incident) -> list[Decision]:
        """Take in an incident before its minute is closed, and decide at once where the budget says so."""
        return hear(self, incident)

    def finding(self, objective_id: str, view: CohortKey, now: int) -> Finding | None:
        """Return what an objective shows on a slice at a tick; None where it is not judged."""
        watch = self.watches.get((objective_id, view))
        if watch is not None:
            return finding_of(self, watch, now - watch.objective.label_delay_min, watch.judgement)
        watch = self.cohorts.watch(objective_id, view)
        if watch is not None:
            judged_to = now - watch.objective.label_delay_min
            return self.cohorts.finding(self, watch, judged_to, watch.judgement)
        safety = (
            one for one in self.safety if one.objective.objective_id == objective_id and one.view == view
        )
        return next((one.finding(self.budget.exemplars, tick_ms(now)) for one in safety), None)

    def finish(self, now: int, late_count: int, *, complete: bool) -> list[Decision]:
        """End the watch, at its window's end or where the input ends, and say what each objective came to."""
        if self.progress.stage is Stage.ENDED:
            return []
        at_ms = tick_ms(now)
        assessed = assessment(self, now, late_count, complete=complete)
        reason = Reason.WINDOW_ENDED if complete else Reason.INPUT_ENDED
        closed = self.commander.close(at_ms, reason, "the watch has ended") if complete else []
        self.progress.stage = Stage.ENDED
        return [*closed, assessed]

    def disarm(self, at_ms: int, author: str, note: str) -> list[Decision]:
        """Stop watching at a person's word."""
        if self.progress.stage is Stage.ENDED:
            return []
        self.progress.stage = Stage.ENDED
        self.proofs.stop()
        data = {
            **release_data(self.budget, self.arming),
            "reason": Reason.DISARMED.value,
            "author": author,
            "note": note,
            "decided_at": rfc3339(at_ms),
            "summary": f"{self.budget.release} is disarmed by {author}",
        }
        event_id = decision_id(Type.ARMING_ENDED.value, self.budget.release, self.arming.number)
        ended = Decision(Type.ARMING_ENDED, event_id, self.budget.release, at_ms, data)
        return [ended, *self.commander.close(at_ms, Reason.DISARMED, "the release was disarmed")]

    def change_budget(self, budget: Budget, at_ms: int) -> list[Decision]:
        """Apply a changed budget from the next tick: what is unchanged keeps its state.

        Against another baseline nothing is unchanged.
        """
        same = budget.baseline == self.budget.baseline
        before = {one.objective_id: one for one in self.budget.objectives}
        kept = {one.objective_id for one in budget.objectives if same and before.get(one.objective_id) == one}
        decisions: list[Decision] = []
        for objective_id, objective in before.items():
            if objective_id not in kept:
                decisions += self._drop(objective, at_ms)
        self.budget = budget
        self._reads = reads_of(budget)
        decisions += change_mode(self, budget, at_ms)
        fresh = tuple(one for one in budget.objectives if one.objective_id not in kept)
        self.safety += [one for objective in fresh for one in watches_of(objective, at_ms)]
        if self.progress.stage is Stage.WATCHING and self.progress.tick is not None:
            self._watch(fresh, self.progress.tick)
        return decisions

    def _drop(self, objective: Objective, at_ms: int) -> list[Decision]:
        """Forget an objective's state and resolve its pages."""
        objective_id = objective.objective_id
        decisions = self.cohorts.drop(self, objective, at_ms)
        for view in objective.views():
            self.watches.pop((objective_id, view), None)
            decisions += self.commander.resolve(
                objective_id, view, at_ms, Reason.BUDGET_CHANGED, "the budget changed"
            )
        self.safety = [one for one in self.safety if one.objective.objective_id != objective_id]
        return decisions

    def lock(self, at_ms: int, cohort: CohortKey = OVERALL) -> None:
        """Take note of a rollback that was asked for; only one of the whole release locks it."""
        if self.progress.stage is not Stage.ENDED:
            self.progress.requested.setdefault(cohort, at_ms)
            if not cohort:
                self.progress.stage = Stage.LOCKED

    @property
    def is_idle(self) -> bool:
        """Tell whether ticks without traffic change nothing: nothing is watched yet, or any more."""
        return self.progress.stage in (Stage.WAITING, Stage.ENDED)
