"""Eval debts as others read them: test cases of promptfoo, records of an Inspect dataset, plain JSON lines.

Each exemplar trace becomes one case. Its input is a placeholder that names the trace: what was said never leaves the
tracing system through this monitor.

Sources: promptfoo's test cases (description, vars, assert, metadata; `latency` and `cost` with a threshold, `is-json`,
`not-is-refusal`, `llm-rubric` with its rubric as the value); Inspect's `Sample` (input, target, id, metadata).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML

from monitor.core.eval_debt import Check, EvalDebt
from monitor.core.ids import canonical_json

_SHORT: Final = 12  # digits of a debt's id that name it to people


class _Case(NamedTuple):
    case_id: str
    title: str
    input: str
    trace_id: str | None
    expect: str
    check: Check
    most: float | None
    metadata: dict[str, Any]


def record_of(debt: EvalDebt, now_ms: int) -> dict[str, Any]:
    """Return a debt as one JSON object: its event's data without the evidence, its status, and how it was closed.

    Args:
        now_ms: Event time, epoch milliseconds; an open debt is `overdue` beyond its due date.
    """
    status = "overdue" if debt.is_overdue(now_ms) else "open" if debt.is_open else "closed"
    kept = {name: one for name, one in debt.data.items() if name not in ("evidence", "status", "closed")}
    names = ("author", "note", "evaluation", "decided_at")
    closed = None if debt.closed is None else {name: debt.closed.get(name) for name in names}
    return {**kept, "status": status, "closed": closed}


def debt_lines(debts: Iterable[EvalDebt], now_ms: int) -> str:
    """Return one line of canonical JSON per debt, as `record_of` has it."""
    return _lines(record_of(debt, now_ms) for debt in debts)


def inspect_dataset(debts: Iterable[EvalDebt]) -> str:
    """Return a dataset of Inspect, one sample per line of JSON."""
    return _lines(_sample(case) for debt in debts for case in _cases(debt))


def promptfoo_tests(debts: Iterable[EvalDebt]) -> str:
    """Return a file of promptfoo's test cases, in YAML."""
    return _yaml([_test_case(case) for debt in debts for case in _cases(debt)])


def _cases(debt: EvalDebt) -> Iterator[_Case]:
    data = debt.data
    begun = data.get("case")
    case: Mapping[str, Any] = begun if isinstance(begun, Mapping) else {}
    objective = data.get("objective")
    title = str(case.get("title") or f"{objective} broke in {debt.release}")
    expect = str(case.get("expect") or f"{objective} is no worse than with {debt.baseline}")
    names = ("debt_id", "release", "baseline", "objective", "metric", "cohort", "owner", "due_at")
    metadata = {name: data.get(name) for name in (*names, "failure_classes")}
    exemplars = data.get("exemplars")
    traces = [str(one) for one in exemplars] if isinstance(exemplars, list | tuple) else []
    for number, trace in enumerate(traces or [None], start=1):
        where = f"of trace {trace}" if trace else f"that shows that {title}"
        yield _Case(
            f"{debt.debt_id[:_SHORT]}-{number}",
            f"{title} ({number} of {len(traces) or 1})",
            f"put the input {where} here",
            trace,
            expect,
            Check(case.get("check", Check.JUDGED)),
            case.get("most"),
            {**metadata, **({"trace_id": trace} if trace else {})},
        )


def _test_case(case: _Case) -> dict[str, Any]:
    variables = {"input": case.input, **({"trace_id": case.trace_id} if case.trace_id else {})}
    return {
        "description": f"{case.case_id}: {case.title}",
        "vars": variables,
        "assert": [_assertion(case)],
        "metadata": case.metadata,
    }


def _assertion(case: _Case) -> dict[str, Any]:
    match case.check:
        case Check.LATENCY_MS:
            return {"type": "latency", "threshold": case.most}
        case Check.COST_USD:
            return {"type": "cost", "threshold": case.most}
        case Check.PARSES:
            return {"type": "is-json"}
        case Check.NOT_REFUSED:
            return {"type": "not-is-refusal"}
        case Check.JUDGED:
            return {"type": "llm-rubric", "value": case.expect}


def _sample(case: _Case) -> dict[str, Any]:
    check = {"check": case.check.value, "most": case.most}
    metadata = {"title": case.title, **case.metadata, **check}
    return {"id": case.case_id, "input": case.input, "target": case.expect, "metadata": metadata}


def _lines(records: Iterable[dict[str, Any]]) -> str:
    return "".join(f"{canonical_json(record)}\n" for record in records)


def _yaml(value: list[dict[str, Any]]) -> str:
    writer = YAML()
    writer.default_flow_style = False
    writer.width = 110
    writer.representer.ignore_aliases = lambda _: True
    out = StringIO()
    writer.dump(value, out)
    return out.getvalue()
