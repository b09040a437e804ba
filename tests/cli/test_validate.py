"""`rollback-budget validate`: every problem with its place, good budgets in words, and the right exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.cli import GROUPS, VERBS, Verb, main

CONFIG = Path(__file__).parent.parent / "config"
GOOD, BAD = CONFIG / "good", CONFIG / "bad"


def test_a_good_budget_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(GOOD / "seed.yaml")]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{GOOD / 'seed.yaml'}: valid\n  model-v42 against model-v41 for 24h (digest ")
    assert (
        "- quality.task_success_delta_pct: task success must not fall more than 2 % below the baseline "
        "for 20 minutes: rolls back at once\n"
    ) in out
    assert err.splitlines() == [
        f"{GOOD / 'seed.yaml'}:1: warning: owner: missing; say who answers for this budget",
        f"{GOOD / 'seed.yaml'}:1: warning: on_call: missing; say whom a page reaches",
    ]


def test_every_problem_of_every_file_is_in_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["wrong_sign.yaml", "everything_at_once.yaml", "missing.yaml"]
    assert main(["validate", *(str(BAD / name) for name in names)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    expected = [
        f"{BAD}/{line}" for name in names[:2] for line in (BAD / f"{name}.txt").read_text().splitlines()
    ]
    assert err.splitlines()[: len(expected)] == expected
    assert err.splitlines()[-2].startswith(f"{BAD / 'missing.yaml'}: no such file")
    assert err.splitlines()[-1] == "3 of 3 files invalid"


def test_good_files_beside_bad_ones_are_still_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(GOOD / "seed.yaml"), str(BAD / "empty.yaml")]) == 2
    out, err = capsys.readouterr()
    assert "seed.yaml: valid" in out
    assert "1 of 2 files invalid" in err


def test_an_owner_can_be_required(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--require-owner", str(GOOD / "seed.yaml")]) == 2
    assert "seed.yaml:1: owner: missing" in capsys.readouterr().err


def test_machines_get_json(capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(GOOD / "seed.yaml"), str(BAD / "duration_beyond_window.yaml")]
    assert main(["validate", "--output", "json", *files]) == 2
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert err == ""
    assert report["valid"] is False
    good, bad = report["files"]
    assert (good["file"], good["valid"], good["budget"]["release"]) == (files[0], True, "model-v42")
    assert good["budget"]["meaning"]["quality.task_success_delta_pct"].endswith("rolls back at once")
    assert {problem["severity"] for problem in good["problems"]} == {"warning"}
    assert (bad["valid"], bad["budget"]) == (False, None)
    assert bad["problems"] == [
        {
            "severity": "error",
            "path": "rollback_budget.quality.max_duration_min",
            "line": 9,
            "column": 23,
            "message": "20 minutes are longer than the window of 15m; use at most 15",
        }
    ]


def test_the_declared_split_is_explained(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    declared, silent = tmp_path / "declared.yaml", GOOD / "seed.yaml"
    text = silent.read_text(encoding="utf-8").replace("model-v42", "model-v43")
    declared.write_text(
        f"{text}\ntraffic: {{candidate_share_pct: 20, tolerance_pct: 10}}\n", encoding="utf-8"
    )
    said = "the candidate must get 20 % of both arms' requests (18 to 22 %): "
    assert main(["validate", str(declared)]) == 0
    assert f"\n  - traffic: {said}" in capsys.readouterr().out
    assert main(["validate", "--output", "json", str(declared), str(silent)]) == 0
    meanings = [one["budget"]["meaning"] for one in json.loads(capsys.readouterr().out)["files"]]
    assert meanings[0]["traffic"].startswith(said)
    assert "traffic" not in meanings[1]


def test_the_proof_is_explained_where_there_is_a_flag_and_doubted_where_there_is_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["validate", str(GOOD / "extended.yaml")]) == 0
    said = (
        "a rollback is proven when at most 0.5 % of the requests are still the candidate's, within 10 minutes"
    )
    assert f"\n  - verify: {said}" in capsys.readouterr().out.replace("\n    ", " ")
    alone = tmp_path / "alone.yaml"
    text = (GOOD / "seed.yaml").read_text(encoding="utf-8")
    alone.write_text(f"{text}\nverify: {{within: 10m}}\n", encoding="utf-8")
    assert main(["validate", str(alone)]) == 0
    out, err = capsys.readouterr()
    assert "verify: without a flag it holds for nothing" in err.replace("\n", " ")
    assert "- verify:" not in out


def test_a_directory_and_a_pattern_are_accepted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text((GOOD / "seed.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    assert main(["validate", str(tmp_path), str(tmp_path / "*.yaml")]) == 0
    assert capsys.readouterr().out.count(": valid") == 1


@pytest.mark.parametrize(
    "arguments", [[], ["validate"], ["bogus"], ["validate", "--bogus"], ["validate", "--output", "xml", "f"]]
)
def test_wrong_use_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert "Usage: rollback-budget" in out + err


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_the_help_of_every_verb_has_an_example(
    verb: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    name, example = getattr(verb, "name", ""), getattr(verb, "example", "")
    assert main([name, "--help"]) == 0
    assert f"Example: {example}" in capsys.readouterr().out
    assert f"rollback-budget {name}" in example


@pytest.mark.parametrize(
    ("noun", "verb"),
    [(group.name, verb) for group in GROUPS for verb in group.verbs],
    ids=lambda one: getattr(one, "name", one),
)
def test_the_help_of_every_verb_of_a_noun_has_an_example(
    noun: str, verb: Verb, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main([noun, verb.name, "--help"]) == 0
    assert f"Example: {verb.example}" in capsys.readouterr().out
    assert verb.example.startswith(f"rollback-budget {noun} {verb.name}")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("rollback-budget ")


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "validate", str(BAD / "empty.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{BAD / 'empty.yaml'}: the file is empty\n1 of 1 file invalid\n"


def test_help_loads_nothing_that_does_the_work() -> None:
    """`--help` stays quick, and a missing extra can break only the verb that needs it."""
    code = (
        "import sys; from monitor.cli import main; main(['--help']);"
        "heavy = {'pydantic', 'ruamel', 'aiokafka', 'faust', 'redis', 'opentelemetry', 'numpy', 'httpx', 'jgo'};"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
