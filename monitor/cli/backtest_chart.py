"""A chart as text: one objective's excess over time against its limit, with the minute it acted."""

from __future__ import annotations

from math import isfinite
from typing import Final

from monitor.core.budget import Unit
from monitor.engine.backtest_result import ObjectiveResult

WIDTH: Final = 72
HEIGHT: Final = 5
TOP_LIMITS: Final = 8.0  # a chart ends at so many limits: what is beyond that is beyond doubt
NEAR: Final = 0.5  # of the limit: what stays below it is not near
_BARS: Final = " ▁▂▃▄▅▆▇█"
_LEFT: Final = 10
UNITS: Final = {Unit.PERCENT: " %", Unit.POINTS: " pp", Unit.COUNT: ""}


def margins(result: ObjectiveResult, minutes: int, width: int) -> list[float | None]:
    """Return the excess in limits, worst of each column; above 1 is beyond the limit, None is no data.

    Args:
        minutes: What the whole width stands for.
        width: The most columns; there is none shorter than a minute.
    """
    columns = max(1, min(width, minutes))
    worst: list[float | None] = [None] * columns
    for minute, value in result.curve:
        if value is None or not 0 <= minute < minutes:
            continue
        margin = value / result.objective.limit
        first = minute * columns // minutes
        last = min(minute + result.step_min, minutes) * columns - 1
        for column in range(first, max(first, last // minutes) + 1):
            known = worst[column]
            worst[column] = margin if known is None else max(known, margin)
    return worst


def top_of(worst: list[float | None]) -> float:
    """Return where a chart ends, in limits: above the worst value, and above the limit."""
    highest = max((one for one in worst if one is not None and isfinite(one)), default=0.0)
    beyond_all = TOP_LIMITS if any(one is not None and not isfinite(one) for one in worst) else 0.0
    return min(TOP_LIMITS, max(1.25, highest * 1.05, beyond_all))


def is_worth_drawing(result: ObjectiveResult, minutes: int) -> bool:
    """Tell whether an objective came near its limit, or acted: of the others a flat line would say nothing."""
    if not result.curve or result.objective.limit == 0 or minutes <= 0:
        return False
    known = [one for one in margins(result, minutes, WIDTH) if one is not None]
    return bool(known) and (result.acted is not None or max(known) >= NEAR)


def chart(result: ObjectiveResult, minutes: int, caption: str) -> str:
    """Return the chart of an objective that is worth drawing, as lines."""
    worst = margins(result, minutes, WIDTH)
    top = top_of(worst)
    unit = UNITS[result.objective.unit]
    limit_row = min(HEIGHT - 1, int(1 / top * HEIGHT))
    lines = [f"  {caption}"]
    for row in reversed(range(HEIGHT)):
        label = ""
        if row == HEIGHT - 1 and row != limit_row:
            label = f"{result.objective.limit * top:+.3g}{unit}"
        elif row == limit_row:
            label = f"{result.objective.limit:+g}{unit}"
        bars = "".join(_cell(one, row, top, is_limit=row == limit_row) for one in worst)
        lines.append(f"{label:>{_LEFT}} │{bars}{' limit' if row == limit_row else ''}".rstrip())
    return "\n".join([*lines, *_axis(result, minutes, len(worst))])


def _cell(margin: float | None, row: int, top: float, *, is_limit: bool) -> str:
    height = 0.0 if margin is None else min(max(margin, 0.0), top) / top * HEIGHT
    filled = min(8, max(0, round((height - row) * 8)))
    if not filled:
        return "╌" if is_limit else " "
    return _BARS[filled]


def _axis(result: ObjectiveResult, minutes: int, columns: int) -> list[str]:
    """Return the line of minutes, and below it what happened when."""
    line = ["─"] * columns
    notes = []
    first = None if result.first_breach == result.acted else result.first_breach
    for moment, mark, what in ((first, "△", "first breach"), (result.acted, "▲", "acted")):
        if moment is not None:
            line[min(columns - 1, max(0, moment.minute - 1) * columns // minutes)] = mark
            notes.append(f"{mark} {what} at minute {moment.minute}")
    ends = f"0 to {minutes} min"
    return [f"{'0':>{_LEFT}} └{''.join(line)}", " " * (_LEFT + 2) + "   ".join([ends, *notes])]
