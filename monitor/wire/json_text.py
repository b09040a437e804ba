"""From bytes to one JSON object, with every rule of the contract that holds wherever in the record it stands.

Used by the reference path of trace events; the hot path only accepts what it can prove to pass here, and
asks here for everything else. Rules: at most 65,536 bytes, UTF-8, strict JSON (RFC 8259), no NaN and no
infinity, nesting at most 16 (the outermost object is level 1), no lone surrogate, of a duplicated key the
last one. A duplicate that is dropped must still fit: rules about "wherever" are checked on the text.
"""

from __future__ import annotations

import json
import re
from math import isinf
from typing import Final, cast

from monitor.wire.rejection import Fault, Rejection

MAX_RECORD_BYTES: Final = 65_536
MAX_DEPTH: Final = 16

# Possessive, with an optional closing quote: linear even on an unterminated string full of escapes.
_STRING: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKET: Final = re.compile(r"[\[\]{}]")
_ESCAPE: Final = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<lone>u[dD][89a-fA-F])|.)", re.DOTALL)
_MAX_DIGITS: Final = 40  # of an integer taken at its value; longer ones are only known to be huge
_HUGE: Final = 10**_MAX_DIGITS


class _NotFinite(Exception):
    """NaN or an infinity stands in the text."""


def _refuse(text: str) -> float:
    raise _NotFinite(text)


def _float(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise _NotFinite(text)
    return value


def _int(text: str) -> int:
    # Python refuses to convert above 4,300 digits; outside the known fields any integer is allowed.
    if len(text) > _MAX_DIGITS:
        return -_HUGE if text[0] == "-" else _HUGE
    return int(text)


_DECODER: Final = json.JSONDecoder(parse_float=_float, parse_int=_int, parse_constant=_refuse)


def is_too_deep(text: str) -> bool:
    """Tell whether objects and arrays are nested deeper than `MAX_DEPTH`; strings do not count."""
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "{[" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def has_lone_surrogate(text: str) -> bool:
    r"""Tell whether an escape in valid JSON names half a character, such as `\ud83d` alone."""
    return "\\u" in text and any(found["lone"] for found in _ESCAPE.finditer(text))


def load_object(value: bytes | None) -> dict[str, object] | Rejection:
    """Return the JSON object a record holds, or the first rule it breaks, in the order of `Fault`."""
    if not value:
        return Rejection(Fault.EMPTY)
    if len(value) > MAX_RECORD_BYTES:
        return Rejection(Fault.TOO_LARGE)
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return Rejection(Fault.NOT_UTF8)
    if is_too_deep(text):
        return Rejection(Fault.TOO_DEEP)
    try:
        loaded = _DECODER.decode(text)
    except _NotFinite:
        return Rejection(Fault.NAN)
    except ValueError:
        return Rejection(Fault.NOT_JSON)
    if has_lone_surrogate(text):
        return Rejection(Fault.LONE_SURROGATE)
    if not isinstance(loaded, dict):
        return Rejection(Fault.NOT_AN_OBJECT)
    return cast("dict[str, object]", loaded)
