"""What an operator sees of a bridge: the engine's own counts, and a bounded number of series."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from monitor.adapters.telemetry.bridge_catalog import BRIDGE_INSTRUMENTS, REASONS
from monitor.adapters.telemetry.bridge_observer import BridgeTelemetry
from monitor.adapters.telemetry.setup import Telemetry, configure
from monitor.engine.bridge_sight import BridgeSight, BridgeState
from tests.adapters.telemetry.test_metrics import exposed
from tests.adapters.telemetry.test_observer import gauges

BUSY = BridgeSight(BridgeState.BRIDGING, None, 12, 4_500, 250, 3)
UNKNOWN = replace(BUSY, unread=None, behind_ms=None)


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = configure(service_version="1.2.3", service_name="the-bridge", instruments=BRIDGE_INSTRUMENTS)
    yield made
    made.shutdown()


@pytest.fixture
def observer(telemetry: Telemetry) -> BridgeTelemetry:
    return BridgeTelemetry(telemetry.metrics, lambda: 1_000.0)


def test_a_counter_grows_by_what_its_count_has_grown(telemetry: Telemetry, observer: BridgeTelemetry) -> None:
    observer.looked({"records": 3, "requests": 2}, BUSY)
    observer.looked({"records": 3, "requests": 2}, BUSY)
    observer.looked({"records": 9, "spans": 14, "requests": 5, "outcomes": 1}, BUSY)
    assert gauges(telemetry, "bridge_records_total") == {"": 9}
    assert gauges(telemetry, "bridge_spans_total") == {"": 14}
    assert gauges(telemetry, "bridge_events_total") == {"request": 5, "outcome": 1}


def test_what_is_left_out_is_told_by_reason_and_what_a_count_names_is_no_label(
    telemetry: Telemetry, observer: BridgeTelemetry
) -> None:
    counts = {
        "record:not_otlp": 1,
        "refused:cohort.tenant": 2,
        "refused:cost_usd": 3,
        "unfit:too_long:release": 4,
        "no_root": 5,
        "brand_new": 6,
    }
    observer.looked(counts, BUSY)
    told = gauges(telemetry, "bridge_left_out_total")
    assert told == {"record:not_otlp": 1, "refused": 5, "unfit": 4, "no_root": 5, "other": 6}
    series = [name for name, _ in exposed(telemetry) if name == "rollback_budget_bridge_left_out_total"]
    assert len(series) == len(REASONS)


def test_the_gauges_say_how_it_stands(telemetry: Telemetry, observer: BridgeTelemetry) -> None:
    observer.looked({}, BUSY)
    assert gauges(telemetry, "bridge_state") == {"bridging": 1}
    assert gauges(telemetry, "bridge_open_traces") == {"": 3}
    assert gauges(telemetry, "bridge_consumer_lag") == {"": 12}
    assert gauges(telemetry, "bridge_watermark_lag_seconds") == {"": 4.5}
    assert gauges(telemetry, "bridge_heartbeat_timestamp_seconds") == {"": 999.75}


def test_a_lag_that_is_not_known_stays_and_that_of_partitions_that_went_is_0(
    telemetry: Telemetry, observer: BridgeTelemetry
) -> None:
    observer.looked({}, UNKNOWN)
    assert ("rollback_budget_bridge_consumer_lag", ()) not in exposed(telemetry), "not known is not 0"
    observer.looked({}, BUSY)
    observer.looked({}, replace(UNKNOWN, state=BridgeState.AWAY))
    assert gauges(telemetry, "bridge_consumer_lag") == {"": 12}
    observer.looked({}, replace(UNKNOWN, state=BridgeState.STANDBY))
    assert gauges(telemetry, "bridge_state") == {"standby": 1}
    assert gauges(telemetry, "bridge_consumer_lag") == gauges(telemetry, "bridge_watermark_lag_seconds") == {}


def test_a_bridge_shows_what_it_has_and_nothing_of_a_worker(telemetry: Telemetry) -> None:
    samples = exposed(telemetry)
    ((_, labels),) = [key for key in samples if key[0] == "target_info"]
    assert dict(labels)["service_name"] == "the-bridge"
    ours = {name for name, _ in samples if name.startswith("rollback_budget_")}
    assert {name for name in ours if not name.startswith("rollback_budget_bridge_")} == set()
