"""Replay measured releases against each other and hold what the monitor did against the truth.

`python -m benchmarks.real_rows --data DATA` runs every case; without `--data` those whose rows come with this project.
`--case NAME` (repeated) runs some, `--seeds N` with at most so many seeds; `--write` renews `results.json` and the
page in docs/, `--render` only the page. The exit code is 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.real_rows.case import SEEDS
from benchmarks.real_rows.cases import CASES
from benchmarks.real_rows.report import case_lines, save, write_page
from benchmarks.real_rows.rows import DataMissing
from benchmarks.real_rows.run import Measured, broken_promises, run_case


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_rows", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder that holds bfcl/")
    parser.add_argument(
        "--case", action="append", choices=sorted(CASES), help="only this one; may be repeated"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--write", action="store_true", help="renew results.json and docs/real-traffic.md")
    parser.add_argument("--render", action="store_true", help="only render docs/real-traffic.md anew")
    options = parser.parse_args(arguments)
    if options.render:
        write_page()
        return 0
    try:
        results = _results(options.case or list(CASES), Measured(options.data), options.seeds, options.write)
    except DataMissing as missing:
        print(missing, file=sys.stderr)
        return 2
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if options.write:
        write_page()
    broken = broken_promises(results)
    for words in broken:
        print(f"BROKEN  {words}")
    print(f"{len(results)} cases, {len(broken)} broken promises")
    return 1 if broken else 0


def _results(names: Sequence[str], measured: Measured, seeds: int, is_kept: bool) -> list[dict[str, object]]:
    """Run the cases; each is kept, where asked for, as soon as it is done."""
    results = []
    for name in names:
        case = CASES[name]
        if not measured.has(case.source):
            print(f"-- {name}: left out, its rows do not come with this project (--data)", flush=True)
            continue
        began = time.perf_counter()
        data = run_case(case, measured, min(seeds, case.seeds)).data()
        results.append(data)
        if is_kept:
            save([data])
        print(f"== {name} ({time.perf_counter() - began:.0f} s)")
        print("\n".join(case_lines(data)), flush=True)
    return results


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
