"""The items of the checklist that go by the installation: they are answered for a budget with errors, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from monitor.core.checklist_facts import Facts, Unseen
from monitor.core.checklist_seen import ItemId, Seen, State, any_of, listed

OfInstallation: TypeAlias = Callable[[Facts], Seen]

_SEEN: Final = {True: State.READY, False: State.GAP, None: State.UNKNOWN}


def _loads(facts: Facts) -> Seen:
    if facts.budget is None:
        count = f"{len(facts.errors)} error{'s' * (len(facts.errors) != 1)}"
        return Seen(State.GAP, f"{count}: {listed(facts.errors)}", facts.validate_command)
    warned = f", {len(facts.warnings)} warning{'s' * (len(facts.warnings) != 1)}" if facts.warnings else ""
    return Seen(State.READY, f"{facts.file}: no error{warned}, digest {facts.budget.digest[:12]}")


def _pager(facts: Facts) -> Seen:
    found = facts.pagers
    if isinstance(found, Unseen):
        return Seen.unseen(found)
    if not found:
        words = "pages are only written to the worker's log: nobody is woken"
        return Seen(
            State.GAP, words, "ROLLBACK_BUDGET_PAGERDUTY_ROUTING_KEY, or the settings of another pager"
        )
    state = any_of([_SEEN[one.answers] for one in found])
    return Seen(state, listed([f"{one.name}: {one.words}" for one in found]), "rollback-budget doctor")


def _live(facts: Facts) -> Seen:
    return Seen.told(facts.sight, "rollback-budget status")


def _watcher(facts: Facts) -> Seen:
    if facts.has_switch:
        return Seen(State.READY, "watch_ping_url is set: it is asked for while, and only while, all is well")
    words = "no watch_ping_url in these settings; a watcher with settings of its own cannot be seen from here"
    return Seen(State.UNKNOWN, words, "ROLLBACK_BUDGET_WATCH_PING_URL, and rollback-budget watch")


def _breaker(facts: Facts) -> Seen:
    return Seen.told(facts.breaker, 'rollback-budget close-breaker --reason "..."')


OF_INSTALLATION: Final[Mapping[ItemId, OfInstallation]] = {
    ItemId.LOADS: _loads,
    ItemId.PAGER: _pager,
    ItemId.LIVE: _live,
    ItemId.WATCHER: _watcher,
    ItemId.BREAKER: _breaker,
}
