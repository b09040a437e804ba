"""CloudEvents 1.0: Kafka binary mode on topics, structured mode in files, on stdout and in the ledger.

Source: CloudEvents 1.0.2 with its Kafka protocol binding 1.0.2 (`ce_` headers, `content-type`). Numbers that
are not finite never leave: they become null. Text is canonical JSON, so equal events are equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final, NamedTuple, NoReturn

from monitor.core.decision import Decision, Type
from monitor.core.errors import MonitorError
from monitor.core.ids import TYPE_PREFIX, TYPE_VERSION, canonical_json, event_type
from monitor.core.moment import rfc3339
from monitor.wire.rfc3339 import parse
from monitor.wire.topics import topic_of

SPEC_VERSION: Final = "1.0"
SOURCE: Final = "/rollback-budget-monitor"
"""Where events come from unless a deployment says otherwise: a URI reference, part of an event's identity."""

CONTENT_TYPE: Final = "application/json"
_REQUIRED: Final = ("specversion", "id", "source", "type", "subject", "time")
_ATTRIBUTES: Final = frozenset({*_REQUIRED, "datacontenttype", "dataschema"})


class NotACloudEvent(MonitorError):
    """A message that is no CloudEvent of this product; the text says where and what is allowed."""


def schema_id(name: str) -> str:
    """Return the `$id` of a message's JSON Schema, e.g. `urn:rollback-budget:schema:page.opened:v1`."""
    return f"urn:rollback-budget:schema:{name}:v1"


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One event.

    Attributes:
        id: The decision id: the same decision has the same one, so consumers drop repeats by it.
        type: Full type, `dev.rollbackbudget.<name>.v1`.
        subject: The release it is about; also the record's key.
        time_ms: Event time, epoch milliseconds.
        data: JSON-ready.
    """

    id: str
    type: str
    subject: str
    time_ms: int
    data: Mapping[str, Any] = field(default_factory=dict)
    source: str = SOURCE
    dataschema: str | None = None

    @property
    def name(self) -> str:
        """The type without prefix and version, e.g. `page.opened`."""
        return self.type.removeprefix(TYPE_PREFIX).removesuffix(TYPE_VERSION)


class BinaryMessage(NamedTuple):
    """An event as a Kafka record in binary mode."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def of_decision(decision: Decision, source: str = SOURCE) -> CloudEvent:
    """Return a decision as an event."""
    return CloudEvent(
        id=decision.decision_id,
        type=event_type(decision.type.value),
        subject=decision.release,
        time_ms=decision.at_ms,
        data=decision.data,
        source=source,
        dataschema=schema_id(decision.type.value) if topic_of(decision.type.value) else None,
    )


def to_decision(event: CloudEvent) -> Decision:
    """Return the decision an event tells of.

    Raises:
        NotACloudEvent: Its type is none that this version decides.
    """
    try:
        kind = Type(event.name)
    except ValueError:
        _refuse("type", event.type, f"one of {', '.join(event_type(one.value) for one in Type)}")
    return Decision(kind, event.id, event.subject, event.time_ms, event.data)


def finite_only(value: object) -> Any:
    """Return a JSON value with null for every number that is not finite; mappings and tuples become plain."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): finite_only(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite_only(one) for one in value]
    return value


def _attributes(event: CloudEvent) -> dict[str, str]:
    attributes = {
        "specversion": SPEC_VERSION,
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": rfc3339(event.time_ms),
    }
    return attributes if event.dataschema is None else {**attributes, "dataschema": event.dataschema}


def to_binary(event: CloudEvent) -> BinaryMessage:
    """Return the event as a Kafka record: key = release, attributes as `ce_` headers, value = data."""
    headers = [(f"ce_{name}", text.encode()) for name, text in _attributes(event).items()]
    headers.append(("content-type", CONTENT_TYPE.encode()))
    return BinaryMessage(event.subject.encode(), canonical_json(finite_only(event.data)).encode(), headers)


def to_structured(event: CloudEvent) -> dict[str, Any]:
    """Return the event as one JSON object: attributes beside `data`."""
    return {**_attributes(event), "datacontenttype": CONTENT_TYPE, "data": finite_only(event.data)}


def to_line(event: CloudEvent) -> bytes:
    """Return the structured event as one line of canonical JSON, without the newline."""
    return canonical_json(to_structured(event)).encode()


def from_binary(value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> CloudEvent:
    """Return the event a Kafka record holds in binary mode.

    Raises:
        NotACloudEvent: An attribute is missing or wrong, or the value is no JSON object.
    """
    texts = {name.lower(): _text(name, raw) for name, raw in headers}
    content_type = texts.get("content-type", CONTENT_TYPE)
    if content_type.partition(";")[0].strip().lower() != CONTENT_TYPE:
        _refuse("content-type", content_type, CONTENT_TYPE)
    attributes: dict[str, object] = {name[3:]: text for name, text in texts.items() if name.startswith("ce_")}
    return _event(attributes, _object("value", value))


def from_structured(message: bytes | str | Mapping[str, object]) -> CloudEvent:
    """Return the event a JSON object holds in structured mode.

    Raises:
        NotACloudEvent: An attribute is missing or wrong, or `data` is no JSON object.
    """
    whole = message if isinstance(message, Mapping) else _object("event", message)
    data = whole.get("data", {})
    if not isinstance(data, Mapping):
        _refuse("data", data, "a JSON object")
    return _event({name: value for name, value in whole.items() if name in _ATTRIBUTES}, data)


def _event(attributes: Mapping[str, object], data: Mapping[str, Any]) -> CloudEvent:
    texts: dict[str, str] = {}
    for name in (*_REQUIRED, "dataschema"):
        value = attributes.get(name)
        if value is None and name == "dataschema":
            continue
        if not isinstance(value, str) or not value:
            _refuse(name, value, "a string that is not empty")
        texts[name] = value
    if texts["specversion"] != SPEC_VERSION:
        _refuse("specversion", texts["specversion"], SPEC_VERSION)
    time_ms = parse(texts["time"])
    if time_ms is None:
        _refuse("time", texts["time"], "an RFC 3339 moment with an offset")
    return CloudEvent(
        id=texts["id"],
        type=texts["type"],
        subject=texts["subject"],
        time_ms=time_ms,
        data=data,
        source=texts["source"],
        dataschema=texts.get("dataschema"),
    )


def _object(where: str, text: bytes | str | None) -> dict[str, Any]:
    try:
        loaded = json.loads(text or b"")
    except (ValueError, RecursionError):
        _refuse(where, text, "a JSON object in UTF-8")
    if not isinstance(loaded, dict):
        _refuse(where, text, "a JSON object")
    return loaded


def _text(name: str, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        _refuse(name, raw, "UTF-8")


def _refuse(where: str, got: object, allowed: str) -> NoReturn:
    shown = repr(got)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    raise NotACloudEvent(f"{where}: {shown} is not allowed; it is {allowed}")
