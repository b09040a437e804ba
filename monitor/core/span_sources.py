"""Where a fact of a request comes from in its trace: one small value per kind of source, each read the same way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from monitor.core.span import STATUS_ERROR, Event, Span, Trace, Value, covered_ns

EVALUATION_EVENT: Final = "gen_ai.evaluation.result"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_LABEL: Final = "gen_ai.evaluation.score.label"
EVALUATION_SCORE: Final = "gen_ai.evaluation.score.value"
FLAG_EVENTS: Final = ("feature_flag.evaluation", "feature_flag")
FLAG_KEY: Final = "feature_flag.key"
FLAG_VARIANTS: Final = ("feature_flag.result.variant", "feature_flag.variant")

ITSELF: Final = "."  # of a JSON text: the value, and no entry of it
PASS: Final = frozenset({"pass", "passed", "true", "yes"})
FAIL: Final = frozenset({"fail", "failed", "false", "no"})


class Source(Protocol):
    """One place where a fact may stand."""

    def read(self, trace: Trace) -> Value | None:
        """Return what stands there; None where nothing does."""


@dataclass(frozen=True, slots=True)
class RootAttribute:
    """An attribute of the root span."""

    name: str

    def read(self, trace: Trace) -> Value | None:
        """Return it."""
        return trace.root.attributes.get(self.name)


@dataclass(frozen=True, slots=True)
class SpanAttribute:
    """An attribute of any span: the earliest that has it."""

    name: str

    def read(self, trace: Trace) -> Value | None:
        """Return it."""
        for span in trace.spans:
            if (value := span.attributes.get(self.name)) is not None:
                return value
        return None


@dataclass(frozen=True, slots=True)
class ResourceAttribute:
    """An attribute of the resource that made the root span: the service that answered the request."""

    name: str

    def read(self, trace: Trace) -> Value | None:
        """Return it."""
        return trace.root.resource.get(self.name)


@dataclass(frozen=True, slots=True)
class EventAttribute:
    """An attribute of an event by its name: the earliest that has it."""

    event: str
    name: str

    def read(self, trace: Trace) -> Value | None:
        """Return it."""
        found = (event.attributes.get(self.name) for event in trace.events if event.name == self.event)
        return next((value for value in found if value is not None), None)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of an evaluation by its name: the label where it is known, else the score against a threshold.

    Attributes:
        threshold: From which score on it has passed; None: only labels count.
        inverted: To pass is to say false: the evaluation `output_parse` passes where nothing failed to be parsed.
        labels: What labels, `pass` and `fail` mean for a field that is a text; None for one that is true or false.
    """

    name: str
    threshold: float | None = None
    inverted: bool = False
    labels: Mapping[str, str] | None = None

    def read(self, trace: Trace) -> Value | None:
        """Return what the earliest such evaluation with a result that can be read says."""
        for event in trace.events:
            if event.name == EVALUATION_EVENT and event.attributes.get(EVALUATION_NAME) == self.name:
                if (value := self._result(event)) is not None:
                    return value
        return None

    def _result(self, event: Event) -> Value | None:
        label = event.attributes.get(EVALUATION_LABEL)
        if self.labels is not None and isinstance(label, str) and label in self.labels:
            return self.labels[label]
        passed = self._passed(label, event.attributes.get(EVALUATION_SCORE))
        if passed is None:
            return None
        if self.labels is not None:
            return self.labels.get("pass" if passed else "fail")
        return passed is not self.inverted

    def _passed(self, label: Value | None, score: Value | None) -> bool | None:
        if isinstance(label, str) and label.lower() in PASS:
            return True
        if isinstance(label, str) and label.lower() in FAIL:
            return False
        if self.threshold is None or isinstance(score, bool) or not isinstance(score, int | float):
            return None
        return score >= self.threshold


@dataclass(frozen=True, slots=True)
class FlagVariant:
    """The variant that a feature flag gave, by the flag's key: the earliest evaluation of it."""

    key: str

    def read(self, trace: Trace) -> Value | None:
        """Return it."""
        for event in trace.events:
            if event.name in FLAG_EVENTS and event.attributes.get(FLAG_KEY) == self.key:
                for name in FLAG_VARIANTS:
                    if (value := event.attributes.get(name)) is not None:
                        return value
        return None


@dataclass(frozen=True, slots=True)
class RootStatus:
    """`error` where the root span's status is an error, else `ok`."""

    def read(self, trace: Trace) -> Value | None:
        """Return it."""
        return "error" if trace.root.status == STATUS_ERROR else "ok"


@dataclass(frozen=True, slots=True)
class RootDuration:
    """Milliseconds from the root span's start to its end."""

    def read(self, trace: Trace) -> Value | None:
        """Return it."""
        return (trace.root.end_ns - trace.root.start_ns) / 1e6


@dataclass(frozen=True, slots=True)
class Where:
    """Which spans are meant: those whose attribute has one of these values."""

    name: str
    values: frozenset[str]

    def of(self, trace: Trace) -> list[Span]:
        """Return them, in their order."""
        name, values = self.name, self.values
        return [span for span in trace.spans if span.attributes.get(name) in values]


@dataclass(frozen=True, slots=True)
class SpanDuration:
    """Milliseconds during which at least one of these spans ran."""

    where: Where

    def read(self, trace: Trace) -> Value | None:
        """Return them; None without any such span."""
        spans = self.where.of(trace)
        return covered_ns(spans) / 1e6 if spans else None


@dataclass(frozen=True, slots=True)
class SpansSucceeded:
    """Whether none of these spans has the status error."""

    where: Where

    def read(self, trace: Trace) -> Value | None:
        """Tell it; None without any such span."""
        spans = self.where.of(trace)
        return all(span.status != STATUS_ERROR for span in spans) if spans else None


@dataclass(frozen=True, slots=True)
class SpanSum:
    """A number added up over these spans; of each, the first of the names that it carries."""

    where: Where
    names: tuple[str, ...]

    def read(self, trace: Trace) -> Value | None:
        """Return the sum; None where no span carries a number."""
        found = [number for span in self.where.of(trace) if (number := self._number(span)) is not None]
        return sum(found) if found else None

    def _number(self, span: Span) -> int | float | None:
        for name in self.names:
            value = span.attributes.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return value
        return None


@dataclass(frozen=True, slots=True)
class Translated:
    """What another source says, in other words; what has no translation is absent."""

    source: Source
    values: Mapping[str, str]

    def read(self, trace: Trace) -> Value | None:
        """Return the translation."""
        value = self.source.read(trace)
        return None if value is None else self.values.get(text_of(value) or "")


@dataclass(frozen=True, slots=True)
class Scaled:
    """A number of another source in another unit."""

    source: Source
    factor: float

    def read(self, trace: Trace) -> Value | None:
        """Return it; what is no number comes as it is."""
        value = self.source.read(trace)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        return value * self.factor


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a JSON object that another source has as a text; `.` is the value itself.

    Some instrumentations write metadata as JSON: all of it in one attribute, or each value, so that a text is quoted.
    """

    source: Source
    name: str

    def read(self, trace: Trace) -> Value | None:
        """Return it; None where there is no such entry, or it is no plain value."""
        value = self.source.read(trace)
        is_itself = self.name == ITSELF
        if not isinstance(value, str):
            return value if is_itself else None
        try:
            said = json.loads(value)
        except (ValueError, RecursionError):
            return value if is_itself else None  # a text that is not quoted says itself
        if not is_itself:
            said = said.get(self.name) if isinstance(said, dict) else None
        return said if isinstance(said, str | int | float) else None


def text_of(value: Value) -> str | None:
    """Return an attribute's value as text; None for one that has no single text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else None
