"""The page of the flag systems says what the table says: every system, what it can do, and settings that exist."""

from __future__ import annotations

import re
from pathlib import Path

from monitor.config.budget_file import load_budget
from monitor.config.flag_systems import FLAG_SYSTEMS, FlagSystem
from monitor.config.settings import Settings

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "actuators.md").read_text(encoding="utf-8")


def rows(title: str) -> dict[str, list[str]]:
    """Return a section's rows by each code of their first cell."""
    section = re.split(r"^## ", TEXT.split(f"\n## {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `") and "---" not in line]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
    return {name: row[1:] for row in cells for name in re.findall(r"`([^`]+)`", row[0])}


def scope_in_words(system: FlagSystem) -> str:
    if system.scope is None:
        return "free"
    return "`" + "/".join(f"<{part}>" for part in system.scope) + "`" if system.scope else "none"


def cohort_in_words(system: FlagSystem) -> str:
    if set(system.cohort_ways) == set(system.ways):
        return "yes"
    return "by " + ", ".join(f"`{way.value}`" for way in system.cohort_ways) if system.cohort_ways else "no"


def test_every_system_and_what_it_can_do_is_there() -> None:
    said = {name: row[:3] for name, row in rows("What each system can do").items()}
    known = {
        name: [
            scope_in_words(system),
            ", ".join(f"`{way.value}`" for way in system.ways),
            cohort_in_words(system),
        ]
        for name, system in FLAG_SYSTEMS.items()
    }
    assert said == known


def test_every_system_has_its_settings_and_all_of_them_exist() -> None:
    needs = {name: re.findall(r"`([^`]+)`", row[0]) for name, row in rows("What it needs").items()}
    assert set(needs) == set(FLAG_SYSTEMS)
    assert all(name in Settings.model_fields for names in needs.values() for name in names)


def test_the_example_is_a_flag() -> None:
    (flag,) = re.findall(r"```yaml\n(flag:.*?)```", TEXT, flags=re.DOTALL)
    limits = "rollback_budget: {q: {task_success_delta_pct: -2, max_duration_min: 20}}"
    budget = f"release: b\nbaseline: a\nwindow: 24h\n{limits}\n"
    assert load_budget(budget + flag, "example.yaml").flag is not None
