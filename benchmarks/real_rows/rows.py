"""The measured rows of each release, as the fields of trace events that they are evidence for.

A row is one request as somebody measured it; nothing in it is made up. What no source has (when it came, under which
id) is added when it is served (`traffic.py`).
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from monitor.console.demo.pools import Pools, Session, Timing

Row: TypeAlias = Mapping[str, object]
Rows: TypeAlias = tuple[Row, ...]

PROVIDERS: Final = "llmperf"
LOADS: Final = "burstgpt"
SESSIONS: Final = "tau-bench"
TASKS: Final = "bfcl"

_OTHER_LANGUAGES: Final = ("java", "javascript")
_ABSTAINING: Final = "relevance"  # a category without a right tool: to abstain is to succeed
_PER_MILLION: Final = 1e-6


class DataMissing(Exception):
    """The rows that a case needs are not there; the message says which file and what it must hold."""


def committed_rows(pools: Pools) -> dict[str, dict[str, Rows]]:
    """Return the rows that come with this project, by source and release."""
    found: dict[str, dict[str, Rows]] = {
        PROVIDERS: {},
        LOADS: {},
        SESSIONS: {"gpt-4o": tuple(map(_session_row, pools.sessions))},
    }
    for (workflow, release), timings in pools.timings.items():
        source = PROVIDERS if workflow == "chat" else LOADS
        name = release if source == PROVIDERS else f"load-{release}"
        found[source][name] = tuple(_timing_row(workflow, timing) for timing in timings)
    return found


def _timing_row(workflow: str, timing: Timing) -> Row:
    """Return a call. A failed one carries the latency 0 that its source wrote down: it must count nowhere."""
    stages = {} if timing.failed else _stages(timing)
    return {
        "cohort": {"workflow": workflow},
        "status": "error" if timing.failed else "ok",
        "task_success": not timing.failed,
        "latency_ms": timing.latency_ms,
        **stages,
    }


def _stages(timing: Timing) -> Row:
    decode_ms = max(0, timing.latency_ms - timing.first_token_ms)
    return {"stage_ms": {"first_token": timing.first_token_ms, "decode": decode_ms}}


def _session_row(session: Session) -> Row:
    row: dict[str, object] = {
        "cohort": {"workflow": "airline"},
        "task_success": session.success,
        "human_handoff": session.handoff,
        "cost_usd": session.cost_usd,
    }
    if session.tool_calls:
        row["tool_success"] = session.tool_errors == 0
    return row


def task_rows(folder: Path) -> dict[str, Rows]:
    """Return the answers of each model to the same tool-calling tasks, from `bfcl/` in the data folder.

    Raises:
        DataMissing: A file is not there.
    """
    prices = {
        row["model"]: (float(row["input_usd_per_million"]), float(row["output_usd_per_million"]))
        for row in _csv(folder / "bfcl" / "prices.csv", "the prices in USD per million tokens")
        if row["input_usd_per_million"]
    }
    found: dict[str, list[Row]] = {}
    for row in _csv(folder / "bfcl" / "outcomes_dev.csv.gz", "one row per model and task"):
        found.setdefault(row["model"], []).append(_task_row(row, prices.get(row["model"])))
    return {model: tuple(rows) for model, rows in found.items()}


def _task_row(row: Mapping[str, str], price: tuple[float, float] | None) -> Row:
    category, is_valid = row["category"], row["valid"] == "1"
    tokens_in, tokens_out = (int(float(row[f"{side}_token_count"] or 0)) for side in ("input", "output"))
    event: dict[str, object] = {
        "cohort": {
            "workflow": category,
            "language": category if category in _OTHER_LANGUAGES else "python",
        },
        "task_success": is_valid,
        "parse_failure": "decoder_failed" in row["error_type"],
        "latency_ms": round(float(row["latency"]) * 1000, 3),
        "tokens_in": tokens_in,
        "tokens_out": tokens_out,
    }
    if category == _ABSTAINING:
        event["abstained"] = is_valid
    if price is not None:
        event["cost_usd"] = round((tokens_in * price[0] + tokens_out * price[1]) * _PER_MILLION, 9)
    return event


def _csv(path: Path, holds: str) -> Iterator[dict[str, str]]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataMissing(f"{path}: {error.strerror or error}; it holds {holds}") from error
    text = gzip.decompress(raw) if path.suffix == ".gz" else raw
    yield from csv.DictReader(io.StringIO(text.decode("utf-8")))
