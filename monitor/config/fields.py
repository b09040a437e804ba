"""The values of a budget file's keys: what each accepts, and our own words for what it does not."""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Annotated, Final, NoReturn

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from monitor.config.duration import DURATION_PATTERN, NotADuration, in_words, minutes_of
from monitor.config.problem import shown
from monitor.config.scalar import Ambiguous

COMPLAINT: Final = "complaint"
"""The error type of every refusal worded here; its context holds the `message`."""

MAX_LIMIT: Final = 1_000_000  # ten thousand times the baseline: beyond that a limit is a slip of the keyboard
MIN_LIMIT: Final = 0.001  # a thousandth of a percent: below it the quantile grid of 2 % cannot follow
MIN_HOLD_MIN: Final = 4  # the rule looks at quarters of the duration, and a quarter is at least one tick
MAX_HOLD_MIN: Final = (
    1_440  # the evidence grid looks back 24 h at most: a longer duration could never be shown
)
MIN_WINDOW_MIN: Final = 10
MAX_WINDOW_MIN: Final = 14 * 1_440
MAX_NAME_CHARS: Final = 64
MAX_SAMPLES: Final = 10_000_000
MAX_EXEMPLARS: Final = 50
MAX_CLOCK_MIN: Final = 1_440  # a commander who has a day is no commander
MIN_SHARE_PCT: Final = 0.01  # a smaller arm has hardly a request an hour
MAX_TOLERANCE_PCT: Final = 50  # beyond half of it the share is not declared at all
MAX_STEPS: Final = 10  # whoever is not there after ten people is not looked for by an eleventh
MAX_REST_PCT: Final = 10  # who still serves every tenth request has not rolled back
MIN_VERIFY_MIN: Final = 2  # the first whole minute after the flag was turned may end almost two minutes later
MAX_VERIFY_MIN: Final = 1_440
CLOCK_PREFIX: Final = "incident_commander_decision_within_"
_CLOCK: Final = re.compile(CLOCK_PREFIX + r"(0|[1-9][0-9]{0,5})m")


def refuse(message: str) -> NoReturn:
    """Refuse a value inside a pydantic validator."""
    raise PydanticCustomError(COMPLAINT, "{message}", {"message": message})


def as_text(value: object, max_chars: int) -> str:
    """Return a string as written; numbers, `no`, `020` and the like are not strings."""
    if isinstance(value, Ambiguous):
        refuse(f'{value} is not safely a string: {value.reading}; quote it: "{value}"')
    if isinstance(value, bool):
        refuse(f"{shown(value)} is true or false, not a string; put it in quotes")
    if isinstance(value, int | float):
        refuse(f"{shown(value)} is a number, not a string; put it in quotes")
    if not isinstance(value, str):
        refuse(f"got {shown(value)}; write a string, or leave the key out")
    if not 1 <= len(value) <= max_chars:
        refuse(f"a string of {len(value)} characters; allowed are 1 to {max_chars}")
    if not value.isprintable():
        refuse(f"{shown(value)} holds characters that cannot be printed; remove them")
    return value


def as_number(value: object) -> float:
    """Return a finite number; strings and booleans are not numbers."""
    if isinstance(value, Ambiguous):
        refuse(f"{value} is not safely a number: {value.reading}; write it as a plain decimal number")
    if isinstance(value, str):
        refuse(f"{shown(value)} is a string; write a number without quotes")
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse(f"got {shown(value)}; write a number")
    if not math.isfinite(value) or abs(value) > 2**53:
        refuse(f"{shown(value)} is too large a number")
    return float(value)


def as_whole(value: object, least: int, most: int) -> int:
    """Return a whole number within its bounds."""
    number = as_number(value)
    if not number.is_integer():
        refuse(f"{shown(value)} is not a whole number; allowed are {least} to {most:,}")
    if not least <= number <= most:
        refuse(f"{shown(value)} is out of range; allowed are {least} to {most:,}")
    return int(number)


def as_share_pct(value: object) -> float:
    """Return a share in percent that leaves something to both arms."""
    number = as_number(value)
    if not MIN_SHARE_PCT <= number <= 100 - MIN_SHARE_PCT:
        refuse(
            f"{shown(value)} is no share of two arms; allowed are {MIN_SHARE_PCT:g} to {100 - MIN_SHARE_PCT:g}"
        )
    return number


def as_tolerance_pct(value: object) -> float:
    """Return how far a share may be off, in percent of itself."""
    number = as_number(value)
    if not 0 <= number <= MAX_TOLERANCE_PCT:
        refuse(f"{shown(value)} is out of range; allowed are 0 to {MAX_TOLERANCE_PCT}")
    return number


def as_rest_pct(value: object) -> float:
    """Return the share in percent that may be left of what was rolled back."""
    number = as_number(value)
    if not 0 <= number <= MAX_REST_PCT:
        refuse(f"{shown(value)} is out of range; allowed are 0 to {MAX_REST_PCT}")
    return number


def as_hold(value: object) -> int:
    """Return the minutes a breach must last: 0, or 4 and more."""
    number = as_number(value)
    if not number.is_integer():
        refuse(f"{shown(value)} is not a whole number of minutes; use 0 (at once) or {MIN_HOLD_MIN} and more")
    if number < 0:
        refuse(f"{shown(value)} is negative; use 0 (at once) or {MIN_HOLD_MIN} and more")
    if 0 < number < MIN_HOLD_MIN:
        refuse(f"{shown(value)} is too short to be shown by data; use 0 (at once) or {MIN_HOLD_MIN} and more")
    if number > MAX_HOLD_MIN:
        refuse(f"{shown(value)} is too long: evidence reaches back 24 h; use at most {MAX_HOLD_MIN}")
    return int(number)


def as_minutes(value: object, least: int, most: int) -> int:
    """Return a duration such as `24h` in whole minutes."""
    if isinstance(value, int) and not isinstance(value, bool) and value == 0:
        minutes = 0  # nothing needs no unit
    elif isinstance(value, Ambiguous):
        refuse(f'{value} is no duration: {value.reading}; write it with its unit, such as "90m"')
    elif not isinstance(value, str):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        got = f"{shown(value)} has no unit" if is_number else f"got {shown(value)}"
        refuse(f'{got}; write a duration with its unit, such as "24h", "90m" or "60s"')
    else:
        try:
            minutes = minutes_of(value)
        except NotADuration as problem:
            refuse(f"{shown(value)} {problem}")
    if not least <= minutes <= most:
        refuse(f"{shown(value)} is out of range; allowed are {in_words(least)} to {in_words(most)}")
    return minutes


def as_clock(value: object) -> int:
    """Return the minutes of `incident_commander_decision_within_<N>m`."""
    text = as_text(value, MAX_NAME_CHARS)
    found = _CLOCK.fullmatch(text)
    if not found:
        refuse(f"{shown(text)} is not allowed; write {CLOCK_PREFIX}<minutes>m, such as {CLOCK_PREFIX}15m")
    if not 1 <= int(found[1]) <= MAX_CLOCK_MIN:
        refuse(f"{shown(text)} is out of range; allowed are 1m to {MAX_CLOCK_MIN}m")
    return int(found[1])


def as_switch(value: object) -> bool:
    """Return true or false; `yes` and `on` are neither."""
    if isinstance(value, bool):
        return value
    refuse(f"{shown(value)} is not a truth value; write true or false")


def as_word(value: object) -> object:
    """Return an unquoted scalar as plain text where the allowed words are a closed list (`evidence: off`)."""
    return str(value) if isinstance(value, Ambiguous) else value


def as_name(value: object) -> str:
    """Return the name of a dimension or a group: free, but without what separates names elsewhere."""
    name = as_text(value, MAX_NAME_CHARS)
    if name != name.strip() or "." in name or "=" in name:
        refuse(f'{shown(name)} is no usable name; leave out ".", "=" and blanks at its ends')
    return name


def as_cohort(value: object) -> str:
    """Return a cohort entry: `dimension` (every value, watched) or `dimension=value` (critical)."""
    text = as_text(value, 2 * MAX_NAME_CHARS + 1)
    dimension, equals, wanted = text.partition("=")
    if not dimension or (equals and not wanted):
        refuse(f"{shown(text)} is half a cohort; write dimension or dimension=value")
    as_name(dimension)
    if equals:
        as_text(wanted, MAX_NAME_CHARS)
    return text


def _text_schema(max_chars: int) -> dict[str, object]:
    return {"type": "string", "minLength": 1, "maxLength": max_chars}


_DURATION_SCHEMA: Final = {"type": "string", "pattern": DURATION_PATTERN}
_NAME_SCHEMA: Final = {**_text_schema(MAX_NAME_CHARS), "pattern": r"^(?! )[^.=]*[^.= ]$"}
_COHORT_SCHEMA: Final = {"type": "string", "maxLength": 2 * MAX_NAME_CHARS + 1, "pattern": "^[^.=]+(=.+)?$"}
_HOLD_SCHEMA: Final = {
    "type": "integer",
    "anyOf": [{"const": 0}, {"minimum": MIN_HOLD_MIN, "maximum": MAX_HOLD_MIN}],
}

AS_WORD: Final = BeforeValidator(as_word)

Text64 = Annotated[str, BeforeValidator(partial(as_text, max_chars=64)), WithJsonSchema(_text_schema(64))]
Text128 = Annotated[str, BeforeValidator(partial(as_text, max_chars=128)), WithJsonSchema(_text_schema(128))]
Text200 = Annotated[str, BeforeValidator(partial(as_text, max_chars=200)), WithJsonSchema(_text_schema(200))]
Name = Annotated[str, BeforeValidator(as_name), WithJsonSchema(_NAME_SCHEMA)]
Cohort = Annotated[str, BeforeValidator(as_cohort), WithJsonSchema(_COHORT_SCHEMA)]
Number = Annotated[float, BeforeValidator(as_number)]
Switch = Annotated[bool, BeforeValidator(as_switch)]
HoldMinutes = Annotated[int, BeforeValidator(as_hold), WithJsonSchema(_HOLD_SCHEMA)]
Samples = Annotated[
    int,
    BeforeValidator(partial(as_whole, least=0, most=MAX_SAMPLES)),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_SAMPLES}),
]
Exemplars = Annotated[
    int,
    BeforeValidator(partial(as_whole, least=0, most=MAX_EXEMPLARS)),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_EXEMPLARS}),
]
Window = Annotated[
    int,
    BeforeValidator(partial(as_minutes, least=MIN_WINDOW_MIN, most=MAX_WINDOW_MIN)),
    WithJsonSchema(_DURATION_SCHEMA),
]
LabelDelay = Annotated[
    int,
    BeforeValidator(partial(as_minutes, least=0, most=MAX_HOLD_MIN)),
    WithJsonSchema({"anyOf": [_DURATION_SCHEMA, {"const": 0}]}),
]
SharePct = Annotated[
    float,
    BeforeValidator(as_share_pct),
    WithJsonSchema({"type": "number", "minimum": MIN_SHARE_PCT, "maximum": 100 - MIN_SHARE_PCT}),
]
TolerancePct = Annotated[
    float,
    BeforeValidator(as_tolerance_pct),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": MAX_TOLERANCE_PCT}),
]
RestPct = Annotated[
    float,
    BeforeValidator(as_rest_pct),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": MAX_REST_PCT}),
]
VerifyWithin = Annotated[
    int,
    BeforeValidator(partial(as_minutes, least=MIN_VERIFY_MIN, most=MAX_VERIFY_MIN)),
    WithJsonSchema(_DURATION_SCHEMA),
]
Extension = Annotated[
    int,
    BeforeValidator(partial(as_minutes, least=0, most=MAX_CLOCK_MIN)),
    WithJsonSchema({"anyOf": [_DURATION_SCHEMA, {"const": 0}]}),
]
StepAfter = Annotated[
    int,
    BeforeValidator(partial(as_minutes, least=1, most=MAX_CLOCK_MIN)),
    WithJsonSchema(_DURATION_SCHEMA),
]
Clock = Annotated[
    int,
    BeforeValidator(as_clock),
    WithJsonSchema({"type": "string", "pattern": f"^{CLOCK_PREFIX}[1-9][0-9]{{0,3}}m$"}),
]
