"""The pictures of the document, as SVG: who does how many events with a core, what grows, how soon an incident acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from typing import Any, Final

from benchmarks.performance.results import Results
from monitor.cli import svg

_STYLE: Final = """
.grid { stroke: #e4e7eb }
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
    parts = [svg.text(16, 24, "Events that one second of one core is enough for (logarithmic)", "head")]
    for value in (100, 1_000, 10_000, 100_000, 1_000_000):
        parts += [svg.line(x(value), top, x(value), bottom, "grid")]
        parts += [svg.text(x(value), bottom + 16, f"{value:,}", "small", "middle")]
    for number, slug in enumerate(sorted(rates, key=lambda one: -rates[one])):
        kind = "bound" if slug in _BOUNDS else "ours" if slug.startswith("product") else "other"
        at, width = top + step * number, x(rates[slug]) - left
        parts.append(
            f'<rect class="{kind}" x="{left}" y="{at + 4}" width="{width:.1f}" height="{step - 8}"/>'
        )
        parts.append(svg.text(left - 8, at + 17, titles[slug].replace("`", ""), "", "end"))
        mark = " †" if systems[slug]["contended"] else ""
        parts.append(svg.text(left + width + 6, at + 17, f"{rates[slug]:,.0f}{mark}", "small"))
    if not rates:
        parts.append(svg.text(left, top + 16, "not measured yet", "small"))
    return svg.document(parts, bottom + 30, "Events per core-second by system", _STYLE)


def growth(results: Results) -> str:
    """CPU seconds a million events along each axis, a panel an axis."""
    points = results.get("growth", {}).get("points", [])
    axes = list(dict.fromkeys(point["axis"] for point in points))
    width, height, top = 220, 150, 60
    most = max((point["cpu_s"] for point in points), default=1.0) * 1.1
    parts = [svg.text(16, 24, "CPU seconds a million events, as each of these grows", "head")]
    for number, axis in enumerate(axes):
        left = 50 + (number % 3) * (width + 80)
        base = top + (number // 3 + 1) * (height + 60) - 60
        found = [point for point in points if point["axis"] == axis]
        parts += [
            svg.line(left, base, left + width, base, "axis"),
            svg.line(left, base - height, left, base, "axis"),
        ]
        parts += [svg.text(left, base - height - 8, axis, "")]
        parts += [svg.text(left - 6, base - height + 4, f"{most:.0f}", "small", "end")]
        parts += _panel(found, left, base, width, height, most)
    if not points:
        parts.append(svg.text(16, 60, "not measured yet", "small"))
    return svg.document(
        parts, top + ((len(axes) + 2) // 3) * (height + 60) + 10, "Growth of CPU per event", _STYLE
    )


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
        parts.append(svg.text(x, base + 16, f"{point['value']:,}", "small", "middle"))
        parts.append(svg.text(x, y - 8, f"{point['cpu_s']:.1f}", "small", "middle"))
    return parts


def latency(results: Results) -> str:
    """The share of trials done by then, a curve a load."""
    loads = results.get("latency", {}).get("loads", [])
    left, top, span, height = 70, 50, 640, 240
    most = max((found["consumed"]["max"] for found in loads), default=100.0)
    parts = [
        svg.text(
            left, 24, "From an incident to its request to roll back, consumed: share done by then", "head"
        )
    ]
    for share in (0, 25, 50, 75, 100):
        at = top + height * (1 - share / 100)
        parts += [
            svg.line(left, at, left + span, at, "grid"),
            svg.text(left - 8, at + 4, f"{share} %", "small", "end"),
        ]
    for tenth in range(0, 11, 2):
        parts.append(
            svg.text(
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
        parts.append(svg.text(left + span + 40, at, f"{found['load_per_s']:,} events/s beside it", "small"))
    if not loads:
        parts.append(svg.text(left, top + 16, "not measured yet", "small"))
    return svg.document(parts, top + height + 30, "Latency of an immediate decision", _STYLE)
