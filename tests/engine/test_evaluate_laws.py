"""Whatever comes, in whatever order: what no evaluator may ever do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.aggregate import Aggregate
from monitor.core.budget import (
    Accounting,
    Budget,
    Mode,
    Objective,
    OnNoData,
    OnSilence,
    Scope,
    Tier,
    TierAction,
)
from monitor.core.cohort import OVERALL
from monitor.core.decision import Decision, Type
from monitor.core.ladder import as_if
from monitor.engine.answer import answer
from monitor.engine.breaker import Breaker
from monitor.engine.evaluate import Stage
from tests.engine.worlds import (
    ACME,
    BAD,
    GOOD,
    HANDOFF,
    LAWS,
    MINUTE,
    SAFETY,
    SUCCESS,
    Drive,
    budget,
    cell,
    command,
    handoff,
    incident,
    incidents,
    names,
    objective,
)

ARMS = st.sampled_from([GOOD, GOOD, BAD, BAD, BAD, Aggregate(), cell(10, 1, task_success=9, human_handoff=2)])
COMMON = {
    "hold": st.sampled_from([0, 4, 6]),
    "tier": st.sampled_from(Tier),
    "accounting": st.sampled_from(Accounting),
    "on_no_data": st.sampled_from(OnNoData),
    "label_delay_min": st.sampled_from([0, 0, 3]),
    "scope": st.sampled_from(Scope),
    "critical_cohorts": st.sampled_from([(), (ACME,)]),
}


@st.composite
def budgets(draw: st.DrawFn, modes: tuple[Mode, ...] = tuple(Mode)) -> Budget:
    def limits(make: Callable[..., Objective]) -> Objective:
        return make(**{name: draw(values) for name, values in COMMON.items()})

    immediate = draw(st.booleans())
    safety = incidents(
        draw(st.integers(0, 1)),
        immediate=immediate,
        literal=draw(st.booleans()),
        ignores_override=draw(st.booleans()),
        critical_cohorts=draw(COMMON["critical_cohorts"]),
        tier=Tier.A if immediate else draw(st.sampled_from(Tier)),
    )
    return budget(
        limits(objective), limits(handoff), safety,
        window_min=draw(st.sampled_from([25, 1440])),
        tier_a=draw(st.sampled_from(TierAction)),
        on_silence=draw(st.sampled_from(OnSilence)),
        decide_within_min=draw(st.sampled_from([1, 5])),
        mode=draw(st.sampled_from(modes)),
        digest=draw(st.sampled_from(["0" * 64, "1" * 64])),
    )  # fmt: skip


ORDERS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["decide", "decide", "override", "acknowledge", "arm"]),
        "decision": st.sampled_from(["continue", "continue", "continue", "rollback"]),
        "objective": st.sampled_from([None, SUCCESS, HANDOFF, SAFETY, "nothing"]),
        "for_min": st.sampled_from([None, -1, 3, 12]),
        "limit": st.sampled_from([None, -30.0, 30.0]),
    }
)


def steps_with(*modes: Mode) -> st.SearchStrategy[list[tuple[str, Any]]]:
    """What may happen to an evaluator; its budget changes to one of these modes."""
    return st.lists(
        st.one_of(
            st.tuples(st.just("ticks"), st.tuples(st.integers(1, 7), ARMS, ARMS)),
            st.tuples(st.just("incident"), st.tuples(st.integers(-3, 4), st.booleans())),
            st.tuples(st.just("order"), ORDERS),
            st.tuples(st.just("budget"), budgets(modes)),
        ),
        min_size=4,
        max_size=25,
    )


STEPS = steps_with(*Mode)


class _Open(Breaker):
    """A breaker in a storm that does not end."""

    def is_open(self, at_ms: int) -> bool:
        return True


def _played(
    watched: Budget, steps: list[tuple[str, Any]], *, live: bool = False, in_storm: bool = False
) -> Drive:
    """Return an evaluator that all these steps have happened to."""
    drive = Drive(watched, live=live)
    if in_storm:
        drive.evaluator.breaker = _Open()
    for number, (kind, what) in enumerate(steps):
        _play(drive, number, kind, what)
    return drive


def _play(drive: Drive, number: int, kind: str, what: Any) -> None:
    evaluator, at_ms = drive.evaluator, drive.at_ms + number  # no two records of a topic at one moment
    if kind == "ticks":
        minutes, overall, acme = what
        drive.run(minutes, {OVERALL: overall, ACME: acme}, {OVERALL: GOOD, ACME: GOOD})
    elif kind == "incident":
        ahead, is_acme = what
        minute = max(drive.now, drive.now + ahead)
        cohort = {"tenant": "acme"} if is_acme else {}
        drive.note(evaluator.incident(incident(number, at_ms + ahead * MINUTE, minute=minute, **cohort)))
    elif kind == "order":
        order = dict(what)
        for_min = order.pop("for_min")
        until_ms = None if for_min is None else at_ms + for_min * MINUTE
        said = command(order.pop("kind"), at_ms, command_id=f"c-{number}", until_ms=until_ms, **order)
        decisions = drive.note(answer(evaluator, said))
        assert decisions, "every command gets an answer"
    else:
        drive.note(evaluator.change_budget(what, at_ms))


def _once(log: list[Decision]) -> None:
    """An id is given once; seeing a page twice is the same fact."""
    ids = [one.decision_id for one in log if one.type is not Type.PAGE_ACKNOWLEDGED]
    assert len(set(ids)) == len(ids)


def _pages(log: list[Decision]) -> None:
    """A page is resolved, runs out and is seen only while it is open, and never before its deadline."""
    still_open: dict[object, Decision] = {}
    for one in log:
        page_id = one.data.get("page_id")
        if one.type is Type.PAGE_OPENED:
            still_open[page_id] = one
        elif one.type in (Type.PAGE_RESOLVED, Type.PAGE_EXPIRED, Type.PAGE_ACKNOWLEDGED):
            opened = still_open[page_id]
            if one.type is Type.PAGE_EXPIRED:
                assert opened.data["deadline"] is not None
                assert str(one.data["decided_at"]) >= str(opened.data["deadline"])
            if one.type is Type.PAGE_RESOLVED:
                assert one.at_ms >= opened.at_ms
                del still_open[page_id]


def _overrides(log: list[Decision]) -> None:
    created = [one.data["override_id"] for one in log if one.type is Type.OVERRIDE_CREATED]
    expired = [one.data["override_id"] for one in log if one.type is Type.OVERRIDE_EXPIRED]
    assert len(set(expired)) == len(expired)
    assert set(expired) <= set(created)


def _requests(log: list[Decision], stage: Stage) -> None:
    """One request per scope, and nothing after the release's own but refusals and the assessment."""
    asked = [one for one in log if one.type is Type.ROLLBACK_REQUESTED]
    scopes = [str(one.data["cohort"]) if one.data["scope"] == "cohort" else "release" for one in asked]
    assert len(set(scopes)) == len(scopes)
    if "release" not in scopes:
        assert stage is not Stage.LOCKED
        return
    at = log.index(asked[scopes.index("release")])
    allowed = {"page.resolved", "override.expired", "command.refused", "release.assessed"}
    assert set(names(log[at + 1 :])) <= allowed
    assert all(one.at_ms <= log[at].at_ms or one.type in (Type.COMMAND_REFUSED, Type.RELEASE_ASSESSED,
               Type.PAGE_RESOLVED) for one in log[at + 1 :])  # fmt: skip


@settings(LAWS, max_examples=80)
@given(budgets(), STEPS, st.booleans())
def test_what_no_evaluator_ever_does(watched: Budget, steps: list[tuple[str, Any]], live: bool) -> None:
    drive = _played(watched, steps, live=live)
    stage = drive.stage()
    drive.note(drive.evaluator.finish(drive.now, 0, complete=False))
    _once(drive.log)
    _pages(drive.log)
    _overrides(drive.log)
    _requests(drive.log, stage)
    assert names(drive.log).count("release.assessed") == 1


@settings(LAWS, max_examples=40)
@given(budgets(), STEPS, st.booleans())
def test_with_the_breaker_open_only_a_person_rolls_back(
    watched: Budget, steps: list[tuple[str, Any]], live: bool
) -> None:
    drive = _played(watched, steps, live=live, in_storm=True)
    asked = [one for one in drive.log if one.type is Type.ROLLBACK_REQUESTED]
    assert {one.data["reason"] for one in asked} <= {"commander"}
    pages = [one for one in drive.log if one.data.get("reason") == "rollback_storm"]
    assert all(one.data["deadline"] is None for one in pages if one.type is Type.PAGE_OPENED)
    _once(drive.log)
    _pages(drive.log)
    _requests(drive.log, drive.stage())


def test_what_was_paged_before_the_storm_is_paged_again_under_an_id_of_its_own() -> None:
    """An incident's page asked for an answer; that a rollback was withheld since is news, and an event of its own."""
    steps: list[tuple[str, Any]] = [
        ("ticks", (2, GOOD, GOOD)),
        ("incident", (0, False)),
        ("budget", budget(incidents(literal=True), tier_a=TierAction.AUTO_ROLLBACK, digest="1" * 64)),
        ("incident", (1, False)),
    ]
    drive = _played(budget(incidents(), tier_a=TierAction.PAGE), steps, in_storm=True)
    pages = [one for one in drive.log if one.type is Type.PAGE_OPENED]
    assert [one.data["reason"] for one in pages] == ["immediate", "rollback_storm"]
    assert pages[0].data["page_id"] == pages[1].data["page_id"]
    _once(drive.log)


@settings(LAWS, max_examples=40)
@given(budgets((Mode.OBSERVE,)), steps_with(Mode.OBSERVE), st.booleans())
def test_who_only_observes_asks_nobody_for_anything(
    watched: Budget, steps: list[tuple[str, Any]], live: bool
) -> None:
    """Whatever people order: no flag is to be turned and nobody to be told."""
    drive = _played(watched, steps, live=live)
    allowed = {"decision.observed", "breach.started", "breach.cleared", "override.created", "override.expired",
               "command.refused", "release.assessed"}  # fmt: skip
    assert set(names(drive.log)) <= allowed
    _once(drive.log)
    as_it_would_be = [as_if(one) for one in drive.log]
    _pages(as_it_would_be)
    asked = [one for one in as_it_would_be if one.type is Type.ROLLBACK_REQUESTED]
    scopes = [str(one.data["cohort"]) if one.data["scope"] == "cohort" else "release" for one in asked]
    assert len(set(scopes)) == len(scopes), "what would be rolled back is said once"
    assert drive.stage() is not Stage.LOCKED


@settings(LAWS, max_examples=40)
@given(budgets((Mode.PAGE,)), steps_with(Mode.PAGE), st.booleans())
def test_where_people_are_only_asked_nothing_rolls_back_without_them(
    watched: Budget, steps: list[tuple[str, Any]], live: bool
) -> None:
    drive = _played(watched, steps, live=live)
    asked = [one for one in drive.log if one.type is Type.ROLLBACK_REQUESTED]
    assert {one.data["reason"] for one in asked} <= {"commander"}
    assert not [one for one in drive.log if one.data.get("on_silence") == "rollback"]
    _once(drive.log)
    _pages(drive.log)
    _requests(drive.log, drive.stage())


@settings(LAWS, max_examples=40)
@given(budgets((Mode.AUTO,)), st.lists(st.tuples(st.integers(1, 7), ARMS, ARMS), min_size=4, max_size=25))
def test_who_observes_says_what_auto_would_have_done(
    watched: Budget, minutes: list[tuple[Any, Any, Any]]
) -> None:
    """Up to the rollback, both say the same at the same ticks; then one of them goes on being served."""
    auto, observing = Drive(watched), Drive(replace(watched, mode=Mode.OBSERVE))
    for lasts, overall, acme in minutes:
        arms = ({OVERALL: overall, ACME: acme}, {OVERALL: GOOD, ACME: GOOD})
        for drive in (auto, observing):
            drive.run(lasts, *arms)
    done = _until_requested(one for one in auto.log if one.type is not Type.DEBT_CREATED)
    would = _until_requested(as_if(one) for one in observing.log)
    assert [(one.type, one.decision_id, one.at_ms) for one in would] == [
        (one.type, one.decision_id, one.at_ms) for one in done
    ]


def _until_requested(log: Iterable[Decision]) -> list[Decision]:
    """Return what is said up to the first rollback, of a cohort or of the release; it also ends its tick."""
    known = list(log)
    first = next((at for at, one in enumerate(known) if one.type is Type.ROLLBACK_REQUESTED), len(known) - 1)
    return known[: first + 1]
