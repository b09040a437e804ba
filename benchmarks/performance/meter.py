"""What processes cost: CPU seconds of all their threads, and the most memory they had, as Linux counts them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

QUIET_CORES: Final = 0.15  # what other work may take of the machine before a figure is called contended
AGAIN: Final = 3  # times that a run beside other work is taken anew

PROC = Path("/proc")
_TICKS_S = os.sysconf("SC_CLK_TCK")


def is_here() -> bool:
    """Tell whether this machine counts as Linux does."""
    return (PROC / "self" / "stat").exists()


def tree(pid: int) -> list[int]:
    """Return a process and all that it started, as far as they still run."""
    found, ahead = [], [pid]
    while ahead:
        one = ahead.pop()
        found.append(one)
        with suppress(OSError):  # it has just ended
            for thread in (PROC / str(one) / "task").iterdir():
                ahead += [int(child) for child in (thread / "children").read_text().split()]
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU seconds, user and system, that these processes took so far."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_S


def peak_mib(pids: Iterable[int]) -> float:
    """Return the most resident memory each of these had at any time, added up."""
    kib = 0
    for pid in pids:
        with suppress(OSError):
            for line in (PROC / str(pid) / "status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    kib += int(line.split()[1])
    return kib / 1024


def machine_cpu_s() -> float:
    """Return the CPU seconds that anything on this machine took since it started."""
    fields = [int(field) for field in (PROC / "stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / _TICKS_S  # idle, and waiting for a disk


@dataclass(frozen=True)
class Sample:
    """One run of one system over one topic, from its first record to its last durable result.

    Attributes:
        cpu_s: Of the system itself, all threads and child processes.
        served_s: CPU seconds of the servers it used, by name.
        foreign_cores: Cores that other work on this machine took meanwhile.
    """

    events: int
    wall_s: float
    cpu_s: float
    served_s: Mapping[str, float]
    peak_mib: float
    foreign_cores: float


class Meter:
    """Reads the counters at two moments and tells the difference."""

    def __init__(self, servers: Mapping[str, int]) -> None:
        self._servers = servers
        self._begun: tuple[float, float, dict[str, float], float, int] | None = None

    @property
    def has_begun(self) -> bool:
        return self._begun is not None

    def begin(self, pids: Collection[int], done: int = 0) -> None:
        """Note where the counters stand; `done` events were dealt with before."""
        served = {name: cpu_s([pid]) for name, pid in self._servers.items()}
        self._begun = time.monotonic(), cpu_s(pids), served, machine_cpu_s(), done

    def end(self, pids: Collection[int], done: int) -> Sample:
        """Return what was taken since."""
        assert self._begun is not None, "begin comes first"
        began_s, cpu, served, machine, before = self._begun
        wall, own = time.monotonic() - began_s, cpu_s(pids) - cpu
        used = {name: cpu_s([pid]) - served[name] for name, pid in self._servers.items()}
        foreign = machine_cpu_s() - machine - own - sum(used.values())
        return Sample(done - before, wall, own, used, peak_mib(pids), max(0.0, foreign) / wall)


def undisturbed(run: Callable[[str], Sample]) -> Sample:
    """Return a run that had the machine for itself, or the least disturbed of a few.

    Args:
        run: Given what tells one run from the next.
    """
    found: list[Sample] = []
    while not found or (found[-1].foreign_cores > QUIET_CORES and len(found) <= AGAIN):
        if found:
            print(f"beside {found[-1].foreign_cores:.2f} cores of other work: taken again", flush=True)
        found.append(run(f"{len(found)}"))
    return min(found, key=lambda sample: sample.foreign_cores)
