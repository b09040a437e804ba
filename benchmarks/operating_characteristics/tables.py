"""The tables of the document, each from the results on file; a cell that was not run says so."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from benchmarks.operating_characteristics.bar import Held, limit_min, verdict
from benchmarks.operating_characteristics.cells import CELLS, Bar, Cell
from benchmarks.operating_characteristics.naive import RULES
from benchmarks.operating_characteristics.results import Results
from benchmarks.operating_characteristics.tally import Tally, quantile
from benchmarks.page import table
from benchmarks.shares import upper_bound

NOT_RUN: Final = "not run"
_MARKS: Final = {Held.MET: "", Held.MISSED: " **missed**", Held.OPEN: " *open*", Held.NONE: ""}

Shown = Callable[[Cell, Tally], str]


def percent(share: float) -> str:
    """Return a share as tables have it."""
    return "0" if share == 0 else f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def minutes(value: float) -> str:
    """Return minutes, `-` for never."""
    return "-" if value == inf else f"{value:.0f}"


def summary(results: Results) -> str:
    """How many cells meet their bar."""
    rows = []
    for bar in Bar:
        cells = [(CELLS[name], tally) for name, tally in results.items() if CELLS[name].bar is bar]
        if bar is Bar.SHOWN or not cells:
            continue
        found = {cell.name: verdict(cell, tally).held for cell, tally in cells}
        judged = sum(held is not Held.NONE for held in found.values())
        met = sum(held is Held.MET for held in found.values())
        rows.append(
            [
                bar.value,
                f"{met} of {judged}",
                f"{sum(tally.releases for _, tally in cells):,}",
                *(
                    ", ".join(f"`{name}`" for name, one in found.items() if one is held) or "none"
                    for held in (Held.MISSED, Held.OPEN)
                ),
            ]
        )
    return table(["bar", "cells that meet it", "releases", "that miss it", "open"], rows)


def false_rollbacks(results: Results) -> str:
    """5.1: the rules that people write by hand, `evidence: strict` and the engine, on healthy releases."""
    rules = [*RULES, "strict"]
    rows = []
    for row in _rows("false-success"):
        healthy, quarter, half = (
            results.get(_find("false-success", row, one)) for one in ("A/A", "X/4", "X/2")
        )
        shares = [
            " / ".join(percent(one.share(rule)) if one else NOT_RUN for one in (healthy, quarter))
            for rule in rules
        ]
        engine = " / ".join(_hits(one) for one in (healthy, quarter, half))
        rows.append([row, *shares, f"**{engine}**", _releases(healthy, quarter, half)])
    return table(["req/s, canary", *rules, "**engine** A/A / X/4 / X/2", "releases"], rows)


def false_totals(results: Results) -> str:
    """What zero of so many says."""
    rows = []
    for name, words in (("success", "task success"), ("handoff", "hand-off"), ("p95", "p95 latency")):
        for column in ("A/A", "X/4", "X/2"):
            found = [
                results[cell.name]
                for cell in CELLS.values()
                if cell.table == f"false-{name}" and cell.column == column and cell.name in results
            ]
            hits = sum(round(one.share() * one.releases) for one in found)
            releases = sum(one.releases for one in found)
            if releases:
                bound = f"{100 * upper_bound(hits, releases):.2g} %"
                rows.append([words, column, str(len(found)), f"{hits} of {releases:,}", bound])
    return table(
        ["objective", "true delta", "cells", "rolled back", "95 % upper bound, all cells together"], rows
    )


def detection(results: Results, name: str) -> str:
    """5.2, 5.3: the limit, the median, what nine in ten take, and what is missed."""
    return _grid(results, f"detection-{name}", _detected)


def detection_compared(results: Results) -> str:
    """5.2: harm of 2x under the rules for comparison."""
    rules = ["point1", "roll10", "argo_row", "cs_start", "strict", "guard"]
    rows = []
    for row in _rows("detection-success"):
        cell = CELLS[_find("detection-success", row, "2x")]
        tally = results.get(cell.name)
        if tally is None:
            continue
        rows.append([row, *(_compared(cell, tally, rule) for rule in rules), _releases(tally)])
    return table(["req/s, canary", *rules[:-1], "**engine**", "releases"], rows)


def shocks(results: Results) -> str:
    """5.4: shocks of one arm within a minute."""
    return _grid(results, "shocks", _stressed, "stress")


def causes(results: Results) -> str:
    """5.4: what both arms share, with strata and without."""

    def shown(cell: Cell, tally: Tally) -> str:
        return f"{_stressed(cell, tally)}; without strata {_stressed(cell, tally, 'pooled')}"

    return _grid(results, "causes", shown, "stress")


def early(results: Results) -> str:
    """5.5: fired before Y."""
    return _grid(results, "early", _before, "candidate requests/min")


def early_others(results: Results) -> str:
    """5.5: fired before Y, other objectives and holds."""
    return _grid(results, "early-others", _before, "objective")


def bursts(results: Results) -> str:
    """5.5: bursts."""
    rows = []
    for cell in CELLS.values():
        if cell.table == "bursts":
            tally = results.get(cell.name)
            shown = percent(tally.share()) + _MARKS[verdict(cell, tally).held] if tally else NOT_RUN
            rows.append([cell.column, cell.row, shown, _releases(tally)])
    return table(["candidate requests", "burst", "rolled back", "releases"], rows)


def others(results: Results) -> str:
    """5.4: flapping and one tenant."""
    rows = []
    for cell in CELLS.values():
        if cell.table in ("flapping", "tenant"):
            tally = results.get(cell.name)
            if tally is None:
                continue
            rows.append(
                [
                    f"{cell.table}: {cell.row}, {cell.column}",
                    percent(tally.share()),
                    minutes(quantile(tally.delays(cell.onset or 0), 0.5)),
                    percent(tally.overspent / tally.releases) if cell.to_the_end else "",
                    _releases(tally),
                ]
            )
    return table(["case", "rolled back", "median delay", "paged by minutes spent", "releases"], rows)


def verdicts(results: Results) -> str:
    """What the release's verdict says after a day."""

    def shown(cell: Cell, tally: Tally) -> str:
        said = [f"{name} {percent(count / tally.releases)}" for name, count in tally.verdicts.most_common()]
        return ", ".join(said) + _MARKS[verdict(cell, tally).held]

    return _grid(results, "verdicts", shown)


def safety(results: Results) -> str:
    """Severe incidents of healthy candidates whose baseline's past week is known."""
    return _safety(results, "safety")


def safety_new(results: Results) -> str:
    """Severe incidents of healthy candidates whose baseline nobody has watched before."""
    return _safety(results, "safety-new")


def _safety(results: Results, table: str) -> str:
    def shown(cell: Cell, tally: Tally) -> str:
        mark = _MARKS[verdict(cell, tally).held]
        return f"{percent(tally.share())}{mark}; any excess {percent(tally.share('any_excess'))}"

    return _grid(results, table, shown, "incidents of all traffic")


def safety_harm(results: Results) -> str:
    """Severe incidents of candidates that have more."""

    def shown(cell: Cell, tally: Tally) -> str:
        assert cell.onset is not None
        before = percent(tally.share(end=cell.onset + 1))
        return (
            f"{percent(tally.share())}, of these before the onset {before}{_MARKS[verdict(cell, tally).held]}"
        )

    return _grid(results, "safety-harm", shown, "incidents")


def cost(results: Results) -> str:
    """What the results on file took, and what all cells in full would take."""
    took = sum(tally.seconds for tally in results.values())
    full = sum(tally.seconds / tally.releases * CELLS[name].releases for name, tally in results.items())
    releases = sum(tally.releases for tally in results.values())
    return (
        f"On file: {len(results)} of {len(CELLS)} cells, {releases:,} releases, {took / 60:.0f} minutes of one core. "
        f"The same cells in full: {sum(CELLS[name].releases for name in results):,} releases, "
        f"about {full / 3600:.1f} hours of one core."
    )


def every_cell(results: Results) -> str:
    """Every cell that was run: what it takes to run it again."""
    rows = []
    for cell in CELLS.values():
        tally = results.get(cell.name)
        if tally is not None:
            found = verdict(cell, tally)
            met = "**missed**" if found.held is Held.MISSED else found.held.value
            rows.append(
                [f"`{cell.name}`", f"{tally.releases:,}", str(cell.seed), cell.bar.value, found.words, met]
            )
    return table(["cell", "releases", "seed", "bar", "found", "verdict"], rows)


def _grid(results: Results, name: str, shown: Shown, corner: str = "req/s, canary") -> str:
    """A table of cells by row and column."""
    columns = list(dict.fromkeys(cell.column for cell in CELLS.values() if cell.table == name))
    rows = []
    for row in _rows(name):
        found = [_found(name, row, column) for column in columns]
        tallies = [results.get(cell.name) if cell else None for cell in found]
        if any(tallies):
            texts = [
                "" if cell is None else NOT_RUN if tally is None else shown(cell, tally)
                for cell, tally in zip(found, tallies, strict=True)
            ]
            rows.append([row, *texts, _releases(*tallies)])
    return table([corner, *columns, "releases"], rows)


def _rows(name: str) -> list[str]:
    return list(dict.fromkeys(cell.row for cell in CELLS.values() if cell.table == name))


def _found(name: str, row: str, column: str) -> Cell | None:
    return next((c for c in CELLS.values() if (c.table, c.row, c.column) == (name, row, column)), None)


def _find(name: str, row: str, column: str) -> str:
    cell = _found(name, row, column)
    assert cell is not None
    return cell.name


def _releases(*tallies: Tally | None) -> str:
    counts = sorted({tally.releases for tally in tallies if tally is not None})
    return " to ".join(f"{count:,}" for count in (counts if len(counts) < 2 else (counts[0], counts[-1])))


def _hits(tally: Tally | None) -> str:
    return NOT_RUN if tally is None else percent(tally.share())


def _detected(cell: Cell, tally: Tally) -> str:
    assert cell.onset is not None
    delays = tally.delays(cell.onset)
    missed = delays.count(inf) / max(len(delays), 1)
    limit = max(limit_min(cell.name), cell.guarded.objective.hold_min)
    said = f"{limit:.0f}: {minutes(quantile(delays, 0.5))} ({minutes(quantile(delays, 0.9))}"
    said += f", {percent(missed)} missed)" if missed else ")"
    hasty = tally.share(end=cell.onset + cell.guarded.objective.hold_min)
    return said + (f" [{percent(hasty)}]" if hasty else "") + _MARKS[verdict(cell, tally).held]


def _compared(cell: Cell, tally: Tally, rule: str) -> str:
    assert cell.onset is not None
    delays = tally.delays(cell.onset, rule)
    missed = delays.count(inf) / max(len(delays), 1)
    before = tally.share(rule, end=cell.onset + 1)
    said = [f"{percent(missed)} missed"] if missed else []
    said += [f"{percent(before)} before the onset"] if before else []
    return minutes(quantile(delays, 0.5)) + (f" ({', '.join(said)})" if said else "")


def _stressed(cell: Cell, tally: Tally, rule: str = "guard") -> str:
    if cell.onset is None:
        mark = _MARKS[verdict(cell, tally).held] if rule == "guard" else ""
        return f"{percent(tally.share(rule))}{mark}"
    delays = tally.delays(cell.onset, rule)
    missed = delays.count(inf) / max(len(delays), 1)
    said = f"{minutes(quantile(delays, 0.5))} ({minutes(quantile(delays, 0.9))}"
    return said + (f", {percent(missed)} missed)" if missed else ")")


def _before(cell: Cell, tally: Tally) -> str:
    assert cell.onset is not None
    share = tally.share(end=cell.onset + cell.guarded.objective.hold_min)
    return percent(share) + _MARKS[verdict(cell, tally).held]
