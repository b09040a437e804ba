"""Every budget that the docs show fits the schema that editors are told to use."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]
SCHEMA = Draft202012Validator(json.loads((ROOT / "schemas" / "budget-file.v1.json").read_text()))
SHOWN = [
    pytest.param(text, id=f"{page.name}-{number}")
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for number, text in enumerate(re.findall(r"```yaml\n(release:.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("text", SHOWN)
def test_a_budget_that_is_shown_fits_the_schema_of_editors(text: str) -> None:
    SCHEMA.validate(yaml.safe_load(text))


def test_the_schema_that_editors_are_told_of_is_there() -> None:
    page = ROOT / "docs" / "budget-reference.md"
    (path,) = re.findall(r"\$schema=(\S+?)`", page.read_text())
    assert (page.parent / path).is_file()
