"""The demo app's side of the flag: a flagd flag file, read again on every change, and written as a rollout would.

Only what this product's own flag files contain is understood: `state`, `defaultVariant` and a `fractional` targeting
over (flag key, targeting key). That part follows flagd's rule to the bit: MurmurHash3 (32 bit) of the pair as
canonical CBOR, scaled to the sum of the weights (flagd's specification of custom operations, `fractional`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monitor.core.errors import MonitorError

_MASK: Final = 0xFFFFFFFF


class FlagUnreadable(MonitorError):
    """The flag file holds something this small reader does not understand; the message says what."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag as the app sees it.

    Attributes:
        weights: (variation, weight) in the file's order; empty = everybody gets the default.
    """

    key: str
    default: str
    weights: tuple[tuple[str, int], ...] = ()

    def variation(self, unit_id: str) -> str:
        """Return the variation that serves this unit; the same unit always gets the same one."""
        total = sum(weight for _, weight in self.weights)
        bucket = (bucket_hash(self.key, unit_id) * total) >> 32
        for variation, weight in self.weights:
            bucket -= weight
            if bucket < 0:
                return variation
        return self.default

    def share_pct(self, variation: str) -> float:
        """Return how many of a hundred units the variation serves."""
        total = sum(weight for _, weight in self.weights)
        if total == 0:
            return 100.0 if variation == self.default else 0.0
        return 100 * sum(weight for name, weight in self.weights if name == variation) / total


class FlagFile:
    """One flag in one file: the app reads it, the demo's rollouts write it, the monitor's actuator flips it."""

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self._stamp: tuple[int, int, int] | None = None
        self._flag = Flag(key, "")

    def read(self) -> Flag:
        """Return the flag as it is now; the file is parsed only when it changed.

        Raises:
            FlagUnreadable: The file is missing, is no JSON, or holds targeting beyond `fractional`.
        """
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if stamp != self._stamp:
                self._flag = parse_flag(self.path.read_text(encoding="utf-8"), self.key)
                self._stamp = stamp
        except OSError as error:
            raise FlagUnreadable(f"{self.path}: {error.strerror}; the demo needs its flag file") from error
        return self._flag

    def changed_ms(self) -> int:
        """Return when the file was last written, wall time in epoch milliseconds.

        Raises:
            FlagUnreadable: As `read`.
        """
        self.read()
        return 0 if self._stamp is None else self._stamp[0] // 1_000_000

    def serve(self, baseline: str, candidate: str | None = None, share_pct: int = 0) -> None:
        """Serve the candidate to `share_pct` of a hundred units and the baseline to the rest, in one rename."""
        temporary = self.path.with_name(f".{self.path.name}.demo")
        temporary.write_text(flag_text(self.key, baseline, candidate, share_pct), encoding="utf-8")
        os.replace(temporary, self.path)


def flag_text(key: str, baseline: str, candidate: str | None, share_pct: int) -> str:
    """Return a flagd flag file with one flag; a variation's name and its value are the release it serves."""
    names = [baseline] if candidate is None else [baseline, candidate]
    flag: dict[str, object] = {
        "state": "ENABLED",
        "variants": {name: name for name in names},
        "defaultVariant": baseline,
    }
    if candidate is not None:
        flag["targeting"] = {"fractional": [[candidate, share_pct], [baseline, 100 - share_pct]]}
    document = {"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": {key: flag}}
    return json.dumps(document, indent=2) + "\n"


def parse_flag(text: str, key: str) -> Flag:
    """Read one flag of a flagd file.

    Raises:
        FlagUnreadable: It is no JSON, lacks the flag, is disabled, or targets by more than `fractional`.
    """
    try:
        flag = json.loads(text)["flags"][key]
        default, targeting = str(flag["defaultVariant"]), flag.get("targeting") or {}
        if flag["state"] != "ENABLED" or set(targeting) - {"fractional"}:
            raise FlagUnreadable(f"flag {key!r}: expected state ENABLED and only `fractional`, got {flag}")
        return Flag(key, default, tuple(_weights(targeting)))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise FlagUnreadable(f"flag {key!r}: not a flagd flag of this demo ({error!r})") from error


def _weights(targeting: Mapping[str, object]) -> Iterator[tuple[str, int]]:
    pairs = targeting.get("fractional", [])
    if not isinstance(pairs, list):
        raise ValueError("`fractional` is not a list of [variation, weight]")
    for name, weight in pairs:
        yield str(name), int(weight)


def bucket_hash(flag_key: str, unit_id: str) -> int:
    """Return flagd's 32-bit hash of (flag key, targeting key)."""
    return murmur3_32(b"\x82" + _cbor_text(flag_key) + _cbor_text(unit_id))


def _cbor_text(text: str) -> bytes:
    """Return a text string as CBOR (RFC 8949, 3.1): shortest length form, up to 65,535 bytes."""
    raw = text.encode("utf-8")
    size = len(raw)
    if size < 24:  # the RFC's own limits, here and below
        return bytes([0x60 + size]) + raw
    if size < 256:
        return bytes([0x78, size]) + raw
    return b"\x79" + size.to_bytes(2, "big") + raw


def murmur3_32(data: bytes, seed: int = 0) -> int:
    """Return MurmurHash3_x86_32 (Austin Appleby, public domain)."""
    value, whole = seed, len(data) & ~3
    for start in range(0, whole, 4):
        value ^= _scrambled(int.from_bytes(data[start : start + 4], "little"))
        value = (_rotated(value, 13) * 5 + 0xE6546B64) & _MASK
    if len(data) > whole:
        value ^= _scrambled(int.from_bytes(data[whole:], "little"))
    value ^= len(data)
    value = ((value ^ (value >> 16)) * 0x85EBCA6B) & _MASK
    value = ((value ^ (value >> 13)) * 0xC2B2AE35) & _MASK
    return value ^ (value >> 16)


def _scrambled(block: int) -> int:
    return (_rotated((block * 0xCC9E2D51) & _MASK, 15) * 0x1B873593) & _MASK


def _rotated(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & _MASK
