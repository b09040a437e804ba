"""CDEvents: every twin fits the JSON schemas that are published with the specification's tag.

`cdevents_0_5_1/` has those schemas and the specification's own examples, unchanged (its README.md says whose they
are). They refer to each other by `$id`, so nothing is fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from referencing import Registry, Resource

from monitor.core.decision import Decision, Type
from monitor.wire.cdevents import Place, twins
from monitor.wire.cloudevent import from_structured
from tests.golden.cases import CASES
from tests.wire.test_cdevents import OPENED, REQUESTED, RESOLVED, TICKETS, VERIFIED

PUBLISHED = Path(__file__).parent / "cdevents_0_5_1"
SCHEMAS: dict[str, dict[str, Any]] = {
    path.relative_to(PUBLISHED).with_suffix("").as_posix(): json.loads(path.read_text(encoding="utf-8"))
    for path in (*PUBLISHED.glob("*.json"), *PUBLISHED.glob("links/*.json"))
}
REGISTRY: Registry[Any] = Registry().with_resources(
    (schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()
)
KINDS = ("service.rolledback", "incident.detected", "incident.reported", "incident.resolved")
PLACE = Place(environment="eu-1", ticket_url=TICKETS)


def fits(body: dict[str, Any]) -> None:
    """Hold a CDEvent against the published schema of the type that it names."""
    kind = str(body["context"]["type"]).removeprefix("dev.cdevents.").rsplit(".", 3)[0]
    schema = SCHEMAS[kind.replace(".", "")]
    Draft202012Validator(schema, registry=REGISTRY, format_checker=FormatChecker()).validate(body)


def recorded() -> Iterator[Decision]:
    """Every decision that the golden cases have on file."""
    for case in CASES:
        for line in case.decisions.read_bytes().splitlines():
            event = from_structured(line)
            yield Decision(Type(event.name), event.id, event.subject, event.time_ms, event.data)


@pytest.mark.parametrize("kind", KINDS)
def test_the_specification_s_own_examples_fit_and_what_is_missing_or_misspelt_does_not(kind: str) -> None:
    example = json.loads((PUBLISHED / "conformance" / f"{kind.replace('.', '_')}.json").read_text())
    fits(example)
    without = {**example, "subject": {**example["subject"], "content": {}}}
    other_link = {**example, "context": {**example["context"], "links": [{"linkType": "RELATED"}]}}
    for broken in (without, {**example, "custom_data": {}}, other_link):
        with pytest.raises(ValidationError):
            fits(broken)


def test_every_twin_of_every_kind_fits_the_published_schemas() -> None:
    made = [
        one for said in (OPENED, RESOLVED, REQUESTED, VERIFIED, *recorded()) for one in twins(said, PLACE)
    ]
    for one in made:
        fits(dict(one.data))
    found = {one.type.removeprefix("dev.cdevents.").removesuffix(".0.3.0") for one in made}
    assert found == set(KINDS)
    assert len(made) > len(CASES)


def test_what_is_only_observed_has_no_twin() -> None:
    observed = [one for one in recorded() if one.type is Type.DECISION_OBSERVED]
    assert observed
    assert not [twin for one in observed for twin in twins(one, PLACE)]
