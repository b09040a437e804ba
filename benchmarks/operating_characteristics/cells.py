"""The cells of the simulation: one kind of release each, with the bar that it is held to.

A cell's name says what it is, and its seed comes from its name: any cell can be run alone, and gives the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias
from zlib import crc32

from benchmarks.operating_characteristics import stories
from benchmarks.operating_characteristics.incidents import IncidentStory
from benchmarks.operating_characteristics.objectives import HANDOFF, LATENCY, SUCCESS, Guarded
from benchmarks.operating_characteristics.stories import (
    DAY_MIN,
    ONSET_MIN,
    LatencyStory,
    RateStory,
    Spell,
    Traffic,
)

Story: TypeAlias = RateStory | LatencyStory | IncidentStory


class Bar(Enum):
    """What a cell is held to."""

    NO_ROLLBACK = "no rollback"
    DETECTED = "detected in time"
    NOT_BEFORE_HOLD = "at most 1 % before Y"
    BURST = "less than 1 % rolled back"
    SAFETY = "at most 5 % rolled back"
    FIRST_INCIDENT = "every first incident rolls back, in its minute"
    NOT_HEALTHY = "at most 5 % called healthy"
    SHOWN = "shown, no bar"


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of release.

    Attributes:
        table: Which table shows it; `row` and `column` say where.
        releases: How many the full run makes.
        onset: The minute at which harm begins, where a delay is counted.
        times: The size of the harm, as a multiple of X.
        cohorts: Among how many cohorts the error rate is divided; 1 is the overall view.
        compared: Whether the rules for comparison and `evidence: strict` run too.
        pooled_too: Whether the same releases run without strata, too.
        to_the_end: Every minute is judged to the end: what is spent, and the verdict.
    """

    table: str
    row: str
    column: str
    name: str
    story: Story
    releases: int
    bar: Bar
    guarded: Guarded = SUCCESS
    traffic: Traffic | None = None
    onset: int | None = None
    times: float = 0.0
    cohorts: int = 1
    compared: bool = False
    pooled_too: bool = False
    to_the_end: bool = False

    @property
    def seed(self) -> int:
        """What its random numbers start from."""
        return crc32(self.name.encode())


TRAFFICS: Final = tuple(
    Traffic(per_second, canary) for per_second in (1, 10, 100, 1000) for canary in (0.01, 0.05, 0.20, 0.50)
)
DETECTABLE: Final = tuple(
    one for one in TRAFFICS if (one.per_second, one.canary) not in ((1, 0.01), (1, 0.20), (1000, 0.20))
)
_SHAKEN: Final = (
    Traffic(10, 0.05),
    Traffic(10, 0.5),
    Traffic(100, 0.05),
    Traffic(100, 0.5),
    Traffic(1000, 0.05),
)
_HARMLESS: Final = (("A/A", "aa", 0.0), ("X/4", "x4", 0.25), ("X/2", "x2", 0.5))
_SLUGS: Final = {"A/A": "aa", "X/2": "x2", "2x": "2x"}
_NAMES: Final = {id(SUCCESS): "success", id(HANDOFF): "handoff", id(LATENCY): "p95"}


def _whole(times: float, end: int = DAY_MIN) -> tuple[Spell, ...]:
    return (Spell(0, end, times),) if times else ()


def _story(guarded: Guarded, traffic: Traffic, *spells: Spell, minutes: int = DAY_MIN) -> Story:
    if guarded.objective.indicator.quantile is not None:
        return stories.slowed(guarded, traffic, *spells, minutes=minutes)
    return stories.steady(guarded, traffic, *spells, minutes=minutes)


def _false() -> Iterator[Cell]:
    """5.1: healthy and harmless releases."""
    p95 = (Traffic(1, 0.5), Traffic(10, 0.05), Traffic(100, 0.01), Traffic(100, 0.05))
    for guarded, traffics, at_the_edge in (
        (SUCCESS, TRAFFICS, 30_000),
        (HANDOFF, DETECTABLE, 30_000),
        (LATENCY, p95, 3_000),
    ):
        name = _NAMES[id(guarded)]
        for traffic in traffics:
            for column, slug, times in _HARMLESS:
                yield Cell(
                    f"false-{name}",
                    traffic.label,
                    column,
                    f"false/{name}/{traffic.slug}/{slug}",
                    _story(guarded, traffic, *_whole(times)),
                    at_the_edge if times == 0.5 else 3_000,
                    Bar.NO_ROLLBACK,
                    guarded,
                    traffic,
                    times=times,
                    compared=guarded is SUCCESS and times < 0.5,
                )


def _detection() -> Iterator[Cell]:
    """5.2, 5.3 and 5.5: harm from hour 6 on."""
    p95 = tuple(one for one in DETECTABLE if (one.per_second, one.canary) != (1, 0.05))
    for guarded, traffics, sizes, releases in (
        (SUCCESS, DETECTABLE, (1.25, 1.5, 2.0, 5.0, 30.0), 1000),
        (HANDOFF, DETECTABLE[1:], (1.5, 2.0, 5.0), 300),
        (LATENCY, p95, (1.5, 2.0, 5.0), 100),
    ):
        name = _NAMES[id(guarded)]
        for traffic in traffics:
            for times in sizes:
                yield Cell(
                    f"detection-{name}",
                    traffic.label,
                    f"{times:g}x",
                    f"detection/{name}/{traffic.slug}/{times:g}x",
                    _story(guarded, traffic, Spell(ONSET_MIN, DAY_MIN, times)),
                    releases,
                    Bar.DETECTED,
                    guarded,
                    traffic,
                    onset=ONSET_MIN,
                    times=times,
                    compared=guarded is SUCCESS and times == 2.0,
                )


def _early() -> Iterator[Cell]:
    """5.5: fired before Y, where the candidate was clean until the onset."""
    cases = [
        (SUCCESS, Traffic(per_min / 6, 0.1), times, 2000)
        for per_min in (30, 60, 120, 300, 600, 1200, 3000)
        for times in (3, 5, 10, 30, 50)
    ]
    cases += [(SUCCESS, Traffic(1, 0.5), 10, 2000), (HANDOFF, Traffic(10, 0.5), 10, 2000)]
    cases += [(SUCCESS.held(hold), Traffic(20, 0.1), 10, 1000) for hold in (5, 10, 60)]
    cases += [(LATENCY, Traffic(per_min / 6, 0.1), 5, 200) for per_min in (33, 120, 600)]
    for guarded, traffic, times, releases in cases:
        hold = guarded.objective.hold_min
        end = ONSET_MIN + 2 * hold
        what = guarded.objective.indicator.name
        slug = f"{what}-y{hold}"
        plain = guarded is SUCCESS and traffic.canary == 0.1
        yield Cell(
            "early" if plain else "early-others",
            f"{traffic.candidate_per_min:g}" if plain else f"{what}, Y = {hold}, {traffic.label}, {times}x",
            f"{times}x" if plain else "before Y",
            f"early/{slug}/{traffic.slug}/{times}x",
            _story(guarded, traffic, Spell(ONSET_MIN, end, times), minutes=end),
            releases,
            Bar.NOT_BEFORE_HOLD,
            guarded,
            traffic,
            onset=ONSET_MIN,
            times=times,
        )


def _bursts() -> Iterator[Cell]:
    """5.5: bursts shorter than Y, on a clean candidate and on one with a permanent harm."""
    cases: list[tuple[float, str, tuple[tuple[int, int, float], ...], float]] = [
        (33, "10 min at -58 points", ((0, 10, 32.2),), 0.0),
        (33, "12 min at 15x", ((0, 12, 15),), 0.0),
        (33, "15 min at 15x", ((0, 15, 15),), 0.0),
        (33, "18 min at 15x", ((0, 18, 15),), 0.0),
        (33, "19 min at 15x", ((0, 19, 15),), 0.0),
        (120, "12 min at 15x", ((0, 12, 15),), 0.0),
        (120, "19 min at 15x", ((0, 19, 15),), 0.0),
        (300, "12 min at 15x", ((0, 12, 15),), 0.0),
        (300, "18 min at 5x", ((0, 18, 5),), 0.0),
        (300, "19 min at 15x", ((0, 19, 15),), 0.0),
        (3000, "19 min at 15x", ((0, 19, 15),), 0.0),
        (33, "12 min at 15x on X/4", ((0, 12, 15),), 0.25),
        (300, "12 min at 15x on X/4", ((0, 12, 15),), 0.25),
        (33, "12 min at 15x on X/2", ((0, 12, 15),), 0.5),
        (300, "12 min at 15x on X/2", ((0, 12, 15),), 0.5),
        (33, "two of 12 min at 15x, 60 min apart", ((0, 12, 15), (72, 84, 15)), 0.0),
        (33, "two of 12 min at 15x, 30 min apart", ((0, 12, 15), (42, 54, 15)), 0.0),
    ]
    end = ONSET_MIN + 180
    for per_min, words, spells, always in cases:
        traffic = Traffic(per_min / 6, 0.1)
        plain = not always and len(spells) == 1
        harm = (*_whole(always, end), *(Spell(ONSET_MIN + a, ONSET_MIN + b, x) for a, b, x in spells))
        yield Cell(
            "bursts",
            words,
            f"{per_min:g}/min",
            f"burst/{per_min:g}/{words.replace(' ', '-').replace(',', '').replace('/', '')}",
            stories.steady(SUCCESS, traffic, *harm, minutes=end),
            1000,
            Bar.BURST if plain else Bar.SHOWN,
            traffic=traffic,
            onset=ONSET_MIN,
        )


def _stress() -> Iterator[Cell]:
    """5.4: correlated outcomes, and causes that both arms share."""
    sizes = (("A/A", 0.0), ("X/2", 0.5), ("2x", 2.0))
    for icc in (0.002, 0.01, 0.05):
        for traffic in _SHAKEN:
            for column, times in sizes:
                harm = _whole(times) if times < 1 else (Spell(ONSET_MIN, DAY_MIN, times),)
                yield _stressed(
                    f"icc-{icc:g}/{traffic.slug}",
                    "shocks",
                    f"ICC {icc:g}, {traffic.label}",
                    column,
                    stories.shaken(SUCCESS, traffic, icc, *harm),
                    times,
                    traffic,
                )
    traffic = Traffic(100, 0.05)
    for column, times in sizes:
        spells = _whole(times) if times < 1 else (Spell(2 * ONSET_MIN, DAY_MIN, times),)
        for name, row, story in (
            ("mix", "mix shift", stories.mixed(SUCCESS, traffic, *spells)),
            ("ramp", "ramp and drift", stories.ramped(SUCCESS, 100, *spells)),
            ("outage", "shared outage", stories.outage(SUCCESS, traffic, *spells)),
        ):
            yield _stressed(name, "causes", row, column, story, times, traffic)


def _stressed(
    name: str, table: str, row: str, column: str, story: RateStory, times: float, traffic: Traffic
) -> Cell:
    harmed = times > 1.0
    return Cell(
        table,
        row,
        column,
        f"stress/{name}/{_SLUGS[column]}",
        story,
        200,
        Bar.SHOWN if harmed else Bar.NO_ROLLBACK,
        traffic=traffic,
        onset=(ONSET_MIN if table == "shocks" else 2 * ONSET_MIN) if harmed else None,
        times=times,
        pooled_too=table == "causes",
    )


def _others() -> Iterator[Cell]:
    """5.4: flapping, one tenant among 200, and what the verdict says where nothing can be decided."""
    for traffic in (Traffic(1000, 0.05), Traffic(100, 0.05)):
        spells = [Spell(ONSET_MIN + 20 * i, ONSET_MIN + 20 * i + 10, 5.0) for i in range(9)]
        yield Cell(
            "flapping",
            traffic.label,
            "10 min at -10 %, 10 min good, for 3 h",
            f"flapping/{traffic.slug}",
            stories.steady(SUCCESS, traffic, *spells, minutes=ONSET_MIN + 240),
            200,
            Bar.SHOWN,
            traffic=traffic,
            onset=ONSET_MIN,
            times=5.0,
            to_the_end=True,
        )
    shaken = Traffic(100, 0.05)
    for icc in (0.002, 0.01, 0.05):
        yield Cell(
            "flapping", f"shocks of ICC {icc:g}, {shaken.label}", "healthy", f"spent/icc-{icc:g}",
            stories.shaken(SUCCESS, shaken, icc), 200, Bar.NO_ROLLBACK, traffic=shaken, to_the_end=True,
        )  # fmt: skip
    tenant, spell = Traffic(50, 0.05), Spell(ONSET_MIN, DAY_MIN, 15.0)
    whole = Traffic(1000, 0.05)
    yield Cell(
        "tenant", "its own view, one of 200 cohorts", "-30 %", "tenant/cohort",
        stories.steady(SUCCESS, tenant, spell), 200, Bar.SHOWN,
        traffic=tenant, onset=ONSET_MIN, times=15.0, cohorts=200,
    )  # fmt: skip
    yield Cell(
        "tenant", "the view of everybody", "-1.5 %", "tenant/overall",
        stories.steady(SUCCESS, whole, Spell(ONSET_MIN, DAY_MIN, 0.75)), 200, Bar.SHOWN,
        traffic=whole, onset=ONSET_MIN, times=0.75,
    )  # fmt: skip
    for traffic in (
        Traffic(1, 0.01),
        Traffic(1, 0.5),
        Traffic(10, 0.05),
        Traffic(100, 0.05),
        Traffic(1000, 0.05),
    ):
        for column, times in (("A/A", 0.0), ("X", 1.0), ("2X", 2.0)):
            yield Cell(
                "verdicts",
                traffic.label,
                column,
                f"verdict/{traffic.slug}/{times:g}x",
                stories.steady(SUCCESS, traffic, *_whole(times)),
                100,
                Bar.NOT_HEALTHY if times else Bar.SHOWN,
                traffic=traffic,
                times=times,
                to_the_end=True,
            )


def _safety() -> Iterator[Cell]:
    """Severe incidents: healthy candidates with normal incidents, and candidates with more."""
    for canary in (0.01, 0.05, 0.2, 0.5):
        traffic = Traffic(10, canary)
        for per_day in (1.0, 4.0, 20.0, 100.0):
            yield Cell(
                "safety", f"{per_day:g} a day", f"{100 * canary:g} %", f"safety/healthy/{per_day:g}/{traffic.slug}",
                IncidentStory(traffic, per_day, past_days=7), 400, Bar.SAFETY, traffic=traffic,
            )  # fmt: skip
            yield Cell(
                "safety-new", f"{per_day:g} a day", f"{100 * canary:g} %", f"safety/no-past/{per_day:g}/{traffic.slug}",
                IncidentStory(traffic, per_day), 400, Bar.SHOWN, traffic=traffic,
            )  # fmt: skip
        yield Cell(
            "safety-harm", "ten times 20 a day, from hour 6 on", f"{100 * canary:g} %",
            f"safety/tenfold/{traffic.slug}",
            IncidentStory(traffic, 20.0, 10.0, ONSET_MIN, past_days=7), 100, Bar.SHOWN,
            traffic=traffic, onset=ONSET_MIN, times=10.0,
        )  # fmt: skip
        yield Cell(
            "safety-harm", "clean baseline, incidents from hour 6 on", f"{100 * canary:g} %",
            f"safety/first/{traffic.slug}",
            IncidentStory(traffic, 2000.0, 1.0, ONSET_MIN, clean=True, past_days=7), 100, Bar.FIRST_INCIDENT,
            traffic=traffic, onset=ONSET_MIN,
        )  # fmt: skip


CELLS: Final[dict[str, Cell]] = {
    cell.name: cell
    for part in (_false, _detection, _early, _bursts, _stress, _others, _safety)
    for cell in part()
}
"""Every cell, by its name."""
