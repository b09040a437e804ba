"""The diagram in the docs is the table in the code."""

from __future__ import annotations

import re
from pathlib import Path

from monitor.core.sustained import Answer
from monitor.core.trigger import diagram

TEXT = (Path(__file__).parents[2] / "docs" / "trigger.md").read_text(encoding="utf-8")


def test_the_docs_show_the_table() -> None:
    (shown,) = re.findall(r"```mermaid\n(.*?)\n```", TEXT, re.DOTALL)
    assert shown == diagram()


def test_every_answer_is_explained() -> None:
    assert set(re.findall(r"^- `(\w+)`:", TEXT, re.MULTILINE)) == {answer.name for answer in Answer}
