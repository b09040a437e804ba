"""The monitor's watch on itself: how well every partition is seen, by progress and in the log's own time.

A task of its own, so that a data plane or a control plane that hangs is seen from beside it. It looks at what
evaluators look at: the stored state. Nothing here decides about a release; it only says that nothing can be decided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from monitor.core.decision import EVERY_RELEASE
from monitor.core.rehearsal import is_rehearsal
from monitor.core.sight import AHEAD_MS, BLIND_MS, Cause, Facts, Sight, SightState, sign_of, step, worst
from monitor.engine.codec import Meta
from monitor.engine.control import Control
from monitor.engine.errors import StoreUnreachable
from monitor.engine.evaluate import Stage
from monitor.engine.feed import Feed
from monitor.engine.halts import WHY_MAX
from monitor.engine.herald import Blindness, Herald
from monitor.engine.log_time import speed_of
from monitor.engine.observer import Observer, Seen, Sighting
from monitor.engine.ports import Ledger, Outputs, Partition
from monitor.engine.tenure import Tenure
from monitor.engine.unapplied import unapplied_now

LOOK_S = 1.0  # between two looks
LOG_GRACE_MS = 5_000  # the log is asked for its time about once a flush; so much more is no outage


@dataclass(slots=True)
class _Watched:
    """What is remembered of a partition between two looks."""

    state: SightState
    moved_ms: int
    progress: tuple[int, int | None] | None = None
    highest_ms: int | None = None
    horizon_ms: int | None = None
    is_lost: bool = False
    ahead_since_ms: int | None = None

    def ahead_for(self, behind_ms: int, now_ms: int) -> int:
        """Return for how long it has been too far ahead of the log; one look may err, where a machine was asleep."""
        if behind_ms >= -AHEAD_MS:
            self.ahead_since_ms = None
            return 0
        if self.ahead_since_ms is None:
            self.ahead_since_ms = now_ms
        return now_ms - self.ahead_since_ms


class Lookout:
    """Looks at every partition, and lets people know when they are not seen."""

    def __init__(self, control: Control, feed: Feed, herald: Herald, observer: Observer) -> None:
        self._control = control
        self._feed = feed
        self._herald = herald
        self._observer = observer
        self._event_time = feed.event_time
        self._steady = feed.steady
        self._speed = speed_of(feed.event_time)
        # Being behind is measured from the last write: where writes are rare, it takes longer to be blind.
        self._slack_ms = 2 * max(0, round(feed.interval_s * 1000) - 1_000)
        self._began_ms = feed.steady.now_ms()
        self._store_away_ms: int | None = None
        self._store_why = ""
        self._watched: dict[Partition, _Watched] = {}
        self.sighting: Sighting | None = None

    async def look(self) -> None:
        """Look once, and tell what has changed.

        Raises:
            LogUnreachable: It could not be told; the next look tries again.
        """
        now_ms = self._steady.now_ms()
        try:
            view = await self._control.state.look()
        except StoreUnreachable as error:
            self._store_away_ms = self._store_away_ms or now_ms
            self._store_why = str(error)[:WHY_MAX]
        else:
            self._store_away_ms = None
            for partition, meta in zip(self._control.state.partitions(), view.metas, strict=False):
                self._note(partition, meta, now_ms)
        self.sighting = self._sighted(now_ms)
        self._observer.sighted(self.sighting)
        await self._tell(self.sighting)

    def _note(self, partition: Partition, meta: Meta | None, now_ms: int) -> None:
        """Take in how far a partition is; what is behind where it was seen before was lost."""
        watched = self._watched.get(partition)
        if watched is None:
            watched = self._watched[partition] = _Watched(SightState(Sight.LATE, now_ms), now_ms)
        horizon_ms = None if meta is None else meta.horizon_ms
        progress = None if meta is None else (meta.totals.records + meta.gaps + meta.base, horizon_ms)
        if progress != watched.progress:
            watched.progress, watched.moved_ms = progress, now_ms
        highest = watched.highest_ms
        watched.is_lost = horizon_ms is None or (highest is not None and horizon_ms < highest)
        if horizon_ms is not None:
            watched.horizon_ms = horizon_ms
            watched.highest_ms = horizon_ms if highest is None else max(highest, horizon_ms)

    def _log_now_ms(self, now_ms: int) -> int | None:
        """Return the log's time now, as event time; None where it was never heard."""
        heard = self._feed.log_time
        return None if heard is None else self._event_time(heard.log_ms + now_ms - heard.steady_ms)

    def _sighted(self, now_ms: int) -> Sighting:
        heard = self._feed.log_time
        since_ms = self._began_ms if heard is None else heard.steady_ms
        away_ms = now_ms - since_ms
        log_away_ms = away_ms if away_ms > LOG_GRACE_MS + self._slack_ms else 0
        store_away_ms = 0 if self._store_away_ms is None else max(1, now_ms - self._store_away_ms)
        log_now_ms = self._log_now_ms(now_ms)
        found: dict[Partition, Seen] = {}
        for partition in self._control.state.partitions():
            watched = self._watched.setdefault(partition, _Watched(SightState(Sight.LATE, now_ms), now_ms))
            behind_ms, ahead_ms = None, 0
            if watched.horizon_ms is not None and log_now_ms is not None:
                behind_ms = round((log_now_ms - watched.horizon_ms) / self._speed)
                ahead_ms = watched.ahead_for(behind_ms, now_ms)
                behind_ms = max(0, behind_ms)
            still_ms = now_ms - watched.moved_ms
            facts = Facts(behind_ms, still_ms, watched.is_lost, store_away_ms, log_away_ms, ahead_ms)
            sign = sign_of(facts, blind_ms=BLIND_MS + self._slack_ms)
            watched.state = step(watched.state, sign, at_ms=now_ms)
            found[partition] = Seen(watched.state, behind_ms)
        halts = self._control.halts.all().values()
        overall = worst([*(one.state for one in found.values()), *(one.state for one in halts)])
        releases = self._releases(worst(one.state for one in found.values()))
        unread, owned = self._feed.unread, len(self._feed.ingests)
        return Sighting(now_ms, found, overall, releases, unread, owned, self._modes(), self._open_pages())

    def _releases(self, seen: SightState | None) -> Mapping[str, int]:
        """Count the releases evaluated here by what they are doing."""
        counts: Counter[str] = Counter()
        for release, live in self._control.live.items():
            if live.evaluator.progress.stage is Stage.LOCKED:
                counts["locked"] += 1
            elif self._control.halts.get(release) is not None or (seen and seen.sight is Sight.BLIND):
                counts["blind"] += 1
            elif seen and seen.sight is Sight.REBUILDING:
                counts["rebuilding"] += 1
            elif live.evaluator.progress.stage is not Stage.ENDED:
                counts["armed"] += 1
        return counts

    def _modes(self) -> Mapping[str, int]:
        """Count the releases watched here by how far their budgets may go."""
        watched = (one.evaluator for one in self._control.live.values() if not one.evaluator.is_over)
        return Counter(one.budget.mode.value for one in watched)

    def _open_pages(self) -> int:
        """Count the pages that people have about the releases evaluated here; a drill's are none."""
        live = self._control.live.items()
        evaluators = [one.evaluator for release, one in live if not is_rehearsal(release)]
        desks = [one.commander for one in evaluators]
        locked = [one.budget.release for one in evaluators if one.progress.stage is Stage.LOCKED]
        asked = sum(page.is_open and desk.is_told(page) for desk in desks for page in desk.pages.values())
        return asked + sum(len(unapplied_now(self._control.book, release)) for release in locked)

    async def _tell(self, sighting: Sighting) -> None:
        now_ms = self._log_now_ms(sighting.at_ms)
        if now_ms is None:
            return  # the log was never heard, so nothing can be told on it
        is_seen = all(seen.state.sight is Sight.LIVE for seen in sighting.partitions.values())
        budgets = self._control.budgets.in_force
        await self._herald.tell(EVERY_RELEASE, self._blindness(sighting, now_ms), now_ms, is_seen=is_seen)
        await self._herald.call_again(EVERY_RELEASE, budgets, now_ms)
        for release, halt in self._control.halts.all().items():
            blindness = Blindness(Cause.DEFECT, halt.at_ms, [release], (), halt.why)
            await self._herald.tell(release, blindness, now_ms, is_seen=False)
            await self._herald.call_again(release, budgets, now_ms)
        for release in sorted(self._control.halts.fine):
            await self._herald.tell(release, None, now_ms, is_seen=True)
            if (
                release not in self._control.live
            ):  # given up, because its budget is withdrawn: that is told too
                self._control.halts.forget(release)

    def _blindness(self, sighting: Sighting, now_ms: int) -> Blindness | None:
        """Return what people have to hear of the partitions."""
        blind = {
            partition: seen.state
            for partition, seen in sighting.partitions.items()
            if seen.state.is_blind(sighting.at_ms)
        }
        chief = worst(blind.values())
        if chief is None or chief.cause is None:
            return None
        horizons = [self._watched[one].highest_ms for one in blind]
        since_ms = min((one for one in horizons if one is not None), default=now_ms)
        names = [f"{one.topic}/{one.number}" for one in sorted(blind)]
        detail = f"{len(blind)} of {len(sighting.partitions)} partitions"
        if chief.cause is Cause.REDIS and self._store_why:
            detail += f"; {self._store_why}"
        return Blindness(chief.cause, since_ms, self._concerned(), names, detail)

    def _concerned(self) -> list[str]:
        """Return the releases that a budget in force watches and that are armed."""
        active = self._control.budgets.in_force
        return [release for release in self._control.book.armed() if release in active]


def lookout_over(
    control: Control, feed: Feed, ledger: Ledger, outputs: Outputs, tenure: Tenure, observer: Observer
) -> Lookout:
    """Return the lookout of one instance, with its herald."""
    speed, book = speed_of(feed.event_time), control.book
    herald = Herald(ledger=ledger, outputs=outputs, book=book, tenure=tenure, observer=observer, speed=speed)
    return Lookout(control, feed, herald, observer)
