"""The report: lines on the terminal, `results.json`, and the tables of docs/real-traffic.md between their markers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.real_rows.case import Chapter
from benchmarks.real_rows.cases import CHAPTERS
from benchmarks.real_rows.run import NOT_ASSESSED

RESULTS: Final = Path(__file__).parent / "results.json"
PAGE: Final = Path(__file__).parent.parent.parent / "docs" / "real-traffic.md"
BEGIN: Final = "<!-- measured: begin -->\n"
END: Final = "<!-- measured: end -->\n"
_SHOWN: Final = 2
_MILLI: Final = 1e-3
_UNITS: Final = {"pct": "%", "pp": "pp"}
_HEADER: Final = (
    "| case | objective | true, over all rows | limit | what the monitor did |\n"
    "| --- | --- | --- | --- | --- |\n"
)

Data = Mapping[str, Any]


def case_lines(case: Data) -> Iterator[str]:
    """Yield a case as the terminal shows it."""
    for subject in case["subjects"]:
        name = subject["objective"] + (f" [{subject['workflow']}]" if subject["workflow"] else "")
        yield f"  {name:<38} {_truth(subject):<44} {_did(case, subject)}"
    yield from (f"  also: {words}" for words in _other_pages(case))


def save(cases: Sequence[Data]) -> None:
    """Write the results; cases that were not run keep what stood there."""
    known = {case["name"]: case for case in (json.loads(RESULTS.read_text()) if RESULTS.exists() else [])}
    known |= {case["name"]: case for case in cases}
    ordered = [known[case.name] for chapter in CHAPTERS for case in chapter.cases if case.name in known]
    RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


def write_page() -> None:
    """Put the tables of `results.json` into the page."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_tables(text, json.loads(RESULTS.read_text(encoding="utf-8"))), encoding="utf-8")


def with_tables(page: str, cases: Sequence[Data]) -> str:
    """Return the page with the tables of these results between its markers."""
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{tables(cases)}\n{END}{after}"


def tables(cases: Sequence[Data]) -> str:
    """Return one section per chapter."""
    found = {case["name"]: case for case in cases}
    parts = [_totals(cases)]
    for chapter in CHAPTERS:
        mine = [found[case.name] for case in chapter.cases if case.name in found]
        if mine:
            parts.append(_section(chapter, mine))
    return "\n".join(parts)


def _totals(cases: Sequence[Data]) -> str:
    counts = [
        f"{sum(case['seeds'] for case in cases)} releases in {len(cases)} cases.",
        f"Of those that must be rolled back, {_rolled_back(cases, 'must')} were;",
        f"of those that may never be, {_rolled_back(cases, 'never')}.",
    ]
    broken = [words for case in cases for words in case["broken_promises"]]
    lines = [
        " ".join(counts),
        "",
        f"Promises of the cases that a seed did not keep: {len(broken)}.",
        "",
        *(line for case in cases for line in _broken(case)),
    ]
    return "\n".join(lines)


def _broken(case: Data) -> Iterator[str]:
    """Yield what a case's first seeds did not keep, and how many more there were."""
    broken = case["broken_promises"]
    more = f" (and {len(broken) - _SHOWN} more)" if len(broken) > _SHOWN else ""
    for words in broken[:_SHOWN]:
        yield f"- `{case['name']}`, {words}{more}"
    if broken:
        yield ""


def _rolled_back(cases: Sequence[Data], due: str) -> str:
    mine = [case for case in cases if case["rollback"] == due]
    times = sum(len(one["rolled_back_at"]) for case in mine for one in case["subjects"])
    return f"{times} of {sum(case['seeds'] for case in mine)}"


def _is_beyond(subject: Data) -> bool:
    return bool(subject["zone"] == "beyond the limit")


def _section(chapter: Chapter, cases: Sequence[Data]) -> str:
    rows = "".join(row for case in cases for row in _rows(case))
    said = "".join(f"- `{name}`: “{words}”\n" for case in cases for name, words in _sayings(case))
    quotes = f"\nWhat people read, in the first seed that it came to:\n\n{said}" if said else ""
    other = "".join(f"- {words}\n" for case in cases for words in _other_pages(case))
    also = f"\nPages that do not say that a limit was broken:\n\n{other}" if other else ""
    return f"## {chapter.title}\n\n{chapter.asks}\n\n{_HEADER}{rows}{quotes}{also}"


def _other_pages(case: Data) -> Iterator[str]:
    for page in case["other_pages"]:
        about = page["objective"] + (f" for {page['workflow']}" if page["workflow"] else "")
        yield f"`{case['name']}`, {about}, {page['reason']} in {page['seeds']} of {case['seeds']}: “{page['says']}”"


def _sayings(case: Data) -> Iterator[tuple[str, str]]:
    """Yield what the rollback said, and what a page about a watched workflow said."""
    if case["rollback_says"]:
        yield case["name"], case["rollback_says"]
    for subject in case["subjects"]:
        if subject["workflow"] and subject["page_says"]:
            yield case["name"], subject["page_says"]


def _rows(case: Data) -> Iterator[str]:
    spell = case["spell"]
    when = f", bad in minutes {spell[0]} to {spell[1]}" if spell else ""
    when += f", more of {', '.join(case['often'])}" if case["often"] else ""
    head = (
        f"**`{case['name']}`**: {case['title']}; {case['baseline']} → {case['candidate']} "
        f"({case['source']}), {case['minutes']} min{when}"
    )
    for subject in case["subjects"]:
        yield (
            f"| {head} | {_name(subject)} | {_truth(subject)} | {_limit(subject)} | {_did(case, subject)} |\n"
        )
        head = ""


def _name(subject: Data) -> str:
    if not subject["workflow"]:
        return f"`{subject['metric']}`"
    return (
        f"`{subject['metric']}` of `workflow={subject['workflow']}` ({100 * subject['share_of_rows']:.0f} %)"
    )


def _truth(subject: Data) -> str:
    truth = subject["truth"]
    if truth["delta"] is None:
        return "not measured"
    values = " → ".join(_value(subject["metric"], truth[arm]) for arm in ("baseline", "candidate"))
    text = f"{values}, {_signed(truth['delta'], subject['unit'])}"
    if subject["pooled_delta"] is not None:
        text += f" (thrown together {_signed(subject['pooled_delta'], subject['unit'])})"
    return f"**{text}**" if _is_beyond(subject) else text


def _limit(subject: Data) -> str:
    return f"{subject['limit']:+g} {_UNITS[subject['unit']]}, {subject['hold_min']} min"


def _did(case: Data, subject: Data) -> str:
    seeds = case["seeds"]
    parts = []
    if subject["rolled_back_at"]:
        parts.append(
            f"**rolled back {len(subject['rolled_back_at'])} of {seeds}**, {_when(subject['rolled_back_at'])}"
        )
    if subject["paged_at"]:
        reasons = " or ".join(subject["page_reasons"])
        parts.append(f"paged {len(subject['paged_at'])} of {seeds} ({reasons}), {_when(subject['paged_at'])}")
    if len(subject["rolled_back_at"]) < seeds:
        parts.append(_verdicts(subject, seeds))
    return "; ".join(filter(None, parts))


def _when(minutes: Sequence[float]) -> str:
    low, high = min(minutes), max(minutes)
    spread = f" ({low:g} to {high:g})" if low < high else ""
    return f"minute {median(minutes):g}{spread}"


def _verdicts(subject: Data, seeds: int) -> str:
    counts = sorted((name, count) for name, count in subject["verdicts"].items() if name != NOT_ASSESSED)
    words = ", ".join(f"{name.replace('_', ' ')} {count} of {seeds}" for name, count in counts)
    if not words:
        return "" if subject["paged_at"] else "watched, not paged"
    first = subject["first_seed"]
    if first is None or first["delta"] is None or first["verdict"] == "breach":
        return words
    unit = subject["unit"]
    span = " to ".join("?" if first[side] is None else f"{first[side]:+.1f}" for side in ("lower", "upper"))
    could = "" if first["mde"] is None else f", could show {_signed(first['mde'], unit)}"
    n = f"{first['samples'][1]:,} against {first['samples'][0]:,}"
    return f"{words}; seed 1: {_signed(first['delta'], unit)} ({span}), n {n}{could}"


def _value(metric: str, value: float) -> str:
    if metric.endswith(("p50", "p90", "p95", "p99")):
        return f"{value * _MILLI:.2f} s"
    if metric == "cost_per_request":
        return f"{1000 * value:.3f} USD per 1000"
    return f"{100 * value:.1f} %"


def _signed(value: float, unit: str) -> str:
    return f"{value:+.1f} {_UNITS[unit]}"
