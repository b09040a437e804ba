"""OTLP's JSON form (the exporter's `otlp_json`): protobuf's own, but with hexadecimal ids instead of base64."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, Final

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message

from monitor.core.errors import MonitorError

_IDS: Final = ("traceId", "spanId", "parentSpanId")


class NotOtlpJson(MonitorError):
    """A record that begins as JSON and is no request in OTLP's form."""


def is_json(value: bytes) -> bool:
    """Tell whether a record is JSON: as protobuf it would begin with a group of field 15, which no request has."""
    return value.startswith(b"{")


def read_json(value: bytes, request: Message) -> None:
    """Read a record into an empty request; what later versions of OTLP have besides is passed over.

    Raises:
        NotOtlpJson: It is none; of a request that was begun nothing may be used.
    """
    try:
        ParseDict(json.loads(value, object_hook=_with_plain_ids), request, ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise NotOtlpJson(str(error)) from error


def _with_plain_ids(found: dict[str, Any]) -> dict[str, Any]:
    """Return an object with its ids as protobuf's JSON has them; only spans, links and log records have such keys."""
    for name in _IDS:
        digits = found.get(name)
        if isinstance(digits, str):
            found[name] = b64encode(bytes.fromhex(digits)).decode()
    return found
