"""Unquoted YAML scalars: YAML 1.2 core types, and a mark on what other readers take for something else."""

from __future__ import annotations

import math
import re
from typing import Final

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL: Final = {
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_FLOAT: Final = re.compile(
    r"[-+]?((0|[1-9][0-9]{0,18})?\.[0-9]{1,18}|(0|[1-9][0-9]{0,18})\.?)([eE][-+]?[0-9]{1,3})?"
)

# What a YAML 1.1 reader, or another YAML 1.2 reader, makes of an unquoted scalar that is no plain number here.
_TAKEN_FOR: Final = (
    (r"(?i:y|n|yes|no|on|off)", "true or false"),
    (r"[-+]?0[0-9_]+", "an octal number"),
    (r"[-+]?0[xX][0-9a-fA-F_]+", "a hexadecimal number"),
    (r"[-+]?0[oO][0-7_]+", "an octal number"),
    (r"[-+]?0[bB][01_]+", "a binary number"),
    (r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?", "a number in base 60"),
    (r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?", "a date"),
    (r"(?i:[-+]?\.(inf|nan))", "a number that is not finite"),
    (r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9_]+)([eE][-+]?[0-9_]+)?", "a number"),
    (r"<<|=", "a mark with a meaning of its own"),
)
_MISREAD: Final = tuple((re.compile(pattern), what) for pattern, what in _TAKEN_FOR)


class Ambiguous(str):
    """An unquoted scalar that is no number, true, false or null, and that another reader would not take for text."""

    __slots__ = ()

    @property
    def reading(self) -> str:
        """Return what other readers make of it, as half a sentence."""
        return f"some YAML readers take it for {misreading(str(self))}"


class WrittenInt(int):
    """A whole number that remembers how it was written (`+15`), so that a message can quote it."""

    text: str


class WrittenFloat(float):
    """A number that remembers how it was written (`1.10`), so that a message can quote it."""

    text: str


def written(value: int | float, text: str) -> int | float:
    """Return a number together with its text."""
    kept: WrittenInt | WrittenFloat = WrittenInt(value) if isinstance(value, int) else WrittenFloat(value)
    kept.text = text
    return kept


def misreading(text: str) -> str | None:
    """Return what other readers take an unquoted scalar for, None where all of them read text."""
    return next((what for pattern, what in _MISREAD if pattern.fullmatch(text)), None)


def plain_scalar(text: str) -> str | int | float | bool | None:
    """Return the value of an unquoted scalar; what readers disagree about comes as `Ambiguous`.

    Source: YAML 1.2.2, section 10.3.2, without the forms that YAML 1.1 reads otherwise (`020`, `0o17`, `0x10`).
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INTEGER.fullmatch(text):
        return written(int(text), text)
    if _FLOAT.fullmatch(text) and math.isfinite(value := float(text)):
        return written(value, text)
    return Ambiguous(text) if misreading(text) else text
