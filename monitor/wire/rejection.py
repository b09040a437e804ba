"""Why a record of the traces topic is a dead letter: one closed list of reasons."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What is wrong with a record. The first group is about the whole record, the second about one field."""

    EMPTY = "empty"  # a tombstone, or no bytes
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    TOO_DEEP = "too_deep"
    NAN = "nan"  # NaN or an infinity, spelled out or by overflow of a float, anywhere
    NOT_JSON = "not_json"
    LONE_SURROGATE = "lone_surrogate"
    NOT_AN_OBJECT = "not_an_object"
    CRASHES_DECODER = "crashes_decoder"  # decided by the data plane: whoever decodes it dies
    FUTURE = "future"  # decided by the fold, which knows the record's own time

    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_VALUE = "unknown_value"  # a word outside the field's closed list
    NOT_A_TIME = "not_a_time"  # a string that is no RFC 3339 moment with an offset
    OUT_OF_RANGE = "out_of_range"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    TOO_MANY_KEYS = "too_many_keys"


@dataclass(frozen=True, slots=True)
class Rejection:
    """One fault, and the contract's field it is in (None: the record as a whole).

    Field names come from the contract alone, never from the input, so reasons are few enough to count by.
    """

    fault: Fault
    field: str | None = None

    @property
    def reason(self) -> str:
        """The reason's name, e.g. `not_json` or `missing_field:release`."""
        return self.fault.value if self.field is None else f"{self.fault.value}:{self.field}"

    def __str__(self) -> str:
        return self.reason
