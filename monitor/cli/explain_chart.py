"""A decision's minutes as text: candidate and baseline over time, the limit, and where W and J lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from monitor.core.budget import Unit
from monitor.core.moment import moment_ms

WIDTH: Final = 72
HEIGHT: Final = 9
_LEFT: Final = 12
_CANDIDATE, _BASELINE, _LIMIT = "●", "○", "╌"
LEGEND: Final = f"{_CANDIDATE} candidate   {_BASELINE} baseline   {_LIMIT} limit   ═ window W   ▒ J, left out"

Format = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Column:
    """A few neighbouring minutes of both arms; None without data."""

    candidate: float | None
    baseline: float | None


def columns(points: Mapping[str, Any], width: int = WIDTH) -> list[Column]:
    """Return the points in at most `width` columns, neighbours joined by their requests."""
    size = len(points["candidate"])
    count = max(1, min(width, size))
    bounds = [index * size // count for index in range(count + 1)]
    return [
        Column(*(_mean(points, arm, low, high) for arm in ("candidate", "baseline")))
        for low, high in pairwise(bounds)
    ]


def _mean(points: Mapping[str, Any], arm: str, low: int, high: int) -> float | None:
    known = [
        (value, requests)
        for value, requests in zip(points[arm][low:high], points[f"{arm}_requests"][low:high], strict=True)
        if value is not None
    ]
    total = float(sum(requests for _, requests in known))
    if not known:
        return None
    return float(sum(value * requests for value, requests in known)) / total if total else float(known[-1][0])


def limit_at(baseline: float | None, limit: float, unit: str, percent_of: float) -> float | None:
    """Return the value that the limit draws beside a baseline's.

    Args:
        percent_of: What a percentage point is in the values' unit.
    """
    if baseline is None:
        return None
    if unit == Unit.POINTS.value:
        return baseline + limit * percent_of
    return baseline * (1.0 + limit / 100.0)


def chart(
    points: Mapping[str, Any], rule: Mapping[str, Any], marks: Mapping[str, Any], form: Format
) -> list[str]:
    """Return the chart as lines; none where there is nothing to draw.

    Args:
        marks: The stretches of the record: `window` is W, the cut of `rest` is J.
        form: Turns a value into text.
    """
    drawn = columns(points)
    limits = [limit_at(one.baseline, rule["limit"], rule["unit"], 0.01) for one in drawn]
    known = [one for column in drawn for one in (column.candidate, column.baseline) if one is not None]
    known += [one for one in limits if one is not None]
    if not known:
        return []
    low, high = min(known), max(known)
    if high <= low:
        low, high = low - abs(low) * 0.01 - 1e-9, high + abs(high) * 0.01 + 1e-9
    grid = [[" "] * len(drawn) for _ in range(HEIGHT)]
    for values, mark in (
        (limits, _LIMIT),
        ([one.baseline for one in drawn], _BASELINE),
        ([one.candidate for one in drawn], _CANDIDATE),
    ):
        for place, value in enumerate(values):
            if value is not None:
                grid[round((value - low) / (high - low) * (HEIGHT - 1))][place] = mark
    lines = []
    for row in reversed(range(HEIGHT)):
        label = form(low + (high - low) * row / (HEIGHT - 1)) if row in (0, HEIGHT // 2, HEIGHT - 1) else ""
        lines.append(f"{label:>{_LEFT}} │{''.join(grid[row])}".rstrip())
    return [*lines, *_axis(points, marks, len(drawn)), " " * (_LEFT + 2) + LEGEND]


def _axis(points: Mapping[str, Any], marks: Mapping[str, Any], count: int) -> list[str]:
    """The line of minutes with W and J on it, and below it the clock."""
    line = ["─"] * count
    start = moment_ms(points["start"])
    length = len(points["candidate"]) * points["step_min"] * 60_000
    window, rest = marks.get("window"), marks.get("rest")
    if window is not None:
        _mark(line, "═", (window["start"], window["end"]), start, length)
    if rest is not None and rest["cut"] is not None:
        _mark(line, "▒", rest["cut"], start, length)
    first, last = _clock(start), _clock(start + length)
    gap = " " * max(1, count - len(first) - len(last))
    return [f"{'':>{_LEFT}} └{''.join(line)}", " " * (_LEFT + 2) + f"{first}{gap}{last}"]


def _mark(line: list[str], mark: str, ends: Sequence[str], start: int, length: int) -> None:
    first, last = (max(0, moment_ms(end) - start) * len(line) / length for end in ends)
    for place in range(int(first), min(len(line), max(int(first) + 1, round(last)))):
        line[place] = mark


def _clock(at_ms: int) -> str:
    minutes = at_ms // 60_000
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"
