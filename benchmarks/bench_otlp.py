"""What the bridge spends on a trace: two spans in a record, one evaluation in another, out as one trace event.

Records are encoded by the OpenTelemetry SDK, one trace in each, as the collector splits them. The steps are the
bridge's own, in process and without sockets: parse the protobuf, join, map, encode and check. Beside it, in the same
rounds, what the monitor's hot path takes to decode that event; the ratio is what to compare. CPU time, the best of some
short runs.

`python -m benchmarks otlp`; `TRACES=2000` for less.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from benchmarks.otlp_payloads import evaluation, logs_value, request, spans_value
from monitor.adapters.kafka.decode import decode
from monitor.adapters.kafka.trace_topic import encode
from monitor.adapters.otlp.decode import decode_logs, decode_spans
from monitor.config.mapping_file import load_mapping
from monitor.engine.ports import Partition
from monitor.engine.span_join import JoinLimits, Place, SpanJoin

TRACES = int(os.environ.get("TRACES", "5000"))
RUNS = 9
BATCH = 500  # traces between two looks at what is due
MAPPING = load_mapping("otel-genai.v1")
SPANS, LOGS = Partition("otlp_spans", 0), Partition("otlp_logs", 0)
Records = list[tuple[bytes, bytes]]


def records() -> Records:
    """Return, for each trace, the record with its spans and the one with its evaluation."""
    return [
        (spans_value(*request(n)), logs_value(evaluation(n, 950.0, "task_success", label="pass")))
        for n in range(TRACES)
    ]


def parse(rows: Records) -> None:
    """Parse both records of each trace."""
    for spans, logs in rows:
        decode_spans(spans, MAPPING.wanted)
        decode_logs(logs, MAPPING.wanted)


def bridge(rows: Records) -> list[bytes]:
    """Do all of it; return the events."""
    join, events = SpanJoin(MAPPING, JoinLimits(window_ms=1)), list[bytes]()
    for offset, (spans, logs) in enumerate(rows):
        for partition, found in (
            (SPANS, decode_spans(spans, MAPPING.wanted)),
            (LOGS, decode_logs(logs, MAPPING.wanted)),
        ):
            assert not isinstance(found, str)
            join.add(Place(partition, offset), offset, found)
        if offset % BATCH == 0 or offset == len(rows) - 1:
            join.close(offset + 10)
            batch = join.take()
            values = [encode(facts) for _, facts in batch.events]
            events += [value for value in values if isinstance(value, bytes)]
            join.acknowledged(batch)
    return events


def cpu_us(step: Callable[[], object]) -> float:
    """Return the CPU microseconds that a step takes for a trace."""
    begun = time.process_time_ns()
    step()
    return (time.process_time_ns() - begun) / 1_000 / TRACES


def main() -> None:
    rows = records()
    events = bridge(rows)
    assert len(events) == TRACES, f"{len(events)} events of {TRACES} traces"
    best = dict.fromkeys(("parse", "bridge", "decode"), float("inf"))
    for _ in range(RUNS):
        best["parse"] = min(best["parse"], cpu_us(lambda: parse(rows)))
        best["bridge"] = min(best["bridge"], cpu_us(lambda: bridge(rows)))
        best["decode"] = min(best["decode"], cpu_us(lambda: [decode(value) for value in events]))
    size = sum(len(spans) + len(logs) for spans, logs in rows) // TRACES
    print(f"{TRACES} traces of 2 spans and 1 evaluation, {size} bytes each; events of {len(events[0])} bytes")
    print(f"CPU microseconds a trace, best of {RUNS}; load {os.getloadavg()[0]:.1f}")
    print(f"  parse OTLP                      {best['parse']:8.1f}")
    print(f"  all: parse, join, map, encode   {best['bridge']:8.1f}")
    print(f"  hot path: decode of the event   {best['decode']:8.1f}")
    print(f"  all / decode                    {best['bridge'] / best['decode']:8.1f}")
    print(f"  traces a core-second            {1e6 / best['bridge']:8.0f}")


if __name__ == "__main__":
    main()
