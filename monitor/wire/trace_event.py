"""The trace event, contract section 1: the model that holds every rule, and the reference reader.

The hot path (`monitor.adapters.kafka.decode`) must agree with `read_trace_event` on every input; a
differential property test holds it to that. Decided here, where the contract leaves room:

- null is absent, for every field; a required field that is null is missing.
- null inside `cohort`, `stage_ms` or `outcomes` is a wrong type: an entry can simply be left out.
- `at` lies between 1970-01-01 and the end of the year 9999, whether a string or an integer.
- an integer is written without fraction and exponent: `1.0` is not one.
- dimension names of `cohort` are as short as its values, at most 64 characters.
- lengths count characters (code points), as JSON Schema does.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from monitor.core.event import MAX_AT_MS, MAX_LATENCY_MS
from monitor.wire.json_text import load_object
from monitor.wire.rejection import Fault, Rejection
from monitor.wire.rfc3339 import parse_strictly

MAX_EVENT_ID: Final = 64
MAX_RELEASE: Final = 128
MAX_REFERENCE: Final = 128  # request_id, trace_id, unit_id
MAX_COHORT_TEXT: Final = 64
MAX_FAILURE_CLASS: Final = 64
MAX_KEYS: Final = 16
MAX_COST_USD: Final = 1_000_000
MAX_INT: Final = 2**53


def _moment(value: object) -> object:
    if not isinstance(value, str):
        return value
    at_ms = parse_strictly(value)
    if at_ms is None:
        raise PydanticCustomError("not_a_time", "no RFC 3339 moment with an offset")
    return at_ms


# `format` alone is a note that most validators pass over: a moment without an offset has to fail by its pattern.
_AT_PATTERN: Final = (
    "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)"
    r"(\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
_AT_SCHEMA: Final = {
    "anyOf": [
        {"type": "string", "format": "date-time", "pattern": _AT_PATTERN},
        {"type": "integer", "minimum": 0, "maximum": MAX_AT_MS},
    ]
}
At = Annotated[int, Field(ge=0, le=MAX_AT_MS), BeforeValidator(_moment), WithJsonSchema(_AT_SCHEMA)]
Reference = Annotated[str, Field(max_length=MAX_REFERENCE)]
CohortText = Annotated[str, Field(max_length=MAX_COHORT_TEXT)]
Milliseconds = Annotated[float, Field(ge=0, le=MAX_LATENCY_MS)]
TokenCount = Annotated[int, Field(ge=0, le=MAX_INT)]
Label = bool | None


class TraceEvent(BaseModel):
    """One finished request, or labels of one that became known later. Unknown fields are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)

    event_id: str = Field(min_length=1, max_length=MAX_EVENT_ID, description="Unique per event.")
    at: At = Field(
        description="When the request finished, the event time: RFC 3339 with an offset, or epoch milliseconds."
    )
    release: str = Field(
        min_length=1,
        max_length=MAX_RELEASE,
        description="The version that served it: model, prompt, tool and policy as one name.",
    )
    kind: Literal["request", "outcome"] | None = Field(
        "request", description="`outcome` brings labels that became known later; it is not a second request."
    )
    traffic: Literal["live", "shadow", "rehearsal"] | None = Field(
        "live", description="Only `live` can trigger an action on production."
    )
    status: Literal["ok", "error", "timeout"] | None = Field(
        "ok",
        description="Technical end. An error has no latency; a timeout is slower than all that finished.",
    )
    request_id: Reference | None = Field(None, description="Pairs a shadow request with its live one.")
    trace_id: Reference | None = Field(None, description="Evidence: where a person finds the whole request.")
    unit_id: Reference | None = Field(
        None, description="Unit of sticky assignment: a hashed user or session."
    )
    cohort: Annotated[dict[CohortText, CohortText], Field(max_length=MAX_KEYS)] | None = Field(
        None,
        description="`tenant`, `workflow`, `intent`, `language`, `doc_type`, `policy_version`, any other.",
    )
    task_success: Label = Field(None, description="Absent or null = not measured; `false` must be said.")
    parse_failure: Label = Field(None, description="The answer could not be parsed.")
    citation_valid: Label = Field(None, description="The citations hold.")
    refusal: Label = Field(None, description="The model refused.")
    abstained: Label = Field(None, description="The model said that it does not know.")
    human_handoff: Label = Field(None, description="A person took over.")
    user_retry: Label = Field(None, description="The user tried again.")
    tool_success: Label = Field(None, description="The tool calls worked.")
    fallback_used: Label = Field(None, description="A fallback answered.")
    outcomes: Annotated[dict[str, bool], Field(max_length=MAX_KEYS)] | None = Field(
        None, description="Any other rate by name: `grounded`, `claim_supported`, `workflow_completed`."
    )
    incident_severity: Literal["low", "medium", "high", "critical"] | None = Field(
        None, description="Absent = none. `high` and `critical` are high-severity incidents."
    )
    failure_class: Annotated[str, Field(max_length=MAX_FAILURE_CLASS)] | None = Field(
        None, description="Free class name, kept as evidence."
    )
    latency_ms: Milliseconds | None = Field(None, description="End to end.")
    stage_ms: Annotated[dict[str, Milliseconds], Field(max_length=MAX_KEYS)] | None = Field(
        None, description="`model`, `retrieval`, `rerank`, `tool`, `first_token`, any other."
    )
    cost_usd: Annotated[float, Field(ge=0, le=MAX_COST_USD)] | None = Field(
        None, description="Of the request."
    )
    tokens_in: TokenCount | None = Field(None, description="Tokens read by the model.")
    tokens_out: TokenCount | None = Field(None, description="Tokens written by the model.")

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if value is not None}


_FAULTS: Final = {
    "missing": Fault.MISSING_FIELD,
    "not_a_time": Fault.NOT_A_TIME,
    "greater_than_equal": Fault.OUT_OF_RANGE,
    "less_than_equal": Fault.OUT_OF_RANGE,
    "string_too_short": Fault.TOO_SHORT,
    "string_too_long": Fault.TOO_LONG,
    "too_long": Fault.TOO_MANY_KEYS,
}


def _rejection(error: ErrorDetails) -> Rejection:
    field = str(error["loc"][0])
    if error["type"] == "literal_error" and isinstance(error["input"], str):
        return Rejection(Fault.UNKNOWN_VALUE, field)
    return Rejection(_FAULTS.get(error["type"], Fault.WRONG_TYPE), field)


def read_trace_event(value: bytes | None) -> TraceEvent | Rejection:
    """Return the event a record holds, or the first rule it breaks: record first, then field by field."""
    loaded = load_object(value)
    if isinstance(loaded, Rejection):
        return loaded
    try:
        return TraceEvent.model_validate(loaded)
    except ValidationError as error:
        return _rejection(error.errors(include_url=False)[0])
