"""The pages of drills and of the doctor say what there is: every step, every check, and names that exist."""

from __future__ import annotations

import re
from pathlib import Path

from monitor.config.flag_systems import FLAG_SYSTEMS
from monitor.core.rehearsal import PREFIX, VALID_DAYS
from monitor.engine.drill import Step

ROOT = Path(__file__).parent.parent.parent
DRILLS = (ROOT / "docs" / "rehearsals.md").read_text(encoding="utf-8")
DOCTOR = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| `([a-z]+)` \|", text, flags=re.MULTILINE)


def test_every_step_is_explained_in_its_order() -> None:
    assert first_cells(DRILLS) == [one.value for one in Step]


def test_names_and_numbers_are_the_products() -> None:
    assert PREFIX in DRILLS
    assert f"less than {VALID_DAYS} days old" in DRILLS
    (said,) = re.findall(r"Only through (.*?) can the monitor not set a flag back", DRILLS)
    assert set(re.findall(r"`([^`]+)`", said)) == {
        name for name, system in FLAG_SYSTEMS.items() if not system.is_set_back
    }


def test_every_check_of_the_doctor_is_explained() -> None:
    asked = "\n".join(
        path.read_text(encoding="utf-8")
        for path in [*ROOT.glob("monitor/adapters/*/*checkup.py"), ROOT / "monitor/cli/doctor_checks.py"]
    )
    names = set(re.findall(r'\b(?:Check|ok|failed|warning|skipped|failure)\(\s*"([a-z]+)"', asked))
    assert set(first_cells(DOCTOR)) == names
