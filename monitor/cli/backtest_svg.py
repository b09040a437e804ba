"""A backtest as one SVG: a panel an objective, its excess over time against its limit, and when it acted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Final

from monitor.cli.backtest_chart import UNITS, margins, top_of
from monitor.cli.backtest_report import caption, headline
from monitor.engine.backtest_result import BudgetResult, Moment, ObjectiveResult

WIDTH: Final = 960
_LEFT, _RIGHT, _TOP, _PLOT, _PANEL, _HEAD = 90, 30, 26, 110, 168, 48
_SPAN: Final = WIDTH - _LEFT - _RIGHT
_COLUMNS: Final = 480
_STYLE: Final = """
text { font: 12px system-ui, sans-serif; fill: #1f2933 }
.head { font-size: 14px; font-weight: 600 }
.small { font-size: 11px; fill: #52606d }
.curve { fill: none; stroke: #1d4ed8; stroke-width: 1.5 }
.limit { stroke: #b91c1c; stroke-dasharray: 5 4 }
.axis { stroke: #9aa5b1 }
.breach { stroke: #b45309; stroke-dasharray: 2 3 }
.acted { stroke: #b91c1c; stroke-width: 2 }
"""


def drawing(results: Sequence[BudgetResult]) -> str:
    """Return the SVG document; worse is up, whichever way the limit points."""
    parts: list[str] = []
    y = 10
    for result in results:
        release, _, outcome = headline(result).rpartition(": ")
        parts += [_text(16, y + 18, release, "head"), _text(16, y + 36, outcome, "")]
        y += _HEAD
        drawn = [one for one in result.objectives if _has_curve(one, result.minutes)]
        for one in drawn:
            parts += _panel(one, result.minutes, y)
            y += _PANEL
        if not drawn:
            parts.append(_text(_LEFT, y + 14, "no live traffic to draw", "small"))
            y += _HEAD
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 10}" '
        f'viewBox="0 0 {WIDTH} {y + 10}" role="img" aria-label="Backtest: excess over time against limits">'
    )
    background = f'<rect width="{WIDTH}" height="{y + 10}" fill="#ffffff"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", background, *parts, "</svg>", ""])


def _has_curve(result: ObjectiveResult, minutes: int) -> bool:
    return minutes > 0 and result.objective.limit != 0 and any(value is not None for _, value in result.curve)


def _panel(result: ObjectiveResult, minutes: int, y: int) -> Iterator[str]:
    worst = margins(result, minutes, _COLUMNS)
    top = top_of(worst)
    floor = y + _TOP + _PLOT
    unit = UNITS[result.objective.unit]

    def height(margin: float) -> float:
        return floor - min(max(margin, 0.0), top) / top * _PLOT

    yield _text(_LEFT, y + 16, caption(result), "")
    yield _line(_LEFT, floor, _LEFT + _SPAN, floor, "axis")
    yield _line(_LEFT, y + _TOP, _LEFT, floor, "axis")
    yield _line(_LEFT, height(1), _LEFT + _SPAN, height(1), "limit")
    for value, label in ((1.0, f"{result.objective.limit:+g}{unit}"), (0.0, "0")):
        yield _text(_LEFT - 8, height(value) + 4, label, "small", anchor="end")
    for points in _runs(worst, height):
        yield f'<polyline class="curve" points="{points}"/>'
    first = None if result.first_breach == result.acted else result.first_breach
    for moment, kind in ((first, "breach"), (result.acted, "acted")):
        if moment is not None:
            yield from _mark(moment, minutes, y, floor, kind)
    yield _text(_LEFT, floor + 15, "0", "small")
    yield _text(_LEFT + _SPAN, floor + 15, f"{minutes} min", "small", anchor="end")


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
    yield _line(x, y + _TOP, x, floor, kind)
    side = (
        -3 if kind == "breach" or x > WIDTH * 3 / 4 else 3
    )  # words on the right would leave the drawing there
    yield _text(
        x + side, floor + 15, f"{kind} at {moment.minute}", "small", anchor="end" if side < 0 else "start"
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
