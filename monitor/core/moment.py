"""Moments as text: RFC 3339 in UTC with milliseconds, the one form every event of this product uses."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(at_ms: int) -> str:
    """Return epoch milliseconds as `2026-11-22T03:04:05.678Z`."""
    whole, ms = divmod(at_ms, 1000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


def moment_ms(text: str) -> int:
    """Return the epoch milliseconds of such a text; raises `ValueError` where it is none."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)
