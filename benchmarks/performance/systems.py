"""The systems that do the same job, how each is installed, and how it is run.

Each is an optional part: it installs itself into the user's cache, Python ones into an environment of their own, Java
ones by Maven and `javac`. What cannot be installed is named with the reason, and the others run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from monitor.adapters.embedded.jars import default_cache_dir

ROOT: Final = Path(__file__).parent.parent.parent
JAVA: Final = Path(__file__).parent / "java"
INSTALL_S: Final = 900.0
MSGSPEC: Final = "msgspec==0.22.0"  # decodes in every Python job, so that decoders are not what is compared


class NotHere(Exception):
    """A system cannot run on this machine; says why."""


@dataclass(frozen=True)
class System:
    """One system and its job.

    Attributes:
        slug, title: In the results file, and for people.
        version: What is compared, as people name it.
        command: Made by installing the system; the job's own arguments included.
        share: Part of the topic's events it is given: the slowest get fewer, for time.
        most_s: Seconds after which a job stops by itself and says how far it came; 0 lets it finish.
        note: What its figure includes, or leaves out.
    """

    slug: str
    title: str
    version: str
    command: Callable[[], list[str]]
    note: str
    mode: Mapping[str, str] = field(default_factory=dict)
    share: float = 1.0
    most_s: int = 0


def parts_folder() -> Path:
    """Return where the systems are installed."""
    return default_cache_dir() / "benchmark-systems"


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotHere(f"{command[0]}: {error}") from error
    if done.returncode:
        tail = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise NotHere(f"{' '.join(command[:3])} failed: {' '.join(tail)}")


def own_python(module: str) -> Callable[[], list[str]]:
    """Return the command of a job that the product's own environment can run."""
    return lambda: [sys.executable, "-m", f"benchmarks.performance.jobs.{module}"]


def other_python(name: str, packages: tuple[str, ...], module: str) -> Callable[[], list[str]]:
    """Return the command of a job in an environment made for it."""

    def install() -> list[str]:
        folder = parts_folder() / name
        done = folder / "installed"
        if not done.exists() or done.read_text() != " ".join(packages):
            folder.mkdir(parents=True, exist_ok=True)
            venv.create(folder, clear=True, with_pip=True)
            python = str(folder / "bin" / "python")
            _run([python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *packages], folder)
            done.write_text(" ".join(packages))
        return [str(folder / "bin" / "python"), "-m", f"benchmarks.performance.jobs.{module}"]

    return install


def java(name: str, main: str, *arguments: str) -> Callable[[], list[str]]:
    """Return the command of a job in Java: libraries by Maven, compiled with the JDK that is here."""

    def install() -> list[str]:
        missing = [tool for tool in ("java", "javac", "mvn") if shutil.which(tool) is None]
        if missing:
            raise NotHere(f"needs a JDK 17 or later and Maven; not found: {', '.join(missing)}")
        folder, source = parts_folder() / name, JAVA / name
        folder.mkdir(parents=True, exist_ok=True)
        pom, done = (source / "pom.xml").read_text(), folder / "installed"
        if not done.exists() or done.read_text() != pom:
            copy = ["-DincludeScope=runtime", f"-DoutputDirectory={folder / 'libs'}"]
            _run(["mvn", "-q", "-B", "-f", str(source), "dependency:copy-dependencies", *copy], folder)
            done.write_text(pom)
        files = [str(path) for path in sorted([*(JAVA / "common").glob("*.java"), *source.glob("*.java")])]
        _run(["javac", "-nowarn", "-cp", f"{folder}/libs/*", "-d", f"{folder}/classes", *files], folder)
        opened = [f"--add-opens=java.base/java.{part}=ALL-UNNAMED" for part in ("util", "lang", "time")]
        return ["java", "-Xmx2g", *opened, "-cp", f"{folder}/classes:{folder}/libs/*", main, *arguments]

    return install


_BYTEWAX: Final = ("bytewax==0.21.1", "confluent-kafka==2.16.1", MSGSPEC)
_QUIX: Final = ("quixstreams==3.28.1", MSGSPEC)

_KS: Final = "Kafka Streams 4.3.1"

SYSTEMS: Final = (
    System(
        "getmany",
        "aiokafka `getmany`",
        "aiokafka 0.14",
        own_python("getmany"),
        "the ceiling: nothing decoded",
    ),
    System(
        "floor",
        "`getmany`, contract, duplicates",
        "aiokafka 0.14",
        own_python("floor"),
        "the floor: nothing folded or stored",
    ),
    System(
        "flink",
        "Flink, heap state",
        "Flink 2.2.0",
        java("flink", "FlinkJob", "hashmap"),
        "checkpoints each second, parallelism 2",
    ),
    System(
        "ks-processor",
        "Kafka Streams, processor API",
        _KS,
        java("kafka-streams", "KafkaStreamsJob", "processor"),
        "exactly_once_v2, a store a partition, no topic between",
        most_s=300,
    ),
    System(
        "ks-dsl",
        "Kafka Streams, DSL",
        _KS,
        java("kafka-streams", "KafkaStreamsJob", "dsl"),
        "exactly_once_v2, a topic between",
        most_s=300,
    ),
    System(
        "bytewax",
        "Bytewax",
        "Bytewax 0.21.1",
        other_python("bytewax", _BYTEWAX, "bytewax_job"),
        "no recovery store",
        share=0.15,
    ),
    System(
        "quix",
        "Quix Streams",
        "Quix Streams 3.28.1",
        other_python("quix", _QUIX, "quix_job"),
        "RocksDB, changelog, a topic between",
        most_s=15,
    ),
    System(
        "faust-empty",
        "Faust, empty agent",
        "faust-streaming 0.15",
        own_python("faust_job"),
        "the ceiling of any agent",
        {"BENCH_MODE": "empty"},
        share=0.05,
    ),
    System(
        "faust-table",
        "Faust, windowed table",
        "faust-streaming 0.15",
        own_python("faust_job"),
        "memory, changelog",
        {"BENCH_MODE": "table"},
        share=0.05,
        most_s=15,
    ),
)
"""All but the product, which is run by its own verb."""

OURS: Final = {
    "product": "this product, everything on",
    "product-overall": "this product, no cohorts",
}


def environment(system: System, *, bootstrap: str, topic: str, events: int, state: Path) -> dict[str, str]:
    """Return the environment of one run of a system's job."""
    given = {
        "BENCH_BOOTSTRAP": bootstrap,
        "BENCH_TOPIC": topic,
        "BENCH_EVENTS": str(max(1, int(events * system.share))),
        "BENCH_STATE": str(state),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    if system.most_s:
        given["BENCH_MOST_S"] = str(system.most_s)
    return {**os.environ, **given, **system.mode}
