"""Gathers what the checklist goes by, from the parts that know it. Loaded by the verb when it runs."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from monitor.adapters.flags.checkup import flag_checks
from monitor.adapters.pagers.checkup import UNASKED, PagersCheckup
from monitor.adapters.timebase import WallClock
from monitor.app import timebase_of
from monitor.cli import sight
from monitor.cli.debt_source import ASKED_S, ledger_soon
from monitor.cli.debt_words import debt_line
from monitor.cli.doctor_checks import pager_checks
from monitor.cli.orders import KafkaAway, kafka_said_plainly
from monitor.cli.plan import BadPlan, candidate_share, outlook_of, recorded_of, requests_per_s
from monitor.cli.status import rehearsed_line
from monitor.config.budget_file import BudgetReport
from monitor.config.files import check_budgets
from monitor.config.problem import BudgetInvalid, Severity
from monitor.config.settings import Settings
from monitor.config.settings_source import load_settings
from monitor.core.budget import Budget
from monitor.core.checklist_facts import (
    Answered,
    Facts,
    PagerSeen,
    Returned,
    Unseen,
    last_rollback,
    past_days,
)
from monitor.core.decision import Decision
from monitor.core.errors import MonitorError
from monitor.core.eval_debt import debts_of, owed_at
from monitor.core.outlook import Outlook
from monitor.core.rehearsal import last_rehearsed
from monitor.core.sight import Sight
from monitor.core.storm import standing_of
from monitor.engine.checkup import Check, Finding, Health, examine
from monitor.engine.ports import LedgerEntry
from monitor.engine.standing import Standing, record_of, standings

_DOCTOR: Final = "rollback-budget doctor"
_NO_BUDGET: Final = Unseen("the budget has errors")
_NO_FLAG: Final = Unseen("the budget names no flag", "flag: {actuator: …, key: …}")
_QUIET: Final = "log"  # it wakes nobody


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, as it was written."""

    file: str
    rate: str | None = None
    share: str | None = None
    history: Sequence[str] = ()
    assume: Sequence[str] = ()
    cohort_share: Sequence[str] = ()
    is_offline: bool = False


class _Recorded(NamedTuple):
    """What the ledger says of the budget, and how the monitor stands."""

    past_days: int | Unseen
    rehearsed: Answered | Unseen
    returned: Returned | Unseen | None
    debts: Sequence[str] | Unseen
    sight: Answered | Unseen
    breaker: Answered | Unseen


def facts_of(asked: Asked) -> Facts:
    """Return all that can be seen; what does not answer is said to be unseen.

    Raises:
        BudgetInvalid: There is no such file; one with errors is an answer.
        BadPlan: The traffic or the recording is none, or the file names several budgets.
        SettingsInvalid: The settings cannot be used.
    """
    report = _report(asked.file)
    budget, settings = report.budget, load_settings()
    share, outlook = (None, _NO_BUDGET) if budget is None else _outlook(asked, budget)
    unasked = _unasked(asked)
    pagers, flag = _answers(settings, budget, unasked)
    recorded = _recorded(settings, budget) if unasked is None else _unrecorded(unasked)
    return Facts(
        file=asked.file,
        budget=budget,
        outlook=outlook,
        flag=flag,
        pagers=pagers,
        **recorded._asdict(),
        has_switch=settings.watch_ping_url is not None,
        share=share,
        errors=[str(one) for one in report.problems if one.severity is Severity.ERROR],
        warnings={
            one.path_in_file: one.message for one in report.problems if one.severity is Severity.WARNING
        },
    )


def _report(file: str) -> BudgetReport:
    reports = check_budgets([file])
    if not Path(file).is_file() and [(one.file, one.budget) for one in reports] == [
        (file, None)
    ]:  # no file of it
        raise BudgetInvalid(tuple(problem for one in reports for problem in one.problems))
    if len(reports) != 1:
        raise BadPlan(f"--budget: {file} holds {len(reports)} budgets; ask about them one after the other")
    return reports[0]


def _outlook(asked: Asked, budget: Budget) -> tuple[float | None, Outlook | Unseen]:
    """Return the share that was given, and what the plan says at that traffic, or why there is none."""
    said = None if asked.share is None else candidate_share(asked.share)
    declared = None if budget.traffic is None else budget.traffic.share
    share = declared if said is None else said
    per_s = None if asked.rate is None else requests_per_s(asked.rate)
    if per_s is None and not asked.history:
        return said, Unseen("no traffic was given", "--rate R --share S, or --history FILE")
    recorded = (
        recorded_of(budget, asked.history) if asked.history else None
    )  # a wrong name is said in any case
    if share is None:
        return said, Unseen("the candidate's part of the traffic was not given", "--share S")
    if per_s is None and recorded is not None:
        per_s = recorded.per_s
    assert per_s is not None  # a rate or a recording was given
    return said, outlook_of(budget, per_s, share, recorded, asked.assume, asked.cohort_share)


def _unasked(asked: Asked) -> Unseen | None:
    """Return why nobody outside is asked, where that is so."""
    again = f"rollback-budget checklist --budget {shlex.quote(asked.file)}"
    return Unseen("not asked: --offline", again) if asked.is_offline else None


def _answers(
    settings: Settings, budget: Budget | None, unasked: Unseen | None
) -> tuple[Sequence[PagerSeen] | Unseen, Answered | Unseen]:
    """Ask the pagers and the flag as the doctor does, all at once; pages nobody and turns nothing."""
    loud = [name for name in PagersCheckup(settings).names() if name != _QUIET]
    if unasked is not None:
        return (unasked if loud else []), unasked
    checks: list[Check] = [one for one in pager_checks(settings) if one.subject in loud]
    if budget is not None and budget.flag is not None:
        checks += flag_checks(settings, [budget])
    found = asyncio.run(examine(checks))
    pagers = [_pager(name, [one for one in found if one.subject == name]) for name in loud]
    flags = [one for one in found if one.check == "flags"]
    if not flags:
        return pagers, _NO_FLAG
    return pagers, Answered(flags[0].health is Health.OK, _said(flags[0]))


def _pager(name: str, found: Sequence[Finding]) -> PagerSeen:
    """Return what a pager's check found; of several peers one that answers is enough."""
    well = [one for one in found if one.health is Health.OK]
    answers = None if well and name in UNASKED else bool(well)
    return PagerSeen(name, answers, "; ".join(map(_said, found)) or "nothing was said")


def _said(one: Finding) -> str:
    return f"{one.text} ({one.remedy})" if one.remedy else one.text


def _unanswered(settings: Settings, error: MonitorError) -> Unseen:
    """Return why many items are unknown, in short: what Kafka's client met exactly, the doctor says."""
    is_away = isinstance(error, KafkaAway)
    return Unseen(f"Kafka does not answer ({settings.kafka_bootstrap})" if is_away else str(error), _DOCTOR)


def _unrecorded(why: Unseen) -> _Recorded:
    return _Recorded(why, why, why, why, why, why)


def _recorded(settings: Settings, budget: Budget | None) -> _Recorded:
    try:
        entries = ledger_soon(settings)
    except MonitorError as error:
        return _unrecorded(_unanswered(settings, error))
    now_ms = WallClock(timebase_of(settings)).now_ms()
    decisions = [entry.decision for entry in entries]
    breaker = standing_of(settings.storm, record_of(entries), now_ms)
    one = None if budget is None else _standing(entries, budget, now_ms)
    seen = _sight(settings, entries, now_ms, one)
    told = Answered(not breaker.is_open, breaker.words)
    if budget is None:
        return _Recorded(_NO_BUDGET, _NO_BUDGET, _NO_BUDGET, _NO_BUDGET, seen, told)
    days = past_days(decisions, budget.baseline)
    return _Recorded(
        Unseen("no arming against it has captured it yet") if days is None else days,
        _rehearsed(decisions, budget, now_ms),
        _NO_FLAG if budget.flag is None else last_rollback(decisions, budget.flag),
        _debts(decisions, budget, one, now_ms),
        seen,
        told,
    )


def _standing(entries: Sequence[LedgerEntry], budget: Budget, now_ms: int) -> Standing | None:
    return next((one for one in standings(entries, now_ms) if one.release == budget.release), None)


def _rehearsed(decisions: Sequence[Decision], budget: Budget, now_ms: int) -> Answered:
    last = last_rehearsed(decisions, release=budget.release, budget=budget.title, now_ms=now_ms)
    return Answered(last is not None and last.counts, rehearsed_line(last)[0])


def _debts(decisions: Sequence[Decision], budget: Budget, one: Standing | None, now_ms: int) -> list[str]:
    arming = None if one is None else one.arming
    owed = owed_at(debts_of(decisions), budget.release, budget.baseline, arming)
    return [debt_line(debt, now_ms) for debt in owed]


def _sight(
    settings: Settings, entries: Sequence[LedgerEntry], now_ms: int, one: Standing | None
) -> Answered | Unseen:
    """Look once, as `status` does; a store or a log that does not answer leaves it unknown."""

    async def look() -> sight.Glance:
        async with asyncio.timeout(ASKED_S):
            return await sight.glance(settings, entries, now_ms)

    try:
        with kafka_said_plainly(settings):
            found = asyncio.run(look())
    except MonitorError as error:
        return _unanswered(settings, error)
    except TimeoutError:
        return Unseen(f"the stored state did not answer within {ASKED_S:g} s", _DOCTOR)
    if found.why is not None:
        return Unseen(found.why, _DOCTOR)
    if one is not None and one.halted is not None:
        return Answered(False, f"halted: {one.halted['summary']}")
    return Answered(found.sight == Sight.LIVE.value, sight.lines_of(found)[0][0])
