"""Which servers have a known hole that a user of scripts could use: data, so that a newer one is one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

HOLE: Final = "CVE-2025-49844"
"""A Lua script can run code in the server (CVSS 10). The monitor's user may run scripts, and so may who has its
password."""

FIXED: Final[Mapping[str, tuple[tuple[int, int, int], ...]]] = {
    "redis": ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)),
    "valkey": ((7, 2, 11), (8, 0, 6), (8, 1, 4)),
}
"""The first release of each series with the fix; a later series has it, one that is not here never got it."""


def known_hole(version: str) -> str | None:
    """Return what is wrong with a server of this version, and what to do; None where nothing is known.

    Args:
        version: As `redis 7.4.5` or `valkey 8.1.4`. A distribution may have put the fix into an older one.
    """
    name, _, number = version.partition(" ")
    parts = number.split(".")
    if name not in FIXED or len(parts) < 3 or not all(part.isdigit() for part in parts[:3]):
        return None
    found = (int(parts[0]), int(parts[1]), int(parts[2]))
    fixed = FIXED[name]
    same = next((one for one in fixed if one[:2] == found[:2]), None)
    if found > fixed[-1] or (same is not None and found >= same):
        return None
    remedy = same or next(one for one in fixed if one > found)
    return (
        f"{version} is older than the fix of {HOLE}, by which a script can run code in the server; use {name} "
        f"{'.'.join(map(str, remedy))} or later, or one that your distribution has mended"
    )
