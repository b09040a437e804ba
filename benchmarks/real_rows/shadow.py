"""Answers of two models to the same tasks as live and shadow traffic, and the truth over all tasks beside it.

`python -m benchmarks.real_rows.shadow DATA BASELINE CANDIDATE --every 4 > shadow.jsonl`: every fourth task as events
on stdout, what is true of all tasks on stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.real_rows.rows import DataMissing, Rows, task_rows

BEGAN_MS = 1_795_000_000_000
_LABELS = ("task_success", "parse_failure", "abstained")
_MEANS = ("cost_usd",)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_rows.shadow", description=__doc__)
    parser.add_argument("data", type=Path, help="folder that holds bfcl/")
    parser.add_argument("baseline")
    parser.add_argument("candidate")
    parser.add_argument("--every", type=int, default=1, help="write only each n-th task")
    options = parser.parse_args(arguments)
    try:
        rows = task_rows(options.data)
    except DataMissing as missing:
        print(missing, file=sys.stderr)
        return 2
    try:
        arms = {
            "live": (options.baseline, rows[options.baseline]),
            "shadow": (options.candidate, rows[options.candidate]),
        }
    except KeyError as unknown:
        print(f"no release {unknown} in it; it has {', '.join(sorted(rows))}", file=sys.stderr)
        return 2
    for event in events(arms, options.every):
        print(json.dumps(event))
    for line in truth(arms["shadow"][1], arms["live"][1]):
        print(line, file=sys.stderr)
    return 0


def events(arms: dict[str, tuple[str, Rows]], every: int) -> Iterator[dict[str, Any]]:
    """Yield each n-th task as both arms answered it; row n is the same task in every release."""
    for traffic, (release, rows) in arms.items():
        for number in range(0, len(rows), every):
            yield {
                "event_id": f"{traffic}-{number}",
                "at": BEGAN_MS + 1_000 * number,
                "release": release,
                "traffic": traffic,
                "request_id": f"task-{number}",
                **rows[number],
            }


def truth(candidate: Rows, baseline: Rows) -> Iterator[str]:
    """Yield what is true of all tasks, by plain arithmetic: rates in points, the rest in percent."""
    for label in _LABELS:
        c, b = _values(candidate, label), _values(baseline, label)
        yield f"{label}: {100.0 * (_mean(c) - _mean(b)):+.2f} pp of {len(c):,} tasks"
    c, b = (sorted(_values(rows, "latency_ms")) for rows in (candidate, baseline))
    yield f"p95 latency: {100.0 * (c[int(0.95 * len(c))] / b[int(0.95 * len(b))] - 1.0):+.1f} %"
    ratios = sorted(
        c / b for c, b in zip(_values(candidate, "latency_ms"), _values(baseline, "latency_ms"), strict=True)
    )
    yield f"median of the latency ratios: {100.0 * (ratios[len(ratios) // 2] - 1.0):+.1f} %"
    for name in _MEANS:
        c, b = _values(candidate, name), _values(baseline, name)
        if c and b:
            yield f"mean {name}: {100.0 * (_mean(c) / _mean(b) - 1.0):+.1f} %"


def _values(rows: Rows, name: str) -> list[Any]:
    values: list[Any] = [row[name] for row in rows if name in row]
    return values


def _mean(values: Sequence[Any]) -> float:
    return float(sum(values) / len(values))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
