"""CDEvents: the same decisions as delivery tools know them, `service.rolledback` and `incident.*`.

Twins of what is published anyway, never news: each is derived from one decision, its id too. They travel as
CloudEvents in Kafka's binary mode; the value is the whole CDEvent.

Source: CDEvents 0.5.1 (service and incident events 0.3.0, its CloudEvents binding, embedded RELATION links); artifacts
are named by package URLs of type `generic`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from monitor.core.decision import EVERY_RELEASE, Decision, Type
from monitor.core.ids import canonical_json, decision_id
from monitor.core.moment import moment_ms, rfc3339
from monitor.wire.cloudevent import SOURCE, CloudEvent
from monitor.wire.shared import Message, Moment, Name, Sha256

SPEC_VERSION: Final = "0.5.1"
NAME: Final = "cdevent"
_MOST_DESCRIBED: Final = 500  # characters of a description: it is for a line in a dashboard
_ROLLED_BACK: Final = "dev.cdevents.service.rolledback.0.3.0"
_DETECTED: Final = "dev.cdevents.incident.detected.0.3.0"
_REPORTED: Final = "dev.cdevents.incident.reported.0.3.0"
_RESOLVED: Final = "dev.cdevents.incident.resolved.0.3.0"

Uri = Annotated[str, Field(min_length=1, json_schema_extra={"format": "uri"})]


class _Camel(Message):
    """A part of a CDEvent: its specification writes names in camel case."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)


class LinkTarget(_Camel):
    """The event that a link points to."""

    context_id: Sha256


class Link(_Camel):
    """To the twin that this one answers."""

    link_type: Literal["RELATION"] = "RELATION"
    link_kind: Literal["DETECTED_BY"] = "DETECTED_BY"
    target: LinkTarget


class Context(_Camel):
    """What every CDEvent says of itself."""

    specversion: Literal["0.5.1"] = SPEC_VERSION
    id: Sha256 = Field(description="Derived from the decision's id: drop repeats by it.")
    source: Name
    type: Literal[
        "dev.cdevents.service.rolledback.0.3.0",
        "dev.cdevents.incident.detected.0.3.0",
        "dev.cdevents.incident.reported.0.3.0",
        "dev.cdevents.incident.resolved.0.3.0",
    ]
    timestamp: Moment
    chain_id: Sha256 = Field(description="Of the release's arming: all of its events are one chain.")
    links: list[Link] | None = None


class Reference(_Camel):
    """An environment or a service, by its name."""

    id: Name


class Content(_Camel):
    """What the subject is about."""

    environment: Reference
    artifact_id: Name = Field(description="Package URL: of what serves now, or of what is in trouble.")
    description: Annotated[str, Field(max_length=_MOST_DESCRIBED)] | None = None
    service: Reference | None = None
    ticket_uri: Uri | None = Field(None, alias="ticketURI")


class Subject(_Camel):
    """The service that went back, or the incident."""

    id: Name
    source: Name
    content: Content


class CDEvent(_Camel):
    """One CDEvent of this product; a field without a value is left out."""

    context: Context
    subject: Subject
    custom_data: dict[str, Any]
    custom_data_content_type: Literal["application/json"] = "application/json"


@dataclass(frozen=True, slots=True)
class Place:
    """Where releases serve, as delivery tools name it.

    Attributes:
        ticket_url: Where a page is followed up, with `{page}` and `{release}` in it; without one nothing is `reported`.
    """

    environment: str = "production"
    ticket_url: str | None = None


def twins(decision: Decision, place: Place, source: str = SOURCE) -> list[CloudEvent]:
    """Return the CDEvents that a decision has as its twins, as CloudEvents; most decisions have none."""
    if decision.release == EVERY_RELEASE:
        return []
    return [_cloud_event(one) for one in _twins(decision, place, source)]


def _twins(decision: Decision, place: Place, source: str) -> Iterator[CDEvent]:
    data = decision.data
    match decision.type:
        case Type.PAGE_OPENED:
            incident = str(data["page_id"])
            yield _incident(_DETECTED, incident, decision, place, source)
            if place.ticket_url is not None:
                names = {"page": incident, "release": quote(decision.release, safe="")}
                ticket = place.ticket_url
                for name, value in names.items():
                    ticket = ticket.replace(f"{{{name}}}", value)
                yield _incident(_REPORTED, incident, decision, place, source, ticket=ticket)
        case Type.PAGE_RESOLVED:
            incident = str(data["page_id"])
            yield _incident(_RESOLVED, incident, decision, place, source)
        case Type.ROLLBACK_REQUESTED:
            yield _incident(_DETECTED, decision.decision_id, decision, place, source)
        case Type.ROLLBACK_VERIFIED:
            incident = str(data["request_id"])
            yield _rolled_back(incident, decision, place, source)
            yield _incident(_RESOLVED, incident, decision, place, source)
        case _:
            pass


def _incident(
    kind: str, incident: str, decision: Decision, place: Place, source: str, *, ticket: str | None = None
) -> CDEvent:
    content = Content(
        environment=Reference(id=place.environment),
        artifact_id=_purl(decision.release),
        description=str(decision.data.get("summary", ""))[:_MOST_DESCRIBED],
        service=_service(decision),
        ticket_uri=ticket,
    )
    answers = None if kind == _DETECTED else _twin_id(_DETECTED, incident)
    return _event(kind, incident, content, decision, source, answers)


def _rolled_back(incident: str, decision: Decision, place: Place, source: str) -> CDEvent:
    baseline = _purl(str(decision.data["baseline"]))
    content = Content(environment=Reference(id=place.environment), artifact_id=baseline)
    subject = _service(decision).id
    return _event(_ROLLED_BACK, subject, content, decision, source, _twin_id(_DETECTED, incident))


def _event(
    kind: str, subject: str, content: Content, decision: Decision, source: str, answers: str | None
) -> CDEvent:
    number = decision.data.get("arming")
    arming = number if isinstance(number, int) else 0
    context = {
        "id": _twin_id(kind, decision.decision_id),
        "source": source,
        "type": kind,
        "timestamp": rfc3339(decision.at_ms),
        "chain_id": decision_id(Type.ARMING_CREATED.value, decision.release, arming),
        "links": None if answers is None else [Link(target=LinkTarget(context_id=answers))],
    }
    return CDEvent(
        context=Context.model_validate(context),
        subject=Subject(id=subject, source=source, content=content),
        custom_data=_custom(decision),
    )


def _custom(decision: Decision) -> dict[str, Any]:
    """Return what the specification has no field for: which decision it is, and the numbers behind it."""
    names = ("release", "baseline", "arming", "objective", "metric", "cohort", "tier", "reason", "limit")
    kept = {name: decision.data[name] for name in (*names, "observed", "seconds") if name in decision.data}
    return {"decision_id": decision.decision_id, "decision": decision.type.value, **kept}


def _service(decision: Decision) -> Reference:
    return Reference(id=str(decision.data["budget"]))


def _purl(release: str) -> str:
    return f"pkg:generic/{quote(release, safe='')}"


def _twin_id(kind: str, known: str) -> str:
    """Return the id of a decision's twin of one kind: the same from any worker, and whenever it is published again."""
    return sha256(canonical_json([kind, known]).encode()).hexdigest()


def _cloud_event(event: CDEvent) -> CloudEvent:
    """Return it by the CloudEvents binding: attributes from its context, and the whole of it as data."""
    data: Mapping[str, Any] = event.model_dump(mode="json", by_alias=True, exclude_none=True)
    return CloudEvent(
        id=event.context.id,
        type=event.context.type,
        subject=event.subject.id,
        time_ms=moment_ms(event.context.timestamp),
        data=data,
        source=event.context.source,
    )
