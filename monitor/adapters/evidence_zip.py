"""An evidence pack as a zip file: the same files are the same bytes, on every machine and at any time.

Nothing is compressed: what a compressor writes depends on its version, and a file that unpacks to more than it is need
not be guarded against.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import ClassVar, Final

from monitor.core.errors import MonitorError

BYTES_MAX: Final = 1 << 30
MEMBERS_MAX: Final = 64

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip file can name
_UNIX: Final = 3
_READABLE: Final = 0o100644 << 16


class PackNotWritten(MonitorError):
    """The pack cannot be written there; the message says why."""

    exit_code: ClassVar[int] = 2


class PackUnreadable(MonitorError):
    """A file that is no evidence pack; the message says why."""


class PackAway(PackUnreadable):
    """A file that is not there, or may not be read: a slip of who names it, and nothing about a pack."""

    exit_code: ClassVar[int] = 2


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return files as a zip file, sorted by their names."""
    whole = BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, _EPOCH)
            member.create_system, member.external_attr = _UNIX, _READABLE
            archive.writestr(member, files[name])
    return whole.getvalue()


def write_pack(path: Path, files: Mapping[str, bytes], *, force: bool) -> int:
    """Write a pack; return its size in bytes.

    Args:
        force: Write over a file that is there.

    Raises:
        PackNotWritten: A file is there, the pack is too large to be read again, or the place cannot be written.
    """
    check_place(path, force=force)
    whole = zipped(files)
    if len(whole) > BYTES_MAX:
        raise PackNotWritten(f"{path}: would have {len(whole):,} bytes; a pack has at most {BYTES_MAX:,}")
    # Written beside it first: a pack that is written over is whole at any moment, the old one or the new one.
    target = path.with_name(f".{path.name}.tmp") if force else path
    try:
        with target.open("wb" if force else "xb") as file:
            file.write(whole)
        target.replace(path)
    except FileExistsError as error:
        raise _there_already(path) from error
    except OSError as error:
        target.unlink(missing_ok=True)
        raise PackNotWritten(f"{path}: cannot be written: {error.strerror or error}") from error
    return len(whole)


def check_place(path: Path, *, force: bool) -> None:
    """Hold the place of a pack against what is there.

    Raises:
        PackNotWritten: A file is there and `force` is not given, or it is a directory.
    """
    if path.is_dir():
        raise PackNotWritten(f"{path}: is a directory; name a file in it, such as {path}/evidence.zip")
    if path.exists() and not force:
        raise _there_already(path)


def _there_already(path: Path) -> PackNotWritten:
    return PackNotWritten(f"{path}: is there already; name another file, or write over it with --force")


def read_pack(path: Path) -> dict[str, bytes]:
    """Return the files of a pack by their names.

    Raises:
        PackAway: It cannot be read.
        PackUnreadable: It is not as a pack is written.
    """
    try:
        size = path.stat().st_size
        if size > BYTES_MAX:
            raise PackUnreadable(f"{path}: has {size:,} bytes; a pack has at most {BYTES_MAX:,}")
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive.infolist())
            return {member.filename: archive.read(member) for member in archive.infolist()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise PackUnreadable(f"{path}: is no whole zip file: {error}") from error
    except OSError as error:
        raise PackAway(f"{path}: cannot be read: {error.strerror or error}") from error


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MEMBERS_MAX:
        raise PackUnreadable(f"{path}: holds {len(members):,} files; a pack holds at most {MEMBERS_MAX}")
    names = [member.filename for member in members]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise PackUnreadable(f"{path}: holds {twice!r} twice; one of them would not be looked at")
    packed = next((one for one in members if one.compress_type != zipfile.ZIP_STORED), None)
    if packed is not None:
        raise PackUnreadable(f"{path}: {packed.filename!r} is compressed; in a pack nothing is")
    if sum(member.file_size for member in members) > BYTES_MAX:
        raise PackUnreadable(f"{path}: its files have more than {BYTES_MAX:,} bytes in all")
