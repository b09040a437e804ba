"""Mapping files: the shipped ones load, a file's problems come together, and each kind of source does what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monitor.config.mapping_file import DEFAULT, MappingInvalid, load_mapping, read_mapping
from monitor.config.settings import Settings
from monitor.core.span import Event, Span, Trace
from monitor.core.span_mapping import request_of
from monitor.wire.trace_event import TraceEvent

SHIPPED = sorted((Path(__file__).parents[2] / "schemas" / "mappings").glob("*.yaml"))
MS = 1_000_000


def trace(*spans: dict[str, Any], events: tuple[Event, ...] = (), status: int = 0, **resource: Any) -> Trace:
    """Return a trace whose first span is the root; spans last 10 ms, one after the other."""
    made = [
        Span(str(n), n == 0, n * 10 * MS, (n + 1) * 10 * MS, status if n == 0 else 0, one, resource)
        for n, one in enumerate(spans)
    ]
    return Trace("t", made[0], made, events)


def event(name: str, **attributes: Any) -> Event:
    return Event(name, 5, {key.replace("__", "."): value for key, value in attributes.items()}, {})


def evaluation(name: str, label: str | None = None, score: float | None = None) -> Event:
    said: dict[str, Any] = {"gen_ai.evaluation.name": name}
    said |= {} if label is None else {"gen_ai.evaluation.score.label": label}
    said |= {} if score is None else {"gen_ai.evaluation.score.value": score}
    return Event("gen_ai.evaluation.result", 5, said, {})


def facts(fields: str, given: Trace, groups: str = "") -> dict[str, Any]:
    text = f"mapping: test.v1\nfields:\n  release: [{{root: r}}, {{resource: version}}]\n{fields}{groups}"
    found = request_of(read_mapping(text, "test.yaml"), given, [])
    assert isinstance(found, dict), found
    return found


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_mapping_loads_by_its_name_and_knows_fields_of_the_contract_only(path: Path) -> None:
    mapping = load_mapping(path.stem)
    assert mapping.name == path.stem
    assert {field.into or field.name for field in mapping.fields} <= set(TraceEvent.model_fields)
    assert mapping.wanted == load_mapping(str(path)).wanted


def test_the_default_is_shipped() -> None:
    assert Settings().bridge_mapping == DEFAULT
    assert DEFAULT in [path.stem for path in SHIPPED]


def test_all_problems_of_a_file_come_in_one_report_with_their_places() -> None:
    text = (
        "mapping: mine\n"
        "fields:\n"
        "  releas: [{rot: x}]\n"
        "  status: [{derived: clock}, {root: a, span: b}, {root: a, threshold: 0.5}]\n"
        "cohort: {tenant: []}\n"
    )
    with pytest.raises(MappingInvalid) as caught:
        read_mapping(text, "mine.yaml")
    assert caught.value.exit_code == 2
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["mine.yaml:1", "mapping"],
        ["mine.yaml:3", "fields.releas"],
        ["mine.yaml:3", "fields.releas[0].rot"],
        ["mine.yaml:4", "fields.status[0].derived"],
        ["mine.yaml:4", "fields.status[1]"],
        ["mine.yaml:4", "fields.status[2]"],
        ["mine.yaml:5", "cohort.tenant"],
    ]
    assert "did you mean release?" in lines[1]
    assert "got root and span; a source is exactly one of" in lines[4]
    assert "threshold belongs to an evaluation" in lines[5]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mapping: a.v1\nfields: {status: [{derived: root_status}]}\n", "fields has no release"),
        ("mapping: a.v1\nfields: {release: [{root: yes}]}\n", 'quote it: "yes"'),
        ("mapping: a.v1\nfields:\n", "empty"),
        ("[]", "write a mapping"),
        ("mapping: [", "not readable as YAML"),
    ],
)
def test_what_no_mapping_can_be_made_of_says_why(text: str, words: str) -> None:
    with pytest.raises(MappingInvalid, match=words.replace("[", r"\[")):
        read_mapping(text, "mine.yaml")


def test_a_name_that_is_neither_shipped_nor_a_file_names_what_is_shipped() -> None:
    with pytest.raises(MappingInvalid, match=r"openinference\.v1, otel-genai\.v1"):
        load_mapping("langfuse.v1")


def test_the_first_source_that_is_there_wins() -> None:
    assert facts("", trace({"r": "root"}, version="service"))["release"] == "root"
    assert facts("", trace({}, version="service"))["release"] == "service"


def test_a_source_that_does_not_fit_gives_way_to_the_next_and_is_named() -> None:
    text = "mapping: t.v1\nfields: {release: [{root: r}], cost_usd: [{root: a}, {root: b}]}\n"
    refused: list[str] = []
    found = request_of(read_mapping(text, "t.yaml"), trace({"r": "x", "a": -1.0, "b": 2}), refused)
    assert isinstance(found, dict)
    assert (found["cost_usd"], refused) == (2.0, ["cost_usd"])


@pytest.mark.parametrize(
    ("source", "given", "value"),
    [
        ("{evaluation: e}", evaluation("e", "PASS"), True),
        ("{evaluation: e}", evaluation("e", "failed"), False),
        ("{evaluation: e}", evaluation("e", "so-so", 0.9), None),
        ("{evaluation: e, threshold: 0.5}", evaluation("e", None, 0.5), True),
        ("{evaluation: e, threshold: 0.5}", evaluation("e", "fail", 0.9), False),
        ("{evaluation: e, threshold: 0.5}", evaluation("e", None, 0.4), False),
        ("{evaluation: e, inverted: true}", evaluation("e", "pass"), False),
        ("{evaluation: e}", evaluation("other", "pass"), None),
        ("{event: {name: fed, attribute: good}}", event("fed", good=False), False),
    ],
)
def test_labels_of_evaluations_and_events(source: str, given: Event, value: bool | None) -> None:
    assert (
        facts(f"  task_success: [{source}]\n", trace({"r": "x"}, events=(given,))).get("task_success")
        is value
    )


def test_an_evaluations_label_becomes_a_text_by_its_values() -> None:
    field = "  incident_severity: [{evaluation: guard, values: {fail: high, severe: critical}}]\n"
    for label, value in (("fail", "high"), ("severe", "critical"), ("pass", None)):
        said = facts(field, trace({"r": "x"}, events=(evaluation("guard", label),)))
        assert said.get("incident_severity") == value


@pytest.mark.parametrize("name", ["feature_flag.result.variant", "feature_flag.variant"])
def test_a_flags_variant_becomes_the_release(name: str) -> None:
    text = "mapping: t.v1\nfields: {release: [{flag: chat-model, values: {canary: model-v42}}]}\n"
    flagged = Event("feature_flag.evaluation", 5, {"feature_flag.key": "chat-model", name: "canary"}, {})
    other = Event("feature_flag.evaluation", 4, {"feature_flag.key": "colour", name: "canary"}, {})
    found = request_of(read_mapping(text, "t.yaml"), trace({}, events=(other, flagged)), [])
    assert isinstance(found, dict)
    assert found["release"] == "model-v42"
    assert request_of(read_mapping(text, "t.yaml"), trace({}, events=(other,)), []) == "no_release"


def test_sums_durations_and_success_are_of_the_spans_that_are_meant() -> None:
    chat = "{attribute: op, values: [chat]}"
    fields = (
        f"  tokens_in: [{{sum: {{attributes: [new, old], where: {chat}}}}}]\n"
        f"  tool_success: [{{succeeded: {chat}}}]\n  latency_ms: [{{derived: root_duration}}]\n"
        "  status: [{root: error, values: {timeout: timeout}}, {derived: root_status}]\n"
    )
    groups = f"stage_ms: {{model: [{{duration: {chat}}}], first: [{{span: ttfc, times: 1000}}]}}\n"
    spans = (
        {"r": "x"},
        {"op": "chat", "new": 3, "old": 9},
        {"op": "chat", "old": 4, "ttfc": 0.25},
        {"op": "agent", "new": 7},
    )
    said = facts(fields, trace(*spans, status=2), groups)
    assert (said["tokens_in"], said["tool_success"], said["latency_ms"]) == (7, True, 10.0)
    assert said["stage_ms"] == {"model": 20.0, "first": 250.0}
    assert said["status"] == "error"
    assert facts(fields, trace({"r": "x", "error": "timeout"}, status=2))["status"] == "timeout"
    assert "tokens_in" not in facts(fields, trace({"r": "x"}))


def test_spans_side_by_side_count_once() -> None:
    chat = "{attribute: op, values: [chat]}"
    text = f"mapping: t.v1\nfields: {{release: [{{root: r}}]}}\nstage_ms: {{model: [{{duration: {chat}}}]}}\n"
    root = Span("0", True, 0, 100 * MS, 0, {"r": "x"}, {})
    inside = [Span(str(n), False, n * 10 * MS, (n * 10 + 30) * MS, 0, {"op": "chat"}, {}) for n in (1, 2, 6)]
    found = request_of(read_mapping(text, "t.yaml"), Trace("t", root, [root, *inside], ()), [])
    assert isinstance(found, dict)
    assert found["stage_ms"] == {"model": 70.0}
