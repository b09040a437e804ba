"""How often the engine errs and how soon it decides: a reduced grid of the simulated releases, and its shortcuts.

The full grid is `make operating-characteristics`. Nothing here depends on chance or time: each cell has a seed.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.operating_characteristics import naive, render, results, stories
from benchmarks.operating_characteristics.bar import Held, limit_min, verdict
from benchmarks.operating_characteristics.cells import CELLS, Cell
from benchmarks.operating_characteristics.objectives import HANDOFF, LATENCY, SUCCESS, Guarded
from benchmarks.operating_characteristics.product import Release, evidence, feed_of
from benchmarks.operating_characteristics.run import run_cell, run_chunk
from benchmarks.operating_characteristics.screen import rates_above
from benchmarks.operating_characteristics.stories import (
    ONSET_MIN,
    LatencyReleases,
    LatencyStory,
    RateReleases,
    RateStory,
    Spell,
    Traffic,
)
from benchmarks.operating_characteristics.tally import NEVER, Tally, quantile
from benchmarks.page import DOCS
from benchmarks.shares import binomial_below, interval, upper_bound
from monitor.core.aggregate import Aggregate
from monitor.core.cohort import OVERALL
from monitor.core.indicator import LABELS
from monitor.core.sketch import Sketch
from monitor.core.stats.evidence import rate_above
from monitor.core.watch import Watch

# The bar ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "false/success/100s-5/x2",
        "stress/icc-0.05/100s-5/aa",
        "stress/icc-0.01/100s-5/x2",
        "stress/mix/aa",
        "stress/ramp/aa",
        "burst/300/19-min-at-15x",
    ],
)
def test_no_healthy_or_harmless_release_is_rolled_back(name: str) -> None:
    """Independent traffic at half the limit, shocks of one arm, a mix shift, a ramp with drift, a burst below Y."""
    tally = run_cell(name, 200)
    assert tally.releases == 200
    assert tally.fired["guard"] == {NEVER: 200}


@pytest.mark.parametrize("name", ["detection/success/100s-20/1.5x", "detection/success/10s-50/5x"])
def test_harm_is_found_within_the_bar_and_not_before_it_has_lasted(name: str) -> None:
    tally, cell = run_cell(name, 100), CELLS[name]
    found = verdict(cell, tally)
    assert found.held is Held.MET, found.words
    assert tally.share(end=(cell.onset or 0) + cell.guarded.objective.hold_min) <= 0.01


# The shortcuts ---------------------------------------------------------------------------------------------------


def _watched(
    guarded: Guarded, story: RateStory | LatencyStory, releases: int, seed: int
) -> list[tuple[int, int]]:
    """First firing ticks: with the screen and minutes taken in ahead, and of a watch that is asked every minute."""
    drawn = story.draw(np.random.default_rng(seed), releases)
    rule = guarded.rule()
    shown = evidence(guarded, rule, drawn)
    return [
        (
            Release(guarded, rule, feed_of(drawn, index)).first_fire(shown[index]),
            _plain(guarded, drawn, index),
        )
        for index in range(releases)
    ]


def _plain(guarded: Guarded, drawn: RateReleases | LatencyReleases, index: int) -> int:
    """The engine's watch, fed with the aggregates of every minute and asked at every tick."""
    watch = Watch(guarded.objective, OVERALL, guarded.rule(), 0)
    for minute in range(drawn.minutes):
        candidate, baseline, strata = _minute(guarded, drawn, index, minute)
        watch.append(minute, candidate, baseline, strata)
        if watch.fires(watch.judge(minute + 1)):
            return minute + 1
    return NEVER


def _minute(
    guarded: Guarded, drawn: RateReleases | LatencyReleases, index: int, minute: int
) -> tuple[Aggregate, Aggregate, list[tuple[Aggregate, Aggregate]]]:
    """What the engine folds a minute's requests into: both arms, and their strata."""
    if isinstance(drawn, LatencyReleases):
        arms = [
            _latencies(drawn.lowest, part[index, minute].tolist())
            for part in (drawn.candidate, drawn.baseline)
        ]
        return arms[0], arms[1], []
    label = LABELS.index(guarded.objective.indicator.source)
    s_c, n_c, s_b, n_b = (part[index, minute].tolist() for part in drawn.parts())
    candidate, baseline = _labelled(label, sum(s_c), sum(n_c)), _labelled(label, sum(s_b), sum(n_b))
    each = zip(s_c, n_c, s_b, n_b, strict=True)
    strata = [(_labelled(label, a, b), _labelled(label, c, d)) for a, b, c, d in each]
    return candidate, baseline, strata if drawn.strata > 1 else []


def _labelled(label: int, hits: int, known: int) -> Aggregate:
    arm = Aggregate()
    arm.requests = arm.known[label] = known
    arm.hits[label] = hits
    return arm


def _latencies(lowest: int, counts: list[int]) -> Aggregate:
    arm = Aggregate()
    arm.requests = sum(counts)
    arm.sketches["latency"] = Sketch({lowest + at: count for at, count in enumerate(counts) if count})
    return arm


@pytest.mark.parametrize(
    ("guarded", "story"),
    [
        (SUCCESS, stories.steady(SUCCESS, Traffic(10, 0.5), Spell(47, 300, 2.0), minutes=300)),
        (SUCCESS, stories.steady(SUCCESS, Traffic(100, 0.05), Spell(0, 300, 3.0), minutes=300)),
        (SUCCESS, stories.steady(SUCCESS, Traffic(0.4, 0.3), Spell(33, 300, 20.0), minutes=300)),
        (HANDOFF, stories.steady(HANDOFF, Traffic(100, 0.2), Spell(102, 300, 3.0), minutes=300)),
        (SUCCESS, stories.steady(SUCCESS, Traffic(5, 0.1), Spell(60, 79, 15.0), minutes=160)),
        (SUCCESS, stories.mixed(SUCCESS, Traffic(100, 0.05), Spell(47, 1440, 3.0))),
        (LATENCY, stories.slowed(LATENCY, Traffic(10, 0.3), Spell(61, 160, 4.0), minutes=160)),
    ],
)
def test_the_screen_and_reading_ahead_change_no_tick(
    guarded: Guarded, story: RateStory | LatencyStory
) -> None:
    """What is skipped could not have fired: the same tick as a watch that is fed and asked every minute."""
    ticks = _watched(guarded, story, 6, seed=11)
    assert [fast for fast, _ in ticks] == [plain for _, plain in ticks]


@given(
    n_c=st.integers(0, 40_000),
    n_b=st.integers(0, 40_000),
    share_c=st.floats(0, 1),
    share_b=st.floats(0, 1),
    ratio=st.sampled_from([0.98, 1 / 0.99, 1.0, 1.04, 1.2]),
)
@settings(max_examples=300)
def test_the_screens_evidence_is_the_engines(
    n_c: int, n_b: int, share_c: float, share_b: float, ratio: float
) -> None:
    """Nothing that the engine could fire on is screened out."""
    s_c, s_b = round(n_c * share_c), round(n_b * share_b)
    engine = rate_above(s_c, n_c, s_b, n_b, ratio)
    arms = [np.array([float(count)]) for count in (s_c, n_c, s_b, n_b)]
    assert rates_above(arms[0], arms[1], arms[2], arms[3], ratio)[0] == pytest.approx(
        engine, rel=1e-7, abs=1e-7
    )


# The rules for comparison ----------------------------------------------------------------------------------------


def _success(*minutes: tuple[int, int, int, int]) -> RateReleases:
    s_c, n_c, s_b, n_b = (np.array([row])[:, :, None] for row in zip(*minutes, strict=True))
    return RateReleases(s_c, n_c, s_b, n_b)


_GOOD, _BAD, _EMPTY = (90, 100, 900, 1000), (80, 100, 900, 1000), (0, 0, 900, 1000)


@pytest.mark.parametrize(
    ("rule", "minutes", "tick"),
    [
        (naive.point1, [_GOOD] * 5 + [_BAD] * 25, 25),
        (naive.point1, [_BAD] * 19 + [_EMPTY] + [_BAD] * 19, -1),
        (naive.cum, [_BAD] * 19 + [_GOOD] * 30 + [_BAD], 50),
        (naive.cum, [_BAD] * 19 + [_GOOD] * 30, -1),
        (naive.roll10, [_GOOD] * 10 + [_BAD] * 40, 31),  # two bad minutes of ten make 88 %: beyond 88.2
        (naive.argo_tot, [_BAD] * 20, 20),
        (naive.argo_tot, [_BAD] * 15 + [_GOOD] * 30, -1),
        (naive.argo_row, [_GOOD] * 5 + [_BAD] * 30, 25),
        (naive.argo_row, [_BAD] * 15 + [_GOOD] * 5 + [_BAD] * 15, -1),
        (naive.cs_start, [_GOOD] * 200, -1),
    ],
)
def test_the_rules_for_comparison_do_what_their_names_say(rule, minutes: list, tick: int) -> None:
    assert rule(SUCCESS, _success(*minutes)).tolist() == [tick]


def test_a_confidence_sequence_since_the_start_dilutes_what_begins_late() -> None:
    early = naive.cs_start(SUCCESS, _success(*[_BAD] * 600))[0]
    late = naive.cs_start(SUCCESS, _success(*[_GOOD] * 300, *[_BAD] * 300))[0]
    assert 0 < early < late - 300


# The apparatus ---------------------------------------------------------------------------------------------------


def test_a_cell_gives_the_same_again() -> None:
    name = "detection/success/100s-5/5x"
    first, second = run_chunk(name, 3, 5), run_chunk(name, 3, 5)
    assert first.fired == second.fired


@pytest.mark.parametrize(
    ("name", "minutes"),
    [
        ("detection/success/1s-50/1.25x", 899),
        ("detection/success/10s-5/2x", 125),
        ("detection/success/100s-1/5x", 7.5),
        ("detection/handoff/1000s-5/1.5x", 28),
    ],
)
def test_the_limit_is_the_information_bound(name: str, minutes: float) -> None:
    """12.6 nats over what a candidate request tells, at the cell's traffic."""
    assert limit_min(name) == pytest.approx(minutes, rel=0.01)


@pytest.mark.parametrize(
    ("hits", "releases", "share"),
    [
        (0, 3000, 0.000998),
        (0, 200, 0.01487),
        (1, 200, 0.0235),
        (5, 100, 0.1023),
        (7, 7, 1.0),
        (1960, 2000, 0.9849),  # where the chance of no miss is too small for a float
    ],
)
def test_the_upper_bound_is_exact(hits: int, releases: int, share: float) -> None:
    assert upper_bound(hits, releases) == pytest.approx(share, rel=2e-3)


@pytest.mark.parametrize(
    ("hits", "tries", "low", "high"),
    [
        (67, 67, 0.9464, 1.0),
        (0, 67, 0.0, 0.0536),
        (81, 263, 0.2527, 0.3676),
        (2_900, 3_000, 0.95954, 0.97282),
        (0, 0, 0.0, 1.0),
    ],
)
def test_the_interval_of_a_share_is_exact(hits: int, tries: int, low: float, high: float) -> None:
    """Clopper and Pearson 1934; 81 of 263 as in Newcombe 1998, table I."""
    assert interval(hits, tries) == pytest.approx((low, high), abs=2e-4)


def test_the_chances_of_few_and_of_many_hits_add_up() -> None:
    """Also where either is too small for a float."""
    for tries, share in ((10, 0.3), (400, 0.9), (2_000, 0.99), (3_000, 0.004)):
        for hits in (0, tries // 3, round(tries * share), tries - 1):
            both = binomial_below(hits, tries, share) + binomial_below(tries - hits - 1, tries, 1.0 - share)
            assert both == pytest.approx(1.0)
    assert binomial_below(1, 3, 0.5) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [([1.0, 2.0, 3.0, 4.0], 0.5, 2.0), ([1.0], 0.9, 1.0), ([1.0, float("inf")], 0.9, float("inf"))],
)
def test_a_quantile_is_one_of_the_values(values: list[float], share: float, found: float) -> None:
    assert quantile(values, share) == found


@pytest.mark.parametrize(
    ("minutes", "releases", "held"),
    [(25, 100, Held.MET), (40, 3, Held.OPEN), (40, 100, Held.MISSED)],
)
def test_what_few_releases_cannot_tell_is_open(minutes: int, releases: int, held: Held) -> None:
    """29 minutes are allowed to the median; that three releases are beyond it may be chance."""
    cell = CELLS["detection/success/100s-20/5x"]
    delayed = Tally(releases, {"guard": Counter({ONSET_MIN + minutes: releases})})
    assert verdict(cell, delayed).held is held


@pytest.mark.parametrize(
    ("rolled_back", "releases", "held"),
    [
        (0, 3_000, Held.MET),
        (1, 3_000, Held.OPEN),
        (2, 30_000, Held.MET),
        (5, 30_000, Held.OPEN),
        (40, 30_000, Held.MISSED),
    ],
)
def test_a_harmless_release_that_is_rolled_back_asks_for_more_releases(
    rolled_back: int, releases: int, held: Held
) -> None:
    """An objective of four may roll back 1 in 4,000; that it surely does not is what the cell has to show."""
    fired = Counter({-1: releases - rolled_back, 700: rolled_back})
    assert verdict(CELLS["false/handoff/1s-50/x2"], Tally(releases, {"guard": fired})).held is held


def test_every_story_draws_what_it_says() -> None:
    """Rates, traffic and the correlation within a minute."""
    story = stories.shaken(SUCCESS, Traffic(100, 0.5), 0.05)
    drawn = story.draw(np.random.default_rng(2), 20)
    share = drawn.s_c / drawn.n_c
    noise = share - story.candidate
    each = story.candidate * (1 - story.candidate)
    icc = (noise**2 / each - 1 / drawn.n_c) / (1 - 1 / drawn.n_c)
    assert icc.mean() == pytest.approx(0.05, rel=0.03)
    assert drawn.n_c.mean() == pytest.approx(3000, rel=0.01)
    assert share.mean() == pytest.approx(0.9, abs=0.002)


def test_latencies_lie_in_the_sketchs_bins() -> None:
    """Their p95 is the lognormal law's, and grows with the slowdown."""
    story = stories.slowed(LATENCY, Traffic(100, 0.5), Spell(0, 60, 2.0), minutes=60)
    drawn = story.draw(np.random.default_rng(4), 2)
    below = drawn.baseline.sum(axis=(0, 1)).cumsum() / drawn.baseline.sum()
    slower = drawn.candidate.sum(axis=(0, 1)).cumsum() / drawn.candidate.sum()
    edge = 1.02 ** (drawn.lowest + int((below < 0.95).sum()))
    assert edge == pytest.approx(1e6 * np.exp(1.6449 * 0.8), rel=0.03)
    shift = int((slower < 0.95).sum()) - int((below < 0.95).sum())
    assert 1.02**shift == pytest.approx(1.3, rel=0.04)


def test_the_document_shows_the_results_on_file() -> None:
    """Tables and pictures are rendered, never edited."""
    found = results.load()
    text = render.PAGE.text
    assert render.PAGE.rendered(found) == text
    for name, draw in render.PICTURES.items():
        assert (DOCS / name).read_text(encoding="utf-8") == draw(found)
    assert set(render.TABLES) == set(render.PAGE.places())


def test_names_of_cells_are_paths() -> None:
    assert all(name == cell.name and " " not in name and "//" not in name for name, cell in CELLS.items())
    assert len({cell.seed for cell in CELLS.values()}) == len(CELLS)
    assert isinstance(next(iter(CELLS.values())), Cell)
