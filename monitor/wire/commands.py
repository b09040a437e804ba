"""Commands in, topic `rollback.commands.v1`: what a person orders. Each is signed, has a reason and an id.

Strict: an unknown key or a wrong type is an error that says where, what it got and what is allowed, because
a command that is half understood is worse than one refused.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import ErrorDetails

from monitor.core.errors import MonitorError
from monitor.core.ids import canonical_json
from monitor.wire.json_text import load_object
from monitor.wire.rejection import Rejection
from monitor.wire.shared import Release
from monitor.wire.trace_event import At

Id = Annotated[str, Field(min_length=1, max_length=128)]
Author = Annotated[str, Field(min_length=1, max_length=128)]
Words = Annotated[str, Field(min_length=1, max_length=1_000)]
Stage = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
ObjectiveId = Annotated[str, Field(min_length=1, max_length=256)]


class BadCommand(MonitorError):
    """A command that cannot be understood; every problem has its line."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Order(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    command_id: Id = Field(description="Unique per order: sending it again changes nothing.")
    release: Release
    author: Author = Field(description="Who orders it.")
    reason: Words = Field(description="Why, in the author's words.")
    signature: Annotated[str, Field(pattern=r"^v1,[A-Za-z0-9+/]{43}=$")] | None = Field(
        None, description="By the author's key: `v1,` and HMAC-SHA256 of the order without it, in base64."
    )


class Decide(_Order):
    """The commander's answer to a page: roll back now, or go on."""

    command: Literal["decide"]
    decision: Literal["rollback", "continue"]
    page_id: Id | None = Field(None, description="Which page; not needed where one alone is open.")
    objective: ObjectiveId | None = Field(None, description="Which objective, as an alternative to the page.")
    until: At | None = Field(None, description="`continue` only: until then; else until it clears.")

    @model_validator(mode="after")
    def _until_is_for_continue(self) -> Decide:
        if self.until is not None and self.decision != "continue":
            raise ValueError("until belongs to `continue`; leave it out of `rollback`")
        return self


class HoldBack(_Order):
    """An override: hold rollbacks of a release, or of one objective, back until a moment."""

    command: Literal["override"]
    objective: ObjectiveId | None = Field(None, description="Absent: the whole release.")
    until: At = Field(description="When it ends.")
    limit: float | None = Field(None, description="Holds only while the delta is not beyond this.")


class Acknowledge(_Order):
    """A person has seen a page: reminders and escalation stop, the deadline does not."""

    command: Literal["acknowledge"]
    reason: Annotated[str, Field(max_length=1_000)] = ""
    page_id: Id | None = Field(None, description="Which page; not needed where one alone is open.")
    objective: ObjectiveId | None = None


class Extend(_Order):
    """The commander takes more time to decide about a page, as far as its budget allows."""

    command: Literal["extend"]
    by_min: Annotated[int, Field(ge=1, le=1_440)] = Field(description="Minutes to add to the deadline.")
    page_id: Id | None = Field(None, description="Which page; not needed where one alone is open.")
    objective: ObjectiveId | None = None


class Arm(_Order):
    """Arm a release again after a rollback or a disarming."""

    command: Literal["arm"]


class Disarm(_Order):
    """Stop watching a release."""

    command: Literal["disarm"]


class CloseBreaker(_Order):
    """Close the rollback-storm breaker: the automatic rollbacks so far no longer count, those to come do."""

    command: Literal["close_breaker"]
    release: Literal["*"] = Field(description="Every release: the breaker is of all.")


class CloseDebt(_Order):
    """An evaluation case covers an eval debt of the release now."""

    command: Literal["close_debt"]
    debt_id: Id = Field(description="As `evaldebt.created` has it.")
    evaluation: Annotated[str, Field(min_length=1, max_length=1_000)] | None = Field(
        None, description="Where the case is: a path, a link, a name."
    )


class Assess(_Order):
    """A pipeline asks, at the end of a stage of its rollout, what each objective has come to so far."""

    command: Literal["assess"]
    stage: Stage = Field(description="What the pipeline calls the stage, such as `canary`.")
    reason: Annotated[str, Field(max_length=1_000)] = ""


Order = Decide | HoldBack | Acknowledge | Extend | Arm | Disarm | CloseBreaker | CloseDebt | Assess
Command = Annotated[Order, Field(discriminator="command")]
COMMANDS: Final = TypeAdapter[Order](Command)


def read_command(value: bytes | None) -> Order:
    """Return the command a record holds; `until` is then epoch milliseconds.

    Raises:
        BadCommand: With every problem.
    """
    loaded = load_object(value)
    if isinstance(loaded, Rejection):
        raise BadCommand((f"command: {loaded.reason}; it must be one JSON object in UTF-8",))
    try:
        return COMMANDS.validate_python(loaded)
    except ValidationError as error:
        problems = tuple(_problem(one) for one in error.errors(include_url=False))
        raise BadCommand(problems) from error


def _problem(error: ErrorDetails) -> str:
    # The first place is the variant that was tried; the reader knows it as the value of `command`.
    place = ".".join(str(part) for part in error["loc"][1:]) or "command"
    got = "" if error["type"] in ("missing", "union_tag_not_found") else f", got {error['input']!r:.80}"
    return f"{place}: {error['msg'][0].lower()}{error['msg'][1:]}{got}"


def command_value(command: BaseModel) -> bytes:
    """Return a command as the value of its record; the key is its release."""
    return canonical_json(command.model_dump(mode="json", exclude_none=True)).encode()
