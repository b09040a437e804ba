"""The items of the checklist that go by the budget: as it is written, and what can be decided with it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from monitor.core.budget import BaselineMode, Budget, Mode, OnSilence, Tier, TierAction
from monitor.core.checklist_facts import Facts, Returned, Unseen
from monitor.core.checklist_seen import ItemId, Seen, State, all_of, any_of, listed
from monitor.core.cohort import OVERALL
from monitor.core.forecast import Forecast, Remark
from monitor.core.ladder import MODE_WORDS
from monitor.core.outlook import Outlook
from monitor.core.outlook_words import (
    delta_words,
    multiple_words,
    remedy_words,
    share_words,
    span_words,
    view_words,
)
from monitor.core.reference import ENOUGH_DAYS
from monitor.core.wording import slice_words

OfBudget: TypeAlias = Callable[[Facts, Budget], Seen]

_SILENCE_KEY: Final = "on_commander_silence"
_SHARE_KEY: Final = "traffic: {candidate_share_pct: PERCENT}"


def _owner(_: Facts, budget: Budget) -> Seen:
    return Seen.yes_if(
        bool(budget.owner), f"{budget.owner} answers for it", "no owner is named", "owner: TEAM"
    )


def _on_call(_: Facts, budget: Budget) -> Seen:
    words = f"pages name {budget.on_call}"
    return Seen.yes_if(bool(budget.on_call), words, "no on_call is named", "on_call: WHO")


def _acts(_: Facts, budget: Budget) -> Seen:
    """A lower mode can only have been written, so it is meant; `auto` that asks a person everywhere is not."""
    if budget.mode is not Mode.AUTO:
        meant = MODE_WORDS[budget.mode].partition(": ")[2]
        return Seen(State.READY, f"mode is {budget.mode.value}, as the file says: {meant}")
    acts = [one.objective_id for one in budget.objectives if budget.is_automatic(one)]
    if acts:
        return Seen(State.READY, f"mode is auto: {listed(acts)} roll back without asking")
    if budget.silence is OnSilence.ROLLBACK:
        return Seen(
            State.READY, "mode is auto: nothing rolls back without asking, a commander's silence does"
        )
    why = "tier_a_breach is page" if budget.tier_a is TierAction.PAGE else "no limit is of tier A"
    words = f"mode is auto and nothing ever acts: {why}, and a commander's silence holds"
    return Seen(State.GAP, words, "decision: {tier_a_breach: auto_rollback}, or mode: page")


def _safety(_: Facts, budget: Budget) -> Seen:
    limits = [one for one in budget.objectives if not one.is_guarded]
    whole = [one.objective_id for one in limits if one.where == OVERALL]
    if whole:
        return Seen(State.READY, listed(whole))
    words = (
        f"only slices are covered: {listed([view_words(one.where) for one in limits])}"
        if limits
        else "no limit on high-severity incidents"
    )
    mend = "safety: {high_severity_incidents_increase: 0, action: immediate_rollback}"
    return Seen(State.GAP, words, mend)


def _tier_a(_: Facts, budget: Budget) -> Seen:
    found = [one.objective_id for one in budget.objectives if one.tier is Tier.A]
    return Seen.yes_if(bool(found), listed(found), "every limit is of tier B: it asks first", "tier: A")


def _cohorts(_: Facts, budget: Budget) -> Seen:
    critical = {view_words(one) for found in budget.objectives for one in found.critical_cohorts}
    watched = {f"every {one}" for found in budget.objectives for one in found.watched_dimensions}
    named = sorted(critical | watched)
    words = "everybody is judged together: harm to one tenant hides in the whole"
    return Seen.yes_if(bool(named), listed(named), words, "cohorts: [tenant]")


def _hold_back(facts: Facts, budget: Budget) -> Seen:
    """Each objective needs what its baseline_mode says: live traffic, a captured past, or (auto) one of the two."""
    share = facts.share if budget.traffic is None else budget.traffic.share
    live = State.UNKNOWN if share is None else State.READY
    days = facts.past_days
    past = State.UNKNOWN if isinstance(days, Unseen) else State.READY if days >= ENOUGH_DAYS else State.GAP
    needed = {
        BaselineMode.AUTO: any_of([live, past]),
        BaselineMode.CONCURRENT: live,
        BaselineMode.FROZEN: past,
    }
    # Safety alone has no minutes to compare: incidents have the reference of `auto`.
    modes = {one.baseline_mode for one in budget.objectives if one.is_guarded} or {BaselineMode.AUTO}
    state = all_of([needed[mode] for mode in modes])
    words = f"{_live_words(budget, share)}; {_past_words(days)}"
    needs_past = BaselineMode.FROZEN in modes and past is not State.READY
    return Seen(state, words, "baseline_mode: auto" if needs_past else _SHARE_KEY)


def _live_words(budget: Budget, share: float | None) -> str:
    if share is None:
        return f"nothing says that {budget.baseline} keeps live traffic"
    return f"{budget.baseline} keeps {share_words(1.0 - share)} of the live traffic"


def _past_words(days: int | Unseen) -> str:
    if isinstance(days, Unseen):
        return f"its past: {days.why}"
    few = "" if days >= ENOUGH_DAYS else f", and {ENOUGH_DAYS} are needed"
    return f"{days} days of its past are on record{few}"


def _decidable(facts: Facts, budget: Budget) -> Seen:
    found = facts.outlook
    if not any(one.is_guarded for one in budget.objectives):
        return Seen(State.READY, "only incidents are limited: they have no duration and no window")
    if isinstance(found, Unseen):
        return Seen.unseen(found)
    command = _plan_command(facts.file, found)
    share = share_words(found.traffic.split.candidate)
    pace = f"{found.traffic.requests_per_s:.4g} requests/s, {share} of them the candidate's"
    cannot = [said for one in found.forecasts if (said := _cannot(one))]
    if cannot:
        return Seen(State.GAP, f"at {pace}: {listed(cannot)}", command)
    unsaid = [_name(one) for one in found.forecasts if Remark.SHARE_UNKNOWN in one.remarks]
    if unsaid:
        words = f"at {pace}: what part of the traffic these get is not known: {listed(unsaid)}"
        return Seen(State.UNKNOWN, words, "--cohort-share DIMENSION=VALUE=SHARE")
    return Seen(State.READY, f"at {pace}: {len(found.forecasts)} of {len(found.forecasts)} can")


def _cannot(one: Forecast) -> str | None:
    """Return why an objective cannot show twice its limit, with the smallest harm that it can; None where it can."""
    if Remark.NEVER in one.remarks:
        return f"{_name(one)} can never be passed"
    if Remark.NO_EVIDENCE in one.remarks:
        return f"{_name(one)} decides without evidence: chance breaks it"
    if Remark.UNDECIDABLE not in one.remarks:
        return None
    if (least := one.smallest) is None:
        return f"{_name(one)} can show no harm within {span_words(one.horizon_min)} ({remedy_words(one)})"
    size = f"{multiple_words(least.multiple)} its limit ({delta_words(one.objective, least.delta)})"
    within = span_words(one.horizon_min)
    return f"{_name(one)} can show {size} and no less within {within} ({remedy_words(one)})"


def _name(one: Forecast) -> str:
    return f"{one.objective.objective_id}{slice_words(one.view)}"


def _plan_command(file: str, found: Outlook) -> str:
    traffic = found.traffic
    pace = f"--rate {traffic.requests_per_s:.6g}/s --share {traffic.split.candidate:.6g}"
    return f"rollback-budget plan --budget {shlex.quote(file)} {pace}"


def _flag_set(_: Facts, budget: Budget) -> Seen:
    flag = budget.flag
    if flag is None:
        words = "no flag: a rollback is only published, and whoever listens has to turn it"
        return Seen(
            State.GAP, words, "flag: {actuator: …, key: …, baseline_variation: …, candidate_variation: …}"
        )
    words = f"{flag.actuator} {flag.key}: {flag.candidate_variation} goes back to {flag.baseline_variation}"
    return Seen(State.READY, words)


def _flag_answers(facts: Facts, _: Budget) -> Seen:
    return Seen.told(facts.flag, "rollback-budget doctor")


def _rehearsed(facts: Facts, _: Budget) -> Seen:
    return Seen.told(facts.rehearsed, f"rollback-budget rehearse --budget {shlex.quote(facts.file)}")


def _last_rollback(facts: Facts, _: Budget) -> Seen:
    found = facts.returned
    if isinstance(found, Unseen):
        return Seen.unseen(found)
    if found is None:
        return Seen(State.READY, "no rollback of this flag is on record")
    asked = f"the rollback of {found.release}, asked for {found.requested_at},"
    if found.is_verified:
        return Seen(State.READY, f"{asked} was proven by the traffic")
    return Seen(
        State.GAP, f"{asked} {_unproven(found)}", f"rollback-budget status {shlex.quote(found.release)}"
    )


def _unproven(found: Returned) -> str:
    return "is not proven by the traffic" if found.failure is None else f"failed: {found.failure}"


def _escalation(_: Facts, budget: Budget) -> Seen:
    steps = [
        f"after {span_words(one.after_min)} {' and '.join([*one.pagers, *([one.on_call] if one.on_call else [])])}"
        for one in budget.escalation
    ]
    words = "none: reminders go to the same pagers as the page"
    mend = "escalation: [{after: 10m, on_call: WHO}]"
    return Seen.yes_if(bool(steps), listed(steps), words, mend)


def _silence(facts: Facts, budget: Budget) -> Seen:
    """A deadline after the window's end, or a rule that the mode takes the meaning from, is none."""
    clock = f"{span_words(budget.decide_within_min)} to decide"
    if budget.decide_within_min >= budget.window_min:
        words = f"{clock}, and the whole window is {span_words(budget.window_min)}"
        return Seen(State.GAP, words, "decision: {tier_b_breach: incident_commander_decision_within_15m}")
    if (warned := facts.warnings.get(_SILENCE_KEY)) is not None:
        return Seen(State.GAP, f"{clock}; {_SILENCE_KEY}: {warned}", f"{_SILENCE_KEY}: hold")
    if budget.mode is Mode.OBSERVE:
        return Seen(State.READY, f"nobody is asked while it only observes; as written {clock}")
    rolls_back = budget.silence is OnSilence.ROLLBACK
    return Seen(
        State.READY, f"{clock}; silence {'rolls back' if rolls_back else 'holds the release as it is'}"
    )


def _eval_debt(facts: Facts, _: Budget) -> Seen:
    owed = facts.debts
    if isinstance(owed, Unseen):
        return Seen.unseen(owed)
    return Seen.yes_if(
        not owed, "none is owed", f"{len(owed)} owed: {listed(owed)}", "rollback-budget debt list"
    )


OF_BUDGET: Final[Mapping[ItemId, OfBudget]] = {
    ItemId.OWNER: _owner,
    ItemId.ON_CALL: _on_call,
    ItemId.ACTS: _acts,
    ItemId.SAFETY: _safety,
    ItemId.TIER_A: _tier_a,
    ItemId.COHORTS: _cohorts,
    ItemId.HOLD_BACK: _hold_back,
    ItemId.DECIDABLE: _decidable,
    ItemId.FLAG_SET: _flag_set,
    ItemId.FLAG_ANSWERS: _flag_answers,
    ItemId.REHEARSED: _rehearsed,
    ItemId.LAST_ROLLBACK: _last_rollback,
    ItemId.ESCALATION: _escalation,
    ItemId.SILENCE: _silence,
    ItemId.EVAL_DEBT: _eval_debt,
}
