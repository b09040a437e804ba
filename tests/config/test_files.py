"""Files, directories and patterns: each file is read once, and what cannot be read is a problem, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config.files import check_budgets, load_budgets
from monitor.config.problem import BudgetInvalid

SEED = (Path(__file__).parent / "good" / "seed.yaml").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, release in (("b.yaml", "v2"), ("a.yml", "v1"), ("c.txt", "v3"), (".hidden.yaml", "v4")):
        (tmp_path / name).write_text(SEED.replace("model-v42", release), encoding="utf-8")
    (tmp_path / "below.yaml").mkdir()
    return tmp_path


def test_a_directory_means_its_budget_files(folder: Path) -> None:
    assert [budget.release for budget in load_budgets([str(folder)])] == ["v1", "v2"]


def test_a_pattern_and_a_file_that_overlap_are_read_once(folder: Path) -> None:
    found = check_budgets([str(folder / "*.y*ml"), str(folder / "b.yaml"), str(folder / "c.txt")])
    assert [Path(report.file).name for report in found] == ["a.yml", "b.yaml", "c.txt"]


@pytest.mark.parametrize(
    ("name", "said"), [("nope.yaml", "no such file"), ("*.toml", "no such file"), ("below.yaml", "no budget")]
)
def test_what_is_not_there_is_said(folder: Path, name: str, said: str) -> None:
    with pytest.raises(BudgetInvalid, match=said):
        load_budgets([str(folder / name)])


def test_an_empty_name_is_a_slip_and_not_the_current_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--budget "$BUDGET"` where nothing is set must not load whatever lies about."""
    monkeypatch.chdir(folder)
    with pytest.raises(BudgetInvalid, match="an empty name"):
        load_budgets([""])


def test_what_cannot_be_read_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BudgetInvalid, match=r"b\.yaml: cannot be read: Permission denied"):
        load_budgets([str(folder / "b.yaml")])


def test_all_files_are_in_one_report(folder: Path) -> None:
    for name in ("a.yml", "b.yaml"):
        (folder / name).write_text("release: no\n", encoding="utf-8")
    with pytest.raises(BudgetInvalid) as caught:
        load_budgets([str(folder)])
    assert {Path(problem.file).name for problem in caught.value.problems} == {"a.yml", "b.yaml"}


def test_two_budgets_for_one_release_are_refused(folder: Path) -> None:
    """Only one can be in force, and which one must not depend on the order of files."""
    (folder / "b.yaml").write_text(SEED.replace("model-v42", "v1").replace("+15", "+20"), encoding="utf-8")
    with pytest.raises(BudgetInvalid, match=r'b\.yaml: release: "v1" has another budget in .*a\.yml'):
        load_budgets([str(folder)])


def test_the_same_budget_twice_is_no_contradiction(folder: Path) -> None:
    (folder / "b.yaml").write_text("# a copy\n" + SEED.replace("model-v42", "v1"), encoding="utf-8")
    assert len(load_budgets([str(folder)])) == 2


def test_a_file_that_is_too_large_is_not_read_whole(folder: Path) -> None:
    (folder / "b.yaml").write_text("# x\n" * 1_000_000, encoding="utf-8")
    with pytest.raises(BudgetInvalid, match="more than 65,536 bytes"):
        load_budgets([str(folder / "b.yaml")])
