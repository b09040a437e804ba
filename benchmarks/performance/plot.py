"""The pictures of the document, as SVG: who does how many events with a core, what grows, how soon an incident acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import log10
from typing import Any, Final

from benchmarks.performance.results import Results

WIDTH: Final = 960
_STYLE: Final = """
text { font: 12px system-ui, sans-serif; fill: #1f2933 }
.head { font-size: 14px; font-weight: 600 }
.small { font-size: 11px; fill: #52606d }
.grid { stroke: #e4e7eb }
.axis { stroke: #9aa5b1 }
.ours { fill: #1d4ed8 }
.other { fill: #9aa5b1 }
.bound { fill: #d9e2ec }
.curve { fill: none; stroke: #1d4ed8; stroke-width: 1.8 }
.dot { fill: #1d4ed8 }
"""
_BOUNDS: Final = ("getmany", "floor")


def peers(results: Results, titles: Mapping[str, str]) -> str:
    """Events per core-second, a bar a system, on a logarithmic scale: longer is cheaper."""
    systems = results.get("peers", {}).get("systems", {})
    rates = {slug: 1e6 / systems[slug]["cpu_s"] for slug in titles if slug in systems}
    left, top, span, step = 230, 50, 560, 26
    low, high = 100.0, 1_000_000.0

    def x(value: float) -> float:
        return left + span * log10(max(value, low) / low) / log10(high / low)

    bottom = top + step * max(1, len(rates))
    parts = [_text(16, 24, "Events that one second of one core is enough for (logarithmic)", "head")]
    for value in (100, 1_000, 10_000, 100_000, 1_000_000):
        parts += [_line(x(value), top, x(value), bottom, "grid")]
        parts += [_text(x(value), bottom + 16, f"{value:,}", "small", "middle")]
    for number, slug in enumerate(sorted(rates, key=lambda one: -rates[one])):
        kind = "bound" if slug in _BOUNDS else "ours" if slug.startswith("product") else "other"
        at, width = top + step * number, x(rates[slug]) - left
        parts.append(
            f'<rect class="{kind}" x="{left}" y="{at + 4}" width="{width:.1f}" height="{step - 8}"/>'
        )
        parts.append(_text(left - 8, at + 17, titles[slug].replace("`", ""), "", "end"))
        mark = " †" if systems[slug]["contended"] else ""
        parts.append(_text(left + width + 6, at + 17, f"{rates[slug]:,.0f}{mark}", "small"))
    if not rates:
        parts.append(_text(left, top + 16, "not measured yet", "small"))
    return _document(parts, bottom + 30, "Events per core-second by system")


def growth(results: Results) -> str:
    """CPU seconds a million events along each axis, a panel an axis."""
    points = results.get("growth", {}).get("points", [])
    axes = list(dict.fromkeys(point["axis"] for point in points))
    width, height, top = 220, 150, 60
    most = max((point["cpu_s"] for point in points), default=1.0) * 1.1
    parts = [_text(16, 24, "CPU seconds a million events, as each of these grows", "head")]
    for number, axis in enumerate(axes):
        left = 50 + (number % 3) * (width + 80)
        base = top + (number // 3 + 1) * (height + 60) - 60
        found = [point for point in points if point["axis"] == axis]
        parts += [
            _line(left, base, left + width, base, "axis"),
            _line(left, base - height, left, base, "axis"),
        ]
        parts += [_text(left, base - height - 8, axis, "")]
        parts += [_text(left - 6, base - height + 4, f"{most:.0f}", "small", "end")]
        parts += _panel(found, left, base, width, height, most)
    if not points:
        parts.append(_text(16, 60, "not measured yet", "small"))
    return _document(parts, top + ((len(axes) + 2) // 3) * (height + 60) + 10, "Growth of CPU per event")


def _panel(
    points: Sequence[Mapping[str, Any]], left: float, base: float, width: float, height: float, most: float
) -> list[str]:
    step = width / max(1, len(points) - 1)
    places = [
        (left + step * number, base - height * point["cpu_s"] / most) for number, point in enumerate(points)
    ]
    parts = [f'<polyline class="curve" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>']
    for (x, y), point in zip(places, points, strict=True):
        parts.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
        parts.append(_text(x, base + 16, f"{point['value']:,}", "small", "middle"))
        parts.append(_text(x, y - 8, f"{point['cpu_s']:.1f}", "small", "middle"))
    return parts


def latency(results: Results) -> str:
    """The share of trials done by then, a curve a load."""
    loads = results.get("latency", {}).get("loads", [])
    left, top, span, height = 70, 50, 640, 240
    most = max((found["consumed"]["max"] for found in loads), default=100.0)
    parts = [
        _text(left, 24, "From an incident to its request to roll back, consumed: share done by then", "head")
    ]
    for share in (0, 25, 50, 75, 100):
        at = top + height * (1 - share / 100)
        parts += [
            _line(left, at, left + span, at, "grid"),
            _text(left - 8, at + 4, f"{share} %", "small", "end"),
        ]
    for tenth in range(0, 11, 2):
        parts.append(
            _text(
                left + span * tenth / 10, top + height + 16, f"{most * tenth / 10:.0f} ms", "small", "middle"
            )
        )
    colors = ("#1d4ed8", "#b45309", "#15803d")
    for number, found in enumerate(loads):
        steps = [
            f"{left + span * value / most:.1f},{top + height * (1 - share / 100):.1f}"
            for share, value in enumerate(found["percentiles"])
        ]
        color = colors[number % len(colors)]
        parts.append(f'<polyline style="stroke:{color}" class="curve" points="{" ".join(steps)}"/>')
        at = top + 14 + 20 * number
        parts.append(f'<path style="stroke:{color}" class="curve" d="M{left + span + 16} {at - 4}h18"/>')
        parts.append(_text(left + span + 40, at, f"{found['load_per_s']:,} events/s beside it", "small"))
    if not loads:
        parts.append(_text(left, top + 16, "not measured yet", "small"))
    return _document(parts, top + height + 30, "Latency of an immediate decision")


def _document(parts: list[str], height: float, label: str) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}">'
    )
    background = f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", background, *parts, "</svg>", ""])


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
