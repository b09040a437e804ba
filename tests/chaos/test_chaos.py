"""The short form of `make chaos`: one real world, a Kafka, a Valkey and two workers, with its faults from a seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.campaign import play
from tests.chaos.setup import Setup

SEED = 1
SHORT = Setup(faults=12, min_per_fault=1.5)


@pytest.mark.chaos
async def test_every_promise_is_kept_through_faults_on_real_servers(tmp_path: Path) -> None:
    """Counts exact after each fault, decisions and effects right in the end; nothing is said of how long it took."""
    outcome = await play(SEED, SHORT, keep=tmp_path)
    assert outcome.is_right, outcome.told()
    assert len(outcome.struck) == SHORT.faults
    assert outcome.counts["records"] > 1_000
