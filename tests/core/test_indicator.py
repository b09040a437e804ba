"""The metrics of the contract, each with what it reads and which way is worse; nothing else is one."""

from __future__ import annotations

import pytest

from monitor.core.errors import UnknownIndicator
from monitor.core.indicator import INDICATOR_NAMES, LABELS, Direction, Indicator, IndicatorKind, indicator

RATE, QUANTILE, MEAN = IndicatorKind.RATE, IndicatorKind.QUANTILE, IndicatorKind.MEAN
LOWER, HIGHER = Direction.LOWER_IS_WORSE, Direction.HIGHER_IS_WORSE

Row = tuple[str, IndicatorKind, str, Direction | None, float | None]

TABLE: list[Row] = [
    ("task_success", RATE, "task_success", LOWER, None),
    ("parse_failures", RATE, "parse_failure", HIGHER, None),
    ("citation_validity", RATE, "citation_valid", LOWER, None),
    ("refusal", RATE, "refusal", HIGHER, None),
    ("abstention", RATE, "abstained", HIGHER, None),
    ("human_handoff", RATE, "human_handoff", HIGHER, None),
    ("user_retry", RATE, "user_retry", HIGHER, None),
    ("tool_success", RATE, "tool_success", LOWER, None),
    ("fallback", RATE, "fallback_used", HIGHER, None),
    ("error", RATE, "error", HIGHER, None),
    ("timeout", RATE, "timeout", HIGHER, None),
    ("high_severity_incidents", IndicatorKind.INCIDENTS, "incidents", HIGHER, None),
    ("p50", QUANTILE, "latency", HIGHER, 0.50),
    ("p90", QUANTILE, "latency", HIGHER, 0.90),
    ("p95", QUANTILE, "latency", HIGHER, 0.95),
    ("p99", QUANTILE, "latency", HIGHER, 0.99),
    ("cost_per_request", MEAN, "cost", HIGHER, None),
    ("tokens_per_request", MEAN, "tokens", HIGHER, None),
]
FAMILIES: list[Row] = [
    ("outcome.grounded", RATE, "outcome.grounded", None, None),  # the limit's sign says which way is worse
    ("retrieval_p95", QUANTILE, "stage.retrieval", HIGHER, 0.95),
    ("first_token_p50", QUANTILE, "stage.first_token", HIGHER, 0.50),
]


@pytest.mark.parametrize("name, kind, source, worse, quantile", TABLE + FAMILIES)
def test_what_a_metric_reads(
    name: str, kind: IndicatorKind, source: str, worse: Direction | None, quantile: float | None
) -> None:
    assert indicator(name) == Indicator(name, kind, source, worse, quantile)


def test_the_list_is_closed() -> None:
    assert sorted(INDICATOR_NAMES) == sorted(row[0] for row in TABLE)


def test_labels_are_the_rates_that_an_event_carries() -> None:
    assert tuple(row[2] for row in TABLE if row[1] is RATE and row[0] not in ("error", "timeout")) == LABELS


@pytest.mark.parametrize(
    "name",
    ["", "success", "p96", "outcome.", "outcome.a b", "retrieval_p96", "_p95", "p95_", "errors", "P95"],
)
def test_anything_else_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnknownIndicator) as refused:
        indicator(name)
    assert refused.value.name == name
