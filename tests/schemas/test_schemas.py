"""`schemas/`: generated, of one dialect, and able to tell the good examples beside them from the bad ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import ValidationError

from monitor.wire.cdevents import CDEvent
from monitor.wire.commands import BadCommand, read_command
from monitor.wire.dead_letter import DeadLetter
from monitor.wire.envelope import StructuredEvent
from monitor.wire.history import HistoryHour
from monitor.wire.ledger import LedgerRecord
from monitor.wire.messages import DATA_MODELS
from monitor.wire.rejection import Rejection
from monitor.wire.schema import FOLDER, drift, files, main, schemas, write
from monitor.wire.trace_event import read_trace_event

SCHEMAS = schemas()
GOOD = sorted((FOLDER / "examples" / "good").glob("*/*.json"))
BAD = sorted((FOLDER / "examples" / "bad").glob("*/*.json"))


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def fits_schema(path: Path) -> bool:
    schema = json.loads((FOLDER / f"{path.parent.name}.v1.json").read_text(encoding="utf-8"))
    return not list(Draft202012Validator(schema).iter_errors(json.loads(path.read_text(encoding="utf-8"))))


def _trace_event(text: bytes) -> None:
    if isinstance(found := read_trace_event(text), Rejection):
        raise BadCommand((found.reason,))


READERS: dict[str, Callable[[bytes], Any]] = {
    "trace-event": _trace_event,
    "command": read_command,
    "cloudevent": StructuredEvent.model_validate_json,
    "history-hour": HistoryHour.model_validate_json,
    "ledger-record": LedgerRecord.model_validate_json,
    "dead-letter": DeadLetter.model_validate_json,
    "cdevent": CDEvent.model_validate_json,
    **{name: model.model_validate_json for name, model in DATA_MODELS.items()},
}


def fits_model(path: Path) -> bool:
    try:
        READERS[path.parent.name](path.read_bytes())
    except (ValidationError, BadCommand):
        return False
    return True


def test_the_files_are_those_the_models_generate() -> None:
    assert drift() == []
    assert main(["--check"]) == 0


def test_drift_is_seen_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    assert drift(tmp_path) == []
    (tmp_path / "command.v1.json").write_text("{}\n")
    (tmp_path / "asyncapi.yaml").unlink()
    (tmp_path / "click.v1.json").write_text("{}\n")
    assert [line.split(";")[0] for line in drift(tmp_path)] == [
        "schemas/command.v1.json: differs from its model",
        "schemas/asyncapi.yaml: missing",
        "schemas/click.v1.json: no message has it",
    ]
    write(tmp_path)
    assert drift(tmp_path) == []
    assert {path.name for path in tmp_path.iterdir()} == set(files())


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_schema_is_valid_and_has_its_own_versioned_id(name: str) -> None:
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema, format_checker=FormatChecker())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:rollback-budget:schema:{name}:v1"


@pytest.mark.parametrize("name", sorted(DATA_MODELS))
def test_what_goes_out_is_strict(name: str) -> None:
    assert SCHEMAS[name]["additionalProperties"] is False


def test_what_comes_in_may_have_more() -> None:
    assert "additionalProperties" not in SCHEMAS["trace-event"]


def test_every_schema_has_good_and_bad_examples() -> None:
    for examples in (GOOD, BAD):
        assert {path.parent.name for path in examples} == set(SCHEMAS)


@pytest.mark.parametrize("path", GOOD, ids=named)
def test_a_good_example_fits(path: Path) -> None:
    assert fits_schema(path)
    assert path.parent.name == "budget-file" or fits_model(path)


@pytest.mark.parametrize("path", BAD, ids=named)
def test_a_bad_example_does_not(path: Path) -> None:
    assert not fits_schema(path)
    assert path.parent.name == "budget-file" or not fits_model(path)
