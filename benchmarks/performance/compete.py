"""One run of one system over the topic, from its first record to its last durable result."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path

from benchmarks.performance.meter import Meter, Sample, tree
from benchmarks.performance.stage import Stage
from benchmarks.performance.systems import System, environment

MOST_S = 600.0


class NoResult(Exception):
    """A job ended without saying that it was done; the message quotes the end of its log."""


def run_system(here: Stage, system: System, command: list[str], *, topic: str, events: int) -> Sample:
    """Run a job once, with a folder of its own for state.

    Raises:
        NoResult: It failed, or was not done within `MOST_S`.
    """
    state = here.folder / f"state-{system.slug}"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    given = environment(system, bootstrap=here.kafka.bootstrap, topic=topic, events=events, state=state)
    log = here.folder / f"{system.slug}.log"
    with log.open("w") as errors:
        job = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=given, cwd=state
        )
    timer = threading.Timer(MOST_S, job.kill)
    timer.start()
    try:
        return _listen(here, job, log)
    finally:
        timer.cancel()
        job.kill()
        job.wait()


def _listen(here: Stage, job: subprocess.Popen[str], log: Path) -> Sample:
    assert job.stdout is not None  # opened as a pipe
    meter = Meter(here.servers)
    for line in job.stdout:
        word, _, rest = line.strip().partition(" ")
        if word == "START":
            meter.begin(tree(job.pid))
        elif word == "END" and meter.has_begun:
            if not int(rest):
                raise NoResult("counted no event within its time")
            return meter.end(tree(job.pid), int(rest))
    tail = " | ".join(log.read_text(errors="replace").splitlines()[-4:]).replace(str(Path.home()), "~")
    raise NoResult(f"ended with {job.wait()} before it was done: {tail}")
