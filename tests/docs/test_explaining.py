"""The output in docs/explaining.md is what the command says, and its tables name what there is.

`python -m tests.golden.update` writes the output anew, on purpose.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from monitor.cli import main
from monitor.wire.evidence import IncidentEvidence, RuleEvidence, VerdictEvidence
from tests.golden.cases import CASES
from tests.golden.update import PAGE, SESSION

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_worked_example_says_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = SESSION.search(TEXT)
    assert session is not None
    event_id, expected = session.groups()
    case = next(case for case in CASES if case.name == "task_success")
    assert main(case.arguments()) == 0
    monkeypatch.chdir(tmp_path)
    Path("decisions.jsonl").write_text(capsys.readouterr().out)
    assert main(["explain", event_id, "--events", "decisions.jsonl"]) == 0
    said = "".join(f"{line.rstrip()}\n" for line in capsys.readouterr().out.splitlines())
    assert said == expected


def test_every_field_of_the_evidence_is_named() -> None:
    table = TEXT[TEXT.index("| field | holds |") :].split("\n\n", 1)[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    common = {"judged_to"}
    assert named >= set(RuleEvidence.model_fields) - common
    assert named >= set(IncidentEvidence.model_fields) - common
    kinds = {kind for model in (RuleEvidence, IncidentEvidence, VerdictEvidence) for kind in _kinds(model)}
    assert all(f"`{kind}`" in table for kind in kinds)


def _kinds(model: type[RuleEvidence | IncidentEvidence | VerdictEvidence]) -> list[str]:
    kind = json.loads(json.dumps(model.model_json_schema()["properties"]["kind"]))
    return [kind["const"]] if "const" in kind else list(kind["enum"])
