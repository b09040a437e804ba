"""The tables and pictures of docs/operating-characteristics.md."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from benchmarks.operating_characteristics import plot, tables
from benchmarks.operating_characteristics.results import Results
from benchmarks.page import Page

TABLES: Final[dict[str, Callable[[Results], str]]] = {
    "cost": tables.cost,
    "summary": tables.summary,
    "false rollbacks": tables.false_rollbacks,
    "false totals": tables.false_totals,
    "detection success": partial(tables.detection, name="success"),
    "detection compared": tables.detection_compared,
    "detection handoff": partial(tables.detection, name="handoff"),
    "detection p95": partial(tables.detection, name="p95"),
    "shocks": tables.shocks,
    "causes": tables.causes,
    "early": tables.early,
    "early others": tables.early_others,
    "bursts": tables.bursts,
    "others": tables.others,
    "verdicts": tables.verdicts,
    "safety": tables.safety,
    "safety without a past": tables.safety_new,
    "safety harm": tables.safety_harm,
    "every cell": tables.every_cell,
}
PICTURES: Final[dict[str, Callable[[Results], str]]] = {
    "operating-characteristics-detection.svg": plot.detection,
    "operating-characteristics-curves.svg": plot.curves,
    "operating-characteristics-false.svg": plot.false_rollbacks,
}

PAGE: Final = Page("operating-characteristics.md", TABLES, PICTURES)
