"""The verb `settings`: the effective settings, secrets masked, and where each came from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from monitor.cli.output import Output, OutputOption, console, print_json

if TYPE_CHECKING:
    from monitor.config.settings_source import LoadedSettings

SETTINGS_EXAMPLE: Final = "ROLLBACK_BUDGET_LOG_LEVEL=debug rollback-budget settings --output json"


def settings(output: OutputOption = Output.TEXT) -> None:
    """Print the effective settings, secrets masked, and where each came from."""
    from monitor.config.settings_source import read_settings

    loaded = read_settings()
    for stranger in loaded.strangers:
        print(f"warning: {stranger}", file=sys.stderr)
    if output is Output.JSON:
        print_json(_as_json(loaded))
    else:
        _print(loaded)


def _as_json(loaded: LoadedSettings) -> dict[str, object]:
    from monitor.config.settings_source import variable_of

    return {
        name: {"value": value, "from": loaded.origins.get(name, "default"), "variable": variable_of(name)}
        for name, value in loaded.settings.masked().items()
    }


def _print(loaded: LoadedSettings) -> None:
    from rich.table import Table

    from monitor.config.settings_source import variable_of

    table = Table(box=None, pad_edge=False)
    for title in ("variable", "value", "from"):
        table.add_column(title, overflow="fold")
    for name, value in loaded.settings.masked().items():
        table.add_row(variable_of(name), _in_words(value), loaded.origins.get(name, "default"))
    console().print(table)


def _in_words(value: object) -> str:
    if value is None:
        return "-"
    return ", ".join(map(str, value)) or "-" if isinstance(value, list) else str(value)
