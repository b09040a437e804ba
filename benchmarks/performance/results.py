"""The results file: what was measured, on which machine, by which command; the document is made of it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeAlias

from benchmarks.performance.meter import QUIET_CORES, Sample

Results: TypeAlias = dict[str, Any]

FILE: Final = Path(__file__).parent / "results.json"


def load() -> Results:
    """Return what is on file; nothing before the first run."""
    found: Results = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return found


def save(part: str, measured: Mapping[str, Any], command: str) -> None:
    """Replace one part of the file, with the machine and the command that it is from."""
    results = load()
    results[part] = {"machine": machine(), "command": command, **measured}
    FILE.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def machine() -> dict[str, str | int]:
    """Return what figures depend on, besides the code."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "cores": os.cpu_count() or 1,
        "memory_gib": round(memory),
        "processor": _processor(),
        "python": platform.python_version(),
        "day": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def row(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return the medians of some runs, and the runs themselves, each value per million events where it grows so."""
    per_million = [1_000_000 / one.events for one in samples]
    foreign = max(one.foreign_cores for one in samples)
    served = {
        name: median(one.served_s[name] * scale for one, scale in zip(samples, per_million, strict=True))
        for name in samples[0].served_s
    }
    cpu = [one.cpu_s * scale for one, scale in zip(samples, per_million, strict=True)]
    return {
        "runs": len(samples),
        "events": round(median(one.events for one in samples)),
        "cpu_s": round(median(cpu), 3),
        "cpu_s_range": [round(min(cpu), 3), round(max(cpu), 3)],
        "wall_events_per_s": round(median(one.events / one.wall_s for one in samples)),
        "served_cpu_s": {name: round(value, 3) for name, value in served.items()},
        "peak_mib": round(median(one.peak_mib for one in samples)),
        "foreign_cores": round(foreign, 2),
        "contended": foreign > QUIET_CORES,
        "samples": [asdict(one) for one in samples],
    }
