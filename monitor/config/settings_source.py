"""Where settings come from: the environment, files that hold secrets, and a settings file, in this order."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from monitor.config.problem import Problem, near, shown
from monitor.config.scalar import Ambiguous
from monitor.config.settings import PREFIX, Settings, secret_names
from monitor.config.source import BROKEN, MAX_BYTES, Broken, Source
from monitor.config.yaml_source import read_source
from monitor.core.errors import MonitorError

FILE_VARIABLE: Final = f"{PREFIX}SETTINGS_FILE"
_NUMBERS: Final = {"int_parsing": "a whole number", "int_type": "a whole number", "int_from_float": "a whole number",
                   "float_parsing": "a number", "float_type": "a number"}  # fmt: skip


class SettingsInvalid(MonitorError):
    """Settings that cannot be used; `problems` names every one of them with its variable or its place."""

    exit_code: ClassVar[int] = 2  # invalid input

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The effective settings, where each that is not a default came from, and variables that name none.

    Attributes:
        origins: A setting's name to its variable or its file.
        strangers: Variables with our prefix that are no setting, with a hint.
    """

    settings: Settings
    origins: Mapping[str, str]
    strangers: tuple[str, ...]


@dataclass(slots=True)
class _Reading:
    """What was found so far, the problems included."""

    values: dict[str, object] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    file: Source | None = None
    problems: list[Problem] = field(default_factory=list)

    def complain(self, variable: str, message: str) -> None:
        self.problems.append(Problem("environment", variable, 0, 0, message))


def load_settings() -> Settings:
    """Return the effective settings.

    Raises:
        SettingsInvalid: With every problem of the environment and of the settings file.
    """
    return read_settings().settings


def read_settings() -> LoadedSettings:
    """Return the effective settings and where each came from.

    Raises:
        SettingsInvalid: With every problem of the environment and of the settings file.
    """
    reading = _Reading()
    environment = {name.upper(): value for name, value in os.environ.items() if value}
    _read_file(environment.get(FILE_VARIABLE), reading)
    _read_secrets(environment, reading)
    for name in Settings.model_fields:
        if variable_of(name) in environment:  # pydantic reads these itself
            reading.values.pop(name, None)
            reading.origins[name] = variable_of(name)
    try:
        settings = Settings(**reading.values)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            _report(error, reading)
    if reading.problems:
        raise SettingsInvalid(tuple(reading.problems))
    return LoadedSettings(settings, reading.origins, _strangers(environment))


def variable_of(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def _read_file(path: str | None, reading: _Reading) -> None:
    if path is None:
        return
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as problem:
        reading.complain(FILE_VARIABLE, f"{path} cannot be read: {problem.strerror}")
        return
    source = _from_toml(content, path) if path.endswith(".toml") else read_source(content, path)
    reading.file = source
    if source.data is not BROKEN and not isinstance(source.data, dict):
        source.error((), f"got {shown(source.data)}; a settings file is a mapping of settings to values")
    if isinstance(source.data, dict):
        for name, value in source.data.items():
            if isinstance(value, Ambiguous):
                source.error((name,), f'{value} is not safely a string: {value.reading}; quote it: "{value}"')
        kept = {
            name: value for name, value in source.data.items() if not isinstance(value, Broken | Ambiguous)
        }
        reading.values |= kept
        reading.origins |= dict.fromkeys(kept, path)
    reading.problems += source.problems


def _from_toml(content: bytes, path: str) -> Source:
    source = Source(path)
    try:
        source.data = tomllib.loads(content.decode())
    except ValueError as problem:  # bad TOML and bad UTF-8 alike
        source.error((), f"not readable as TOML: {problem}")
    return source


def _read_secrets(environment: Mapping[str, str], reading: _Reading) -> None:
    for name in secret_names():
        variable = f"{variable_of(name)}_FILE"
        if variable not in environment:
            continue
        if variable_of(name) in environment:
            reading.complain(variable, f"{variable_of(name)} is set too; set one of the two")
            continue
        try:
            reading.values[name] = Path(environment[variable]).read_text().rstrip("\r\n")
            reading.origins[name] = variable
        except (OSError, UnicodeDecodeError) as problem:
            why = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8"
            reading.complain(variable, f"{environment[variable]} cannot be read: {why}")


def _report(error: ErrorDetails, reading: _Reading) -> None:
    if error["type"] == "settings":
        for line in str(error["ctx"]["message"]).splitlines():
            name, _, message = line.partition(": ")
            _place(name, message, reading)
        return
    name = str(error["loc"][0])
    _place(name, _message(name, error), reading)


def _place(name: str, message: str, reading: _Reading) -> None:
    """Report a problem where the setting was written, else under its variable."""
    origin = reading.origins.get(name, variable_of(name))
    if reading.file is not None and origin == reading.file.file:
        mark = reading.file.mark((name,))
        reading.problems.append(Problem(origin, name, mark.line, mark.column, message))
    else:
        reading.complain(origin, message)


def _message(name: str, error: ErrorDetails) -> str:
    got = "" if name in secret_names() else f"got {shown(error['input'])}; "
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return f"unknown setting{near(name, Settings.model_fields)}"
        case "literal_error":
            return f"{got}use {str(context['expected']).replace(chr(39), '')}"
        case "setting":
            return f"{got}{context['message']}"
        case kind if kind in _NUMBERS:
            return f"{got}write {_NUMBERS[kind]}"
    return f"{got}{error['msg'][:1].lower()}{error['msg'][1:]}"


def _strangers(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return variables that look like ours and are not; not an error, since Kubernetes sets such for services."""
    known = {variable_of(name) for name in Settings.model_fields} | {FILE_VARIABLE}
    known |= {f"{variable_of(name)}_FILE" for name in secret_names()}
    found = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    return tuple(f"{name} is no setting{near(name, known)}" for name in found)
