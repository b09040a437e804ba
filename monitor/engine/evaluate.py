"""The evaluator of one armed release: closed minutes, incidents and commands in, decisions out.

A pure state machine in event time. Live evaluation, replay, backtest and recovery after a crash drive this
class and no other; recovery is running it again over the stored minutes and the ledger's commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget, Objective, OnNoData, Tier, TierAction
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.decision import Action, Decision, Reason, Type
from monitor.core.ids import decision_id
from monitor.core.moment import rfc3339
from monitor.core.partition import CellKey, Incident
from monitor.core.record import Arming, Finding, failure_classes, finding_data, release_data
from monitor.core.trigger import Phase
from monitor.core.watch import Change, Watch
from monitor.core.window import minute_of, tick_ms
from monitor.core.wording import breach_words
from monitor.engine.assess import assessment
from monitor.engine.commander import Commander, debt
from monitor.core.rules import rules_for
from monitor.core.safety import SafetyWatch

NO_DATA_HOLDS = 2  # no candidate traffic for this many durations is said
_EMPTY = Aggregate()


class Stage(Enum):
    """How far an armed release has come."""

    WAITING = "waiting"  # the candidate has had no live request yet
    WATCHING = "watching"
    LOCKED = "locked"  # a rollback was requested: nothing more until a person arms it again
    ENDED = "ended"  # the window is over, or the release was disarmed


@dataclass(slots=True)
class Progress:
    """Where an evaluation stands, for people and for recovery."""

    stage: Stage = Stage.WAITING
    first_minute: int | None = None
    first_at_ms: int | None = None
    tick: int | None = None
    requested: dict[CohortKey, int] = field(default_factory=dict)


class Evaluator:
    """Judges one arming of one budget.

    Args:
        delivered_when_opened: True in replay, where the commander's clock runs from the tick.
    """

    def __init__(self, budget: Budget, arming: Arming, *, delivered_when_opened: bool) -> None:
        self.budget = budget
        self.arming = arming
        self.progress = Progress()
        self.commander = Commander(budget, arming, delivered_when_opened=delivered_when_opened)
        self.watches: dict[tuple[str, CohortKey], Watch] = {}
        self.safety = [SafetyWatch(one) for one in budget.objectives if not one.is_guarded]
        self._no_data_since: int | None = None

    def needed(self, now: int) -> list[CellKey]:
        """Return the keys of the cells that `tick(now, cells)` reads."""
        keys: dict[CellKey, None] = {}
        for release in (self.budget.release, self.budget.baseline):
            keys[CellKey(now - 1, release, OVERALL)] = None
            for objective in self.budget.objectives:
                minute = now - 1 - objective.label_delay_min
                for view in objective.views():
                    keys[CellKey(minute, release, view)] = None
                    if objective.label_delay_min:
                        keys[CellKey(minute, release, view, later=True)] = None
        return list(keys)

    def tick(self, now: int, cells: Mapping[CellKey, Aggregate], late_count: int = 0) -> list[Decision]:
        """Close the minute before `now` and return what follows from it.

        Args:
            now: The tick, in minutes since the epoch; each follows the last one.
            cells: Merged over all partitions; a missing key is an empty cell.
            late_count: Late events of the candidate so far, for the assessment.
        """
        progress = self.progress
        progress.tick = now
        if progress.stage is Stage.ENDED:
            return []
        decisions = self._end_overrides(tick_ms(now))
        self._start(now, cells)
        self._append(now, cells)
        if progress.stage is Stage.WATCHING:
            decisions += self._judge(now)
            decisions += self._judge_safety(tick_ms(now))
            decisions += self._judge_silence(now)
            decisions += self._no_data(now)
        first = progress.first_minute
        if first is not None and now - first >= self.budget.window_min:
            decisions += self.finish(now, late_count, complete=True)
        return decisions

    def _end_overrides(self, at_ms: int) -> list[Decision]:
        """End what is over; a breach that was held back may act again on current evidence."""
        decisions = []
        for override, decision in self.commander.end_overrides(at_ms):
            decisions.append(decision)
            for watch in self.watches.values():
                if override.objective_id in (None, watch.objective.objective_id):
                    watch.acted = False
        return decisions

    def _start(self, now: int, cells: Mapping[CellKey, Aggregate]) -> None:
        cell = cells.get(CellKey(now - 1, self.budget.release, OVERALL), _EMPTY)
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

    def _append(self, now: int, cells: Mapping[CellKey, Aggregate]) -> None:
        candidate, baseline = self.budget.release, self.budget.baseline
        for safety in self.safety:
            view = safety.objective.where
            safety.append(
                now - 1,
                cells.get(CellKey(now - 1, candidate, view), _EMPTY),
                cells.get(CellKey(now - 1, baseline, view), _EMPTY),
            )
        for watch in self.watches.values():
            minute = now - 1 - watch.objective.label_delay_min
            if minute >= watch.first_minute:
                watch.append(
                    minute,
                    _with_labels(cells, CellKey(minute, candidate, watch.view)),
                    _with_labels(cells, CellKey(minute, baseline, watch.view)),
                )

    def _judge(self, now: int) -> list[Decision]:
        decisions: list[Decision] = []
        for watch in list(self.watches.values()):
            judged_to = now - watch.objective.label_delay_min
            if self.progress.stage is not Stage.WATCHING or judged_to <= watch.first_minute:
                continue
            change = watch.judge(judged_to)
            decisions += self._announce(watch, change, judged_to, tick_ms(now))
            if watch.is_due(change):
                decisions += self._act(watch, change, judged_to, tick_ms(now))
            decisions += self._page_spent(watch, judged_to, tick_ms(now))
        return decisions

    def _announce(self, watch: Watch, change: Change, judged_to: int, at_ms: int) -> list[Decision]:
        if change.started:
            finding = watch.finding(judged_to, self.budget.exemplars, change.judgement)
            return [self._breach(Type.BREACH_STARTED, watch, finding, Reason.BREACH, at_ms)]
        if change.cleared:
            finding = watch.finding(judged_to, self.budget.exemplars, None)
            episode_ms = change.before.episode_ms
            cleared = self._breach(
                Type.BREACH_CLEARED, watch, finding, Reason.RECOVERED, at_ms, episode_ms
            )
            objective_id = watch.objective.objective_id
            text = f"{objective_id} is back within its limit"
            return [
                cleared,
                *self.commander.resolve(objective_id, watch.view, at_ms, Reason.RECOVERED, text),
                *self.commander.end_continued(objective_id, at_ms),
            ]
        return []

    def _breach(
        self,
        type_: Type,
        watch: Watch,
        finding: Finding,
        reason: Reason,
        at_ms: int,
        episode_ms: int | None = None,
    ) -> Decision:
        start_ms = watch.trigger.episode_ms if episode_ms is None else episode_ms
        event_id = decision_id(
            type_.value, self.budget.release, self.arming.number,
            finding.objective.objective_id, dict(finding.view), start_ms,
        )
        data = finding_data(
            self.budget, self.arming, finding,
            action=Action.WATCH, reason=reason, at_ms=at_ms, summary=_words(finding),
        )
        return Decision(type_, event_id, self.budget.release, at_ms, data)

    def _act(self, watch: Watch, change: Change, judged_to: int, at_ms: int) -> list[Decision]:
        finding = watch.finding(judged_to, self.budget.exemplars, change.judgement)
        reason = Reason.CUMULATIVE if watch.is_cumulative else Reason.BREACH
        objective, episode_ms = watch.objective, watch.trigger.episode_ms
        rolls_back = objective.tier is Tier.A and self.budget.tier_a is TierAction.AUTO_ROLLBACK
        if self.commander.held_by(objective, finding.seen.delta) is not None:
            return []
        watch.acted = watch.fired = True
        return self._execute(finding, reason, episode_ms, at_ms, rolls_back=rolls_back)

    def _execute(
        self, finding: Finding, reason: Reason, episode_ms: int, at_ms: int, *, rolls_back: bool, text: str = ""
    ) -> list[Decision]:
        """Page or roll back for a finding, and open its eval debt."""
        text = text or _words(finding)
        owed = debt(
            self.budget, self.arming, finding, failure_classes(finding.exemplars), episode_ms, at_ms
        )
        if rolls_back:
            return [owed, *self.request(finding, reason, at_ms, text)]
        return [*self.commander.open_page(finding, reason, episode_ms, at_ms, text), owed]

    def request(self, finding: Finding, reason: Reason, at_ms: int, text: str) -> list[Decision]:
        """Ask for the rollback, once per arming, lock the release and resolve what is open."""
        if self.progress.requested or self.progress.stage is Stage.ENDED:
            return []
        self.progress.requested[OVERALL] = at_ms
        self.progress.stage = Stage.LOCKED
        data = finding_data(
            self.budget, self.arming, finding,
            action=Action.ROLLBACK, reason=reason, at_ms=at_ms, summary=f"roll back: {text}",
        )
        flag = self.budget.flag
        switch = {
            "flag": None if flag is None else {"actuator": flag.actuator, "key": flag.key, "scope": flag.scope},
            "baseline_variation": None if flag is None else flag.baseline_variation,
            "candidate_variation": None if flag is None else flag.candidate_variation,
        }
        event_id = decision_id(Type.ROLLBACK_REQUESTED.value, self.budget.release, self.arming.number)
        requested = Decision(
            Type.ROLLBACK_REQUESTED, event_id, self.budget.release, at_ms, {**data, **switch}
        )
        words = f"{self.budget.release} is rolled back"
        return [requested, *self.commander.resolve_all(at_ms, Reason.ROLLED_BACK, words)]

    def _page_spent(self, watch: Watch, judged_to: int, at_ms: int) -> list[Decision]:
        """Page, once, when bad minutes add up to more than the budget without a sustained breach."""
        if watch.is_cumulative or watch.acted or watch.spent_paged or not watch.is_overspent:
            return []
        watch.spent_paged = True
        finding = watch.finding(judged_to, self.budget.exemplars, None)
        text = f"{watch.objective.objective_id} was broken for {watch.spend.minutes} min in all, never at a stretch"
        return self._execute(finding, Reason.CUMULATIVE, at_ms, at_ms, rolls_back=False, text=text)

    def incident(self, incident: Incident) -> list[Decision]:
        """Take in an incident before its minute is closed, and decide at once."""
        if self.progress.stage not in (Stage.WAITING, Stage.WATCHING):
            return []
        if incident.release != self.budget.release or minute_of(incident.at_ms) < minute_of(self.arming.at_ms):
            return []
        for safety in self.safety:
            safety.hear(incident)
        return self._judge_safety(incident.at_ms, only_immediate=True)

    def _judge_safety(self, at_ms: int, *, only_immediate: bool = False) -> list[Decision]:
        decisions: list[Decision] = []
        for safety in self.safety:
            if self.progress.stage in (Stage.LOCKED, Stage.ENDED):
                break
            if only_immediate and not safety.objective.immediate:
                continue
            held = self.commander.held_by(safety.objective, None) is not None
            verdict = safety.judge(self.budget, at_ms, held=held)
            if verdict is not None:
                rolls_back = verdict.rolls_back and self.budget.tier_a is TierAction.AUTO_ROLLBACK
                decisions += self._execute(
                    verdict.finding, Reason.IMMEDIATE, verdict.episode_ms, at_ms,
                    rolls_back=rolls_back, text=verdict.text,
                )
        return decisions

    def _judge_silence(self, now: int) -> list[Decision]:
        if self.progress.stage is not Stage.WATCHING:
            return []
        at_ms = tick_ms(now)
        waits = {key for key, watch in self.watches.items() if watch.is_unknown}
        decisions, silences = self.commander.expire_due(at_ms, waits)
        for silence in silences:
            watch = self.watches.get((silence.page.objective_id, silence.page.cohort))
            if watch is None or not silence.rolls_back:
                continue
            judged_to = now - watch.objective.label_delay_min
            finding = watch.finding(judged_to, self.budget.exemplars, watch.judgement)
            if self.commander.held_by(watch.objective, finding.seen.delta) is None:
                decisions += self.request(finding, Reason.COMMANDER_SILENT, at_ms, _words(finding))
        return decisions

    def _no_data(self, now: int) -> list[Decision]:
        """Say it when everything was read and no candidate traffic came for twice an objective's duration."""
        decisions: list[Decision] = []
        at_ms = tick_ms(now)
        for watch in self.watches.values():
            limit = NO_DATA_HOLDS * max(watch.objective.hold_min, 5)
            if watch.empty_minutes == 0:
                decisions += self._data_is_back(watch, at_ms)
            if self.progress.stage is not Stage.WATCHING or watch.empty_minutes != limit:
                continue
            policy = watch.objective.on_no_data
            if policy is OnNoData.HOLD:
                continue
            finding = watch.finding(now, self.budget.exemplars, None)
            text = f"no candidate traffic for {limit} min: {watch.objective.objective_id} cannot be judged"
            if policy is OnNoData.ROLLBACK:
                decisions += self.request(finding, Reason.NO_DATA, at_ms, text)
            elif not any(page.is_open and page.reason is Reason.NO_DATA for page in self.commander.pages.values()):
                decisions += self.commander.open_page(finding, Reason.NO_DATA, at_ms, at_ms, text)
        return decisions

    def _data_is_back(self, watch: Watch, at_ms: int) -> list[Decision]:
        key = (watch.objective.objective_id, watch.view, Reason.NO_DATA)
        page = self.commander.pages.get(key)
        if page is None or not page.is_open:
            return []
        return self.commander.resolve(*key[:2], at_ms, Reason.RECOVERED, "candidate traffic is back")

    def finish(self, now: int, late_count: int, *, complete: bool) -> list[Decision]:
        """End the watch, at its window's end or where the input ends, and say what each objective came to."""
        if self.progress.stage is Stage.ENDED:
            return []
        at_ms = tick_ms(now)
        assessed = assessment(self, now, late_count, complete=complete)
        reason = Reason.WINDOW_ENDED if complete else Reason.INPUT_ENDED
        closed = self.commander.resolve_all(at_ms, reason, "the watch has ended") if complete else []
        self.progress.stage = Stage.ENDED
        return [*closed, assessed]

    def disarm(self, at_ms: int, author: str, note: str) -> list[Decision]:
        """Stop watching at a person's word."""
        if self.progress.stage is Stage.ENDED:
            return []
        self.progress.stage = Stage.ENDED
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
        return [ended, *self.commander.resolve_all(at_ms, Reason.DISARMED, "the release was disarmed")]

    def change_budget(self, budget: Budget, at_ms: int) -> list[Decision]:
        """Apply a changed budget from the next tick: what is unchanged keeps its state."""
        before = {one.objective_id: one for one in self.budget.objectives}
        after = {one.objective_id: one for one in budget.objectives}
        decisions: list[Decision] = []
        for (objective_id, view), watch in list(self.watches.items()):
            if after.get(objective_id) != watch.objective:
                del self.watches[objective_id, view]
                decisions += self.commander.resolve(
                    objective_id, view, at_ms, Reason.BUDGET_CHANGED, "the budget changed"
                )
        self.budget = budget
        self.commander.rearm(budget)
        kept = {one.objective.objective_id: one for one in self.safety}
        self.safety = [
            kept[one.objective_id] if before.get(one.objective_id) == one else SafetyWatch(one)
            for one in budget.objectives
            if not one.is_guarded
        ]
        if self.progress.stage is Stage.WATCHING and self.progress.tick is not None:
            changed = tuple(one for one in budget.objectives if before.get(one.objective_id) != one)
            self._watch(changed, self.progress.tick)
        return decisions

    def lock(self, at_ms: int) -> None:
        """Take note of a rollback that the ledger knows of."""
        if self.progress.stage is not Stage.ENDED:
            self.progress.requested.setdefault(OVERALL, at_ms)
            self.progress.stage = Stage.LOCKED

    @property
    def is_firing(self) -> bool:
        """Tell whether any objective is in breach now."""
        return any(watch.trigger.phase is Phase.FIRING for watch in self.watches.values())


def _with_labels(cells: Mapping[CellKey, Aggregate], key: CellKey) -> Aggregate:
    cell = cells.get(key, _EMPTY)
    later = cells.get(key._replace(later=True))
    if later is None:
        return cell
    whole = Aggregate()
    whole.merge(cell)
    whole.merge(later)
    return whole


def _words(finding: Finding) -> str:
    seen = finding.seen
    return breach_words(
        finding.objective,
        finding.view,
        baseline=seen.baseline,
        candidate=seen.candidate,
        delta=seen.delta,
        bounds=(seen.lower, seen.upper),
        span_min=finding.held_min,
    )
