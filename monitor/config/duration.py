"""Durations as people write them, with their unit: `24h`, `90m`, `60s`."""

from __future__ import annotations

import re
from typing import Final

MINUTES_PER_DAY: Final = 1440
DURATION_PATTERN: Final = r"^(?=[0-9])([0-9]{1,4}d)?([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$"
"""Days, hours, minutes and seconds, in this order, each at most once."""

_SECONDS: Final = (86_400, 3_600, 60, 1)
_DURATION: Final = re.compile(DURATION_PATTERN.replace("$", r"\Z"))


class NotADuration(ValueError):
    """The text is no duration; the message says what is missing."""


def minutes_of(text: str) -> int:
    """Return the whole minutes of a duration such as `24h`, `1h30m` or `60s`.

    Raises:
        NotADuration: No unit, another form, or not a whole number of minutes.
    """
    found = _DURATION.match(text)
    if not found:
        raise NotADuration('is no duration; write a number with its unit, such as "24h", "90m" or "60s"')
    parts = (int(part[:-1]) if part else 0 for part in found.groups())
    seconds = sum(count * size for count, size in zip(parts, _SECONDS, strict=True))
    if seconds % 60:
        raise NotADuration("is not a whole number of minutes; the monitor judges once a minute")
    return seconds // 60


def in_words(minutes: int) -> str:
    """Return minutes in the shortest form people write: `24h`, `90m`, `14d`."""
    if minutes and minutes % MINUTES_PER_DAY == 0 and minutes > MINUTES_PER_DAY:
        return f"{minutes // MINUTES_PER_DAY}d"
    if minutes and minutes % 60 == 0:
        return f"{minutes // 60}h"
    return f"{minutes}m"
