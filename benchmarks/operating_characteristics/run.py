"""Runs cells: in chunks of a fixed size, each with random numbers of its own, on as many processes as asked for.

A chunk starts from the cell's seed and its own number, so that the number of processes changes nothing, and a
longer run begins with the same whole chunks as a shorter one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Final

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.operating_characteristics import incidents, naive
from benchmarks.operating_characteristics.cells import CELLS, Cell
from benchmarks.operating_characteristics.incidents import IncidentStory
from benchmarks.operating_characteristics.product import watch_releases
from benchmarks.operating_characteristics.stories import LatencyStory, RateReleases
from benchmarks.operating_characteristics.tally import Tally

_CHUNK: Final = 50
_LATENCY_CHUNK: Final = 5  # a release of sketches takes 12 MB


def chunk_size(cell: Cell) -> int:
    """Return how many releases are drawn at once."""
    return _LATENCY_CHUNK if isinstance(cell.story, LatencyStory) else _CHUNK


def play(cell: Cell, rng: np.random.Generator, releases: int) -> Tally:
    """Return what so many releases of a cell come to, under the engine and the rules it is compared with."""
    story = cell.story
    if isinstance(story, IncidentStory):
        return Tally(releases, incidents.play(story, rng, releases))
    drawn = story.draw(rng, releases)
    rule = cell.guarded.rule(cell.cohorts)
    watched = watch_releases(cell.guarded, rule, drawn, to_the_end=cell.to_the_end)
    tally = Tally(releases, {"guard": watched.fired}, watched.overspent, watched.verdicts)
    if isinstance(drawn, RateReleases) and cell.pooled_too:
        tally.fired["pooled"] = watch_releases(cell.guarded, rule, drawn.pooled()).fired
    if isinstance(drawn, RateReleases) and cell.compared:
        strict = cell.guarded.strict()
        tally.fired["strict"] = watch_releases(strict, strict.rule(), drawn).fired
        for name, fires in naive.RULES.items():
            tally.fired[name] = Counter(fires(cell.guarded, drawn).tolist())
    return tally


def run_chunk(name: str, number: int, releases: int) -> Tally:
    """Return what one chunk of a cell comes to."""
    began = time.process_time()
    cell = CELLS[name]
    rng = np.random.default_rng([cell.seed, number])
    tally = play(cell, rng, releases)
    tally.seconds = time.process_time() - began
    return tally


def run_cell(name: str, releases: int) -> Tally:
    """Return what a cell comes to, in this process."""
    tally = Tally()
    for number, size in _chunks(CELLS[name], releases):
        tally.add(run_chunk(name, number, size))
    return tally


def run_cells(wanted: Mapping[str, int], jobs: int) -> Iterator[tuple[str, Tally]]:
    """Run so many releases of each cell on `jobs` processes; yield a cell as soon as it is complete."""
    tasks = [(name, *chunk) for name, releases in wanted.items() for chunk in _chunks(CELLS[name], releases)]
    left = Counter(name for name, _, _ in tasks)
    tallies = {name: Tally() for name in wanted}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns) as progress, ProcessPoolExecutor(jobs) as pool:
        bar = progress.add_task("releases", total=sum(wanted.values()))
        waiting: dict[Future[Tally], str] = {pool.submit(run_chunk, *task): task[0] for task in tasks}
        for done in as_completed(waiting):
            name = waiting.pop(done)
            tally = done.result()
            tallies[name].add(tally)
            left[name] -= 1
            progress.update(bar, advance=tally.releases, description=name)
            if not left[name]:
                yield name, tallies[name]


def _chunks(cell: Cell, releases: int) -> Iterator[tuple[int, int]]:
    """The chunks of a run: number and size; only the last may be a part of one."""
    size = chunk_size(cell)
    for number, start in enumerate(range(0, releases, size)):
        yield number, min(size, releases - start)
