"""The budget reference says what the models say: every key, every default, every metric, every bound."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from monitor.config import budget_model, fields
from monitor.config.budget_file import load_budget
from monitor.config.budget_model import (
    BudgetFile,
    DecisionSpec,
    EscalationSpec,
    FlagSpec,
    GroupSpec,
    TrafficSpec,
    VerifySpec,
)
from monitor.config.duration import in_words
from monitor.config.group import tier_of
from monitor.core import recovery
from monitor.core.indicator import INDICATOR_NAMES, indicator

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "budget-reference.md").read_text(encoding="utf-8")
# What a default is called where it is no value of its own.
IN_WORDS = {
    ("BudgetFile", "decision"): "see below",
    ("BudgetFile", "verify"): "see below",
    ("GroupSpec", "tier"): "by metric",
}


def section(title: str) -> str:
    return re.split(r"^## ", TEXT.split(f"\n## {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> dict[str, list[str]]:
    """Return the rows of a section's tables by the code in their first cell."""
    cells = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| `")
    )
    return {row[0].strip("`"): row[1:] for row in cells}


def default_of(model: type[BaseModel], key: str) -> str:
    field = model.model_fields[key]
    if (said := IN_WORDS.get((model.__name__, key))) is not None:
        return said
    if field.is_required():
        return "required"
    extra: Any = field.json_schema_extra
    value = extra["default"] if isinstance(extra, dict) and "default" in extra else field.get_default()
    if value is None:
        return "none"
    shown = str(value).lower() if isinstance(value, bool) else str(value).replace("'", "")
    return f"`{shown}`"


@pytest.mark.parametrize(
    ("title", "model"),
    [
        ("The budget", BudgetFile),
        ("A group", GroupSpec),
        ("The decision", DecisionSpec),
        ("The escalation", EscalationSpec),
        ("The flag", FlagSpec),
        ("The traffic", TrafficSpec),
        ("The proof", VerifySpec),
    ],
)
def test_every_key_is_there_with_its_default_and_a_reason(title: str, model: type[BaseModel]) -> None:
    table = rows(section(title))
    assert list(table) == list(model.model_fields)
    for key, (default, meaning, reason) in table.items():
        assert default == default_of(model, key), key
        assert len(meaning) > 10, key
        assert len(reason) > 10, key


def test_every_metric_is_there_with_its_direction_and_tier() -> None:
    table = {name: row for name, row in rows(section("Limits")).items() if not name.startswith("_")}
    assert tuple(table) == INDICATOR_NAMES
    for name, (kind, worse, tier) in table.items():
        meant = indicator(name)
        assert meant.worse is not None
        assert (kind, worse, tier) == (meant.kind.value, meant.worse.value, tier_of(meant).value), name


@pytest.mark.parametrize(
    "said",
    [
        f"`{in_words(fields.MIN_WINDOW_MIN)}` to `{in_words(fields.MAX_WINDOW_MIN)}`",
        f"0 (at once), or {fields.MIN_HOLD_MIN} to {fields.MAX_HOLD_MIN}",
        f"between {fields.MIN_LIMIT} and {fields.MAX_LIMIT:,} in size",
        f"at most {budget_model.MAX_OBJECTIVES} limits",
        f"`dimension: value`, at most {budget_model.MAX_WHERE}.",
        f"At most {budget_model.MAX_COHORTS}.",
        f"0 to {fields.MAX_EXEMPLARS}.",
        f"{fields.MIN_SHARE_PCT} to {100 - fields.MIN_SHARE_PCT}.",
        f"0 to {fields.MAX_TOLERANCE_PCT}: at",
        f"1 to {fields.MAX_CLOCK_MIN} minutes",
        f"in percent, 0 to {fields.MAX_REST_PCT}.",
        f"At most {fields.MAX_STEPS} steps",
        f"`0` to `{in_words(fields.MAX_CLOCK_MIN)}`",
        f"`1m` to `{in_words(fields.MAX_CLOCK_MIN)}`",
        f"`{in_words(fields.MIN_VERIFY_MIN)}` to `{in_words(fields.MAX_VERIFY_MIN)}`",
        f"1 to {fields.MAX_NAME_CHARS} printable characters",
        f"newest {recovery.RECOVERY_MIN} minutes are held against its own hour",
        f"resolved when {recovery.BACK_MIN} minutes are within",
    ],
)
def test_bounds_are_the_ones_of_the_code(said: str) -> None:
    assert said in TEXT


def test_every_example_loads() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert examples
    for example in examples:
        assert load_budget(example, "example.yaml").objectives
