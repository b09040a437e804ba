"""The tables and pictures of docs/performance.md.

`python -m benchmarks.performance.page` writes them anew, measuring nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from benchmarks.page import Page, table
from benchmarks.performance import plot
from benchmarks.performance.results import Results, load
from benchmarks.performance.systems import OURS, SYSTEMS

NOT_RUN: Final = "Not measured yet."
CONTENDED: Final = " †"
TITLES: Final = {**OURS, **{system.slug: system.title for system in SYSTEMS}}
# Events per core-second of the product to those of each system in the same run, at least.
GOALS: Final = {
    "getmany": 0.8,
    "floor": 0.75,
    "flink": 3.0,
    "ks-processor": 5.0,
    "ks-dsl": 10.0,
    "bytewax": 14.0,
    "faust-empty": 35.0,
    "faust-table": 400.0,
}


def per_core_s(row: dict[str, Any]) -> float:
    """Return how many events a system does in one second of one core."""
    return 1e6 / float(row["cpu_s"])


def run(part: dict[str, Any]) -> str:
    """Return on what, when and how a part was measured."""
    host = part["machine"]
    return (
        f"`{part['command']}`, {host['day']}: {host['cores']} cores ({host['processor']}), {host['memory_gib']} GiB, "
        f"Python {host['python']}."
    )


def peers(results: Results) -> str:
    """Every system's cost, the product first; who did not run is named."""
    part = results.get("peers")
    if part is None:
        return NOT_RUN
    systems = {system.slug: system for system in SYSTEMS}
    rows = []
    for slug, title in TITLES.items():
        found = part["systems"].get(slug)
        version = systems[slug].version if slug in systems else ""
        if found is None:
            why = part["absent"].get(slug, "not asked for")
            rows.append([title, version, f"not run: {why.splitlines()[0][:90]}", "", "", "", "", ""])
            continue
        low, high = found["cpu_s_range"]
        rows.append(
            [
                title + (CONTENDED if found["contended"] else ""),
                version,
                f"**{found['cpu_s']:,.2f}** ({low:,.2f}–{high:,.2f})",
                f"{per_core_s(found):,.0f}",
                f"{found['wall_events_per_s']:,}",
                f"{found['peak_mib']:,}",
                f"{sum(found['served_cpu_s'].values()):,.2f}",
                f"{found['runs']} of {found['events']:,}",
            ]
        )
    head = [
        "system",
        "version",
        "CPU s a million",
        "events a core-second",
        "events/s, wall",
        "peak MiB",
        "servers' CPU s",
        "runs",
    ]
    return f"{run(part)} {part['events']:,} events of {part['bytes']} bytes.\n\n{table(head, rows)}"


def ratios(results: Results) -> str:
    """The product's events per core-second to everybody's in one run, the floor's own beside the goal."""
    systems = results.get("peers", {"systems": {}})["systems"]
    if "product" not in systems:
        return NOT_RUN
    ours = [systems.get(slug) for slug in ("product", "product-overall", "floor")]
    rows = []
    for slug, goal in GOALS.items():
        found = systems.get(slug)
        if found is not None:
            told = [0.0 if one is None else per_core_s(one) / per_core_s(found) for one in ours]
            verdict = "met" if told[0] >= goal else "**missed**"
            if systems["product"]["contended"] or found["contended"]:
                verdict = f"not judged{CONTENDED}"
            shown = [f"{ratio:.2f}" if ratio else "" for ratio in told]
            rows.append([TITLES[slug], *shown, f"{goal:g}", verdict])
    return table(["to", "everything on", "no cohorts", "the floor itself", "goal", ""], rows)


def growth(results: Results) -> str:
    """What grows with what."""
    part = results.get("growth")
    if part is None:
        return NOT_RUN
    rows = [
        [
            found["axis"],
            f"{found['value']:,}" + (CONTENDED if found["contended"] else ""),
            f"{found['cpu_s']:,.2f}",
            f"{found['wall_events_per_s']:,}",
            f"{found['peak_mib']:,}",
            f"{found['redis_mib']:,.1f}",
            f"{found['redis_bytes_in']:,.0f}",
            f"{found['kafka_bytes']:,.0f}",
        ]
        for found in part["points"]
    ]
    head = [
        "what",
        "how many",
        "CPU s a million",
        "events/s, wall",
        "peak MiB, worker",
        "MiB in Redis",
        "bytes to Redis an event",
        "bytes in Kafka an event",
    ]
    return f"{run(part)}\n\n{table(head, rows)}"


def memory(results: Results) -> str:
    """What a cohort's minute takes in Redis, by the runs that grow along event time."""
    found = results.get("growth", {}).get("memory")
    if found is None:
        return NOT_RUN
    rows = [[f"{one['minutes']:,}", f"{one['cells']:,}", f"{one['bytes']:,}"] for one in found["points"]]
    shown = table(["minutes stored", "cohort-minutes", "bytes in Redis"], rows)
    return f"{shown}\n\nFitted: **{found['per_cell']:,.0f} bytes** a cohort and minute of one release and partition."


def packed(results: Results) -> str:
    """What it costs to read a topic by how producers pack it."""
    part = results.get("packed")
    if part is None:
        return NOT_RUN
    rows = []
    for one in part["rows"]:
        low, high = one["cpu_s_range"]
        named = one["codec"] + (CONTENDED if one["contended"] else "")
        cost = f"**{one['cpu_s']:,.2f}** ({low:,.2f}–{high:,.2f})"
        rows.append([named, cost, f"{one['peak_mib']:,}", f"{one['kafka_bytes']:,.0f}"])
    head = ["`compression.type`", "CPU s a million", "peak MiB, worker", "bytes in Kafka an event"]
    return f"{run(part)}\n\n{table(head, rows)}"


def latency(results: Results) -> str:
    """Incident produced to request consumed, under each load."""
    part = results.get("latency")
    if part is None:
        return NOT_RUN
    rows = []
    for found in part["loads"]:
        beside = f"{found['load_per_s']:,} events/s ({found['load_ratio']:.0%} of the maximum)"
        beside += CONTENDED if found["contended"] else ""
        for what in ("consumed", "least"):
            if what in found:
                named = beside if what == "consumed" else f"{beside}, the least"
                times = [f"{found[what][name]:,.1f}" for name in ("p50", "p99", "p999", "max")]
                rows.append([named, f"{found['trials']:,}", *times])
    head = ["load beside it", "trials", "p50", "p99", "p99.9", "max"]
    return f"{run(part)} Milliseconds.\n\n{table(head, rows)}"


TABLES: Final[dict[str, Callable[[Results], str]]] = {
    "peers": peers,
    "ratios": ratios,
    "growth": growth,
    "memory": memory,
    "packed": packed,
    "latency": latency,
}
PICTURES: Final[dict[str, Callable[[Results], str]]] = {
    "performance-peers.svg": lambda results: plot.peers(results, TITLES),
    "performance-growth.svg": plot.growth,
    "performance-latency.svg": plot.latency,
}


PAGE: Final = Page("performance.md", TABLES, PICTURES)


if __name__ == "__main__":
    PAGE.write(load())
