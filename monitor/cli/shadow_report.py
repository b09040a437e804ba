"""How a comparison of shadow traffic is shown to people. Loaded by the verb when it runs."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from monitor.cli.shadow_run import PER_MS, PER_UNIT
from monitor.core.budget import Unit
from monitor.core.cohort import Role
from monitor.core.wording import slice_words
from monitor.engine.page_words import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.table import Table

    from monitor.cli.shadow_run import Compared
    from monitor.core.shadow import RateShown, Shown, SizeShown
    from monitor.core.shadow_budget import Held
    from monitor.core.stats.intervals import Interval

_STYLES: Final = {"within": "green", "beyond": "bold red", "inconclusive": "yellow", "not_compared": "dim"}
_UNITS: Final = {Unit.PERCENT: " %", Unit.POINTS: " pp", Unit.COUNT: ""}
_NAME_MAX: Final = 60
_LEAST_P: Final = 1e-300


def print_compared(people: Console, found: Compared) -> None:
    """Write a comparison for people: coverage, what to know, the limits, then everybody and each value."""
    baseline = "live requests of any other release" if found.baseline is None else plain(found.baseline)
    people.print(f"shadow: {plain(found.candidate)} against {baseline}", style="bold")
    _print_coverage(people, found)
    for warning in found.warnings:
        people.print(f"warning: {warning}", style="yellow")
    if found.held:
        _print_limits(people, found.held)
    _print_slice(people, "everybody", found.everybody)
    for value, shown in found.values:
        name = f"{plain(found.by or '', _NAME_MAX)}={plain(value, _NAME_MAX)}"
        _print_slice(people, name if value else f"no {plain(found.by or '', _NAME_MAX)}", shown)
    if found.rest is not None:
        _print_slice(people, f"every other {plain(found.by or '', _NAME_MAX)} together", found.rest)


def _print_coverage(people: Console, found: Compared) -> None:
    seen = found.seen
    people.print(f"  {seen.pairs:,} pairs")
    for name, role in (("live", Role.BASELINE), ("shadow", Role.CANDIDATE)):
        ratio = seen.paired_ratio(role)
        share = "" if ratio is None else f" ({100.0 * ratio:.1f} % paired)"
        again = f", {seen.again[role]:,} of a request that was there already" if seen.again[role] else ""
        people.print(
            f"  {seen.requests(role):,} {name} requests, {seen.unpaired(role):,} unpaired{share}{again}"
        )
    beside = (
        (seen.labels, "outcome events attached"),
        (seen.duplicates, "duplicates"),
        (seen.rehearsed, "events of rehearsals"),
        (seen.others, "events of other releases or traffic"),
        *((count, f"lines rejected: {reason}") for reason, count in sorted(found.rejected.items())),
    )
    said = [f"{count:,} {what}" for count, what in beside if count]
    if said:
        people.print(f"  beside them: {', '.join(said)}")


def _print_limits(people: Console, held: tuple[Held, ...]) -> None:
    from rich.text import Text

    people.print()
    table = _table("objective", "for", "limit", "verdict", "delta", "95 % interval", "pairs", "")
    for one in held:
        unit = _UNITS[one.objective.unit]
        verdict = one.verdict.value.replace("_", " ")
        table.add_row(
            plain(one.objective.objective_id, _NAME_MAX),
            plain(slice_words(one.view).removeprefix(" for "), _NAME_MAX) or "everybody",
            f"{one.objective.limit:+g}{unit}",
            Text(verdict, style=_STYLES[one.verdict.value]),
            _delta(one.delta, unit),
            _interval(one.interval, unit),
            f"{one.pairs:,}",
            _note(one),
        )
    people.print(table)


def _note(held: Held) -> str:
    more = ""
    if held.more_pairs is not None:
        more = f"about {held.more_pairs:,} more pairs like these would decide"
    return "; ".join(filter(None, (held.why, more)))


def _print_slice(people: Console, name: str, shown: Shown) -> None:
    people.print()
    people.print(f"{name}: {shown.pairs:,} pairs", style="bold")
    if shown.pairs:
        people.print(_who_was_bad(shown.rates))
        people.print()
        people.print(_measures(shown))
    for severity, (c, b) in shown.incidents.items():
        people.print(f"incidents, {severity}: {c:,} of the candidate, {b:,} of the baseline")


def _who_was_bad(rates: tuple[RateShown, ...]) -> Table:
    table = _table("pairs", "", "both good", "only candidate bad", "only baseline bad", "both bad")
    for one in rates:
        name = plain(one.name, _NAME_MAX)
        table.add_row(
            f"{name} (true taken as good)" if one.is_assumed else name,
            f"{one.pairs:,}",
            f"{one.both_good:,}",
            f"{one.only_candidate_bad:,}",
            f"{one.only_baseline_bad:,}",
            f"{one.both_bad:,}",
        )
    return table


def _measures(shown: Shown) -> Table:
    table = _table("measure", "baseline", "candidate", "delta", "95 % interval", "p")
    for one in shown.rates:
        table.add_row(
            plain(one.name, _NAME_MAX),
            f"{100.0 * one.baseline:.2f} %",
            f"{100.0 * one.candidate:.2f} %",
            _delta(one.delta_points, " pp"),
            _interval(one.points, " pp"),
            f"{one.p:.2g}" if one.p >= _LEAST_P else f"< {_LEAST_P:g}",
        )
    for size in shown.sizes:
        for row in _rows(size):
            table.add_row(*row, "")
    return table


def _rows(size: SizeShown) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield a size's quantiles, its mean, and the median of its ratios request by request."""
    source, name = size.source, plain(size.source, _NAME_MAX)
    for one in size.quantiles:
        values = _value(source, one.baseline), _value(source, one.candidate)
        yield f"{name}, {one.name}", *values, _delta(one.delta, " %"), _interval(one.interval, " %")
    if size.mean is not None:
        mean = size.mean
        values = _value(source, mean.baseline), _value(source, mean.candidate)
        yield f"{name}, mean", *values, _delta(mean.delta, " %"), _interval(mean.interval, " %")
    ratio = size.ratio
    yield f"{name}, by request", "", "", _delta(ratio.median, " %"), _interval(ratio.interval, " %")


def _value(source: str, value: float) -> str:
    if value == inf:
        return "unfinished"
    in_unit = value / PER_UNIT.get(source, PER_MS)
    return {"cost": f"{in_unit:.4g} USD", "tokens": f"{in_unit:,.0f}"}.get(source, f"{in_unit:,.0f} ms")


def _delta(value: float | None, unit: str) -> str:
    if value is None:
        return "not known"
    if value in (inf, -inf):
        return "unfinished" if value > 0 else "only candidate finished"
    return f"{value:+.2f}{unit}"


def _interval(interval: Interval, unit: str) -> str:
    if interval.lower is None and interval.upper is None:
        return "not known"
    low = "-∞" if interval.lower is None else f"{interval.lower:+.2f}"
    high = "∞" if interval.upper is None else f"{interval.upper:+.2f}"
    return f"{low} to {high}{unit}"


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1), show_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if not number or name in ("", "for", "verdict") else "right")
    return table
