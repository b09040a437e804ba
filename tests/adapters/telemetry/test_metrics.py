"""Every instrument of the catalogue works, nothing else can be recorded, and the number of series is bounded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import product
from math import prod
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import monitor
from monitor.adapters.telemetry.bridge_catalog import BRIDGE_INSTRUMENTS
from monitor.adapters.telemetry.catalog import BY_NAME, INSTRUMENTS, OTHER, Instrument, Kind
from monitor.adapters.telemetry.metrics import REST, UndeclaredMetric
from monitor.adapters.telemetry.setup import CONTENT_TYPE, Telemetry, configure

ALL = (*INSTRUMENTS, *BRIDGE_INSTRUMENTS)  # of a worker and of a bridge
MAX_SERIES = 100  # of one instrument; a histogram's buckets count beside


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Telemetry without a collector."""
    made = configure(service_version="1.2.3", instruments=ALL)
    yield made
    made.shutdown()


def exposed(telemetry: Telemetry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample of `/metrics` by name and labels."""
    text = telemetry.render_prometheus().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def record(telemetry: Telemetry, instrument: Instrument, labels: dict[str, str]) -> None:
    """Record 1 in the way of its kind."""
    recorders: dict[Kind, Callable[..., None]] = {
        Kind.COUNTER: telemetry.metrics.count,
        Kind.GAUGE: telemetry.metrics.set,
        Kind.HISTOGRAM: telemetry.metrics.observe,
    }
    recorders[instrument.kind](instrument.name, 1, **labels)


def test_every_instrument_of_a_worker_is_fed_somewhere() -> None:
    """What is only declared would stand on `/metrics` as nothing, or as never a number."""
    code = "\n".join(path.read_text() for path in Path(monitor.__path__[0]).rglob("*.py"))
    fed = set(re.findall(r"\b(?:count|set|observe)\(\s*\"(\w+)\"", code))
    assert [one.name for one in INSTRUMENTS if one.name not in fed] == []


@pytest.mark.parametrize("instrument", ALL, ids=lambda instrument: instrument.name)
def test_every_instrument_with_every_label_value_appears_under_its_name(
    telemetry: Telemetry, instrument: Instrument
) -> None:
    combinations = [
        dict(zip(instrument.labels, values, strict=True)) for values in product(*instrument.labels.values())
    ]
    for labels in combinations:
        record(telemetry, instrument, labels)
    samples = exposed(telemetry)
    suffix = "_count" if instrument.kind is Kind.HISTOGRAM else ""
    for labels in combinations:
        assert samples[instrument.exposed + suffix, tuple(sorted(labels.items()))] == 1


def test_names_are_unique_described_and_in_the_form_prometheus_asks_for() -> None:
    assert len({instrument.name for instrument in ALL}) == len(ALL)
    for instrument in ALL:
        assert re.fullmatch(r"rollback_budget_[a-z_]+", instrument.exposed)
        assert instrument.description.endswith(".")
        assert bool(instrument.buckets) == (instrument.kind is Kind.HISTOGRAM)
        assert list(instrument.buckets) == sorted(set(instrument.buckets))


def test_no_instrument_can_have_many_series() -> None:
    series = {one.name: prod(len(values) for values in one.labels.values()) for one in ALL}
    assert {name: count for name, count in series.items() if count > MAX_SERIES} == {}


def test_nothing_that_names_a_release_tenant_cohort_or_partition_is_a_declared_label() -> None:
    labels = {label for instrument in ALL for label in instrument.labels}
    assert labels & {"release", "tenant", "cohort", "partition", "topic", "trace_id", "user"} == set()


def test_counters_are_there_from_the_start_so_that_a_first_increment_is_seen(telemetry: Telemetry) -> None:
    samples = exposed(telemetry)
    assert samples["rollback_budget_events_total", (("result", "accepted"),)] == 0
    assert samples["rollback_budget_decisions_total", (("type", "rollback.requested"),)] == 0


@pytest.mark.parametrize(
    ("verb", "name", "labels"),
    [
        ("count", "events", {}),
        ("count", "events", {"result": "accepted", "tenant": "acme"}),
        ("count", "events", {"result": "lost"}),
        ("count", "events", {"result": "accepted", "release": "model-v42"}),
        ("count", "no_such_metric", {}),
        ("count", "watermark_lag", {}),
        ("set", "events", {"result": "accepted"}),
        ("set", "batch_duration", {}),
        ("observe", "watermark_lag", {}),
        ("observe", "no_such_metric", {}),
    ],
)
def test_what_is_not_declared_is_refused(
    telemetry: Telemetry, verb: str, name: str, labels: dict[str, str]
) -> None:
    with pytest.raises(UndeclaredMetric):
        getattr(telemetry.metrics, verb)(name, 1, **labels)


def test_a_counter_never_goes_back(telemetry: Telemetry) -> None:
    with pytest.raises(UndeclaredMetric):
        telemetry.metrics.count("events", -1, result="accepted")


def test_a_reason_nobody_foresaw_is_counted_as_other(telemetry: Telemetry) -> None:
    telemetry.metrics.count("dead_letters", reason="brand_new")
    assert exposed(telemetry)["rollback_budget_dead_letters_total", (("reason", OTHER),)] == 1


def test_releases_are_no_label_unless_switched_on(telemetry: Telemetry) -> None:
    telemetry.metrics.count("decisions", type="page.opened", release="model-v42")
    assert b"model-v42" not in telemetry.render_prometheus()


def test_release_labels_are_capped_and_the_rest_is_counted_together() -> None:
    telemetry = configure(service_version="1.2.3", max_release_labels=2)
    for number in range(1_000):
        telemetry.metrics.count("decisions", type="page.opened", release=f"v{number}")
    counted = {
        dict(labels)["release"]: value
        for (name, labels), value in exposed(telemetry).items()
        if name == "rollback_budget_decisions_total"
    }
    telemetry.shutdown()
    assert counted == {"v0": 1, "v1": 1, REST: 998}


def test_histograms_use_the_declared_buckets(telemetry: Telemetry) -> None:
    telemetry.metrics.observe("batch_duration", 0.2)
    bounds = {
        dict(labels)["le"]
        for (name, labels) in exposed(telemetry)
        if name == "rollback_budget_batch_duration_seconds_bucket"
    }
    assert bounds == {str(bound) for bound in BY_NAME["batch_duration"].buckets} | {"+Inf"}


def test_the_page_says_who_it_is_about(telemetry: Telemetry) -> None:
    ((_, labels),) = [key for key in exposed(telemetry) if key[0] == "target_info"]
    assert dict(labels)["service_version"] == "1.2.3"
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_two_monitors_in_one_process_do_not_count_together(telemetry: Telemetry) -> None:
    other = configure(service_version="1.2.3")
    other.metrics.count("events", 5, result="accepted")
    other.shutdown()
    assert exposed(telemetry)["rollback_budget_events_total", (("result", "accepted"),)] == 0
