"""The keys that orders are signed by, as people keep them: a text with a line `author = key` each."""

from __future__ import annotations

from typing import Final

MIN_CHARS: Final = 32
_MAKE: Final = "make one by `openssl rand -hex 32`"


class KeysInvalid(ValueError):
    """Not such a text; the message names the line and never what is secret in it."""


def keys_of(text: str) -> dict[str, bytes]:
    """Return the keys by author; empty lines and those that begin with `#` mean nothing.

    Raises:
        KeysInvalid: A line is none of it.
    """
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        author, equals, key = (part.strip() for part in line.partition("="))
        if not equals or not author:
            raise KeysInvalid(f"line {number}: write `author = key`")
        if author in keys:
            raise KeysInvalid(f"line {number}: {author} has a key already")
        keys[author] = key_of(key, f"line {number}: the key of {author}")
    if not keys:
        raise KeysInvalid("no key in it; write a line `author = key` for each commander")
    return keys


def key_of(text: str, what: str = "the key") -> bytes:
    """Return one key; raises `KeysInvalid` where it is too short to keep a secret."""
    if len(text) < MIN_CHARS:
        raise KeysInvalid(f"{what} has {len(text)} characters; use {MIN_CHARS} or more: {_MAKE}")
    return text.encode()
