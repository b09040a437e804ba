"""Exported cases fit what their readers accept: keys and types as promptfoo 0.121 and Inspect 0.3 load them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel
from ruamel.yaml import YAML

from monitor.core.budget import Objective, Unit
from monitor.core.eval_debt import EvalDebt, closing, debt, debt_of, debts_of
from monitor.core.exemplar import Exemplar
from monitor.core.record import Arming, Finding, Observed
from monitor.wire.eval_cases import debt_lines, inspect_dataset, promptfoo_tests, record_of
from tests.engine.worlds import ACME, CANDIDATE, MINUTE, START_MS, budget, objective


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Rubric(Strict):
    type: Literal["llm-rubric"]
    value: str = Field(min_length=1)


class Threshold(Strict):
    type: Literal["latency", "cost"]
    threshold: float


class Plain(Strict):
    type: Literal["is-json", "not-is-refusal"]


class TestCase(Strict):
    """promptfoo: one entry of `tests`."""

    __test__ = False

    description: str
    vars: dict[str, str]
    assert_: list[Annotated[Rubric | Threshold | Plain, Field(discriminator="type")]] = Field(alias="assert")
    metadata: dict[str, Any]


class Sample(Strict):
    """Inspect: one line of a dataset."""

    id: str
    input: str
    target: str
    metadata: dict[str, Any]


def owed(judged: Objective, traces: int = 2) -> EvalDebt:
    exemplars = tuple(Exemplar(number, f"trace: {number}", "leak") for number in range(traces))
    found = Finding(judged, ACME, Observed(800.0, 900.0, 12.5, samples=(10, 10)), START_MS, 4, exemplars)
    arming = Arming(CANDIDATE, 1, "0" * 64, at_ms=0)
    (one,) = debts_of([debt(budget(judged), arming, found, ["leak"], START_MS, START_MS)])
    return one


EVERY_CHECK = [
    owed(objective("p95", 15.0)),
    owed(objective("cost_per_request", 15.0)),
    owed(objective("parse_failures", 1.0, unit=Unit.POINTS)),
    owed(objective("refusal", 5.0)),
    owed(objective(), traces=0),
]


def test_promptfoo_s_cases_fit() -> None:
    loaded = YAML(typ="safe").load(promptfoo_tests(EVERY_CHECK))
    cases = RootModel[list[TestCase]].model_validate_json(json.dumps(loaded)).root
    assert [case.assert_[0].type for case in cases] == [
        *["latency"] * 2,
        *["cost"] * 2,
        *["is-json"] * 2,
        *["not-is-refusal"] * 2,
        "llm-rubric",
    ]
    assert cases[0].vars == {"input": "put the input of trace trace: 0 here", "trace_id": "trace: 0"}
    assert set(cases[-1].vars) == {"input"}
    assert cases[0].metadata["cohort"] == {"tenant": "acme"}


def test_inspect_s_samples_fit_and_have_ids_of_their_own() -> None:
    lines = inspect_dataset(EVERY_CHECK).splitlines()
    samples = [Sample.model_validate_json(line) for line in lines]
    assert len({sample.id for sample in samples}) == len(samples) == 9
    assert samples[0].target == "it is answered within 920 ms"
    assert samples[0].metadata["trace_id"] == "trace: 0"


@pytest.mark.parametrize("export", [promptfoo_tests, inspect_dataset])
def test_nothing_owed_is_an_empty_file(export: Any) -> None:
    assert export([]).strip() in ("[]", "")


def test_a_line_is_a_debt_again_and_says_how_it_stands() -> None:
    one = EVERY_CHECK[0]
    closed = closing(one.data, START_MS + MINUTE, author="ada", note="done", evaluation=None)
    paid = debt_of(one.data, closed.data)
    text = debt_lines([one, paid], one.due_ms + 1)
    again = [debt_of(line, line["closed"]) for line in map(json.loads, text.splitlines())]
    assert [record_of(debt, one.due_ms + 1)["status"] for debt in again] == ["overdue", "closed"]
    assert debt_lines(again, one.due_ms + 1) == text
    assert "evidence" not in text


def test_a_debt_of_before_there_were_cases_is_exported_too() -> None:
    old = {name: value for name, value in EVERY_CHECK[0].data.items() if name != "case"}
    sample = Sample.model_validate_json(inspect_dataset([debt_of(old)]).splitlines()[0])
    assert sample.target == "quality.p95_delta_pct is no worse than with model-v41"
