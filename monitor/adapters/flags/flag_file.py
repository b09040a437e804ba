"""Flag systems that read a file: no server and no token needed; what stands in the file is a form of its own.

The file is replaced atomically, so a reader sees the old flags or the new ones, never a mixture.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

from monitor.adapters.flags.api import JsonObject
from monitor.adapters.flags.vendor import changed_meanwhile, check_order, final, telling_how_it_was
from monitor.engine.errors import ActuatorFailed
from monitor.engine.ports import Effect, RollbackOrder

_LOCK_TRIES, _LOCK_WAIT_S = 50, 0.1  # 5 s: a writer of ours holds the lock for milliseconds
_WRITE_TRIES = 3  # somebody else saved the file between our reading and replacing it
_MTIME_STEP_NS = (
    1_000_000  # watchers compare the time as a float of seconds: smaller steps drown in its rounding
)
_PASSING = frozenset(
    {errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.EINTR, errno.ESTALE, errno.ETIMEDOUT}
)
_REMEDY = {
    errno.ENOENT: "mount the volume that holds it, or correct the path",
    errno.EACCES: "give the monitor's user read access to the file and write access to its directory",
    errno.EPERM: "give the monitor's user the file's ownership, or make the file readable for others",
    errno.EROFS: "mount the directory writable (a Kubernetes ConfigMap never is: use a shared volume)",
    errno.EBUSY: "mount the directory, not the single file: a mounted file cannot be replaced",
}


class FlagForm(Protocol):
    """What one system's flag file looks like, and what serves the baseline in it: pure functions."""

    @property
    def name(self) -> str:
        """The actuator's name in budgets."""

    @property
    def language(self) -> str:
        """What the file is written in, as messages say it."""

    def parse(self, text: str) -> object:
        """Return the document; raises `ValueError` where it is none."""

    def write(self, document: Any) -> str:
        """Return the document's text; raises `ValueError` where the language cannot say it."""

    def flag_of(self, document: object, order: RollbackOrder, where: str) -> JsonObject:
        """Return the order's flag, checked; raises `ActuatorFailed` where the order cannot be carried out."""

    def serves_baseline(self, flag: JsonObject, order: RollbackOrder) -> bool:
        """Tell whether nothing is left to do."""

    def turned(self, document: JsonObject, order: RollbackOrder) -> JsonObject:
        """Return the document with the order carried out; all else stays."""

    def kept(self, document: JsonObject, order: RollbackOrder) -> JsonObject:
        """Return what an order may change, as it stands, so that a drill can set it back."""

    def restored(self, document: JsonObject, order: RollbackOrder, was: JsonObject) -> JsonObject:
        """Return the document with what was kept in its place again; all else stays."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The file as it was read."""

    document: JsonObject
    stat: os.stat_result


class _Changed(Exception):
    """Somebody else replaced the file while we prepared ours."""


class FlagFileActuator:
    """Rewrites a flag file so that the baseline is served."""

    def __init__(self, path: Path, form: FlagForm, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._path, self._form, self._sleep = path, form, sleep

    async def probe(self, order: RollbackOrder) -> None:
        """Raise `ActuatorFailed` where the file, the flag, the variation or the right to replace it is missing."""
        check_order(self._form.name, order)
        await asyncio.to_thread(self._probe, order)

    async def serve_baseline(self, order: RollbackOrder) -> Effect:
        """Make the file serve the baseline and read it back; a file that does already is not touched.

        Raises:
            ActuatorFailed: Nothing was changed, or what was read back does not serve the baseline.
        """
        check_order(self._form.name, order)
        return await asyncio.to_thread(self._serve_baseline, order)

    async def serves_baseline(self, order: RollbackOrder) -> bool:
        """Read the file and tell whether nothing is left to do; raises as `serve_baseline`."""
        check_order(self._form.name, order)
        return await asyncio.to_thread(
            lambda: self._form.serves_baseline(self._flag(self._target(), order), order)
        )

    async def keep(self, order: RollbackOrder) -> JsonObject:
        """Return the flag as it stands, for `put_back`; raises `ActuatorFailed` where it cannot be read."""
        return await asyncio.to_thread(self._keep, order)

    async def put_back(self, order: RollbackOrder, kept: JsonObject) -> None:
        """Set the flag back after a drill, and read that back.

        Raises:
            ActuatorFailed: It was not as the drill had left it, so it was left alone; or it could not be written. The
                message says how it was, for the person who sets it back.
        """
        with telling_how_it_was(kept["flag"]):
            await asyncio.to_thread(self._put_back, order, kept)

    def _keep(self, order: RollbackOrder) -> JsonObject:
        target = self._target()
        self._flag(target, order)  # checked
        return self._form.kept(self._read(target).document, order)

    def _put_back(self, order: RollbackOrder, kept: JsonObject) -> None:
        target = self._target()
        with self._lock(target):
            for _ in range(_WRITE_TRIES):
                seen = self._read(target)
                if not self._form.serves_baseline(
                    self._form.flag_of(seen.document, order, str(self._path)), order
                ):
                    raise changed_meanwhile(str(self._path), order)
                wanted = self._form.restored(seen.document, order, kept)
                with suppress(_Changed):
                    self._replace(target, seen, wanted)
                    if self._form.serves_baseline(self._flag(target, order), order):
                        raise final(
                            f"{self._path}: flag {order.flag_key!r} was set back and does not show it"
                        )
                    return
        raise ActuatorFailed(
            f"{self._path}: another writer keeps changing it; stop that writer", retryable=True
        )

    def _probe(self, order: RollbackOrder) -> None:
        target = self._target()
        self._flag(target, order)
        try:
            with tempfile.TemporaryFile(dir=target.parent):
                pass
        except OSError as error:
            self._give_up(error)

    def _serve_baseline(self, order: RollbackOrder) -> Effect:
        target = self._target()
        before = self._flag(target, order)
        if self._form.serves_baseline(before, order):
            return Effect(changed=False, before=_plain(before), after=_plain(before))
        with self._lock(target):
            for _ in range(_WRITE_TRIES):
                seen = self._read(target)
                before = self._form.flag_of(seen.document, order, str(self._path))
                if self._form.serves_baseline(before, order):
                    return Effect(changed=False, before=_plain(before), after=_plain(before))
                was = _plain(before)
                with suppress(_Changed):
                    self._replace(target, seen, self._form.turned(seen.document, order))
                    return Effect(changed=True, before=was, after=_plain(self._read_back(target, order)))
        raise ActuatorFailed(
            f"{self._path}: another writer keeps changing it; stop that writer", retryable=True
        )

    def _flag(self, target: Path, order: RollbackOrder) -> JsonObject:
        return self._form.flag_of(self._read(target).document, order, str(self._path))

    def _target(self) -> Path:
        """Return the file behind the path: a link (as ConfigMap volumes use) stays a link."""
        return Path(os.path.realpath(self._path))

    def _read(self, target: Path) -> _Seen:
        try:
            with target.open("rb") as file:
                stat, raw = os.fstat(file.fileno()), file.read()
        except OSError as error:
            self._give_up(error)
        try:
            document: Any = self._form.parse(raw.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            # A careless editor may be halfway through saving: worth another look.
            raise ActuatorFailed(
                f"{self._path}: not {self._form.language}: {error}; correct the file", retryable=True
            ) from error
        return _Seen(document, stat)

    def _read_back(self, target: Path, order: RollbackOrder) -> JsonObject:
        after = self._flag(target, order)
        if not self._form.serves_baseline(after, order):
            message = (
                f"{self._path}: flag {order.flag_key!r} was turned but does not serve the baseline any more"
            )
            raise ActuatorFailed(f"{message}; stop the other writer", retryable=True)
        return after

    def _replace(self, target: Path, seen: _Seen, document: JsonObject) -> None:
        try:
            payload = self._form.write(document).encode("utf-8")
        except ValueError as error:
            raise final(
                f"{self._path}: holds a value {self._form.language} cannot say ({error}); correct the file"
            ) from error
        try:
            _replace_atomically(target, payload, seen.stat)
        except OSError as error:
            self._give_up(error)

    @contextmanager
    def _lock(self, target: Path) -> Iterator[None]:
        """Keep other monitors out, by a file beside it: the flag file is replaced, and with it its locks."""
        try:
            handle = os.open(
                target.with_name(f".{target.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660
            )
        except OSError as error:
            self._give_up(error)
        try:
            self._wait_for(handle)
            yield
        finally:
            os.close(handle)

    def _wait_for(self, handle: int) -> None:
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                self._sleep(_LOCK_WAIT_S)
        raise ActuatorFailed(f"{self._path}: another monitor holds its lock; asking again", retryable=True)

    def _give_up(self, error: OSError) -> NoReturn:
        remedy = _REMEDY.get(error.errno or 0, "see the system's message")
        message = f"{self._path}: {error.strerror or error}; {remedy}"
        raise ActuatorFailed(message, retryable=error.errno in _PASSING) from error


def parse_json(text: str) -> object:
    """Return parsed JSON, strictly: NaN and the infinities are none."""
    return json.loads(text, parse_constant=_no_constant)


def write_json(document: Any) -> str:
    """Return JSON as people read it."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _plain(flag: JsonObject) -> JsonObject:
    """Return a copy of plain values for the record: a document that keeps its comments has classes of its own."""
    copied: JsonObject = json.loads(json.dumps(flag, default=str))
    return copied


def _replace_atomically(target: Path, payload: bytes, seen: os.stat_result) -> None:
    """Put the payload in the file's place: same mode and owner, on disk before the name changes, and newer."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with open(handle, "wb") as file:
            file.write(payload)
            file.flush()
            _keep_access(file.fileno(), seen)
            _make_newer(file.fileno(), seen)
            os.fsync(file.fileno())
        if _identity(os.stat(target)) != _identity(seen):
            raise _Changed
        os.replace(name, target)
    except BaseException:  # cancelled or failed alike: leave no temporary file behind
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    _sync_directory(target.parent)


def _identity(stat: os.stat_result) -> tuple[int, int, int, int]:
    return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size


def _keep_access(handle: int, seen: os.stat_result) -> None:
    """Give the new file the old one's mode and owner; whoever could read the flags still can."""
    os.fchmod(handle, seen.st_mode & 0o7777)
    made = os.fstat(handle)
    if (made.st_uid, made.st_gid) == (seen.st_uid, seen.st_gid):
        return
    try:
        os.fchown(handle, seen.st_uid, seen.st_gid)
    except PermissionError:
        if not seen.st_mode & 0o004:
            raise  # the owner, perhaps flagd itself, would lose its flags


def _make_newer(handle: int, seen: os.stat_result) -> None:
    """Be later than the old file: watchers miss two saves in one clock tick, and files from the future."""
    made = os.fstat(handle)
    newest = max(made.st_mtime_ns, seen.st_mtime_ns + _MTIME_STEP_NS)
    os.utime(handle, ns=(made.st_atime_ns, newest))


def _sync_directory(directory: Path) -> None:
    """Make the new name survive a power cut; file systems that cannot say so do it on their own."""
    handle: Any = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
