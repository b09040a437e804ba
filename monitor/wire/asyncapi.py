"""The AsyncAPI 3.0 document: every topic as a channel, who sends and who receives, and each message's schema."""

from __future__ import annotations

from typing import Any, Final

from monitor.wire import topics
from monitor.wire.cloudevent import CONTENT_TYPE, SPEC_VERSION
from monitor.wire.topics import EVENT_TYPES

_DELETE: Final = ["delete"]
_COMPACT: Final = ["compact"]
_FADING: Final = ["compact", "delete"]

# topic: (channel, cleanup policy, "receive" where the monitor reads it, what it carries)
_CHANNELS: Final = {
    topics.TRACES: (
        "traces",
        _DELETE,
        ("receive",),
        "Requests, and labels that became known later. Any key.",
    ),
    topics.BUDGETS: (
        "budgets",
        _COMPACT,
        ("receive",),
        "Rollback budgets, YAML or JSON. Key = release; a tombstone disarms.",
    ),
    topics.COMMANDS: ("commands", _DELETE, ("receive",), "Orders of people. Key = release."),
    topics.DECISIONS: ("decisions", _DELETE, ("send",), "What was found and done. Key = release."),
    topics.REQUESTS: ("requests", _DELETE, ("send",), "Downstream must roll back. Key = release."),
    topics.PAGES: ("pages", _DELETE, ("send",), "What a person must see. Key = release."),
    topics.EVAL_DEBT: ("evalDebt", _DELETE, ("send",), "Breaches without an evaluation case. Key = release."),
    topics.CDEVENTS: (
        "cdevents",
        _DELETE,
        ("send",),
        "Twins of pages and rollbacks for delivery tools, where the setting `cdevents` is on. Key = release.",
    ),
    topics.LEDGER: (
        "ledger",
        _COMPACT,
        ("send", "receive"),
        "Every decision, of every type. Key = decision id. It is what prevents repeats.",
    ),
    topics.HISTORY: (
        "history",
        _FADING,
        ("send", "receive"),
        "What each watched release did, hour by hour: the past that frozen baselines come from. "
        "Key = release/hours since the epoch.",
    ),
    topics.DEAD_LETTERS: (
        "deadLetters",
        _DELETE,
        ("send",),
        "Inputs that do not fit: where they stand and why. Key = source topic/partition.",
    ),
}
_PLAIN_MESSAGES: Final = {
    topics.TRACES: "trace-event",
    topics.BUDGETS: "budget-file",
    topics.COMMANDS: "command",
    topics.LEDGER: "ledger-record",
    topics.HISTORY: "history-hour",
    topics.CDEVENTS: "cdevent",
    topics.DEAD_LETTERS: "dead-letter",
}
_HEADERS: Final = {
    "type": "object",
    "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "content-type"],
    "properties": {
        "ce_specversion": {"type": "string", "const": SPEC_VERSION},
        "ce_id": {
            "type": "string",
            "description": "Decision id, or one derived from it. Drop repeats by it.",
        },
        "ce_source": {"type": "string", "format": "uri-reference"},
        "ce_type": {"type": "string"},
        "ce_subject": {"type": "string", "description": "The release; of a CDEvent, its subject."},
        "ce_time": {"type": "string", "format": "date-time", "description": "Event time, UTC."},
        "ce_dataschema": {"type": "string", "format": "uri"},
        "content-type": {"type": "string", "const": CONTENT_TYPE},
    },
}


def document() -> dict[str, Any]:
    """Return the document; message payloads refer to the schema files beside it."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Rollback Budget Monitor",
            "version": "1.0.0",
            "description": "The stop-loss for LLM releases: traces, budgets and commands in, decisions out.\n"
            "Events out are CloudEvents 1.0 in Kafka binary mode; a crash may publish one twice with the same id.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "variables": {"bootstrap": {"default": "localhost:9092"}},
            }
        },
        "channels": {_CHANNELS[topic][0]: _channel(topic) for topic in _CHANNELS},
        "operations": {
            f"{action}{name[0].upper()}{name[1:]}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{name}"},
                "messages": [{"$ref": f"#/channels/{name}/messages/{one}"} for one in _names(topic)],
            }
            for topic, (name, _, actions, _) in _CHANNELS.items()
            for action in actions
        },
        "components": {
            "messages": {name: _message(name) for topic in _CHANNELS for name in _names(topic)},
            "schemas": {"CloudEventHeaders": _HEADERS},
        },
    }


def _names(topic: str) -> list[str]:
    if topic in _PLAIN_MESSAGES:
        return [_PLAIN_MESSAGES[topic]]
    return [name for name, place in EVENT_TYPES.items() if place == topic]


def _channel(topic: str) -> dict[str, Any]:
    _, cleanup, _, description = _CHANNELS[topic]
    return {
        "address": topic,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _names(topic)},
        "bindings": {"kafka": {"topicConfiguration": {"cleanup.policy": cleanup}}},
    }


def _message(name: str) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": name,
        "contentType": "application/yaml" if name == "budget-file" else CONTENT_TYPE,
        "payload": {"$ref": f"./{name}.v1.json"},
    }
    if name in EVENT_TYPES or name == "cdevent":
        message["headers"] = {"$ref": "#/components/schemas/CloudEventHeaders"}
    return message
