"""A mapping file as people write it: for each field of the contract, the places in a trace where it may stand."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from monitor.config.fields import COMPLAINT

KINDS: Final = (
    "root", "span", "resource", "event", "evaluation", "flag", "derived", "duration", "succeeded", "sum",
)  # fmt: skip
_TEXTS: Final = ("root", "span", "resource", "event")  # sources whose text may be JSON
MAX_SOURCES: Final = 16
MAX_ENTRIES: Final = 16  # as many as the contract allows in `cohort`, `outcomes` and `stage_ms`

Name = Annotated[str, Field(min_length=1, max_length=256)]
Values = Annotated[dict[Name, Name], Field(min_length=1, max_length=64)]
FieldName = Literal[
    "release", "traffic", "status", "request_id", "unit_id", "task_success", "parse_failure", "citation_valid",
    "refusal", "abstained", "human_handoff", "user_retry", "tool_success", "fallback_used", "incident_severity",
    "failure_class", "latency_ms", "cost_usd", "tokens_in", "tokens_out",
]  # fmt: skip


def _complain(message: str) -> PydanticCustomError:
    return PydanticCustomError(COMPLAINT, "{message}", {"message": message})


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class WhereSpec(_Spec):
    """Which spans: those whose attribute has one of the values."""

    attribute: Name = Field(examples=["gen_ai.operation.name"])
    values: list[Name] = Field(min_length=1, max_length=64, examples=["[chat]"])


class SumSpec(_Spec):
    """A number added up over spans; of each span, the first attribute that it carries."""

    attributes: list[Name] = Field(
        min_length=1, max_length=MAX_SOURCES, examples=["[gen_ai.usage.input_tokens]"]
    )
    where: WhereSpec = Field(examples=["{attribute: gen_ai.operation.name, values: [chat]}"])


class EventSpec(_Spec):
    """An attribute of a log event or a span event."""

    name: Name = Field(examples=["app.feedback"])
    attribute: Name = Field(examples=["app.feedback.good"])


class SourceSpec(_Spec):
    """One place: exactly one of the kinds, and what it needs beside it."""

    root: Name | None = None
    span: Name | None = None
    resource: Name | None = None
    event: EventSpec | None = None
    evaluation: Name | None = None
    flag: Name | None = None
    derived: Literal["root_status", "root_duration"] | None = None
    duration: WhereSpec | None = None
    succeeded: WhereSpec | None = None
    sum: SumSpec | None = None
    entry: Name | None = None
    values: Values | None = None
    times: float | None = Field(None, gt=0, allow_inf_nan=False)
    threshold: float | None = Field(None, allow_inf_nan=False)
    inverted: bool | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none of them"
            raise _complain(f"got {got}; a source is exactly one of {', '.join(KINDS)}")
        for option in ("threshold", "inverted"):
            if getattr(self, option) is not None and self.evaluation is None:
                raise _complain(
                    f"{option} belongs to an evaluation, and this source is {given[0]}; remove it"
                )
        if self.entry is not None and given[0] not in _TEXTS:
            raise _complain(f"entry belongs to {', '.join(_TEXTS)}, and this source is {given[0]}; remove it")
        if self.inverted and self.values is not None:
            raise _complain("inverted and values contradict each other; keep one of the two")
        if self.times is not None and self.values is not None:
            raise _complain("times is for numbers and values for texts; keep one of the two")
        return self


Sources = Annotated[list[SourceSpec], Field(min_length=1, max_length=MAX_SOURCES)]
Entries = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=64)], Sources], Field(max_length=MAX_ENTRIES)
]


class RootSpec(_Spec):
    """Which span is the request, where it is not simply the one without a parent."""

    attribute: Name = Field(examples=["rollback_budget.request"])


class MappingFile(_Spec):
    """The file."""

    mapping: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}\.v[0-9]{1,4}$")] = Field(
        examples=["otel-genai.v1"]
    )
    root: RootSpec | None = None
    fields: dict[FieldName, Sources] = Field(examples=["{release: [{root: rollback_budget.release}]}"])
    cohort: Entries = Field(default_factory=dict)
    outcomes: Entries = Field(default_factory=dict)
    stage_ms: Entries = Field(default_factory=dict)
    outcome_at: Sources | None = None

    @model_validator(mode="after")
    def _names_the_release(self) -> Self:
        if "release" not in self.fields:
            raise _complain("fields has no release; without it no event can be told, so name its source")
        return self
