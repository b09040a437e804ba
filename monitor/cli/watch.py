"""The verb `watch`: a small process beside the workers that pages when they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from monitor.cli.output import Output, OutputOption, print_json

if TYPE_CHECKING:
    from monitor.engine.watchman import Watched

WATCH_EXAMPLE: Final = "ROLLBACK_BUDGET_WATCH_PING_URL=https://hc-ping.com/your-check rollback-budget watch"


def watch(
    once: Annotated[
        bool,
        typer.Option(
            "--once", help="Look until it is known: 0 all is well, 1 not. Pages nobody, pings nothing."
        ),
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Watch the workers from outside: send canary events, page by an own path when they are late, ping while well."""
    from monitor.config.settings_source import load_settings
    from monitor.watcher import probe, run_watcher

    settings = load_settings()
    if not once:
        run_watcher(settings)
        return
    found = probe(settings)
    if output is Output.JSON:
        print_json(_as_json(found))
    else:
        print(_as_text(found))
    if found.findings:
        raise typer.Exit(1)


def _as_json(found: Watched) -> dict[str, object]:
    return {
        "state": found.phase.value,
        "troubles": [{"trouble": one.trouble.value, "text": one.text} for one in found.findings],
        "partitions": found.partitions,
        "slowest_canary_ms": found.slowest_ms,
    }


def _as_text(found: Watched) -> str:
    if found.findings:
        return "\n".join(f"{one.trouble.value}: {one.text}" for one in found.findings)
    return f"well: {found.partitions} partitions, the slowest canary event took {(found.slowest_ms or 0) / 1000:.1f} s"
