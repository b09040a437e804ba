"""Run the benchmarks: every `bench_*.py` beside this file, each in an interpreter of its own.

`python -m benchmarks [NAME…]` runs all of them or the named ones (`bench_decode.py` is `decode`). One process each:
caches and peak memory of one must not flatter or burden the next. A benchmark that ends with an error ends the run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_FOLDER = Path(__file__).parent


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; return 0, or 2 for an unknown name, or the failing benchmark's own code."""
    known = {path.stem.removeprefix("bench_"): path for path in sorted(_FOLDER.glob("bench_*.py"))}
    if unknown := [name for name in names if name not in known]:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    if not known:
        print(f"there is no bench_*.py in {_FOLDER.name}/", file=sys.stderr)
        return 2
    for name in names or known:
        print(f"== {name}", flush=True)
        code = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{known[name].stem}"], check=False
        ).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
