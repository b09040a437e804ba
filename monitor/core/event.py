"""Observation: the facts one request contributes, as the fold reads them.

A Protocol, so that a decoder's own record is an observation and nothing is copied on the hot path. Plain
facts are attributes, as decoded; what needs arithmetic (micro-units, sums) is computed when it is asked for,
because most folds ask for few of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from monitor.core.indicator import LABELS

HIGH_SEVERITIES: Final = frozenset({"high", "critical"})
"""The severities that count as high-severity incidents."""

MAX_LATENCY_MS: Final = 86_400_000
"""The slowest request an event can tell of: one day."""

MAX_AT_MS: Final = 253_402_300_799_999
"""The last moment an event can have: 9999-12-31T23:59:59.999Z, the end of RFC 3339."""

UNFINISHED_US: Final = MAX_LATENCY_MS * 1_000 + 1
"""The size a timeout has where latencies are ranked: above every finished request."""


class Observation(Protocol):
    """One request (or, with `is_outcome`, labels that became known after it).

    Absent is None everywhere: not measured, outside that indicator's denominator.
    """

    @property
    def event_id(self) -> str:
        """Unique per event."""

    @property
    def at_ms(self) -> int:
        """Event time, epoch milliseconds, 0 to `MAX_AT_MS`."""

    @property
    def release(self) -> str:
        """The version that served the request."""

    @property
    def kind(self) -> str:
        """`request` or `outcome`."""

    @property
    def is_outcome(self) -> bool:
        """True where it only brings labels of a request told of before: then it is no second request."""

    @property
    def traffic(self) -> str:
        """`live`, `shadow` or `rehearsal`."""

    @property
    def status(self) -> str:
        """`ok`, `error` or `timeout`."""

    @property
    def request_id(self) -> str | None:
        """Pairs a shadow request with its live one."""

    @property
    def trace_id(self) -> str | None:
        """Where a person finds the whole request."""

    @property
    def unit_id(self) -> str | None:
        """The unit of sticky assignment: a hashed user or session."""

    @property
    def cohort(self) -> Mapping[str, str] | None:
        """Dimension to value."""

    def labels(self) -> tuple[bool | None, ...]:
        """Return the true/false/absent labels, in the order of `core.indicator.LABELS`."""

    def shape(self) -> tuple[str | bool | None, ...]:
        """Return all of it that repeats: release, kind, traffic, incident severity, status, then the labels."""

    @property
    def outcomes(self) -> Mapping[str, bool] | None:
        """Any other rate, by name."""

    @property
    def incident_severity(self) -> str | None:
        """`low`, `medium`, `high` or `critical`."""

    @property
    def is_high_severity(self) -> bool:
        """True for an incident of `HIGH_SEVERITIES`."""

    @property
    def failure_class(self) -> str | None:
        """A free class name, kept as evidence."""

    @property
    def latency_ms(self) -> float | None:
        """End to end, as told."""

    @property
    def latency_us(self) -> int | None:
        """End to end, whole microseconds."""

    @property
    def stage_ms(self) -> Mapping[str, float] | None:
        """Stage to its time, as told."""

    def stage_us(self, stage: str) -> int | None:
        """Return one stage's time, whole microseconds."""

    @property
    def cost_usd(self) -> float | None:
        """Cost, as told."""

    @property
    def cost_microusd(self) -> int | None:
        """Cost, whole millionths of a dollar."""

    @property
    def tokens_in(self) -> int | None:
        """Tokens read by the model."""

    @property
    def tokens_out(self) -> int | None:
        """Tokens written by the model."""

    @property
    def tokens(self) -> int | None:
        """Tokens in and out together; None unless both are known: half a sum would look cheap."""

    def rate_value(self, source: str) -> bool | None:
        """Return what a rate (a label, `error`, `timeout`, `outcome.<name>`) says about this request."""

    def size_of(self, source: str) -> int | None:
        """Return the request's size in a distribution (`latency`, `stage.<name>`, `cost`, `tokens`)."""


def whole_us(ms: float) -> int:
    """Return milliseconds as whole microseconds, to the nearest, a half to the even one."""
    return round(ms * 1_000)


def whole_microusd(usd: float) -> int:
    """Return dollars as whole millionths of a dollar, to the nearest, a half to the even one."""
    return round(usd * 1_000_000)


def rate_value(event: Observation, source: str) -> bool | None:
    """Return what a rate's source says about a request; None where it was not measured.

    `error` and `timeout` are known of every request, and of no late outcome.
    """
    if source in ("error", "timeout"):
        return None if event.is_outcome else event.status == source
    if source.startswith("outcome."):
        return (event.outcomes or {}).get(source.removeprefix("outcome."))
    return event.labels()[LABELS.index(source)]


def size_of(event: Observation, source: str) -> int | None:
    """Return how large a request is in a distribution, micro-units or tokens; None where it is not in it.

    An `error` has no latency that counts (failing fast is not being fast); a `timeout` is slower than
    every finished request.
    """
    if source == "cost":
        return event.cost_microusd
    if source == "tokens":
        return event.tokens
    if event.status == "error":
        return None
    if source == "latency":
        return UNFINISHED_US if event.status == "timeout" else event.latency_us
    return event.stage_us(source.removeprefix("stage."))
