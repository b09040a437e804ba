"""The volumes: what each case does to real servers and workers, and what it finds.

A topic is filled first and recounted from the broker's files, so that workers always have work and the truth knows
nothing of them. Then they read it, as processes, while the case does its harm.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.performance.stage import forget, stage
from monitor.adapters.kafka.topics import DECISIONS, PAGES, REQUESTS
from tests.chaos.recount import SOME, Difference
from tests.chaos.segments import rows_of
from tests.chaos.volume_crew import SETTLE_S, WATCHED, Crew, Filled, Killer, Tell, filled
from tests.chaos.volume_traffic import Mixed

AS_CHAOS = {"SESSION_TIMEOUT_MS": "6000", "LEASE_TTL_MS": "3000", "FLUSH_INTERVAL_MS": "250"}
OF_THE_MONITOR = "dev.rollbackbudget.monitor."
REBUILT_WITHIN_S = 90.0
JUDGED_S = 15.0  # for what is rebuilt to be judged again, before decisions are looked at
COHORT_VALUES = 1_000_000, 1_000
COHORTS_MAX_MIB = 200.0


@dataclass(frozen=True)
class Asked:
    """How large it is to be; None for what the bar asks for.

    Attributes:
        watched: The dimensions of which kills and rebuild watch every value.
    """

    seed: int
    events: int | None = None
    kills: int | None = None
    watched: tuple[str, ...] = WATCHED


@dataclass
class Found:
    """What one case found.

    Attributes:
        seconds: What the target speaks of, where it speaks of time; else how long everything took to be stored.
        memory_mib: The most that one worker had.
        wrong: What broke the promise, in words.
    """

    case: str
    target: str
    events: int = 0
    kills: int = 0
    lost: int = 0
    double: int = 0
    seconds: float = 0.0
    memory_mib: float = 0.0
    note: str = ""
    wrong: list[str] = field(default_factory=list)

    def add(self, differs: Difference) -> None:
        """Add what is not exact."""
        self.lost += differs.lost
        self.double += differs.double
        self.wrong += differs.wrong

    def row(self) -> dict[str, Any]:
        """Return it as it is kept."""
        return {
            "case": self.case,
            "events": self.events,
            "kills": self.kills,
            "lost": self.lost,
            "double": self.double,
            "seconds": round(self.seconds, 1),
            "target": self.target,
            "memory MiB": round(self.memory_mib),
            "note": self.note,
            "wrong": self.wrong,
        }


def kills(asked: Asked, folder: Path | None, tell: Tell) -> Found:
    """Kill workers while they read."""
    events, count = asked.events or 10_000_000, 200 if asked.kills is None else asked.kills
    found = Found("worker kills", "0 lost, 0 double")
    with stage(folder) as here:
        there = filled(here, "volume.kills", Mixed(events, lead=f"k{asked.seed:x}"), tell)
        with Crew(here, there, "kills", 2, AS_CHAOS, tell, asked.watched) as crew:
            killer = Killer(Random(f"kills/{asked.seed}"), crew, there.records, count)
            found.seconds = crew.until_stored("kills", killer, count)
            found.add(crew.differs())
        if killer.at:
            found.wrong.append(
                f"everything was stored after {crew.kills} of {count} kills: more events are needed"
            )
        return _ended(found, there, crew)


def rebuild(asked: Asked, folder: Path | None, tell: Tell) -> Found:
    """Empty the store once everything is in it, and wait until it is again."""
    found = Found("rebuild after FLUSHALL", f"at most {REBUILT_WITHIN_S:g} s")
    with stage(folder) as here:
        mixed = Mixed(asked.events or 10_000_000, harmful=True, lead=f"r{asked.seed:x}")
        there = filled(here, "volume.rebuild", mixed, tell)
        with Crew(here, there, "rebuild", 2, {}, tell, asked.watched) as crew:
            first_s = crew.until_stored("rebuild: first")
            found.add(crew.differs())
            found.wrong += decided_something(here.log_dir)
            before_s = crew.cpu_s
            crew.lose_everything()
            found.seconds = crew.until_stored("rebuild: again")
            took_s = crew.cpu_s - before_s
            found.add(crew.differs())
            time.sleep(JUDGED_S)
            decided, again = repeated(decisions(here.log_dir))
        found.wrong += again
        found.note = f"first read in {first_s:.0f} s, {took_s:.0f} CPU s of both workers, {decided} decisions"
        if found.seconds > REBUILT_WITHIN_S:
            found.wrong.append(f"rebuilt after {found.seconds:.1f} s")
        return _ended(found, there, crew)


def decisions(log_dir: Path) -> Iterator[str]:
    """Yield the id of every decision that is published, as often as it is there, from the broker's own files.

    What the monitor says of its own sight is no decision: a rebuild of more than 30 s is paged, and may be.
    """
    for topic in (DECISIONS, REQUESTS, PAGES):
        for rows in rows_of(log_dir, topic).values():
            for row in rows:
                said = {name: text.decode() for name, text in row.headers}
                if not said["ce_type"].startswith(OF_THE_MONITOR):
                    yield said["ce_id"]


def decided_something(log_dir: Path) -> list[str]:
    """Return nothing once something is decided, and what is wrong if nothing is: none could be repeated then."""
    deadline = time.monotonic() + SETTLE_S
    while not any(True for _ in decisions(log_dir)):
        if time.monotonic() > deadline:
            return ["nothing was decided before the store was emptied"]
        time.sleep(1.0)
    return []


def repeated(ids: Iterable[str]) -> tuple[int, list[str]]:
    """Return how many different decisions there are, and in words which of them are there more than once."""
    times = Counter(ids)
    again = [one for one, count in times.items() if count > 1]
    return len(times), [f"{len(again)} decisions are published again, as {again[:SOME]}"] if again else []


def hostile(asked: Asked, folder: Path | None, tell: Tell) -> Found:
    """Mix as many hostile records among good ones as there are good ones."""
    count = asked.events or 1_000_000
    found = Found("hostile records", "good ones exact, each hostile one a dead letter")
    with stage(folder) as here:
        there = filled(here, "volume.hostile", Mixed(count, hostile=count, lead=f"h{asked.seed:x}"), tell)
        with Crew(here, there, "hostile", 1, {}, tell) as crew:
            found.seconds = crew.until_stored("hostile")
            found.add(crew.differs())
        found.note = f"{there.mixed.counts['hostile']:,} hostile"
        return _ended(found, there, crew)


def cohorts(asked: Asked, folder: Path | None, tell: Tell) -> Found:
    """Read the same requests with few cohort values and with many: all of them are watched, each value occurs."""
    found = Found("cohort values", f"at most {COHORTS_MAX_MIB:g} MiB more than with {COHORT_VALUES[1]:,}")
    events = asked.events or 2 * COHORT_VALUES[0]
    peaks: dict[int, float] = {}
    with stage(folder) as here:
        for values in sorted(min(value, events) for value in COHORT_VALUES):
            mixed = Mixed(events, tenants=values, each_tenant=True, lead=f"c{asked.seed:x}")
            there = filled(here, f"volume.cohorts-{values}", mixed, tell)
            asyncio.run(forget(here))
            with Crew(here, there, f"cohorts-{values}", 1, {}, tell) as crew:
                found.seconds = crew.until_stored(f"{values:,} cohort values")
                found.add(crew.differs())
            peaks[values] = crew.peak_mib
            _ended(found, there, crew)
    few, many = peaks[min(peaks)], peaks[max(peaks)]
    found.note = f"{max(peaks):,} values: {many:.0f} MiB; {min(peaks):,}: {few:.0f} MiB"
    if many - few > COHORTS_MAX_MIB:
        found.wrong.append(f"{many - few:.0f} MiB more with {max(peaks):,} values")
    return found


def _ended(found: Found, there: Filled, crew: Crew) -> Found:
    found.events, found.kills = there.records, crew.kills
    found.memory_mib = max(found.memory_mib, crew.peak_mib)
    found.wrong += crew.ended
    return found


CASES: dict[str, Callable[[Asked, Path | None, Tell], Found]] = {
    "kills": kills,
    "rebuild": rebuild,
    "hostile": hostile,
    "cohorts": cohorts,
}
