"""A backtest as one SVG: a panel an objective, its excess over time against its limit, and when it acted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from monitor.cli import svg
from monitor.cli.backtest_chart import UNITS, margins, top_of
from monitor.cli.backtest_report import caption, headline
from monitor.engine.backtest_result import BudgetResult, Moment, ObjectiveResult

_LEFT, _RIGHT, _TOP, _PLOT, _PANEL, _HEAD = 90, 30, 26, 110, 168, 48
_SPAN: Final = svg.WIDTH - _LEFT - _RIGHT
_COLUMNS: Final = 480
_STYLE: Final = """
.curve { fill: none; stroke: #1d4ed8; stroke-width: 1.5 }
.limit { stroke: #b91c1c; stroke-dasharray: 5 4 }
.breach { stroke: #b45309; stroke-dasharray: 2 3 }
.acted { stroke: #b91c1c; stroke-width: 2 }
"""


def drawing(results: Sequence[BudgetResult]) -> str:
    """Return the SVG document; worse is up, whichever way the limit points."""
    parts: list[str] = []
    y = 10
    for result in results:
        release, _, outcome = headline(result).rpartition(": ")
        parts += [svg.text(16, y + 18, release, "head"), svg.text(16, y + 36, outcome, "")]
        y += _HEAD
        drawn = [one for one in result.objectives if _has_curve(one, result.minutes)]
        for one in drawn:
            parts += _panel(one, result.minutes, y)
            y += _PANEL
        if not drawn:
            parts.append(svg.text(_LEFT, y + 14, "no live traffic to draw", "small"))
            y += _HEAD
    return svg.document(parts, y + 10, "Backtest: excess over time against limits", _STYLE)


def _has_curve(result: ObjectiveResult, minutes: int) -> bool:
    return minutes > 0 and result.objective.limit != 0 and any(value is not None for _, value in result.curve)


def _panel(result: ObjectiveResult, minutes: int, y: int) -> Iterator[str]:
    worst = margins(result, minutes, _COLUMNS)
    top = top_of(worst)
    floor = y + _TOP + _PLOT
    unit = UNITS[result.objective.unit]

    def height(margin: float) -> float:
        return floor - min(max(margin, 0.0), top) / top * _PLOT

    yield svg.text(_LEFT, y + 16, caption(result), "")
    yield svg.line(_LEFT, floor, _LEFT + _SPAN, floor, "axis")
    yield svg.line(_LEFT, y + _TOP, _LEFT, floor, "axis")
    yield svg.line(_LEFT, height(1), _LEFT + _SPAN, height(1), "limit")
    for value, label in ((1.0, f"{result.objective.limit:+g}{unit}"), (0.0, "0")):
        yield svg.text(_LEFT - 8, height(value) + 4, label, "small", anchor="end")
    for points in _runs(worst, height):
        yield f'<polyline class="curve" points="{points}"/>'
    first = None if result.first_breach == result.acted else result.first_breach
    for moment, kind in ((first, "breach"), (result.acted, "acted")):
        if moment is not None:
            yield from _mark(moment, minutes, y, floor, kind)
    yield svg.text(_LEFT, floor + 15, "0", "small")
    yield svg.text(_LEFT + _SPAN, floor + 15, f"{minutes} min", "small", anchor="end")


def _runs(worst: list[float | None], height: Callable[[float], float]) -> Iterator[str]:
    """Yield the points of every stretch that has data: a gap stays a gap."""
    run: list[str] = []
    for column, margin in enumerate([*worst, None]):
        if margin is not None:
            run.append(f"{_LEFT + (column + 0.5) * _SPAN / len(worst):.1f},{height(margin):.1f}")
        elif run:
            yield " ".join(run)
            run = []


def _mark(moment: Moment, minutes: int, y: int, floor: int, kind: str) -> Iterator[str]:
    """Yield a line where something happened, and its words below the axis: a breach's left of it, an act's right."""
    x = _LEFT + min(max(moment.minute, 0), minutes) * _SPAN / minutes
    yield svg.line(x, y + _TOP, x, floor, kind)
    side = (
        -3 if kind == "breach" or x > svg.WIDTH * 3 / 4 else 3
    )  # words on the right would leave the drawing there
    yield svg.text(
        x + side, floor + 15, f"{kind} at {moment.minute}", "small", anchor="end" if side < 0 else "start"
    )
