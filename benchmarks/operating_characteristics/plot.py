"""The pictures of the document, as SVG: how soon harm is found, and which rule rolls back what is healthy."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, log10
from typing import Final

from benchmarks.operating_characteristics.bar import limit_min
from benchmarks.operating_characteristics.cells import CELLS, TRAFFICS
from benchmarks.operating_characteristics.naive import RULES
from benchmarks.operating_characteristics.results import Results
from benchmarks.operating_characteristics.tables import NOT_RUN, percent
from benchmarks.operating_characteristics.tally import Tally, quantile
from monitor.cli import svg

_STYLE: Final = """
.grid { stroke: #e4e7eb }
.limit { stroke: #52606d; fill: none }
.bar { stroke: #b91c1c; stroke-dasharray: 5 4; fill: none }
.ninety { stroke: #b45309; stroke-dasharray: 2 3; fill: none }
.success { fill: #1d4ed8; stroke: #1d4ed8 }
.handoff { fill: #b45309; stroke: #b45309 }
.p95 { fill: #15803d; stroke: #15803d }
.curve { fill: none; stroke-width: 1.8 }
"""
_OBJECTIVES: Final = (("success", "task success"), ("handoff", "hand-off"), ("p95", "p95 latency"))
_CURVES: Final = (
    ("guard", "this engine", "#1d4ed8"),
    ("strict", "this engine, evidence: strict", "#7c3aed"),
    ("argo_row", "argo_row: 4 failed measurements", "#b45309"),
    ("roll10", "roll10: ten minutes, for 20", "#15803d"),
    ("point1", "point1: 20 bad minutes in a row", "#52606d"),
    ("cs_start", "cs_start: confidence sequence", "#b91c1c"),
)
_CURVE_CELL: Final = "detection/success/10s-5/2x"


def detection(results: Results) -> str:
    """Median and 90 % of the delay against the limit, both axes logarithmic; lines are the limit and the bars."""
    left, top, span, height = 70, 60, 640, 440
    low, high = 15.0, 1200.0

    def x(value: float) -> float:
        return left + span * log10(value / low) / log10(high / low)

    def y(value: float) -> float:
        return top + height - height * log10(min(value, high) / low) / log10(high / low)

    parts = [svg.text(left, 24, "Minutes to a rollback, against the fewest that any method needs", "head")]
    for value in (20, 50, 100, 200, 500, 1000):
        parts += [
            svg.line(x(value), top, x(value), top + height, "grid"),
            svg.line(left, y(value), left + span, y(value), "grid"),
        ]
        parts += [svg.text(x(value), top + height + 16, str(value), "small", "middle")]
        parts += [svg.text(left - 8, y(value) + 4, str(value), "small", "end")]
    parts += [
        svg.text(
            left + span / 2,
            top + height + 36,
            "max(Y, 12.6/I): no method with this error rate is sooner",
            "small",
            "middle",
        )
    ]
    for times, more, kind in ((1.0, 0.0, "limit"), (1.35, 2.0, "bar"), (2.15, 3.0, "ninety")):
        steps = [low * (high / low) ** (i / 60) for i in range(61)]
        points = " ".join(f"{x(v):.1f},{y(times * v + more):.1f}" for v in steps if times * v + more <= high)
        parts.append(f'<polyline class="{kind}" points="{points}"/>')
    for name, _ in _OBJECTIVES:
        for limit, median, ninety in _delays(results, name):
            if median < inf and limit < high:
                parts.append(f'<circle class="{name}" cx="{x(limit):.1f}" cy="{y(median):.1f}" r="3.5"/>')
            if ninety < inf and limit < high:
                at_x, at_y = x(limit), y(ninety)
                parts.append(f'<path class="{name}" fill="none" d="M{at_x - 3.5:.1f} {at_y:.1f}h7"/>')
    parts += _detection_key(left + span + 20, top + 10)
    return svg.document(parts, top + height + 56, "Detection delay against the limit", _STYLE)


def curves(results: Results) -> str:
    """How many releases are rolled back by which minute, under each rule: harm of 2x at 10/s, 5 %, from hour 6 on."""
    tally = results.get(_CURVE_CELL)
    onset = CELLS[_CURVE_CELL].onset or 0
    left, top, span, height, first, last = 70, 60, 640, 260, -360, 1080

    def x(delay: float) -> float:
        return left + span * (delay - first) / (last - first)

    parts = [
        svg.text(
            left, 24, "Rolled back by then: 2x harm begins at minute 0 (10 requests/s, canary 5 %)", "head"
        ),
        f'<rect x="{left}" y="{top}" width="{x(0) - left:.1f}" height="{height}" fill="#f1f5f9"/>',
        svg.text(x(-180), top + 16, "still healthy", "small", "middle"),
        svg.line(left, top + height, left + span, top + height, "axis"),
    ]
    for share in (0, 25, 50, 75, 100):
        level = top + height * (1 - share / 100)
        parts += [
            svg.line(left, level, left + span, level, "grid"),
            svg.text(left - 8, level + 4, f"{share} %", "small", "end"),
        ]
    for delay in range(first, last + 1, 180):
        parts.append(svg.text(x(delay), top + height + 16, str(delay), "small", "middle"))
    parts.append(svg.text(left + span / 2, top + height + 36, "minutes from the onset", "small", "middle"))
    for number, (rule, words, color) in enumerate(_CURVES):
        if tally is not None:
            points = " ".join(
                f"{x(delay):.1f},{top + height * (1 - share):.1f}"
                for delay, share in _reached(tally, rule, onset)
            )
            parts.append(f'<polyline class="curve" stroke="{color}" points="{points}"/>')
        at = top + 10 + 20 * number
        parts.append(f'<path class="curve" stroke="{color}" d="M{left + span + 20} {at}h18"/>')
        parts.append(svg.text(left + span + 44, at + 4, words, "small"))
    return svg.document(parts, top + height + 56, "Share rolled back over time, by rule", _STYLE)


def false_rollbacks(results: Results) -> str:
    """Which rule rolls back how many healthy releases: a row a traffic, a column a rule, darker is more."""
    columns = [*RULES, "guard"]
    left, top, cell_width, cell_height = 120, 74, 110, 24
    parts = [svg.text(16, 24, "Healthy releases rolled back within 24 h, by rule (A/A)", "head")]
    for number, rule in enumerate(columns):
        words = "this engine" if rule == "guard" else rule
        parts.append(svg.text(left + (number + 0.5) * cell_width, top - 10, words, "", "middle"))
    for line, traffic in enumerate(TRAFFICS):
        at = top + line * cell_height
        parts.append(svg.text(left - 10, at + 16, traffic.label, "small", "end"))
        tally = results.get(f"false/success/{traffic.slug}/aa")
        for number, rule in enumerate(columns):
            share = tally.share(rule) if tally else 0.0
            shade = f"rgb({255 - round(70 * share)},{255 - round(227 * share)},{255 - round(227 * share)})"
            box = f'x="{left + number * cell_width}" y="{at}" width="{cell_width - 2}" height="{cell_height - 2}"'
            parts.append(f'<rect {box} fill="{shade}" stroke="#e4e7eb"/>')
            said = NOT_RUN if tally is None else percent(share)
            white = ' style="fill:#fff"' if share > 0.5 else ""
            middle = left + number * cell_width + cell_width / 2 - 1
            parts.append(f'<text{white} x="{middle}" y="{at + 15}" text-anchor="middle">{said}</text>')
    return svg.document(
        parts, top + len(TRAFFICS) * cell_height + 16, "False rollbacks by rule and traffic", _STYLE
    )


def _delays(results: Results, name: str) -> Iterator[tuple[float, float, float]]:
    for cell in CELLS.values():
        if cell.table == f"detection-{name}" and cell.onset is not None and cell.name in results:
            delays = results[cell.name].delays(cell.onset)
            limit = max(limit_min(cell.name), cell.guarded.objective.hold_min)
            yield limit, quantile(delays, 0.5), quantile(delays, 0.9)


def _reached(tally: Tally, rule: str, onset: int) -> Iterator[tuple[float, float]]:
    """The share fired by each delay, as the corners of its steps."""
    yield -onset, 0.0
    share = 0.0
    for tick in sorted(tick for tick in tally.fired.get(rule, {}) if tick >= 0):
        yield tick - onset, share
        share += tally.fired[rule][tick] / tally.releases
        yield tick - onset, share
    yield 1080, share


def _detection_key(x: float, y: float) -> list[str]:
    parts = []
    for number, (name, words) in enumerate(_OBJECTIVES):
        parts.append(f'<circle class="{name}" cx="{x + 8}" cy="{y + 20 * number}" r="3.5"/>')
        parts.append(svg.text(x + 24, y + 20 * number + 4, words, "small"))
    lines = (("limit", "the limit"), ("bar", "bar of the median"), ("ninety", "bar of the 90 %"))
    for number, (kind, words) in enumerate(lines):
        at = y + 20 * (number + 4)
        parts += [svg.line(x, at, x + 18, at, kind), svg.text(x + 24, at + 4, words, "small")]
    parts.append(svg.text(x, y + 160, "dot: median; dash: 90 %", "small"))
    return parts
