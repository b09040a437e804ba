"""A scorecard as people read it: text for a terminal, Markdown for a release record. Loaded by the verbs when they run.

Names and sentences come from budgets, people and traffic: each is one line without unseen characters, and in Markdown
nothing in them is markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from monitor.cli.explain_words import value_form
from monitor.core.errors import MonitorError
from monitor.core.ladder import mode_words
from monitor.core.scorecard import Scorecard
from monitor.core.scorecard_parts import WATCHED_COUNTS, Rollback, Row
from monitor.engine.page_words import plain

_NOT_ON_RECORD: Final = "not on record"
_UNITS: Final = {"pct": " %", "pp": " points", "increase": ""}
_TIERS: Final = {"A": "hard (A)", "B": "soft (B)"}
_ID_DIGITS: Final = 12
_MARKUP: Final = re.compile(r"([\\`*\[\]<>|~])|(?<!\w)(_)|(_)(?!\w)")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the record: a table, or lines where there is nothing to set in columns."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    lines: tuple[str, ...] = ()


def parts_of(card: Scorecard) -> Iterator[Part]:
    """Yield the parts in the order that they are read."""
    yield Part("Release", ("", ""), list(_identity(card)))
    yield _objectives(card)
    watched = () if card.assessed is None else card.assessed.watched
    if watched:
        names: tuple[str, ...] = ("objective", "dimension", *WATCHED_COUNTS)
        rows = [tuple("?" if row[name] is None else str(row[name]) for name in names) for row in watched]
        yield Part("Watched cohorts, all of them", names, rows)
    if card.rollbacks:
        names = ("requested", "applied", "verified", "failed", "for whom")
        yield Part("Rollback", names, [_rollback(one) for one in card.rollbacks])
    yield _happened(card)
    yield _debts(card)
    yield Part("Rehearsal", (), [], (_rehearsal(card),))


def as_text(card: Scorecard) -> str:
    """Return the scorecard for a terminal."""
    lines = [f"{card.result.words}: {card_name(card)}", f"  {plain(card.reason)}"]
    for part in parts_of(card):
        lines += ["", part.title, *(f"  {plain(line)}" for line in part.lines)]
        lines += [f"  {line}" for line in _columns(part)]
    return "\n".join(lines) + "\n"


def as_markdown(card: Scorecard) -> str:
    """Return the scorecard for a release record."""
    lines = [f"## Scorecard: {unmarked(card_name(card))}", ""]
    lines += [f"**{card.result.words}**: {unmarked(card.reason)}"]
    for part in parts_of(card):
        lines += ["", f"### {part.title}", "", *(unmarked(line) for line in part.lines)]
        if part.rows:
            lines += [""] * bool(part.lines) + [_pipes(part.columns), "|" + " --- |" * len(part.columns)]
            lines += [_pipes([unmarked(cell) for cell in row]) for row in part.rows]
    return "\n".join(lines) + "\n"


def card_name(card: Scorecard) -> str:
    """Return whose it is, as one line."""
    return plain(f"{card.identity.release}, arming {card.identity.arming}")


def _identity(card: Scorecard) -> Iterator[tuple[str, str]]:
    who, assessed = card.identity, card.assessed
    yield "baseline", who.baseline or _NOT_ON_RECORD
    yield "budget", f"{who.budget or _NOT_ON_RECORD}, digest {who.budget_digest or _NOT_ON_RECORD}"
    yield "mode", mode_words({"mode": who.mode}) or who.mode or _NOT_ON_RECORD
    yield "armed", _armed(card)
    no_spec = _NOT_ON_RECORD if not who.has_spec else "nobody is named"
    yield "owner", who.owner or no_spec
    yield "on call", who.on_call or no_spec
    where = "the ledger" if who.source == "ledger" else "a file of events"
    yield "on record", f"in {where}, as of {card.as_of}" + (f"; {who.arming_id}" if who.arming_id else "")
    yield "state", card.state
    if assessed is None:
        yield "assessed", "no assessment is on record"
    else:
        whole = "complete" if assessed.complete else "not complete"
        stage = assessed.stage or _NOT_ON_RECORD
        yield "assessed", f"{assessed.decided_at}, stage {stage}, {whole}; {assessed.id[:_ID_DIGITS]}"
        yield "late events", _NOT_ON_RECORD if assessed.late_count is None else f"{assessed.late_count:,}"
        for words in assessed.warnings:
            yield "warning", words
    for ground in card.grounds[1:]:
        yield "also", f"{ground.result.words}: {ground.words}"
    if not who.has_spec:
        yield "not known", "the budget itself is not on record: an objective without a row would not be seen"


def _armed(card: Scorecard) -> str:
    at, is_late = card.identity.armed_at, card.identity.armed_late
    if is_late:
        return f"{at or _NOT_ON_RECORD}; LATE, the candidate had traffic before"
    if at is None:
        return _NOT_ON_RECORD
    return (
        f"{at}; whether late is {_NOT_ON_RECORD}"
        if is_late is None
        else f"{at}, before the candidate had traffic"
    )


def _objectives(card: Scorecard) -> Part:
    names: tuple[str, ...] = ("objective", "for whom", "tier", "verdict", "limit", "baseline", "candidate")
    names += ("delta (interval)", "could show", "requests: candidate / baseline", "min beyond", "late")
    lines = _left_out(card, "objectives", "the first are shown")
    if not card.objectives:
        lines += ("no objective is on record",)
    return Part("Objectives", names, [_row(row) for row in card.objectives], lines)


def _row(row: Row) -> tuple[str, ...]:
    arms = f"{_count(row.requests_candidate)} / {_count(row.requests_baseline)}"
    frozen = " (frozen)" if row.baseline_mode == "frozen" else ""
    return (
        row.objective,
        _whom(row.cohort),
        _TIERS.get(row.tier or "", "?"),
        row.verdict.replace("_", " "),
        _delta(row.limit, row),
        _value(row, row.baseline) + frozen,
        _value(row, row.candidate),
        _interval(row),
        _delta(row.mde, row),
        arms,
        _count(row.minutes_spent),
        _count(row.late_count),
    )


def _interval(row: Row) -> str:
    told = _delta(row.delta, row)
    if row.lower is None and row.upper is None:
        return told
    low, high = ("∞" if end is None else f"{end:+.3g}" for end in (row.lower, row.upper))
    return f"{told} ({'-' if row.lower is None else ''}{low} to {high})"


def _delta(value: float | None, row: Row) -> str:
    return "?" if value is None else f"{value:+.3g}{_UNITS.get(row.unit or '', '')}"


def _value(row: Row, value: float | None) -> str:
    """Return a value as `explain` says it; one of an indicator that this version does not know as a number."""
    if value is None:
        return "?"
    about = {"metric": row.metric, "objective": row.objective, "limit": row.limit, "tier": row.tier}
    try:
        return value_form({**about, "observed": {"unit": row.unit}})(value)
    except (ValueError, MonitorError):
        return f"{value:.6g}"


def _rollback(one: Rollback) -> tuple[str, ...]:
    def step(at: str | None, seconds: float | None) -> str:
        return (
            _NOT_ON_RECORD if at is None else f"{at}" + ("" if seconds is None else f" (after {seconds:g} s)")
        )

    failed = "no" if one.failed_at is None else f"{step(one.failed_at, one.failed_s)}: {one.message}"
    whom = "the whole release" if not one.cohort else _whom(one.cohort)
    applied, verified = step(one.applied_at, one.applied_s), step(one.verified_at, one.verified_s)
    return step(one.requested_at, None), applied, verified, failed, whom


def _happened(card: Scorecard) -> Part:
    rows = [
        (
            one.at,
            one.type,
            one.objective or "",
            _whom(one.cohort),
            one.who or "",
            one.id[:_ID_DIGITS],
            one.words or "",
        )
        for one in card.happened
    ]
    names = ("when", "what", "objective", "for whom", "who", "id", "in words")
    lines = _left_out(card, "happened", "the newest are shown")
    return Part("What happened", names, rows, lines if rows else ("nothing else is on record",))


def _debts(card: Scorecard) -> Part:
    rows = [
        (
            one.debt_id[:_ID_DIGITS],
            one.objective or "?",
            _whom(one.cohort),
            one.owner or "nobody",
            one.due_at,
            "open" if one.is_open else f"closed by {one.closed_by} at {one.closed_at}",
            one.evaluation or "",
        )
        for one in card.eval_debts
    ]
    names = ("debt", "objective", "for whom", "owner", "due", "stands", "evaluation")
    lines = _left_out(card, "eval_debts", "the first due are shown")
    return Part("Eval debt", names, rows, lines if rows else ("no evaluation case is owed for this arming",))


def _rehearsal(card: Scorecard) -> str:
    last = card.rehearsed
    if last is None:
        return "no rehearsal of its rollback is on record"
    counts = "counts" if last.counts else "does not count"
    return f"{last.at} by {last.author}, {counts}: {last.summary}"


def _left_out(card: Scorecard, name: str, shown: str) -> tuple[str, ...]:
    beyond = card.left_out.get(name, 0)
    return (f"{beyond:,} more are on record; {shown}",) if beyond else ()


def _whom(cohort: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in cohort.items()) or "everybody"


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _columns(part: Part) -> Iterator[str]:
    table = [part.columns, *([plain(cell) for cell in row] for row in part.rows)] if part.rows else []
    table = table if any(part.columns) else table[1:]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _pipes(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def unmarked(text: str) -> str:
    """Return a text as one line of Markdown in which nothing is markup."""
    return _MARKUP.sub(lambda found: f"\\{found.group()}", plain(text))
