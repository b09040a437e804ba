"""What a file of budget tests means, and what is said about one that means nothing: files to read in a diff."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from monitor.config.budget_tests import (
    BudgetTestsInvalid,
    BudgetTestsReport,
    check_budget_tests,
    load_budget_tests,
)
from monitor.config.files import check_budgets, load_budgets
from monitor.core.cohort import Role
from monitor.core.decision import Type
from monitor.core.expectation import HAPPENINGS, Expectation

HERE = Path(__file__).parent / "budget_tests"
BAD = sorted(path for path in (HERE / "bad").iterdir() if path.suffix != ".txt")
GOOD = sorted(path for path in (HERE / "good").iterdir() if ".tests." in path.name)
CANDIDATE, BASELINE = Role.CANDIDATE, Role.BASELINE


def report_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> BudgetTestsReport:
    monkeypatch.chdir(path.parent)  # so that no place of this machine is in a report
    return check_budget_tests(path.read_bytes(), path.name)


def expected_of(path: Path) -> str:
    return path.with_name(f"{path.name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name)
def test_a_bad_file_gets_exactly_this_report(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All problems of a file come in one report: where, what it got, what it allows and what to do."""
    report = report_of(path, monkeypatch)
    assert "".join(f"{problem}\n" for problem in report.problems) == expected_of(path)
    assert not report.is_valid
    assert report.tests == ()
    with pytest.raises(BudgetTestsInvalid) as caught:
        load_budget_tests([path.name])
    assert str(caught.value) == expected_of(path).rstrip("\n")
    assert caught.value.exit_code == 2


def test_each_bad_file_has_its_report() -> None:
    assert len(BAD) >= 15
    assert {path.name for path in (HERE / "bad").glob("*.txt")} == {f"{path.name}.txt" for path in BAD}


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_a_good_file_loads_without_a_word(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = report_of(path, monkeypatch)
    assert (report.problems, report.is_valid) == ((), True)
    assert report.budget is not None
    assert report.budget.release == ("sliced-v42" if "everything" in path.name else "chat-v42")
    assert report.tests


def test_shorthand_means_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = report_of(HERE / "good" / "chat.tests.yaml", monkeypatch).tests
    calm, poisoned = first.script.stretches
    assert (first.name, first.script.minutes, first.script.requests) == (
        "a slow poison is rolled back",
        90,
        27_000,
    )
    assert (calm.per_min, calm.candidate_share) == (Fraction(300), Fraction(1, 10))
    healthy = {"task_success": Fraction(9, 10), "p95": Fraction(2_000), "human_handoff": Fraction(1, 20)}
    assert calm.values == {(BASELINE, ""): healthy, (CANDIDATE, ""): healthy}
    assert poisoned.values[BASELINE, ""] == healthy
    assert poisoned.values[CANDIDATE, ""] == {**healthy, "task_success": Fraction(4, 5)}
    assert first.expected == (
        Expectation(
            (Type.ROLLBACK_REQUESTED,), objective_id="quality.task_success_delta_pct", between_min=(50, 60)
        ),
        Expectation((Type.PAGE_OPENED,), is_forbidden=True),
    )
    assert second.expected == (Expectation(HAPPENINGS, is_forbidden=True),)


def test_the_particular_wins_over_the_general(monkeypatch: pytest.MonkeyPatch) -> None:
    """File, test, slice, stretch, the arm in it, the slice's arm in it: the last of them counts."""
    script = report_of(HERE / "good" / "everything.tests.yaml", monkeypatch).tests[0].script
    calm, bad, silent = script.stretches
    assert [(one.name, one.share) for one in script.slices] == [
        ("acme", Fraction(1, 5)),
        ("", Fraction(4, 5)),
    ]
    assert dict(script.slices[0].cohort) == {"tenant": "acme", "language": "de"}
    success = {lane: shown["task_success"] for lane, shown in bad.values.items()}
    assert success == {
        (BASELINE, "acme"): Fraction(3, 4),
        (CANDIDATE, "acme"): Fraction(7, 10),
        (BASELINE, ""): Fraction(9, 10),
        (CANDIDATE, ""): Fraction(17, 20),
    }
    assert calm.values[CANDIDATE, "acme"]["task_success"] == Fraction(4, 5)
    assert {shown["human_handoff"] for shown in calm.values.values()} == {Fraction(6, 100)}
    assert (calm.values[BASELINE, ""]["p95"], bad.values[BASELINE, ""]["p95"]) == (
        Fraction(2_000),
        Fraction(2_500),
    )
    assert [one.per_min for one in script.stretches] == [Fraction(300), Fraction(2001, 120), Fraction(0)]
    assert (bad.candidate_share, silent.requests) == (Fraction(1), 0)
    assert bad.incidents == {(CANDIDATE, None): 2, (CANDIDATE, "acme"): 1}
    assert "high_severity_incidents" not in bad.values[CANDIDATE, ""]


def test_expectations_read_as_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    test = report_of(HERE / "good" / "everything.tests.yaml", monkeypatch).tests[0]
    assert [one.words for one in test.expected] == [
        "rollback.requested",
        "1 × page.opened in tier A because of no_data",
        "breach.started of quality.task_success_delta_pct for tenant=acme between 0m and 20m",
        "no breach.cleared",
        "no page.expired because of expired",
        "2 × evaldebt.created for everybody",
        "page.resolved at 10m",
        "release.assessed of latency.p95_delta_pct with the verdict no_data",
    ]


def test_a_directory_means_its_files_of_tests_and_no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    reports = load_budget_tests(["good", "good/chat.tests.yaml"])
    assert [report.file for report in reports] == [
        "good/as_json.tests.json",
        "good/chat.tests.yaml",
        "good/everything.tests.yaml",
    ]


def test_files_of_tests_are_no_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory of budgets may hold their tests: `run`, `validate` and `replay` look past them."""
    monkeypatch.chdir(HERE)
    assert [one.release for one in load_budgets(["good"])] == ["chat-v42", "sliced-v42"]
    assert len(check_budgets(["good/*.yaml"])) == 2
    (report,) = check_budgets(["good/chat.tests.yaml"])
    assert [str(one) for one in report.problems] == [
        "good/chat.tests.yaml: holds the tests of a budget and is none itself; run it with `rollback-budget test`"
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nope.tests.yaml", "nope.tests.yaml: no such file; give a file of tests such as chat.tests.yaml"),
        ("..", "..: the directory holds no tests (*.tests.yaml, *.tests.yml, *.tests.json)"),
    ],
)
def test_what_is_not_there_is_said(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE / "good")
    with pytest.raises(BudgetTestsInvalid) as caught:
        load_budget_tests([name])
    assert str(caught.value).startswith(said)


def test_what_cannot_be_read_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BudgetTestsInvalid, match=r"chat\.tests\.yaml: cannot be read: Permission denied"):
        load_budget_tests([str(HERE / "good" / "chat.tests.yaml")])


def test_problems_of_several_files_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    with pytest.raises(BudgetTestsInvalid) as caught:
        load_budget_tests(["bad/empty.tests.yaml", "good/chat.tests.yaml", "bad/a_list.tests.yaml"])
    assert [one.file for one in caught.value.problems] == ["bad/empty.tests.yaml", "bad/a_list.tests.yaml"]


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 10**20), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "nothing", "no", "10%", "10m", "300/min", "not", "a.b"]), st.just([]), st.just({}),
    st.just([[]]), st.just({"not": {"not": {}}}), st.just({"for": {"for": []}}),
)  # fmt: skip


@given(data=st.data())
@settings(max_examples=75, deadline=None)
def test_whatever_stands_in_a_file_ends_in_a_report(data: st.DataObject) -> None:
    """A node of a good file is replaced by junk: the report names it, or it means something; nothing is raised."""
    good = HERE / "good"
    tree = YAML(typ="safe", pure=True).load((good / "everything.tests.yaml").read_text(encoding="utf-8"))
    node: Any = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        below = node[key]
        if not isinstance(below, dict | list) or not below or data.draw(st.integers(0, 2)) == 0:
            break
        node = below
    node[key] = data.draw(JUNK)
    report = check_budget_tests(json.dumps(tree), str(good / "junk.tests.json"))
    assert report.is_valid or report.problems
    assert report.is_valid or not report.tests
