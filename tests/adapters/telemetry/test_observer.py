"""What an operator sees of the monitor's own sight: gauges, and one line where it changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import monitor
from monitor.adapters.telemetry.bridge_catalog import BRIDGE_INSTRUMENTS
from monitor.adapters.telemetry.catalog import INSTRUMENTS
from monitor.adapters.telemetry.observer import TelemetryObserver
from monitor.adapters.telemetry.setup import Telemetry, configure
from monitor.core.decision import Decision, Type
from monitor.core.sight import BLIND_MS, Cause, Sight, SightState, worst
from monitor.core.window import LATENESS_MS
from monitor.engine.observer import Observer, Seen, Sighting
from monitor.engine.ports import FlushAnswer, Partition
from tests.adapters.telemetry.test_metrics import exposed

NOW_MS = 100_000
LIVE = SightState(Sight.LIVE, 40_000)
BLIND = SightState(Sight.BLIND, 88_000, Cause.REDIS)
NEW_REBUILD = SightState(Sight.REBUILDING, NOW_MS - BLIND_MS + 1, Cause.REBUILDING)
OPEN_PAGES = ("rollback_budget_open_pages", ())
OLD_REBUILD = SightState(Sight.REBUILDING, NOW_MS - BLIND_MS, Cause.REBUILDING)


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = configure(service_version="1.2.3")
    yield made
    made.shutdown()


class At:
    """A clock that stands."""

    def __init__(self, ms: int = NOW_MS) -> None:
        self.ms = ms

    def now_ms(self) -> int:
        return self.ms


def observer_of(telemetry: Telemetry, clock: At | None = None, speed: float = 1.0) -> TelemetryObserver:
    return TelemetryObserver(telemetry.metrics, telemetry.spans, clock or At(), speed)


def sighting(*states: SightState, overall: SightState | None = None) -> Sighting:
    seen = {Partition("t", number): Seen(state, 5_000) for number, state in enumerate(states)}
    return Sighting(NOW_MS, seen, overall or worst(states), {"armed": 3, "blind": 1}, unread=7, owned=2)


def gauges(telemetry: Telemetry, name: str) -> dict[str, float]:
    """Return a gauge's values that are not 0, by their label's value."""
    return {
        "".join(value for _, value in labels): amount
        for (found, labels), amount in exposed(telemetry).items()
        if found == f"rollback_budget_{name}" and amount
    }


@pytest.mark.parametrize(
    ("seen", "causes", "partitions", "ages"),
    [
        (sighting(LIVE, LIVE), {}, {"live": 2}, {"live": 60.0}),
        (sighting(LIVE, BLIND), {"redis": 1}, {"live": 1, "blind": 1}, {"live": 60.0, "blind": 12.0}),
        (sighting(NEW_REBUILD), {}, {"rebuilding": 1}, {"rebuilding": 29.999}),
        (sighting(OLD_REBUILD), {"rebuilding": 1}, {"rebuilding": 1}, {"rebuilding": 30.0}),
        (
            sighting(LIVE, overall=SightState(Sight.HALTED, 99_000, Cause.DEFECT)),
            {"defect": 1},
            {"live": 1},
            {"live": 60.0, "halted": 1.0},
        ),
    ],
)
def test_every_cause_and_every_age_is_a_gauge(
    telemetry: Telemetry,
    seen: Sighting,
    causes: dict[str, float],
    partitions: dict[str, float],
    ages: dict[str, float],
) -> None:
    observer_of(telemetry).sighted(seen)
    assert gauges(telemetry, "blind") == causes
    assert gauges(telemetry, "partitions") == partitions
    assert gauges(telemetry, "sight_age_seconds") == ages
    assert gauges(telemetry, "armed_releases") == {"armed": 3, "blind": 1}
    assert gauges(telemetry, "consumer_lag") == {"": 7}
    assert gauges(telemetry, "partitions_owned") == {"": 2}


def test_what_is_over_is_0_again(telemetry: Telemetry) -> None:
    observer = observer_of(telemetry)
    observer.sighted(sighting(BLIND))
    observer.sighted(sighting(LIVE))
    assert gauges(telemetry, "blind") == {}
    assert gauges(telemetry, "partitions") == {"live": 1}


def test_how_many_pages_are_open_is_a_gauge_and_none_is_0(telemetry: Telemetry) -> None:
    observer = observer_of(telemetry)
    observer.sighted(replace(sighting(LIVE), open_pages=2))
    assert gauges(telemetry, "open_pages") == {"": 2}
    observer.sighted(sighting(LIVE))
    assert exposed(telemetry)[OPEN_PAGES] == 0


def test_a_change_is_one_line_in_the_log(telemetry: Telemetry) -> None:
    observer = observer_of(telemetry)
    with capture_logs() as lines:
        for seen in (sighting(LIVE), sighting(LIVE), sighting(BLIND), sighting(BLIND), sighting(LIVE)):
            observer.sighted(seen)
        observer.sighted(sighting())
    assert [(one["log_level"], one["now"], one["cause"]) for one in lines] == [
        ("info", "live", None),
        ("warning", "blind", "redis"),
        ("info", "live", None),
    ]


def test_a_write_that_left_exemplars_out_is_one_line_in_the_log(telemetry: Telemetry) -> None:
    observer = observer_of(telemetry)
    with capture_logs() as lines:
        for is_bare in (False, True):
            observer.flushed(Partition("traces", 7), FlushAnswer.APPLIED, is_bare=is_bare)
    assert [(line["log_level"], line["topic"], line["partition"]) for line in lines] == [
        ("warning", "traces", 7)
    ]
    assert "exemplars of watched values left out" in lines[0]["event"]


def test_a_defect_is_logged_with_its_traceback(telemetry: Telemetry) -> None:
    with capture_logs() as lines:
        observer_of(telemetry).halted("v42", ZeroDivisionError("a defect"))
    (line,) = lines
    assert line["log_level"] == "error"
    assert line["release"] == "v42"
    assert isinstance(line["exc_info"], ZeroDivisionError)


@pytest.mark.parametrize(
    ("at_ms", "now_ms", "speed", "seconds"),
    [
        (60_000, 60_000 + LATENESS_MS + 1_500, 1.0, 1.5),  # a tick waits for late events
        (
            60_000,
            60_000 + LATENESS_MS + 60_000,
            60.0,
            1.0,
        ),  # of a recording that is played faster, real seconds
        (60_001, 60_801, 1.0, 0.8),  # an incident does not wait
        (60_001, 50_000, 1.0, 0.0),  # a service's clock that is ahead makes no negative delay
    ],
)
def test_how_long_a_decision_took_is_a_metric(
    telemetry: Telemetry, at_ms: int, now_ms: int, speed: float, seconds: float
) -> None:
    decision = Decision(Type.ROLLBACK_REQUESTED, "a" * 64, "v42", at_ms, {})
    observer_of(telemetry, At(now_ms), speed).decided(decision)
    assert gauges(telemetry, "decision_delay_seconds_sum").get("", 0.0) == pytest.approx(seconds)
    assert gauges(telemetry, "decision_delay_seconds_count") == {"": 1}


def test_a_minute_that_a_defect_kept_from_being_judged_is_counted(telemetry: Telemetry) -> None:
    observer_of(telemetry).halted("v42", ZeroDivisionError("a defect"))
    assert gauges(telemetry, "ticks_total") == {"failed": 1}


def test_no_instrument_is_declared_and_never_recorded() -> None:
    """A dashboard on a metric that never comes shows nothing, and nothing looks like nothing going on."""
    root = Path(monitor.__file__).parent
    catalogs = {root / "adapters/telemetry/catalog.py", root / "adapters/telemetry/bridge_catalog.py"}
    code = "".join(path.read_text() for path in root.rglob("*.py") if path not in catalogs)
    assert [one.name for one in (*INSTRUMENTS, *BRIDGE_INSTRUMENTS) if f'"{one.name}"' not in code] == []


def test_an_operator_is_told_everything_the_engine_tells() -> None:
    """The engine's own observer is silent: a method that is not overridden would be, too, without anybody noticing."""
    told = {name for name in vars(Observer) if not name.startswith("_")}
    assert told <= vars(TelemetryObserver).keys(), told - vars(TelemetryObserver).keys()
