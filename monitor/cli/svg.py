"""What every picture that the product draws is made of: an SVG document, lines and words."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

WIDTH: Final = 960
_STYLE: Final = """
text { font: 12px system-ui, sans-serif; fill: #1f2933 }
.head { font-size: 14px; font-weight: 600 }
.small { font-size: 11px; fill: #52606d }
.axis { stroke: #9aa5b1 }
"""


def document(parts: Iterable[str], height: float, label: str, style: str) -> str:
    """Return the document: `WIDTH` by `height` pixels, on white; `style` adds to the common classes."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}">'
    )
    background = f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>'
    return "\n".join([head, f"<style>{_STYLE}{style.lstrip()}</style>", background, *parts, "</svg>", ""])


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Return a line in pixels; `kind` is its class."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    """Return words with their baseline at `x`, `y`; `anchor` is `start`, `middle` or `end`."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
