"""The evidence pack: what is on record of an arming as files that hold each other, and the check of such files.

Each line of the decisions names the SHA-256 of the line before it, and a manifest names every file and the chain's end.
So a removed, altered or reordered line is seen, and so is an altered file. Whoever holds all of it can write all of it
anew: what stands against that is the manifest's digest, kept elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from monitor.core.ids import canonical_json

VERSION: Final = 1
"""Of the pack's form; a changed meaning is another number."""

DECISIONS: Final = "decisions.jsonl"
MANIFEST: Final = "manifest.json"
PREVIOUS: Final = "previoussha256"
"""The key of a line that names the line before it: a CloudEvents extension attribute, so that it stays an event."""

BEFORE_FIRST: Final = "0" * 64
"""What the first line names."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Lines that hold each other.

    Attributes:
        end: SHA-256 of the last line; `BEFORE_FIRST` without any.
    """

    lines: tuple[bytes, ...]
    end: str


def chained(events: Iterable[Mapping[str, Any]]) -> Chain:
    """Return events as lines of canonical JSON, each with the SHA-256 of the line before it, without line ends."""
    lines: list[bytes] = []
    end = BEFORE_FIRST
    for event in events:
        line = canonical_json({**event, PREVIOUS: end}).encode()
        lines.append(line)
        end = digest_of(line)
    return Chain(tuple(lines), end)


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return sha256(content).hexdigest()


def manifest_of(files: Mapping[str, bytes], chain: Chain, head: Mapping[str, object]) -> bytes:
    """Return the manifest of a pack's other files.

    Args:
        head: What else it says: whose record it is, and what made it. JSON-ready.
    """
    told = {
        "version": VERSION,
        **head,
        "chain": {"file": DECISIONS, "lines": len(chain.lines), "end": chain.end},
        "files": [
            {"name": name, "size": len(files[name]), "sha256": digest_of(files[name])}
            for name in sorted(files)
        ],
    }
    return json.dumps(told, ensure_ascii=False, indent=2, allow_nan=False).encode() + b"\n"


def first_difference(files: Mapping[str, bytes], kept: str | None = None) -> str | None:
    """Return the first thing in which a pack is not as its manifest says, as a sentence; None where it is.

    Args:
        files: All of the pack's files by their names, the manifest among them.
        kept: The manifest's SHA-256 as it was kept elsewhere.
    """
    if MANIFEST not in files:
        return f"{MANIFEST}: is missing; this is no evidence pack, or not a whole one"
    if kept is not None and digest_of(files[MANIFEST]) != kept.lower():
        return f"{MANIFEST}: its SHA-256 is {digest_of(files[MANIFEST])}, and {kept.lower()} was kept"
    told = _manifest(files[MANIFEST])
    if isinstance(told, str):
        return f"{MANIFEST}: {told}"
    if DECISIONS in files and (broken := _chain_difference(files[DECISIONS], told["chain"])) is not None:
        return f"{DECISIONS}: {broken}"
    listed = {one["name"]: one for one in told["files"]}
    for name, one in listed.items():
        if name not in files:
            return f"{name}: is missing"
        if len(files[name]) != one["size"]:
            return f"{name}: has {len(files[name]):,} bytes, and the manifest says {one['size']:,}"
        if digest_of(files[name]) != one["sha256"]:
            return f"{name}: its SHA-256 is {digest_of(files[name])}, and the manifest says {one['sha256']}"
    beside = sorted(files.keys() - listed.keys() - {MANIFEST})
    return f"{beside[0]}: is in the pack and not in the manifest" if beside else None


def _manifest(content: bytes) -> dict[str, Any] | str:
    """Return what a manifest says, or why it is none that this version reads."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError) as error:
        return f"is no JSON: {error}"
    if not isinstance(told, dict) or told.get("version") != VERSION:
        got = told.get("version") if isinstance(told, dict) else told
        return f"has version {str(got)[:40]!r}; this version reads {VERSION}"
    chain, listed = told.get("chain"), told.get("files")
    if not isinstance(chain, dict) or not (
        _is_count(chain.get("lines")) and isinstance(chain.get("end"), str)
    ):
        return "its `chain` is not as it should be: `lines` and `end`"
    if not isinstance(listed, list) or not all(_is_listed(one) for one in listed):
        return "its `files` are not as they should be: `name`, `size` and `sha256` of each"
    names = [one["name"] for one in listed]
    if len(set(names)) != len(names) or DECISIONS not in names:
        return f"its `files` name {DECISIONS} not at all, or a file twice"
    return told


def _is_listed(one: object) -> bool:
    return (
        isinstance(one, dict)
        and isinstance(one.get("name"), str)
        and _is_count(one.get("size"))
        and isinstance(one.get("sha256"), str)
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _chain_difference(content: bytes, chain: Mapping[str, Any]) -> str | None:
    lines = content.split(b"\n")
    if lines.pop() != b"":
        return f"line {len(lines) + 1} has no end"
    end = BEFORE_FIRST
    for number, line in enumerate(lines, start=1):
        named = _named(line)
        if named != end:
            what = f"line {number - 1}" if number > 1 else "no line"
            return (
                f"line {number} names {named} as the SHA-256 of the line before it, and {what} before it has {end}: "
                "a line was altered, removed, added or moved there"
            )
        end = digest_of(line)
    return _end_difference(lines, end, chain)


def _end_difference(lines: Sequence[bytes], end: str, chain: Mapping[str, Any]) -> str | None:
    if len(lines) != chain["lines"]:
        return f"has {len(lines):,} lines, and the manifest says {chain['lines']:,}"
    if end != chain["end"]:
        return f"its last line has the SHA-256 {end}, and the manifest says {chain['end']}"
    return None


def _named(line: bytes) -> str:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return "nothing (it is no JSON)"
    named = told.get(PREVIOUS) if isinstance(told, dict) else None
    return named[:64] if isinstance(named, str) else "nothing"
