"""The demo's real rows are what they are said to be, and say whose they are."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from monitor.console.demo.pools import Pools, data_folder, load_pools
from monitor.console.demo.traffic import HEALTHY_TIMING, SLOW_TIMING

ROOT = Path(__file__).parents[3]
SUMS = [line.split() for line in data_folder().joinpath("SHA256SUMS").read_text().splitlines()]


@pytest.fixture(scope="module")
def pools() -> Pools:
    return load_pools()


@pytest.mark.parametrize(("digest", "name"), SUMS, ids=[name for _, name in SUMS])
def test_a_fixture_is_the_one_its_script_made(digest: str, name: str) -> None:
    assert hashlib.sha256(data_folder().joinpath(name).read_bytes()).hexdigest() == digest


def test_every_fixture_has_a_checksum() -> None:
    there = {entry.name for entry in data_folder().iterdir() if entry.name.endswith(".gz")}
    assert there == {name for _, name in SUMS}


@pytest.mark.parametrize("text", ["NOTICE", "monitor/console/demo/data/README.md"])
@pytest.mark.parametrize(
    ("name", "source", "licence"),
    [
        ("arrivals.csv.gz", "Azure/AzurePublicDataset", ("CC BY 4.0", "Creative Commons Attribution 4.0")),
        ("chat_latency.csv.gz", "ray-project/llmperf-leaderboard", ("Apache-2.0", "Apache License 2.0")),
        ("code_latency.csv.gz", "liao4s/BurstGPT_test", ("MIT",)),
        ("sessions.csv.gz", "sierra-research/tau-bench", ("MIT",)),
    ],
)
def test_every_source_is_named_with_its_licence(
    text: str, name: str, source: str, licence: tuple[str, ...]
) -> None:
    written = (ROOT / text).read_text(encoding="utf-8")
    entry = written[written.index(name) :]
    assert source in entry
    assert any(words in entry[: entry.index(source) + 500] for words in licence)


def test_the_licence_that_wants_its_text_has_it() -> None:
    assert "Permission is hereby granted, free of charge" in (ROOT / "NOTICE").read_text(encoding="utf-8")


def test_the_fixtures_are_small() -> None:
    assert sum(len(data_folder().joinpath(name).read_bytes()) for _, name in SUMS) < 200_000


def test_the_rows_are_all_there(pools: Pools) -> None:
    assert len(pools.arrivals) == 14_854
    assert Counter(arrival.workflow for arrival in pools.arrivals) == {"chat": 9_754, "code": 5_100}
    assert sum(len(rows) for (workflow, _), rows in pools.timings.items() if workflow == "chat") == 1_195
    assert sum(len(rows) for (workflow, _), rows in pools.timings.items() if workflow == "code") == 3_000
    assert (len(pools.solved), len(pools.unsolved)) == (43, 57)


def test_the_arrivals_are_half_an_hour_in_order(pools: Pools) -> None:
    times = [arrival.at_ms for arrival in pools.arrivals]
    assert times == sorted(times)
    assert times[0] == 0
    assert 29 * 60_000 < times[-1] < pools.period_ms < 30 * 60_000


def test_every_pool_that_is_drawn_from_exists(pools: Pools) -> None:
    for sources in (HEALTHY_TIMING, SLOW_TIMING):
        assert all(pools.timings[workflow, source] for workflow, source in sources.items())
