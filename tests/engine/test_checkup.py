"""A check-up asks everything, whatever happens to one question, and no question takes for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from monitor.adapters.kafka.checkup import skew_finding
from monitor.core.errors import MonitorError
from monitor.engine.checkup import Check, Finding, Health, examine, is_well, ok, warning


async def well() -> Sequence[Finding]:
    return [ok("a", "b", "fine"), warning("a", "c", "weak", "do this")]


async def refused() -> Sequence[Finding]:
    raise MonitorError("it is not there; put it there")


async def mute() -> Sequence[Finding]:
    raise MonitorError("it is not there")


async def defect() -> Sequence[Finding]:
    raise ValueError("odd")


async def hanging() -> Sequence[Finding]:
    await asyncio.Event().wait()
    return []


async def test_each_question_is_answered_whatever_becomes_of_the_others() -> None:
    asks = (well, refused, mute, defect, hanging)
    found = await examine(Check(ask.__name__, "x", ask, "call somebody", limit_s=0.01) for ask in asks)
    assert [(one.check, one.health.value, one.text, one.remedy) for one in found] == [
        ("a", "ok", "fine", ""),
        ("a", "warning", "weak", "do this"),
        ("refused", "failed", "it is not there", "put it there"),
        ("mute", "failed", "it is not there", "call somebody"),
        ("defect", "failed", "ValueError: odd", "call somebody"),
        ("hanging", "failed", "no answer within 0.01 s", "call somebody"),
    ]
    assert not is_well(found)
    assert is_well(await well())


def test_a_clock_is_judged_by_what_the_network_cannot_explain() -> None:
    table = {
        (0.0, 1.0): Health.OK,
        (-1_900.0, 1.0): Health.OK,
        (3_000.0, 1.0): Health.WARNING,
        (3_000.0, 1_500.0): Health.OK,
        (-31_000.0, 1.0): Health.FAILED,
    }
    for (offset_ms, unsure_ms), health in table.items():
        assert skew_finding("kafka", offset_ms, unsure_ms).health is health
