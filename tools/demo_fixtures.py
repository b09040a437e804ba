"""Make the demo's traffic fixtures from the public sources: `python tools/demo_fixtures.py SOURCES [TARGET]`.

SOURCES is a folder with the slices `azure_llm_2023/`, `llmperf/`, `vllm_load/` and `tau_bench/`, as the README
beside the fixtures names them. Only measured facts are taken: times, sizes, latencies, outcomes. The same
sources give the same bytes, so that `SHA256SUMS` proves where a fixture comes from.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

TARGET = Path(__file__).parent.parent / "monitor" / "console" / "demo" / "data"
SHORT_ANSWER = -100  # llmperf's own code for "fewer tokens than asked for": an answer, not an outage


def main(arguments: list[str]) -> int:
    """Write every fixture and their checksums."""
    if not 1 <= len(arguments) <= 2:
        sys.stderr.write("usage: python tools/demo_fixtures.py SOURCES [TARGET]\n")
        return 2
    sources = Path(arguments[0])
    target = Path(arguments[1]) if len(arguments) > 1 else TARGET
    fixtures = {
        "arrivals.csv.gz": (("at_ms", "workflow", "tokens_in", "tokens_out"), arrivals(sources)),
        "chat_latency.csv.gz": (("provider", "status", "first_token_ms", "latency_ms"), chat(sources)),
        "code_latency.csv.gz": (("load", "first_token_ms", "latency_ms"), code(sources)),
        "sessions.csv.gz": (
            ("success", "handoff", "tool_calls", "tool_errors", "cost_usd"),
            sessions(sources),
        ),
    }
    sums = [f"{write(target / name, *content)}  {name}\n" for name, content in sorted(fixtures.items())]
    (target / "SHA256SUMS").write_text("".join(sums), encoding="ascii")
    return 0


def arrivals(sources: Path) -> list[tuple[object, ...]]:
    """Return every arrival of both Azure services, in order, as milliseconds since the first one."""
    rows: list[tuple[datetime, str, int, int]] = []
    for workflow, name in (("chat", "conv_until_1845.csv.gz"), ("code", "code_until_1845.csv.gz")):
        for row in _csv(sources / "azure_llm_2023" / name):
            moment = datetime.fromisoformat(row["TIMESTAMP"][:26]).replace(tzinfo=UTC)
            rows.append((moment, workflow, int(row["ContextTokens"]), int(row["GeneratedTokens"])))
    rows.sort()
    first = rows[0][0]
    return [(round((at - first).total_seconds() * 1000), *rest) for at, *rest in rows]


def chat(sources: Path) -> Iterator[tuple[object, ...]]:
    """Yield one row per call to a hosted provider; a failed call has no latency."""
    with gzip.open(sources / "llmperf" / "llama2_70b.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            if row["error_code"] in (None, SHORT_ANSWER):
                yield row["provider"], "ok", _ms(row["ttft_s"]), _ms(row["end_to_end_latency_s"])
            else:
                yield row["provider"], "error", "", ""


def code(sources: Path) -> Iterator[tuple[object, ...]]:
    """Yield one row per request to the vLLM server, with the load multiplier it ran under."""
    for row in _csv(sources / "vllm_load" / "requests.csv.gz"):
        yield int(row["scale"]), _ms(row["first_chunk_time"]), _ms(row["total_chunk_time"])


def sessions(sources: Path) -> Iterator[tuple[object, ...]]:
    """Yield one row per customer-service session of the agent."""
    for row in _csv(sources / "tau_bench" / "airline_gpt4o_trials_0_1.csv"):
        yield (
            int(float(row["reward"]) == 1),
            int(row["transfer_to_human"]),
            int(row["n_tool_calls"]),
            int(row["n_tool_errors"]),
            round(float(row["user_cost"] or 0), 6),
        )


def write(path: Path, header: Iterable[str], rows: Iterable[tuple[object, ...]]) -> str:
    """Write one fixture without a time stamp in it, and return its SHA-256."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    path.write_bytes(gzip.compress(text.getvalue().encode("ascii"), compresslevel=9, mtime=0))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _csv(path: Path) -> Iterator[dict[str, str]]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    yield from csv.DictReader(io.StringIO(text))


def _ms(seconds: object) -> int:
    return round(float(str(seconds)) * 1000)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
