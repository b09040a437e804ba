"""A check-up: many independent questions to the outside, each bounded in time; none keeps another from being asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from monitor.core.errors import MonitorError

LIMIT_S: Final = 20.0
"""For one check, connecting included."""


class Health(StrEnum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"  # it works, and a promise is weaker than it could be
    FAILED = "failed"
    SKIPPED = "skipped"  # nothing to ask, or what it needs has failed


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check-up.

    Attributes:
        check: Which part of the installation: `kafka`, `topics`, …
        subject: What of it: a topic, a flag, a pager.
        remedy: What to do; empty where nothing is to be done.
    """

    check: str
    subject: str
    health: Health
    text: str
    remedy: str = ""


def ok(check: str, subject: str, text: str) -> Finding:
    """Return what is as it should be."""
    return Finding(check, subject, Health.OK, text)


def warning(check: str, subject: str, text: str, remedy: str) -> Finding:
    """Return what works and could be better."""
    return Finding(check, subject, Health.WARNING, text, remedy)


def failed(check: str, subject: str, text: str, remedy: str) -> Finding:
    """Return what does not work."""
    return Finding(check, subject, Health.FAILED, text, remedy)


def skipped(check: str, subject: str, text: str) -> Finding:
    """Return what was not asked."""
    return Finding(check, subject, Health.SKIPPED, text)


def failure(check: str, subject: str, error: MonitorError, otherwise: str) -> Finding:
    """Return an error as a finding: its message says what is wrong first, and what to do after a semicolon.

    Args:
        otherwise: The remedy where the message names none.
    """
    text, _, remedy = str(error).partition("; ")
    return failed(check, subject, text, remedy or otherwise)


@dataclass(frozen=True, slots=True)
class Check:
    """One question; `remedy` is for an answer that never comes."""

    name: str
    subject: str
    ask: Callable[[], Awaitable[Sequence[Finding]]]
    remedy: str
    limit_s: float = LIMIT_S


async def examine(checks: Iterable[Check]) -> list[Finding]:
    """Ask everything at the same time; return all findings in the order of the checks."""
    answers = await asyncio.gather(*(_asked(check) for check in checks))
    return [finding for answer in answers for finding in answer]


async def _asked(check: Check) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(check.limit_s):
            return await check.ask()
    except MonitorError as error:
        return [failure(check.name, check.subject, error, check.remedy)]
    except TimeoutError:
        text = f"no answer within {check.limit_s:g} s"
    # Whatever breaks one check, the others are still worth their answers.
    except Exception as error:  # noqa: BLE001
        text = f"{type(error).__name__}: {error}"
    return [failed(check.name, check.subject, text, check.remedy)]


def is_well(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing failed."""
    return all(one.health is not Health.FAILED for one in findings)
