"""Mapping files, strictly loaded: the file as it is used, or all of its problems in one report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path as File
from typing import ClassVar, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from monitor.config.mapping_model import (
    EventSpec,
    MappingFile,
    RootSpec,
    SourceSpec,
    SumSpec,
    WhereSpec,
)
from monitor.config.problem import Problem, in_order
from monitor.config.scalar import Ambiguous
from monitor.config.source import BROKEN, MAX_BYTES, Path, Source
from monitor.config.translate import message_of, place_of
from monitor.config.yaml_source import read_source
from monitor.core import span_sources as kinds
from monitor.core.errors import MonitorError
from monitor.core.span_mapping import (
    Convert,
    Field,
    SpanMapping,
    Wanted,
    as_choice,
    as_count,
    as_hashed,
    as_milliseconds,
    as_number,
    as_text,
    as_truth,
    late_labels,
)

DEFAULT: Final = "otel-genai.v1"
_FOLDERS: Final = (File(__file__).parent / "mappings", File(__file__).parents[2] / "schemas" / "mappings")
"""In an installed package, and in the sources."""

_COUNT: Final = as_count(2**53)
_CONVERT: Final[Mapping[str, Convert]] = {
    "release": as_text(128),
    "traffic": as_choice("live", "shadow", "rehearsal"),
    "status": as_choice("ok", "error", "timeout"),
    "request_id": as_text(128),
    "unit_id": as_hashed,
    "incident_severity": as_choice("low", "medium", "high", "critical"),
    "failure_class": as_text(64),
    "latency_ms": as_milliseconds,
    "cost_usd": as_number(1_000_000),
    "tokens_in": _COUNT,
    "tokens_out": _COUNT,
}
"""Of each field that is not simply true or false; the contract's limits."""

_NO_LABELS: Final = frozenset(_CONVERT) - {"incident_severity"}
_MODELS: Final[tuple[tuple[str, type[BaseModel]], ...]] = (
    ("where", WhereSpec), ("duration", WhereSpec), ("succeeded", WhereSpec), ("sum", SumSpec), ("event", EventSpec),
    ("root", RootSpec),
)  # fmt: skip


class MappingInvalid(MonitorError):
    """A mapping file that cannot be used; the message holds every problem with its place."""

    exit_code: ClassVar[int] = 2  # invalid input

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def load_mapping(name: str) -> SpanMapping:
    """Return the mapping of a file, or a shipped one by its name.

    Raises:
        MappingInvalid: With every problem.
    """
    path = next((file for file in _shipped() if file.name == f"{name}.yaml"), File(name))
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # one more, so that the reader sees that it is too large
    except OSError as problem:
        known = ", ".join(sorted({file.stem for file in _shipped()}))
        why = f"cannot be read: {problem.strerror}; give a file, or one of the shipped ones: {known}"
        raise MappingInvalid((Problem(str(path), "", 0, 0, why),)) from None
    return read_mapping(content, str(path))


def read_mapping(content: str | bytes, name: str) -> SpanMapping:
    """Return the mapping that a YAML or JSON text holds.

    Raises:
        MappingInvalid: With every problem.
    """
    source = read_source(content, name)
    if source.data is not BROKEN:
        source.refuse_empty()
        _refuse_ambiguous(source, source.data, ())
    file = None if source.problems else _structure(source)
    if file is None:
        raise MappingInvalid(in_order(source.problems))
    return _compiled(file)


def _shipped() -> list[File]:
    return [path for folder in _FOLDERS for path in sorted(folder.glob("*.yaml"))]


def _refuse_ambiguous(source: Source, data: object, path: Path) -> None:
    if isinstance(data, Ambiguous):
        source.error(path, f'{data} is not safely a text: {data.reading}; quote it: "{data}"')
    below: Iterable[tuple[str | int, object]] = (
        data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    )
    for step, value in below:
        _refuse_ambiguous(source, value, (*path, step))


def _structure(source: Source) -> MappingFile | None:
    try:
        return MappingFile.model_validate(source.data)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            _report(error, source)
    return None


def _report(error: ErrorDetails, source: Source) -> None:
    path = place_of(error)
    mark = source.keys.get(path) if error["type"] == "extra_forbidden" else None
    if error["type"] == "too_short":
        source.error(path, "empty; write at least one entry", mark=mark)
    else:
        source.error(path, message_of(error, _model_of(path)), mark=mark)


def _model_of(path: Path) -> type[BaseModel]:
    """Return the model that the last key of a path belongs to."""
    if len(path) <= 1:
        return MappingFile
    above = path[-2]
    return next((model for name, model in _MODELS if name == above), SourceSpec)


def _compiled(file: MappingFile) -> SpanMapping:
    fields = tuple(_fields(file))
    outcome_at = tuple(map(_source, file.outcome_at or ()))
    marker = None if file.root is None else file.root.attribute
    sources = (*(source for field in fields for source in field.sources), *outcome_at)
    wanted = _wanted(marker, sources)
    return SpanMapping(file.mapping, marker, fields, late_labels(fields), outcome_at, wanted)


def _fields(file: MappingFile) -> Iterator[Field]:
    for known, specs in file.fields.items():
        convert = _CONVERT.get(known, as_truth)
        yield Field(known, tuple(map(_source, specs)), convert, is_label=known not in _NO_LABELS)
    groups = (("cohort", file.cohort, as_text(64)), ("stage_ms", file.stage_ms, as_milliseconds))
    for into, entries, convert in groups:
        for name, specs in entries.items():
            yield Field(name, tuple(map(_source, specs)), convert, into)
    for name, specs in file.outcomes.items():
        yield Field(name, tuple(map(_source, specs)), as_truth, "outcomes", is_label=True)


def _source(spec: SourceSpec) -> kinds.Source:
    if spec.evaluation is not None:
        return kinds.Evaluation(spec.evaluation, spec.threshold, spec.inverted is True, spec.values)
    source = _plain(spec) if spec.entry is None else kinds.Entry(_plain(spec), spec.entry)
    if spec.values is not None:
        return kinds.Translated(source, spec.values)
    return source if spec.times is None else kinds.Scaled(source, spec.times)


def _plain(spec: SourceSpec) -> kinds.Source:
    if spec.root is not None:
        return kinds.RootAttribute(spec.root)
    if spec.span is not None:
        return kinds.SpanAttribute(spec.span)
    if spec.resource is not None:
        return kinds.ResourceAttribute(spec.resource)
    if spec.event is not None:
        return kinds.EventAttribute(spec.event.name, spec.event.attribute)
    if spec.flag is not None:
        return kinds.FlagVariant(spec.flag)
    if spec.duration is not None:
        return kinds.SpanDuration(_where(spec.duration))
    if spec.succeeded is not None:
        return kinds.SpansSucceeded(_where(spec.succeeded))
    if spec.sum is not None:
        return kinds.SpanSum(_where(spec.sum.where), tuple(spec.sum.attributes))
    return kinds.RootStatus() if spec.derived == "root_status" else kinds.RootDuration()


def _where(spec: WhereSpec) -> kinds.Where:
    return kinds.Where(spec.attribute, frozenset(spec.values))


def _wanted(marker: str | None, sources: Sequence[kinds.Source]) -> Wanted:
    """Return the names that these sources look at; of events also what spans carry: an event may name its release."""
    attributes, resource = {marker} if marker else set[str](), set[str]()
    events, event_attributes = set[str](), set[str]()
    for source in sources:
        while isinstance(source, kinds.Translated | kinds.Scaled | kinds.Entry):
            source = source.source
        match source:
            case kinds.RootAttribute(name) | kinds.SpanAttribute(name):
                attributes.add(name)
            case kinds.ResourceAttribute(name):
                resource.add(name)
            case kinds.EventAttribute(event, name):
                events.add(event)
                event_attributes.add(name)
            case kinds.Evaluation():
                events.add(kinds.EVALUATION_EVENT)
                event_attributes |= {kinds.EVALUATION_NAME, kinds.EVALUATION_LABEL, kinds.EVALUATION_SCORE}
            case kinds.FlagVariant():
                events |= set(kinds.FLAG_EVENTS)
                event_attributes |= {kinds.FLAG_KEY, *kinds.FLAG_VARIANTS}
            case kinds.SpanDuration(where) | kinds.SpansSucceeded(where):
                attributes.add(where.name)
            case kinds.SpanSum(where, names):
                attributes |= {where.name, *names}
    return Wanted(
        frozenset(attributes),
        frozenset(resource),
        frozenset(events),
        frozenset(event_attributes | attributes),
    )
