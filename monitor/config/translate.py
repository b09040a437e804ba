"""pydantic's errors in our words: what it got, what it allows and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from monitor.config.fields import COMPLAINT
from monitor.config.problem import near, shown
from monitor.config.source import Path

_QUOTED: Final = re.compile(r"'([^']*)'")
_KEY_OF_MAPPING: Final = "[key]"


def place_of(error: ErrorDetails) -> Path:
    """Return the path of the node an error is about."""
    return tuple(step for step in error["loc"] if step != _KEY_OF_MAPPING)


def message_of(error: ErrorDetails, model: type[BaseModel] | None) -> str:
    """Return what is wrong, in our words.

    Args:
        model: The model that the key belongs to, where it belongs to one: for examples and near misses.
    """
    context: Mapping[str, Any] = error.get("ctx", {})
    key = place_of(error)[-1] if place_of(error) else ""
    got = shown(error["input"])
    match error["type"]:
        case kind if kind == COMPLAINT:
            return str(context["message"])
        case "missing":
            return _missing(str(key), model)
        case "extra_forbidden":
            return unknown_key(str(key), model.model_fields if model else ())
        case "literal_error":
            allowed = _QUOTED.findall(str(context.get("expected", "")))
            return f"{got} is not allowed; use {either(allowed)}{near(str(error['input']), allowed)}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"got {got}; write a mapping, each key on its own line below it"
        case "list_type":
            return f"got {got}; write a list, such as [first, second]"
        case "too_long":
            return f"{context['actual_length']} entries are too many; at most {context['max_length']}"
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}; got {got}"


def either(allowed: list[str]) -> str:
    """Return `a, b or c`."""
    return " or ".join(filter(None, (", ".join(allowed[:-1]), allowed[-1])))


def unknown_key(key: str, allowed: Any) -> str:
    """Return that a key is unknown, its nearest neighbour and every key there is."""
    return f"unknown key{near(key, allowed)}; allowed are {', '.join(allowed)}"


def _flow(value: object) -> str:
    """Return a value as YAML writes it on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(below)}" for key, below in value.items()) + "}"
    return str(value)


def _missing(key: str, model: type[BaseModel] | None) -> str:
    field = model.model_fields.get(key) if model else None
    example = _flow(field.examples[0]) if field and field.examples else "..."
    return f"missing; add it, such as `{key}: {example}`"
