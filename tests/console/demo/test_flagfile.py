"""The demo's app reads the flag as flagd's official evaluator does, before and after the monitor's actuator."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from monitor.adapters.flags.flag_file import FlagFileActuator
from monitor.adapters.flags.flagd_file import FLAGD
from monitor.console.demo.flagfile import FlagFile, FlagUnreadable, flag_text, murmur3_32, parse_flag
from monitor.engine.ports import RollbackOrder

KEY, BASELINE, CANDIDATE = "chat-model", "chat-v41", "chat-v42"
ORDER = RollbackOrder(
    decision_id="d1",
    release=CANDIDATE,
    baseline=BASELINE,
    reason="breach",
    actuator="flagd-file",
    flag_key=KEY,
    baseline_variation=BASELINE,
    candidate_variation=CANDIDATE,
)


def official(text: str, unit_id: str) -> object:
    core = FlagdCore()
    core.set_flags(text)
    return core.resolve_string_value(KEY, "code default", EvaluationContext(targeting_key=unit_id)).value


@settings(max_examples=60, deadline=None)
@given(unit_id=st.text(min_size=1, max_size=300), share_pct=st.integers(0, 100))
def test_the_app_and_the_official_evaluator_agree(unit_id: str, share_pct: int) -> None:
    text = flag_text(KEY, BASELINE, CANDIDATE, share_pct)
    assert parse_flag(text, KEY).variation(unit_id) == official(text, unit_id)


@pytest.mark.parametrize(
    ("data", "expected"), [(b"", 0), (b"test", 0xBA6BD213), (b"Hello, world!", 0xC0363E43)]
)
def test_the_hash_has_its_published_values(data: bytes, expected: int) -> None:
    assert murmur3_32(data) == expected


def test_the_share_is_the_share() -> None:
    flag = parse_flag(flag_text(KEY, BASELINE, CANDIDATE, 30), KEY)
    served = [flag.variation(f"user-{number:04d}") for number in range(5_000)]
    assert served.count(CANDIDATE) / 50 == pytest.approx(30, abs=2)
    assert (flag.share_pct(CANDIDATE), flag.share_pct(BASELINE)) == (30, 70)


async def test_after_the_actuator_everybody_is_served_the_baseline(tmp_path: Path) -> None:
    file = FlagFile(tmp_path / "flags.json", KEY)
    file.serve(BASELINE, CANDIDATE, 40)
    assert file.read().share_pct(CANDIDATE) == 40
    await FlagFileActuator(file.path, FLAGD).serve_baseline(ORDER)
    assert file.read().share_pct(CANDIDATE) == 0
    assert {file.read().variation(f"user-{number}") for number in range(200)} == {BASELINE}


def test_the_next_rollout_is_seen_at_once(tmp_path: Path) -> None:
    file = FlagFile(tmp_path / "flags.json", KEY)
    file.serve(BASELINE)
    assert file.read().share_pct(BASELINE) == 100
    file.serve(BASELINE, CANDIDATE, 50)
    assert file.read().share_pct(CANDIDATE) == 50
    assert [entry.name for entry in tmp_path.iterdir()] == ["flags.json"]


@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        "[]",
        '{"flags": {}}',
        '{"flags": {"chat-model": {"state": "DISABLED", "defaultVariant": "chat-v41"}}}',
        '{"flags": {"chat-model": {"state": "ENABLED", "defaultVariant": "a", "targeting": {"if": []}}}}',
        '{"flags": {"chat-model": {"state": "ENABLED", "defaultVariant": "a", "targeting": {"fractional": [["a"]]}}}}',
        '{"flags": {"chat-model": {"state": "ENABLED", "defaultVariant": "a", "targeting": {"fractional": 3}}}}',
    ],
)
def test_what_is_not_understood_is_said(text: str) -> None:
    with pytest.raises(FlagUnreadable, match="chat-model"):
        parse_flag(text, KEY)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FlagUnreadable, match=r"gone\.json"):
        FlagFile(tmp_path / "gone.json", KEY).read()
