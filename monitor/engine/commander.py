"""The commander's book of one armed release: open pages, overrides in force, and what silence means.

Every method takes event time and returns the decisions it leads to; the order of calls is the evaluator's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from monitor.core.budget import Budget, Mode, Objective, OnSilence
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.decision import AFTER_ROLLBACK, Action, Decision, Reason, Type
from monitor.core.ids import decision_id
from monitor.core.ladder import as_observed
from monitor.core.moment import rfc3339
from monitor.core.override import Override
from monitor.core.page import Page, clock_of
from monitor.core.record import Arming, Finding, finding_data, release_data, said_again, whole_data

# Objective (None: the release as a whole), slice, and what it is about (BREACH for every breach).
PageKey = tuple[str | None, CohortKey, Reason]
_ABOUT_BREACH: Final = frozenset(
    {
        Reason.BREACH,
        Reason.CUMULATIVE,
        Reason.INSUFFICIENT_EVIDENCE,
        Reason.TRAFFIC_SPLIT,  # of an objective: a rollback that is withheld
        Reason.BOTH_DEGRADED,
        Reason.ROLLBACK_STORM,
    }
)


@dataclass(frozen=True, slots=True)
class Silence:
    """A page ran out: the page, what the objective shows, and whether silence means rollback."""

    page: Page
    rolls_back: bool


class Commander:
    """Pages and overrides of one arming."""

    def __init__(self, budget: Budget, arming: Arming, *, delivered_when_opened: bool) -> None:
        self.budget = budget
        self._arming = arming
        self._delivered_when_opened = delivered_when_opened
        self.pages: dict[PageKey, Page] = {}
        self.overrides: list[Override] = []
        self._deliveries: dict[str, int] = {}

    def open_page(
        self,
        finding: Finding,
        reason: Reason,
        episode_ms: int,
        at_ms: int,
        text: str,
        *,
        about: Reason | None = None,
    ) -> list[Decision]:
        """Open a page, or reopen the one this breach had within the last six hours.

        Args:
            about: What the page is about, where that is not what its reason says: the breach, or the reason itself.
        """
        objective = finding.objective
        clock_ms = None if finding.only_pages else clock_of(self.budget, objective, reason)
        about = about or (Reason.BREACH if reason in _ABOUT_BREACH else reason)
        key: PageKey = (objective.objective_id, finding.view, about)
        page = self._opened(key, reason, episode_ms, at_ms, clock_ms)
        if page is None:
            return []
        data = finding_data(
            self.budget,
            self._arming,
            finding,
            action=Action.PAGE,
            reason=reason,
            at_ms=at_ms,
            summary=text,
            deadline_ms=None if clock_ms is None else at_ms + clock_ms,
        )
        on_silence = None if clock_ms is None else self.budget.silence.value
        return [self._asked(key, {**data, "page_id": page.page_id, "on_silence": on_silence}, at_ms)]

    def open_release_page(
        self,
        reason: Reason,
        at_ms: int,
        text: str,
        *,
        cohort: CohortKey = OVERALL,
        more: Mapping[str, object] | None = None,
    ) -> list[Decision]:
        """Open a page about the release as a whole, or reopen it; it asks nothing and never runs out.

        Args:
            cohort: The part of the release that it is about.
            more: What its event says besides.
        """
        key: PageKey = (None, cohort, reason)
        page = self._opened(key, reason, at_ms, at_ms, None)
        if page is None:
            return []
        data = whole_data(self.budget, self._arming, Action.PAGE, reason, at_ms, text)
        data |= {"cohort": dict(cohort), "page_id": page.page_id, "on_silence": None, **(more or {})}
        return [self._asked(key, data, at_ms)]

    def ask_again(self, key: PageKey, at_ms: int) -> Decision:
        """Ask an open page anew, with what was said of it, as the budget means it now; its clock starts again."""
        page = self.pages[key]
        event_id = self._id(Type.PAGE_OPENED, f"{page.event_id}/again", key[1], at_ms)
        page = page.reopened(event_id, page.reason, at_ms, at_ms, page.clock_ms)
        self.pages[key] = page.delivered(at_ms) if self._is_told_at_once else page
        data = {
            **page.said,
            **release_data(self.budget, self._arming),
            "decided_at": rfc3339(at_ms),
            "deadline": None if page.deadline_ms is None else rfc3339(page.deadline_ms),
            "on_silence": None if page.clock_ms is None else self.budget.silence.value,
        }
        return self._asked(key, data, at_ms)

    def _asked(self, key: PageKey, data: Mapping[str, object], at_ms: int) -> Decision:
        """Return the event that opens a page."""
        self.pages[key] = page = self.pages[key].asked(data)
        return self._let_out(
            page, Decision(Type.PAGE_OPENED, page.event_id, self.budget.release, at_ms, data)
        )

    def _let_out(self, page: Page, decision: Decision) -> Decision:
        """Return an event of a page as the budget's mode lets it out."""
        return decision if self.is_told(page) else as_observed(decision)

    def is_told(self, page: Page) -> bool:
        """Tell whether people hear of a page: while a budget only observes, of what a real rollback led to alone."""
        return self.budget.mode is not Mode.OBSERVE or page.reason in AFTER_ROLLBACK

    @property
    def _is_told_at_once(self) -> bool:
        """Tell whether a page's clock starts as it is opened: where nobody is told, nobody has to be waited for."""
        return self._delivered_when_opened or self.budget.mode is Mode.OBSERVE

    def _opened(
        self, key: PageKey, reason: Reason, episode_ms: int, at_ms: int, clock_ms: int | None
    ) -> Page | None:
        """Put a page into the book; None where it is there already."""
        objective_id, view, _ = key
        known = self.pages.get(key)
        # A page about minutes that add up becomes the breach's own page, with its clock, when it is sustained.
        is_news = known is None or not known.is_open or (known.clock_ms is None and clock_ms is not None)
        # That a rollback did not happen is said, whatever was said of the breach before.
        is_news |= reason is Reason.ROLLBACK_STORM and known is not None and known.reason is not reason
        if not is_news:
            return None
        if known is not None and known.episode_ms >= episode_ms:
            # Asked again about the same breach, after an override say: that is an event of its own.
            episode_ms = at_ms
        event_id = self._id(Type.PAGE_OPENED, objective_id, view, episode_ms)
        if known is not None and (known.is_open or known.can_reopen(at_ms)):
            page = known.reopened(event_id, reason, at_ms, episode_ms, clock_ms)
        else:
            page = Page(event_id, event_id, objective_id, view, reason, episode_ms, at_ms, clock_ms)
        delivered_ms = at_ms if self._is_told_at_once else self._deliveries.get(event_id)
        if delivered_ms is not None:
            page = page.delivered(delivered_ms)
        self.pages[key] = page
        return page

    def _id(self, type_: Type, objective_id: str | None, view: CohortKey, start_ms: int) -> str:
        return decision_id(
            type_.value, self.budget.release, self._arming.number, objective_id, dict(view), start_ms
        )

    def page_event(
        self,
        type_: Type,
        page: Page,
        at_ms: int,
        reason: Reason,
        text: str,
        *,
        of: str | None = None,
        **more: object,
    ) -> Decision:
        """Return an event about a page that exists, with the numbers it was opened with.

        Args:
            of: What names the event where a page's episode has several of its type.
        """
        data = {
            **release_data(self.budget, self._arming),
            "page_id": page.page_id,
            **said_again(page.said),
            "objective": page.objective_id,
            "cohort": dict(page.cohort),
            "reason": reason.value,
            "decided_at": rfc3339(at_ms),
            "deadline": None if page.deadline_ms is None else rfc3339(page.deadline_ms),
            "summary": text,
            **more,
        }
        objective = page.objective_id if of is None else f"{page.event_id}/{of}"
        event_id = self._id(type_, objective, page.cohort, page.episode_ms)
        return self._let_out(page, Decision(type_, event_id, self.budget.release, at_ms, data))

    def resolve(
        self,
        objective_id: str | None,
        view: CohortKey,
        at_ms: int,
        reason: Reason,
        text: str,
        *,
        about: Reason | None = None,
    ) -> list[Decision]:
        """Resolve the open pages of one objective and slice; with `about`, only the one about that."""
        return self._resolve_if(
            lambda key, _: key[:2] == (objective_id, view) and about in (None, key[2]), at_ms, reason, text
        )

    def resolve_slice(self, cohort: CohortKey, at_ms: int, reason: Reason, text: str) -> list[Decision]:
        """Resolve the open pages about a cohort or a slice of it."""
        return self._resolve_if(lambda key, _: set(cohort) <= set(key[1]), at_ms, reason, text)

    def settle(self, page_id: str, at_ms: int, text: str) -> list[Decision]:
        """Resolve a page at the commander's word, if it is still open."""
        return self._resolve_if(lambda _, page: page.page_id == page_id, at_ms, Reason.COMMANDER, text)

    def answered(
        self,
        override: Override,
        deltas: Mapping[tuple[str | None, CohortKey], float | None],
        at_ms: int,
        text: str,
    ) -> list[Decision]:
        """Resolve the pages whose question an override answers: those with a clock whose rollback it holds."""
        objectives = {one.objective_id: one for one in self.budget.objectives}

        def is_answered(key: PageKey, page: Page) -> bool:
            objective = objectives.get(key[0] or "")
            if objective is None or page.clock_ms is None:
                return False
            return override.holds(objective, deltas.get(key[:2]))

        return self._resolve_if(is_answered, at_ms, Reason.COMMANDER, text)

    def close(self, at_ms: int, reason: Reason, text: str) -> list[Decision]:
        """Resolve every open page and end every override: there is nothing left to decide.

        A rollback that did not take effect outlasts the window.
        """
        ended = [
            self._end(index, at_ms, reason, text)
            for index, one in enumerate(self.overrides)
            if one.ended_ms is None
        ]
        stays = AFTER_ROLLBACK if reason is Reason.WINDOW_ENDED else frozenset()
        return [*self._resolve_if(lambda key, _: key[2] not in stays, at_ms, reason, text), *ended]

    def _resolve_if(
        self, is_meant: Callable[[PageKey, Page], bool], at_ms: int, reason: Reason, text: str
    ) -> list[Decision]:
        return [
            self._resolved(key, page, at_ms, reason, text)
            for key, page in list(self.pages.items())
            if page.is_open and is_meant(key, page)
        ]

    def _resolved(self, key: PageKey, page: Page, at_ms: int, reason: Reason, text: str) -> Decision:
        # A page that an incident opened may lie ahead of the tick that closes it.
        at_ms = max(at_ms, page.opened_ms)
        self.pages[key] = page.resolved(at_ms, text if reason is Reason.COMMANDER else None)
        return self.page_event(Type.PAGE_RESOLVED, page, at_ms, reason, text)

    def is_due(self, at_ms: int) -> bool:
        """Tell whether a page runs out at this tick, unless somebody has decided meanwhile."""
        return any(page.is_due(at_ms) for page in self.pages.values())

    def expire_due(self, at_ms: int, waits: Callable[[Page], bool]) -> tuple[list[Decision], list[Silence]]:
        """Expire the pages whose deadline has come, but those that wait: whoever asks says which."""
        decisions, silences = [], []
        for key, page in list(self.pages.items()):
            if not page.is_due(at_ms) or waits(page):
                continue
            self.pages[key] = expired = page.expired(at_ms)
            rolls_back = self.budget.silence is OnSilence.ROLLBACK
            outcome = "the release rolls back" if rolls_back else "the release is held as it is"
            text = f"nobody decided within {self.budget.decide_within_min} min: {outcome}"
            decisions.append(self.page_event(Type.PAGE_EXPIRED, expired, at_ms, Reason.EXPIRED, text))
            silences.append(Silence(expired, rolls_back))
        return decisions, silences

    @property
    def is_overridden(self) -> bool:
        """Tell whether any override is in force."""
        return any(one.ended_ms is None for one in self.overrides)

    def held_by(self, objective: Objective, delta: float | None) -> Override | None:
        """Return the override that holds this objective's rollback back, if one does."""
        return next((one for one in self.overrides if one.holds(objective, delta)), None)

    def add_override(self, override: Override, at_ms: int, text: str) -> Decision:
        """Put an override into force."""
        self.overrides.append(override)
        return self._override_event(Type.OVERRIDE_CREATED, override, at_ms, Reason.COMMANDER, text)

    def end_overrides(self, at_ms: int) -> list[tuple[Override, Decision]]:
        """End the overrides whose time is up."""
        text = "the override's time is up: the rule decides again"
        return [
            (one, self._end(index, at_ms, Reason.EXPIRED, text))
            for index, one in enumerate(self.overrides)
            if one.ended_ms is None and one.is_over(at_ms)
        ]

    def end_continued(self, objective_id: str, at_ms: int) -> list[Decision]:
        """End the open-ended overrides of an objective that has cleared."""
        return [
            self._end(index, at_ms, Reason.RECOVERED, "the breach it held back has cleared")
            for index, one in enumerate(self.overrides)
            if one.ended_ms is None and one.until_ms is None and one.objective_id == objective_id
        ]

    def _end(self, index: int, at_ms: int, reason: Reason, text: str) -> Decision:
        self.overrides[index] = ended = self.overrides[index].ended(at_ms)
        return self._override_event(Type.OVERRIDE_EXPIRED, ended, at_ms, reason, text)

    def _override_event(
        self, type_: Type, override: Override, at_ms: int, reason: Reason, text: str
    ) -> Decision:
        data = {
            **release_data(self.budget, self._arming),
            "override_id": override.override_id,
            "objective": override.objective_id,
            "until": None if override.until_ms is None else rfc3339(override.until_ms),
            "limit": override.limit,
            "author": override.author,
            "reason": reason.value,
            "note": override.reason,
            "decided_at": rfc3339(at_ms),
            "summary": text,
        }
        event_id = self._id(type_, override.objective_id, OVERALL, override.from_ms)
        return Decision(type_, event_id, self.budget.release, at_ms, data)

    def delivered(self, event_id: str, at_ms: int) -> None:
        """Note that a `page.opened` reached a person, whether the page is known here yet or not."""
        self._deliveries.setdefault(event_id, at_ms)
        for key, page in self.pages.items():
            if page.event_id == event_id:
                self.pages[key] = page.delivered(at_ms)

    def acknowledge(self, page_id: str, at_ms: int) -> bool:
        """Note that a person has seen a page; False where no such page is open."""
        return self._update(page_id, lambda page: page.acknowledged(at_ms))

    def extend(self, page_id: str, total_ms: int) -> bool:
        """Give a page so much more time in all; False where no such page is open."""
        return self._update(page_id, lambda page: page.extended_to(total_ms))

    def answer_to(self, page_id: str | None) -> Page | None:
        """Return the page of this id if a person's answer has closed it."""
        closed = (page for page in self.pages.values() if page.page_id == page_id)
        return next((page for page in closed if not page.is_open and page.answer), None)

    def _update(self, page_id: str, change: Callable[[Page], Page]) -> bool:
        for key, page in self.pages.items():
            if page.page_id == page_id and page.is_open:
                self.pages[key] = change(page)
                return True
        return False

    def meant(self, page_id: str | None, objective_id: str | None) -> list[Page]:
        """Return the open pages that an id, an objective, or neither can mean."""
        return [
            page
            for page in self.pages.values()
            if page.is_open
            and (page_id is None or page.page_id == page_id)
            and (objective_id is None or page.objective_id == objective_id)
        ]

    def find(self, page_id: str | None, objective_id: str | None) -> Page | None:
        """Return the one open page meant by an id, an objective, or by being the only one."""
        pages = self.meant(page_id, objective_id)
        return pages[0] if len(pages) == 1 else None

    def rearm(self, budget: Budget) -> None:
        """Go on under a changed budget: pages and overrides stay."""
        self.budget = budget
