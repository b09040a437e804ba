"""The verb `bridge`: a small process that turns what an OpenTelemetry Collector writes to Kafka into trace events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from monitor.cli.output import Output, OutputOption, print_json

if TYPE_CHECKING:
    from monitor.bridge import Bridged

BRIDGE_EXAMPLE: Final = "rollback-budget bridge --once --mapping otel-genai.v1 --output json"


def bridge(
    mapping: Annotated[
        str | None,
        typer.Option("--mapping", metavar="FILE", help="A mapping file, or the name of one that is shipped."),
    ] = None,
    once: Annotated[
        bool,
        typer.Option(
            "--once",
            help="Read to the present ends of the topics, tell of every trace that is there, and leave.",
        ),
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Turn spans and evaluations that an OpenTelemetry Collector writes to Kafka (OTLP) into trace events."""
    from monitor.bridge import run_bridge
    from monitor.config.settings_source import load_settings

    done = run_bridge(load_settings(), mapping, once=once)
    if output is Output.JSON:
        print_json({"mapping": done.mapping, "counts": done.counts, "samples": done.samples})
    else:
        print(_as_text(done))


def _as_text(done: Bridged) -> str:
    counts = done.counts
    told = f"{counts.get('requests', 0)} requests and {counts.get('outcomes', 0)} outcomes"
    lines = [f"{done.mapping}: {told} of {counts.get('records', 0)} records"]
    lines += [f"{name}: {counts[name]}, such as {sample}" for name, sample in done.samples.items()]
    return "\n".join(lines)
