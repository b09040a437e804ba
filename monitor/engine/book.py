"""What every instance knows of the control topics: the ledger, the budgets, the commands not yet answered."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from monitor.core.budget import Budget, Scope
from monitor.core.decision import Decision, Type
from monitor.core.storm import StormRecord
from monitor.engine.act_events import follow_up_id
from monitor.engine.ports import LedgerEntry

CLOSE_DEBT = "close_debt"  # the one command that is about no arming: a worker answers it at any time
COMMANDS_MAX = 10_000  # unanswered commands remembered; more is counted as dropped and said


@dataclass(frozen=True, slots=True)
class Command:
    """A person's instruction, as read from the commands topic.

    Attributes:
        kind: `decide`, `override`, `acknowledge`, `extend`, `arm`, `disarm`, `close_breaker`, `close_debt` or `assess`.
        decision: `rollback` or `continue`, for `decide`.
        at_ms: Its record time, in event time.
        by_min: Minutes that `extend` asks for.
        stage: What `assess` is asked at the end of.
        signed: Whether its author is known by a key; None where no key is known here to tell by.
        fault: Why it is not to be obeyed, whatever it asks, as a code and in words: it is not its author's.
    """

    kind: str
    command_id: str
    release: str
    author: str
    reason: str
    at_ms: int
    decision: str | None = None
    page_id: str | None = None
    objective: str | None = None
    until_ms: int | None = None
    limit: float | None = None
    by_min: int | None = None
    signed: bool | None = None
    fault: tuple[str, str] | None = None
    debt_id: str | None = None
    evaluation: str | None = None
    stage: str | None = None


class LedgerBook:
    """The ledger in memory, by decision id and by release.

    Attributes:
        storm: What it says of automatic rollbacks.
    """

    def __init__(self) -> None:
        self._entries: dict[str, LedgerEntry] = {}
        self._by_release: dict[str, dict[str, None]] = {}
        self._answers: dict[str, dict[str, None]] = {}
        self.storm = StormRecord()

    def note(self, entry: LedgerEntry) -> None:
        """Take in an entry; a published one is never forgotten to be published."""
        if entry.command_id:
            self._answers.setdefault(entry.command_id, {})[entry.decision.decision_id] = None
        self.storm.note(entry.decision)
        known = self._entries.get(entry.decision.decision_id)
        if known is not None and known.is_published and not entry.is_published:
            return
        self._entries[entry.decision.decision_id] = entry
        self._by_release.setdefault(entry.decision.release, {})[entry.decision.decision_id] = None

    def get(self, decision_id: str) -> LedgerEntry | None:
        """Return an entry by its decision id."""
        return self._entries.get(decision_id)

    def is_answered(self, command_id: str) -> bool:
        """Tell whether a command already led to an entry."""
        return command_id in self._answers

    def answers(self, command_id: str) -> list[Decision]:
        """Return the decisions that a command led to, as far as they are known; a refusal is one."""
        return [self._entries[one].decision for one in self._answers.get(command_id, ())]

    def entries(self) -> Collection[LedgerEntry]:
        """Return all there is."""
        return self._entries.values()

    def of(self, release: str) -> Iterator[LedgerEntry]:
        """Yield a release's entries, in the order they were first seen."""
        return (self._entries[one] for one in self._by_release.get(release, ()))

    def arming(self, release: str) -> LedgerEntry | None:
        """Return the release's newest arming."""
        armings = (one for one in self.of(release) if one.decision.type is Type.ARMING_CREATED)
        return max(armings, key=arming_number, default=None)

    def of_arming(self, release: str, number: int) -> list[LedgerEntry]:
        """Return a release's entries of one arming, and when people were told of its pages."""
        return [one for one in self.of(release) if arming_number(self._cause(one)) == number]

    def _cause(self, entry: LedgerEntry) -> LedgerEntry:
        """Return the entry that a delivery is about; a delivery names its page's event and no arming."""
        if entry.decision.type is not Type.PAGE_DELIVERED:
            return entry
        return self._entries.get(str(entry.decision.data.get("event_id")), entry)

    def is_armed(self, release: str) -> bool:
        """Tell whether a release has an arming that nothing has ended."""
        last = self.arming(release)
        if last is None:
            return False
        entries = self.of_arming(release, arming_number(last))
        return not any(one.decision.type is Type.ARMING_ENDED for one in entries)

    def armed(self) -> list[str]:
        """Return the releases that a worker has to watch by the ledger: armed, not ended, and not rolled back."""
        return sorted(
            release
            for release in self._by_release
            if self.is_armed(release) and not self._is_done(self.arming(release))
        )

    def _is_done(self, last: LedgerEntry | None) -> bool:
        number = 0 if last is None else arming_number(last)
        return last is None or any(
            (
                one.decision.type is Type.ROLLBACK_REQUESTED
                and one.decision.data.get("scope") != Scope.COHORT.value
            )
            or (one.decision.type is Type.RELEASE_ASSESSED and one.decision.data.get("complete") is True)
            for one in self.of_arming(last.decision.release, number)
        )

    def is_over_for(self, last: LedgerEntry, digest: str) -> bool:
        """Tell whether the last arming is over and a budget of this digest was never loaded: then it arms anew."""
        release, number = last.decision.release, arming_number(last)
        digests, over = set(), False
        for one in self.of(release):
            decision = one.decision
            if decision.type in (Type.ARMING_CREATED, Type.BUDGET_CHANGED):
                digests.add(decision.data["budget_digest"])
            if arming_number(one) == number:
                is_cohort = decision.data.get("scope") == Scope.COHORT.value
                if decision.type is Type.ROLLBACK_REQUESTED and not is_cohort:
                    return False
                complete = decision.data.get("complete") is True
                over |= decision.type is Type.ARMING_ENDED
                over |= decision.type is Type.RELEASE_ASSESSED and complete
        return over and digest not in digests

    def without_effect(self, since_ms: int) -> list[LedgerEntry]:
        """Return the published requests and pages of each release's newest arming that nobody is known to have heard
        of, and the requests whose flag is not known to be turned.

        Args:
            since_ms: Older ones are left to people: by now a flag may be about another release.
        """
        newest = {release: self.arming(release) for release in self._by_release}
        closed_ms = {
            entry.decision.data.get("page_id"): entry.decision.at_ms
            for entry in self._entries.values()
            if entry.decision.type is Type.PAGE_RESOLVED
        }
        return [
            entry
            for entry in self._entries.values()
            if entry.is_published
            and entry.decision.at_ms >= since_ms
            and (last := newest[entry.decision.release]) is not None
            and arming_number(entry) == arming_number(last)
            and closed_ms.get(entry.decision.data.get("page_id"), 0) <= entry.decision.at_ms
            and self._lacks_effect(entry)
        ]

    def _lacks_effect(self, entry: LedgerEntry) -> bool:
        decision = entry.decision
        if decision.type not in (Type.ROLLBACK_REQUESTED, Type.PAGE_OPENED):
            return False
        wanted = [Type.PAGE_DELIVERED]
        if decision.type is Type.ROLLBACK_REQUESTED and decision.data.get("flag"):
            wanted.append(Type.ROLLBACK_APPLIED)
        return any(self.get(follow_up_id(kind, decision.decision_id)) is None for kind in wanted)

    def unpublished(self, release: str) -> list[LedgerEntry]:
        """Return the outbox of a release: what is decided and not known to be published."""
        return [one for one in self.of(release) if not one.is_published]


def arming_number(entry: LedgerEntry) -> int:
    """Return the number of the arming an entry belongs to."""
    number = entry.decision.data.get("arming", 0)
    return number if isinstance(number, int) else 0


class BudgetBook:
    """The budgets in force: of one release at most one, the topic's before a file's."""

    def __init__(self, files: Iterable[Budget] = ()) -> None:
        self._files = {budget.release: budget for budget in files}
        self._topic: dict[str, Budget] = {}
        self._removed: set[str] = set()
        self._in_force: Mapping[str, Budget] | None = (
            None  # put together when it is asked for: many come at a start
        )

    def put(self, budget: Budget) -> bool:
        """Take a budget from the topic; True where it displaces a file's."""
        self._topic[budget.release] = budget
        self._removed.discard(budget.release)
        self._in_force = None
        return budget.release in self._files

    def remove(self, release: str) -> None:
        """Take a tombstone from the topic: the release is disarmed, a file's budget included."""
        self._topic.pop(release, None)
        self._removed.add(release)
        self._in_force = None

    @property
    def in_force(self) -> Mapping[str, Budget]:
        """The budgets in force, by release, sorted; the same object until one changes."""
        if self._in_force is None:
            both = {**self._files, **self._topic}
            self._in_force = {one: both[one] for one in sorted(both) if one not in self._removed}
        return self._in_force

    def digest(self, release: str) -> str | None:
        """Return the digest of the release's budget in force; None where there is none."""
        budget = self.in_force.get(release)
        return None if budget is None else budget.digest

    def removed(self) -> frozenset[str]:
        """Return the releases that a tombstone disarmed."""
        return frozenset(self._removed)


class CommandBook:
    """The commands read so far that no ledger entry answers yet; bounded, the oldest go first."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}
        self.dropped = 0

    def note(self, command: Command) -> None:
        """Remember a command; a repeat of its id changes nothing."""
        self._commands.setdefault(command.command_id, command)
        while len(self._commands) > COMMANDS_MAX:
            del self._commands[next(iter(self._commands))]
            self.dropped += 1

    def releases(self) -> set[str]:
        """Return the releases that remembered commands name."""
        return {one.release for one in self._commands.values()}

    def waiting(self, release: str, ledger: LedgerBook) -> list[Command]:
        """Return a release's unanswered commands in the order they came, but for `closings`."""
        self._forget_answered(ledger)
        return [one for one in self._commands.values() if one.release == release and one.kind != CLOSE_DEBT]

    def closings(self, ledger: LedgerBook) -> list[Command]:
        """Return the unanswered commands that close an eval debt, in the order they came."""
        if not any(one.kind == CLOSE_DEBT for one in self._commands.values()):
            return []
        self._forget_answered(ledger)
        return [one for one in self._commands.values() if one.kind == CLOSE_DEBT]

    def _forget_answered(self, ledger: LedgerBook) -> None:
        for done in [one for one in self._commands if ledger.is_answered(one)]:
            del self._commands[done]
