"""Flags are asked for before they have to be turned: each once, and what could not be turned is told with a remedy."""

from __future__ import annotations

from pathlib import Path

from monitor.adapters.flags.checkup import tell_unusable
from monitor.config.budget_file import load_budget
from monitor.config.settings import Settings
from monitor.core.budget import Budget
from monitor.engine.checkup import Finding

FLAGS = (
    """{"flags": {"chat": {"state": "ENABLED", "variants": {"a": "A", "b": "B"}, "defaultVariant": "b"}}}"""
)


def budget(release: str, actuator: str, key: str, scope: str = "") -> Budget:
    text = (
        f"release: {release}\nbaseline: base\nwindow: 24h\n"
        "rollback_budget: {quality: {task_success_delta_pct: -5, max_duration_min: 20}}\n"
        f"flag: {{actuator: {actuator}, key: {key}, baseline_variation: a, candidate_variation: b{scope}}}\n"
    )
    return load_budget(text, f"{release}.yaml")


async def test_what_could_not_be_turned_is_told_and_what_could_is_not(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text(FLAGS)
    settings = Settings(flagd_file=path)
    told: list[Finding] = []
    budgets = [
        budget("fine", "flagd-file", "chat"),
        budget("unknown", "flagd-file", "chart"),
        budget("twice", "flagd-file", "chart"),
        budget("unset", "unleash", "chat", ", scope: team/production"),
    ]
    await tell_unusable(settings, budgets, told.append)
    assert [one.subject for one in told] == ["flagd-file chart", "unleash chat"]
    assert "'chart'" in told[0].text
    assert "unleash_url" in told[1].text + told[1].remedy
    assert all(one.remedy for one in told)
    assert path.read_text() == FLAGS


async def test_without_a_flag_there_is_nothing_to_tell() -> None:
    told: list[Finding] = []
    await tell_unusable(Settings(), [], told.append)
    assert told == []
