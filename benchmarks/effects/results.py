"""The results on file of orders and pages into failing systems, and the tables of docs/actuators.md made of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from benchmarks.page import Page, table
from benchmarks.performance.results import machine

Results: TypeAlias = dict[str, Any]

FILE: Final = Path(__file__).parent / "results.json"


def load() -> Results:
    """Return what is on file; nothing before the first run."""
    found: Results = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return found


def save(part: str, name: str, rows: Mapping[str, Any], *, seed: int, command: str) -> None:
    """Replace one system's rows of a part (`flags`, `pagers`, `latency`), and write the document's tables anew."""
    results = load()
    kept = results.setdefault(part, {"systems": {}})
    kept["systems"][name] = rows
    kept.update(machine=machine(), seed=seed, command=command)
    FILE.write_text(
        json.dumps(results, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    PAGE.write(results)


def _faults(part: str, results: Results) -> str:
    """Exact runs of all, by fault and system; `-` where a system does not know the fault."""
    measured = results.get(part)
    if measured is None:
        return "Not measured yet."
    systems: Mapping[str, Mapping[str, Any]] = measured["systems"]
    names = sorted(systems)
    faults = list(dict.fromkeys(fault for name in names for fault in systems[name]["order"]))
    rows = [[fault, *(_cell(systems[name]["faults"], fault) for name in names)] for fault in faults]
    latest = [
        row["latest_page_s"]
        for one in systems.values()
        for row in one["faults"].values()
        if row and row.get("latest_page_s")
    ]
    paged = f" The latest page came {max(latest):g} s after its order (modelled time)." if latest else ""
    return f"{_run(measured)}{paged}\n\n{table(['fault', *names], rows, numbers=True)}"


def _cell(rows: Mapping[str, Any], fault: str) -> str:
    if fault not in rows:
        return "not run"
    row = rows[fault]
    if row is None:
        return "-"
    if row.get("twice"):
        return f"told twice, {row['twice']:,} of {row['runs']:,}"
    return f"{row['exact']:,} of {row['runs']:,}"


def _run(part: Mapping[str, Any]) -> str:
    host = part["machine"]
    seed = f"seed {part['seed']}, " if part["seed"] else ""
    return f"`{part['command']}`, {seed}{host['day']}, Python {host['python']}."


def _latency(results: Results) -> str:
    measured = results.get("latency")
    if measured is None:
        return "Not measured yet."
    head = ["to a client of", "trials", "p50", "p95", "p99", "longest"]
    rows = [
        [
            name,
            f"{row['trials']:,}",
            *(f"{row[key]:.0f} ms" for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms")),
        ]
        for name, row in sorted(measured["systems"].items())
    ]
    host = measured["machine"]
    where = f"{host['cores']} cores ({host['processor']})"
    return f"{_run(measured).removesuffix('.')}, {where}.\n\n{table(head, rows, numbers=True)}"


TABLES: Final[dict[str, Callable[[Results], str]]] = {
    "flags": lambda results: _faults("flags", results),
    "pagers": lambda results: _faults("pagers", results),
    "latency": _latency,
}
PAGE: Final = Page("actuators.md", TABLES, {})


if __name__ == "__main__":
    PAGE.write(load())
