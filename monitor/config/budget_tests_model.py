"""The pydantic models of a file with the tests of a budget: its keys, as people write them.

What the values of the traffic and the expectations may be, `scripted_values` and `expectations` check.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from monitor.config import fields as kinds
from monitor.config.fields import as_minutes, as_number, as_text, refuse
from monitor.config.problem import shown

MAX_TESTS: Final = 100
MAX_STRETCHES: Final = 100
MAX_SLICES: Final = 16
MAX_STRETCH_MIN: Final = 3 * 1_440
MAX_PER_MIN: Final = (
    60_000  # a thousand a second: rules that need more are better backtested on recorded traffic
)
_RATE: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)/(s|min|h)")
_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)\s?%")
_PER_MIN: Final = {"s": Fraction(60), "min": Fraction(1), "h": Fraction(1, 60)}


def exact(value: float) -> Fraction:
    """Return the number a person wrote, not its nearest binary fraction: 0.9 is nine tenths."""
    return Fraction(Decimal(repr(float(value))))


def as_share(value: object) -> Fraction:
    """Return a share as a number from 0 to 1 or in percent: `0.1` and `10%` are the same."""
    if isinstance(value, str) and (found := _PERCENT.fullmatch(value)):
        share = Fraction(found[1]) / 100
    elif isinstance(value, str):
        refuse(f"{shown(value)} is no share; write a number from 0 to 1, or percent such as 10%")
    else:
        share = exact(as_number(value))
    if not 0 <= share <= 1:
        refuse(f"{shown(value)} is out of range; a share is 0 to 1, or 0% to 100%")
    return share


def as_rate(value: object) -> Fraction:
    """Return requests a minute of a rate such as `300/min`, `5/s` or `1000/h`."""
    if not isinstance(value, str):
        refuse(f"{shown(value)} has no unit; write requests in a time, such as 300/min, 5/s or 1000/h")
    found = _RATE.fullmatch(value)
    if not found:
        refuse(f"{shown(value)} is no rate; write requests in a time, such as 300/min, 5/s or 1000/h")
    per_min = Fraction(found[1]) * _PER_MIN[found[2]]
    if per_min > MAX_PER_MIN:
        refuse(f"{shown(value)} is too much to rehearse; at most {MAX_PER_MIN}/min")
    return per_min


Share = Annotated[Fraction, BeforeValidator(as_share)]
Rate = Annotated[Fraction, BeforeValidator(as_rate)]
Stretch = Annotated[int, BeforeValidator(partial(as_minutes, least=1, most=MAX_STRETCH_MIN))]
File = Annotated[str, BeforeValidator(partial(as_text, max_chars=1_024))]
Values = dict[str, Any]
_RATE_HELP: Final = "Requests of both arms together, such as `300/min`."
_SHARE_HELP: Final = "The candidate's part of the requests, such as `10%`."
_BASE_HELP: Final = "What both arms show, by metric."


class Spec(BaseModel):
    """What every mapping of the file shares: unknown keys are refused, and types are what they say."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True, populate_by_name=False
    )


class SliceSpec(Spec):
    """A part of the traffic with dimensions of its own."""

    where: dict[kinds.Name, kinds.Text64] = Field(
        min_length=1, max_length=16, description="Its requests' dimensions.", examples=["{tenant: acme}"]
    )
    share: Share = Field(description="Its part of either arm's requests.", examples=["20%"])
    base: Values = Field({}, description=_BASE_HELP)


class SliceValuesSpec(Spec):
    """What a slice shows during one stretch."""

    baseline: Values = Field({}, description="What the baseline shows there.")
    candidate: Values = Field({}, description="What the candidate shows there.")


class StretchSpec(Spec):
    """Some minutes of traffic."""

    lasts: Stretch = Field(alias="for", description="How long it lasts.", examples=["30m"])
    rate: Rate | None = Field(None, description=_RATE_HELP)
    share: Share | None = Field(None, description=_SHARE_HELP)
    base: Values = Field({}, description=_BASE_HELP)
    baseline: Values = Field({}, description="What the baseline shows.")
    candidate: Values = Field({}, description="What the candidate shows.")
    slices: dict[kinds.Name, SliceValuesSpec] = Field({}, description="What a slice shows, by its name.")


class BudgetTestSpec(Spec):
    """One test: traffic in, decisions out."""

    name: kinds.Text128 = Field(description="What it promises.", examples=["a slow poison is rolled back"])
    rate: Rate | None = Field(None, description=_RATE_HELP, examples=["300/min"])
    share: Share | None = Field(None, description=_SHARE_HELP, examples=["10%"])
    base: Values = Field({}, description=_BASE_HELP)
    slices: dict[kinds.Name, SliceSpec] | None = Field(
        None, max_length=MAX_SLICES, description="Parts of the traffic, by a name for this file."
    )
    traffic: list[StretchSpec] = Field(
        min_length=1,
        max_length=MAX_STRETCHES,
        description="Stretches, one after the other.",
        examples=["[{for: 60m}]"],
    )
    expect: Any = Field(description="The decisions that are to come.", examples=["nothing"])


class BudgetTestsFile(Spec):
    """The tests of one budget; what stands here and not in a test holds for every test."""

    budget: File = Field(description="The budget's file, beside this one.", examples=["chat.yaml"])
    rate: Rate | None = Field(None, description=_RATE_HELP)
    share: Share | None = Field(None, description=_SHARE_HELP)
    base: Values = Field({}, description=_BASE_HELP)
    slices: dict[kinds.Name, SliceSpec] = Field(
        {}, max_length=MAX_SLICES, description="Parts of the traffic, by a name for this file."
    )
    tests: list[BudgetTestSpec] = Field(
        min_length=1,
        max_length=MAX_TESTS,
        description="The tests.",
        examples=["[{name: ..., traffic: [...], expect: [...]}]"],
    )
