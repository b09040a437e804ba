"""CDEvents: the twins of pages and rollbacks fit the published shape, under ids that any worker gives them."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.adapters.kafka.outputs import KafkaOutputs
from monitor.adapters.kafka.topics import CDEVENTS, PAGES
from monitor.adapters.memory.log import MemoryLog
from monitor.core.decision import EVERY_RELEASE, Decision, Type
from monitor.core.ids import canonical_json
from monitor.wire.cdevents import CDEvent, Place, twins
from monitor.wire.cloudevent import CloudEvent, from_binary

PAGE, REQUEST = "a" * 64, "b" * 64
AT_MS = 1_795_000_000_000
TICKETS = "https://tickets.example/{release}/{page}"

# Per type, the subject's content as CDEvents 0.5.1 has it: what it must have, and what it may have besides.
CONTENT = {
    "dev.cdevents.service.rolledback.0.3.0": ({"environment", "artifactId"}, set()),
    "dev.cdevents.incident.detected.0.3.0": ({"environment"}, {"artifactId", "service", "description"}),
    "dev.cdevents.incident.reported.0.3.0": (
        {"environment", "ticketURI"},
        {"artifactId", "service", "description"},
    ),
    "dev.cdevents.incident.resolved.0.3.0": ({"environment"}, {"artifactId", "service", "description"}),
}


def decision(kind: Type, decision_id: str = PAGE, **more: Any) -> Decision:
    data = {
        "release": "model/v 42",
        "baseline": "model-v41",
        "budget": "chat",
        "arming": 2,
        "objective": "quality.task_success_delta_pct",
        "limit": -2.0,
        "summary": "task success is low",
        **more,
    }
    return Decision(kind, decision_id, str(data["release"]), AT_MS, data)


OPENED = decision(Type.PAGE_OPENED, page_id=PAGE)
RESOLVED = decision(Type.PAGE_RESOLVED, "c" * 64, page_id=PAGE)
REQUESTED = decision(Type.ROLLBACK_REQUESTED, REQUEST)
VERIFIED = decision(Type.ROLLBACK_VERIFIED, "d" * 64, request_id=REQUEST, seconds=61.0)


def kinds(made: list[CloudEvent]) -> list[str]:
    return [one.type.removeprefix("dev.cdevents.").removesuffix(".0.3.0") for one in made]


def held(event: CloudEvent) -> dict[str, Any]:
    """Hold a twin against the binding and the published shape; return its body."""
    body = dict(event.data)
    CDEvent.model_validate_json(canonical_json(body))
    context, subject = body["context"], body["subject"]
    assert (event.id, event.source, event.type) == (context["id"], context["source"], context["type"])
    assert (event.subject, event.time_ms) == (subject["id"], AT_MS)
    assert context["specversion"] == "0.5.1"
    must, may = CONTENT[event.type]
    assert must <= set(subject["content"]) <= must | may
    assert set(body) == {"context", "subject", "customData", "customDataContentType"}
    return body


@pytest.mark.parametrize(
    ("said", "place", "wanted"),
    [
        (OPENED, Place(), ["incident.detected"]),
        (OPENED, Place(ticket_url=TICKETS), ["incident.detected", "incident.reported"]),
        (RESOLVED, Place(), ["incident.resolved"]),
        (REQUESTED, Place(), ["incident.detected"]),
        (VERIFIED, Place(ticket_url=TICKETS), ["service.rolledback", "incident.resolved"]),
        (decision(Type.ROLLBACK_APPLIED, request_id=REQUEST), Place(), []),
        (decision(Type.ROLLBACK_FAILED, request_id=REQUEST), Place(), []),
        (decision(Type.BREACH_STARTED), Place(), []),
        (decision(Type.PAGE_OPENED, page_id=PAGE, release=EVERY_RELEASE), Place(), []),
    ],
    ids=lambda one: one.type.value if isinstance(one, Decision) else "",
)
def test_which_decisions_have_which_twins(said: Decision, place: Place, wanted: list[str]) -> None:
    made = twins(said, place)
    assert kinds(made) == wanted
    for one in made:
        held(one)


def test_an_incident_keeps_its_name_from_detection_to_its_end() -> None:
    for began, ended, name in ((OPENED, RESOLVED, PAGE), (REQUESTED, VERIFIED, REQUEST)):
        first, *_ = [held(one) for one in twins(began, Place())]
        *_, last = [held(one) for one in twins(ended, Place())]
        assert first["subject"]["id"] == last["subject"]["id"] == name
        (link,) = last["context"]["links"]
        assert link["target"]["contextId"] == first["context"]["id"]
        assert first["context"]["chainId"] == last["context"]["chainId"]


def test_a_rollback_names_what_serves_now_and_an_incident_what_is_in_trouble() -> None:
    rolled_back, resolved = (held(one) for one in twins(VERIFIED, Place(environment="eu-1")))
    assert rolled_back["subject"]["id"] == "chat"
    assert rolled_back["subject"]["content"] == {
        "environment": {"id": "eu-1"},
        "artifactId": "pkg:generic/model-v41",
    }
    assert resolved["subject"]["content"]["artifactId"] == "pkg:generic/model%2Fv%2042"
    assert rolled_back["customData"]["seconds"] == 61.0
    assert rolled_back["customData"]["decision_id"] == VERIFIED.decision_id


def test_a_report_says_where_it_is_followed_up() -> None:
    reported = held(twins(OPENED, Place(ticket_url=TICKETS))[1])
    ticket = reported["subject"]["content"]["ticketURI"]
    assert ticket == f"https://tickets.example/model%2Fv%2042/{PAGE}"


def test_ids_are_derived_and_differ() -> None:
    said = (OPENED, RESOLVED, REQUESTED, VERIFIED)
    made = [one for each in said for one in twins(each, Place(ticket_url=TICKETS))]
    assert made == [one for each in said for one in twins(each, Place(ticket_url=TICKETS))]
    assert len({one.id for one in made}) == len(made) == 6
    assert not {one.id for one in made} & {each.decision_id for each in said}


async def test_twins_go_out_on_their_own_topic_and_only_where_they_are_asked_for() -> None:
    for place, wanted in ((None, 0), (Place(), 1)):
        log = MemoryLog(partitions=3, now_ms=lambda: AT_MS)
        await KafkaOutputs(log, place).publish(OPENED)
        assert sum(map(len, log.records(PAGES))) == 1
        found = [record for records in log.records(CDEVENTS) for record in records]
        assert len(found) == wanted
        for record in found:
            assert record.key == OPENED.release
            event = from_binary(record.value, record.headers)
            assert [event.type] == [one.type for one in twins(OPENED, Place())]
            assert held(event)["customData"]["decision"] == "page.opened"
