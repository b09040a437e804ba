"""Apache Kafka's jars: a fixed list with checksums, fetched once from Maven Central through `jgo`.

The list `kafka-jars.lock` is what `org.apache.kafka:kafka_2.13:4.3.1` with `log4j-slf4j-impl:2.24.3` resolves
to (Maven's own resolver and jgo's agree on it). Fetching a fixed list needs neither Maven nor a JDK, takes no
look at any POM, and every byte is checked against the SHA-256 that stands in this repository.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.adapters.embedded.errors import EXTRA_REMEDY, OWN_KAFKA_REMEDY, EmbeddedUnavailable
from monitor.adapters.embedded.process import OnStep, no_step

if TYPE_CHECKING:
    from jgo.maven import MavenContext

KAFKA_VERSION = "4.3.1"  # 4.4.0 does not resolve: a module its POM asks for was never published
_LOCK_LIST = Path(__file__).with_name("kafka-jars.lock")
_FETCHERS = 6
_TIMEOUT_S = 30
_TRIES = 3
_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class Jar:
    """One jar by its Maven coordinate, and the digest its bytes must have."""

    group: str
    artifact: str
    version: str
    sha256: str


def wanted_jars() -> list[Jar]:
    """Return the whole class path of the embedded broker, in the order of the list."""
    jars = []
    for line in _LOCK_LIST.read_text().splitlines():
        coordinate, digest = line.split()
        group, artifact, version = coordinate.split(":")
        jars.append(Jar(group, artifact, version, digest))
    return jars


def default_cache_dir() -> Path:
    """Return the user's cache folder for the product (XDG base directories)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "rollback-budget-monitor"


def kafka_store(cache_dir: Path) -> Path:
    """Return where the jars of this version are kept, and what else a start need not do again."""
    return cache_dir / f"kafka-{KAFKA_VERSION}"


def kafka_class_path(cache_dir: Path, on_step: OnStep = no_step) -> list[Path]:
    """Return the jars, fetching what is not there yet; several processes may ask at the same time.

    Raises:
        EmbeddedUnavailable: jgo is missing, or the jars are neither cached nor reachable, or not what the
            list says.
    """
    store = kafka_store(cache_dir)
    list_digest = hashlib.sha256(_LOCK_LIST.read_bytes()).hexdigest()
    done = store / "complete"  # written last: names the very list that was checked
    jars = wanted_jars()
    paths = [store / _relative(jar) for jar in jars]
    try:
        store.mkdir(parents=True, exist_ok=True)
        with only_one(store / "lock"):
            if not _is_complete(done, list_digest, paths):
                on_step(f"fetching Apache Kafka {KAFKA_VERSION}: {len(jars)} jars, 43 MB, once")
                _fetch_all(store, jars)
                done.write_text(list_digest)
    except OSError as error:  # jgo's network errors (requests) are OSErrors too
        raise _not_fetched(store, str(error)) from error
    return paths


def _is_complete(done: Path, list_digest: str, paths: list[Path]) -> bool:
    return done.exists() and done.read_text() == list_digest and all(path.exists() for path in paths)


def _relative(jar: Jar) -> Path:
    folder = Path(*jar.group.split("."), jar.artifact, jar.version)
    return folder / f"{jar.artifact}-{jar.version}.jar"


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Let one process at a time do what is inside."""
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fetch_all(store: Path, jars: list[Jar]) -> None:
    try:
        from jgo.maven import MavenContext  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise EmbeddedUnavailable(
            "embedded Kafka", "the package jgo is not installed", f"{EXTRA_REMEDY}, {OWN_KAFKA_REMEDY}"
        ) from error
    maven = MavenContext(repo_cache=store, local_repos=[], timeout=_TIMEOUT_S)
    for tries_left in reversed(range(_TRIES)):
        try:
            with ThreadPoolExecutor(_FETCHERS) as pool:
                for _ in pool.map(lambda jar: _fetch(maven, store, jar), jars):
                    pass
            return
        except (OSError, EmbeddedUnavailable):
            if not tries_left:
                raise
            time.sleep(_PAUSE_S)  # of so many requests one may well fail; what is there by now stays


def _fetch(maven: MavenContext, store: Path, jar: Jar) -> None:
    path = store / _relative(jar)
    if path.exists() and _digest(path) == jar.sha256:
        return
    path.unlink(missing_ok=True)  # half of it, from a fetch that was cut off
    try:
        maven.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    except RuntimeError as error:  # jgo's word for "the repository has no such file" and for a bad SHA-1
        raise _not_fetched(store, str(error)) from error
    got = _digest(path)
    if got != jar.sha256:
        path.unlink()
        raise _not_fetched(store, f"{path.name} has SHA-256 {got}, the list wants {jar.sha256}")


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _not_fetched(store: Path, cause: str) -> EmbeddedUnavailable:
    return EmbeddedUnavailable(
        f"Apache Kafka {KAFKA_VERSION} could not be fetched from Maven Central",
        cause,
        f"connect this machine once (HTTPS_PROXY and REQUESTS_CA_BUNDLE are honoured), or copy {store} from a "
        f"machine that has it, {OWN_KAFKA_REMEDY}",
    )
