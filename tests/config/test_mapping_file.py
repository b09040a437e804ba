"""Mapping files: the shipped ones load, a file's problems come together, and each kind of source does what it says."""

from __future__ import annotations

from hashlib import sha256
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


LABEL = Event(
    "gen_ai.evaluation.result",
    5,
    {"gen_ai.evaluation.name": "task_success", "gen_ai.evaluation.score.label": "pass"},
    {},
)
# What each instrumentation writes, and what is told of the request. Spans last 10 ms, the first is the root.
DIALECTS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "openinference.v1": (
        [
            {"openinference.span.kind": "AGENT", "metadata": '{"release": "v42", "tenant": "acme", "intent": 7}'},
            {"openinference.span.kind": "LLM", "llm.token_count.prompt": 12, "llm.cost.total": 0.5},
            {"openinference.span.kind": "TOOL", "user.id": "u1"},
        ],
        {
            "release": "v42", "cohort": {"tenant": "acme", "intent": "7"}, "tokens_in": 12, "cost_usd": 0.5,
            "stage_ms": {"model": 10.0, "tool": 10.0}, "tool_success": True,
        },
    ),
    "openllmetry.v1": (
        [
            {"traceloop.span.kind": "workflow", "traceloop.workflow.name": "chat"},
            {
                "traceloop.association.properties.release": "v42", "traceloop.association.properties.tenant": "acme",
                "traceloop.association.properties.user_id": "u1", "llm.request.type": "chat",
                "gen_ai.usage.prompt_tokens": 12, "gen_ai.usage.completion_tokens": 3,
            },
            {"traceloop.span.kind": "tool"},
        ],
        {
            "release": "v42", "cohort": {"tenant": "acme", "workflow": "chat"}, "tokens_in": 12, "tokens_out": 3,
            "stage_ms": {"model": 10.0, "tool": 10.0}, "tool_success": True,
        },
    ),
    "langfuse.v1": (
        [
            {"langfuse.observation.type": "agent", "langfuse.release": "v42", "langfuse.trace.name": "chat"},
            {
                "langfuse.observation.type": "generation", "gen_ai.usage.input_tokens": 12,
                "langfuse.trace.metadata.tenant": '"acme"', "langfuse.trace.metadata.intent": "refund",
            },
            {"langfuse.observation.type": "tool", "user.id": "u1"},
        ],
        {
            "release": "v42", "cohort": {"tenant": "acme", "workflow": "chat", "intent": "refund"}, "tokens_in": 12,
            "stage_ms": {"model": 10.0, "tool": 10.0}, "tool_success": True,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DIALECTS)
def test_what_an_instrumentation_writes_becomes_the_event_of_its_request(name: str) -> None:
    spans, expected = DIALECTS[name]
    refused: list[str] = []
    found = request_of(load_mapping(name), trace(*spans, events=(LABEL,)), refused)
    assert isinstance(found, dict), found
    assert refused == []
    unit = sha256(b"u1").hexdigest()
    same = {"event_id": "otel-t", "trace_id": "t", "at": 10 // 1, "status": "ok", "latency_ms": 10.0}
    assert found == {**same, "unit_id": unit, "task_success": True, **expected}


def test_a_langfuse_observation_that_is_an_error_is_one_whatever_its_span_says() -> None:
    spans = ({"langfuse.observation.level": "ERROR", "langfuse.release": "v42"},)
    found = request_of(load_mapping("langfuse.v1"), trace(*spans), [])
    assert isinstance(found, dict)
    assert found["status"] == "error"


@pytest.mark.parametrize(
    ("entry", "held", "value"),
    [
        ("tenant", '{"tenant": "acme"}', "acme"),
        ("tenant", '{"tenant": 7}', "7"),
        ("tenant", '{"tenant": {"name": "acme"}}', None),
        ("tenant", '{"other": "acme"}', None),
        ("tenant", "acme", None),
        ("tenant", 7, None),
        ("tenant", '["acme"]', None),
        ("tenant", "[" * 1_020, None),
        (".", '"acme"', "acme"),
        (".", "acme", "acme"),
        (".", "[" * 60, "[" * 60),
        (".", 7, "7"),
        (".", '{"tenant": "acme"}', None),
    ],
)
def test_an_entry_of_a_json_text_is_taken_out_of_it(entry: str, held: Any, value: str | None) -> None:
    groups = f"cohort: {{tenant: [{{span: said, entry: '{entry}'}}]}}\n"
    found = facts("", trace({"r": "v42", "said": held}), groups)
    assert found.get("cohort", {}).get("tenant") == value


def test_an_entry_belongs_to_what_can_be_a_json_text() -> None:
    text = "mapping: a.v1\nfields: {release: [{flag: chat, entry: x}]}\n"
    with pytest.raises(
        MappingInvalid, match="entry belongs to root, span, resource, event, and this source is flag"
    ):
        read_mapping(text, "mine.yaml")


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
    with pytest.raises(MappingInvalid, match=r"openinference\.v1, openllmetry\.v1, otel-genai\.v1"):
        load_mapping("langsmith.v1")


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
