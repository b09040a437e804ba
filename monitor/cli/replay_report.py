"""What a replay came to: counted while it runs, then said to people, to a file, and by the exit code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from monitor.cli.output import on_one_line
from monitor.core.decision import Decision, Reason, Type
from monitor.core.ids import event_type
from monitor.core.ladder import as_if

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from monitor.engine.replay import ReplayCounts

# Pages that say that nothing can be judged are no breach.
_NO_BREACH: Final = frozenset(
    {Reason.NO_DATA.value, Reason.BLIND.value, Reason.INSUFFICIENT_EVIDENCE.value, Reason.BOTH_DEGRADED.value}
)
_COLOURS: Final = {"healthy": "green", "breach": "bold red", "inconclusive": "yellow", "no_data": "yellow"}
_UNITS: Final = {"pct": " %", "pp": " pp", "increase": ""}


class FailOn(StrEnum):
    """Which breaches end the command with exit code 3."""

    TIER_A = "tier-a"
    TIER_B = "tier-b"


@dataclass(slots=True)
class Outcome:
    """What the decisions of a replay say as a whole.

    Attributes:
        assessments: The data of the newest `release.assessed` of each release.
    """

    tier_a: bool = False
    tier_b: bool = False
    assessments: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def note(self, decisions: Iterable[Decision]) -> None:
        """Take in decisions as they come out."""
        for decision in map(as_if, decisions):  # a budget that only observes breaks as any other
            if decision.type is Type.ROLLBACK_REQUESTED:
                self.tier_a = True
            elif decision.type is Type.PAGE_OPENED and decision.data["reason"] not in _NO_BREACH:
                self.tier_a |= decision.data["tier"] == "A"
                self.tier_b |= decision.data["tier"] == "B"
            elif decision.type is Type.RELEASE_ASSESSED:
                self.assessments[decision.release] = decision.data

    def fails(self, fail_on: FailOn | None) -> bool:
        """Tell whether what was asked to fail the command has happened."""
        return (self.tier_a and fail_on is not None) or (self.tier_b and fail_on is FailOn.TIER_B)


def summary_data(counts: ReplayCounts, seconds: float) -> dict[str, object]:
    """Return the summary for machines.

    Args:
        seconds: Wall time of reading, folding and deciding.
    """
    records = counts.accepted + counts.late + counts.duplicates + sum(counts.rejected.values())
    return {
        "records": records,
        "accepted": counts.accepted,
        "rejected": dict(sorted(counts.rejected.items())),
        "late": counts.late,
        "duplicates": counts.duplicates,
        "other_releases": counts.other_releases,
        "decisions": {event_type(kind): count for kind, count in sorted(counts.decisions.items())},
        "breaker": None if counts.breaker is None else asdict(counts.breaker),
        **({} if counts.orders is None else {"orders": dict(counts.orders)}),
        "seconds": round(seconds, 3),
        "events_per_second": round(records / seconds) if seconds > 0 else 0,
    }


def print_summary(people: Console, counts: ReplayCounts, seconds: float, outcome: Outcome) -> None:
    """Say to people what became of the input and what was decided."""
    people.print(_input_table(counts, seconds))
    if counts.decisions:
        people.print(_decisions_table(counts))
    if counts.breaker is not None and counts.breaker.withheld:
        said = f"{counts.breaker.withheld} rollbacks became pages; at the end the {counts.breaker.words}"
        people.print(said, style="bold yellow")
    if counts.orders is not None:
        people.print("orders: " + ", ".join(f"{count:,} {fate}" for fate, count in counts.orders.items()))
    for data in outcome.assessments.values():
        people.print(_verdicts_table(data))
    if not outcome.assessments:
        why = "no event of the releases that the budgets name was accepted"
        people.print(f"nothing was assessed: {why}", style="yellow")


def _table(title: str) -> Table:
    from rich.table import Table

    return Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False
    )


def _input_table(counts: ReplayCounts, seconds: float) -> Table:
    rejected = sum(counts.rejected.values())
    records = counts.accepted + counts.late + counts.duplicates + rejected
    rate = f"{records / seconds:,.0f} events/s" if seconds > 0 else ""
    table = _table(f"{records:,} records in {seconds:.1f} s ({rate})")
    table.add_column()
    table.add_column(justify="right")
    table.add_row("accepted", f"{counts.accepted:,}")
    if counts.other_releases:
        table.add_row("  of releases without a budget", f"{counts.other_releases:,}")
    table.add_row("late", f"{counts.late:,}")
    table.add_row("duplicates", f"{counts.duplicates:,}")
    table.add_row("rejected", f"{rejected:,}")
    for reason, count in sorted(counts.rejected.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(f"  {reason}", f"{count:,}")
    return table


def _decisions_table(counts: ReplayCounts) -> Table:
    table = _table("Decisions")
    table.add_column()
    table.add_column(justify="right")
    for kind, count in sorted(counts.decisions.items()):
        table.add_row(kind, f"{count:,}")
    return table


def _verdicts_table(data: Mapping[str, Any]) -> Table:
    from rich.text import Text

    table = _table(str(data["summary"]))
    table.show_header = True
    for title in ("objective", "slice", "verdict", "delta", "95 % interval", "smallest harm it could show"):
        table.add_column(title)
    for title in ("requests", "minutes beyond"):
        table.add_column(title, justify="right")
    for row in data["objectives"]:
        seen, samples = row["observed"], row["samples"]
        unit = _UNITS[seen["unit"]]
        slice_ = ", ".join(f"{name}={value}" for name, value in row["cohort"].items()) or "everybody"
        verdict = str(row["verdict"])
        table.add_row(
            str(row["objective"]),
            on_one_line(slice_),
            Text(verdict, style=_COLOURS.get(verdict, "")),
            _number(seen["delta"], unit),
            _interval(seen["lower"], seen["upper"], unit),
            _number(row["mde"], unit),
            f"{samples['candidate']:,} against {samples['baseline']:,}",
            str(row["minutes_spent"]),
        )
    return table


def _number(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:+.3g}{unit}"


def _interval(lower: float | None, upper: float | None, unit: str) -> str:
    if lower is None and upper is None:
        return "-"
    low = "-∞" if lower is None else f"{lower:+.3g}"
    high = "∞" if upper is None else f"{upper:+.3g}"
    return f"{low} to {high}{unit}"
