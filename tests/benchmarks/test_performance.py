"""The performance document is what the results on file give, and what is measured is what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.page import DOCS
from benchmarks.performance import page, results
from benchmarks.performance.compete import NoResult, run_system
from benchmarks.performance.meter import Sample
from benchmarks.performance.stage import Stage
from benchmarks.performance.systems import SYSTEMS, NotHere, java
from benchmarks.performance.traffic import Traffic, budget
from monitor.adapters.kafka.decode import decode
from monitor.config.budget_file import load_budget

END_MS = 1_790_000_000_000


def sample(cpu_s: float, *, foreign: float = 0.0) -> Sample:
    return Sample(500_000, 5.0, cpu_s, {"kafka": 0.5}, 100.0, foreign)


def part(**cpu_s: float) -> results.Results:
    systems = {slug.replace("_", "-"): results.row([sample(value)]) for slug, value in cpu_s.items()}
    shown = {"machine": results.machine(), "command": "make bench", "events": 1, "bytes": 1, "absent": {}}
    return {"peers": {**shown, "systems": systems}}


def test_the_document_and_its_pictures_are_what_the_results_give() -> None:
    text, found = page.PAGE.text, results.load()
    assert sorted(page.PAGE.places()) == sorted(page.TABLES)
    assert page.PAGE.rendered(found) == text, "python -m benchmarks.performance.page"
    for name, draw in page.PICTURES.items():
        assert (DOCS / name).read_text(encoding="utf-8") == draw(found), name
        assert f"({name})" in text


def test_a_row_is_the_median_run_and_says_when_others_worked_beside_it() -> None:
    quiet = results.row([sample(1.0), sample(4.0), sample(2.0)])
    assert (quiet["cpu_s"], quiet["cpu_s_range"], quiet["wall_events_per_s"]) == (4.0, [2.0, 8.0], 100_000)
    assert quiet["contended"] is False
    assert results.row([sample(1.0), sample(1.0, foreign=0.9)])["contended"] is True


def test_a_goal_is_met_or_missed_by_the_ratio_of_one_run() -> None:
    shown = page.ratios(part(product=2.0, floor=1.5, flink=6.0, ks_dsl=19.0))
    assert "| Flink, heap state | 3.00 |  | 4.00 | 3 | met |" in shown
    assert "| Kafka Streams, DSL | 9.50 |  | 12.67 | 10 | **missed** |" in shown


def test_no_goal_is_judged_by_runs_that_had_no_core_to_themselves() -> None:
    found = part(product=2.0, flink=6.0)
    found["peers"]["systems"]["flink"] = results.row([sample(6.0, foreign=1.0)])
    assert "| Flink, heap state | 3.00 |  |  | 3 | not judged † |" in page.ratios(found)


def test_who_did_not_run_is_named_with_the_reason() -> None:
    found = part(product=2.0)
    found["peers"]["absent"]["flink"] = "needs a JDK"
    assert "| Flink, heap state | Flink 2.2.0 | not run: needs a JDK |" in page.peers(found)


def test_without_java_the_java_systems_say_what_they_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotHere, match="JDK 17 or later and Maven; not found: java, javac, mvn"):
        java("flink", "FlinkJob")()


def test_a_job_that_fails_is_told_by_the_end_of_its_log(tmp_path: Path) -> None:
    class Server:
        pid, bootstrap = 1, "127.0.0.1:1"

    here = Stage(Server(), Server(), tmp_path)  # type: ignore[arg-type]  # no job gets as far as a server
    with pytest.raises(NoResult, match="ended with 3 before it was done: no broker"):
        run_system(
            here,
            SYSTEMS[0],
            ["sh", "-c", "echo START; echo no broker >&2; exit 3"],
            topic="traces",
            events=1,
        )


def test_the_traffic_keeps_the_contract_and_is_the_same_each_time() -> None:
    traffic = Traffic(events=2_000, tenants=10, candidates=3)
    lines = list(traffic.lines(END_MS))
    assert lines == list(traffic.lines(END_MS))
    events = [event for event in map(decode, lines) if not isinstance(event, str)]
    assert len({event.event_id for event in events}) == len(lines) == 2_000
    assert {event.release for event in events} == {"model-v41", *(f"model-v42-000{one}" for one in range(3))}
    assert len({(event.cohort or {})["tenant"] for event in events}) == 10
    assert not any(event.is_high_severity for event in events)
    assert 280 < sum(map(len, lines)) / len(lines) < 360


def test_the_budget_watches_what_it_is_asked_to() -> None:
    watched = load_budget(budget(2, cohorts=("tenant", "intent")), "budget.yaml")
    assert watched.release == "model-v42-0002"
    assert len(watched.objectives) == 5
