"""The evidence pack's file: the same bytes each time, nothing overwritten, and rubbish refused."""

from __future__ import annotations

import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.adapters.evidence_zip import (
    MEMBERS_MAX,
    PackNotWritten,
    PackUnreadable,
    read_pack,
    write_pack,
    zipped,
)

FILES = {"b.txt": b"two", "a.txt": b"one" * 100, "empty": b""}


@given(st.dictionaries(st.text("abcxyz.", min_size=1, max_size=8), st.binary(max_size=50), max_size=5))
def test_the_same_files_are_the_same_bytes(files: dict[str, bytes]) -> None:
    assert zipped(files) == zipped(dict(reversed(files.items())))


def test_what_is_written_is_read_and_any_zip_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "pack.zip"
    size = write_pack(path, FILES, force=False)
    assert (path.stat().st_size, read_pack(path)) == (size, FILES)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == sorted(FILES)
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_nothing_is_written_over_unless_it_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "pack.zip"
    path.write_bytes(b"precious")
    with pytest.raises(
        PackNotWritten, match="is there already; name another file, or write over it with --force"
    ):
        write_pack(path, FILES, force=False)
    assert path.read_bytes() == b"precious"
    write_pack(path, FILES, force=True)
    assert read_pack(path) == FILES
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("force", [False, True])
def test_a_place_that_cannot_be_written_is_said(tmp_path: Path, force: bool) -> None:
    with pytest.raises(PackNotWritten, match="is a directory"):
        write_pack(tmp_path, FILES, force=force)
    with pytest.raises(PackNotWritten, match="cannot be written: No such file or directory"):
        write_pack(tmp_path / "away" / "pack.zip", FILES, force=force)


def test_a_file_that_is_no_pack_is_said(tmp_path: Path) -> None:
    path = tmp_path / "pack.zip"
    with pytest.raises(PackUnreadable, match="cannot be read: No such file"):
        read_pack(path)
    path.write_bytes(b"rubbish")
    with pytest.raises(PackUnreadable, match="is no whole zip file"):
        read_pack(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", b"0" * 100_000)
    with pytest.raises(PackUnreadable, match="'bomb' is compressed"):
        read_pack(path)
    path.write_bytes(zipped({f"{place}": b"" for place in range(MEMBERS_MAX + 1)}))
    with pytest.raises(PackUnreadable, match=f"at most {MEMBERS_MAX}"):
        read_pack(path)


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Else one of them is checked and a person reads the other."""
    path = tmp_path / "pack.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", b"one")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.txt", b"two")
    with pytest.raises(PackUnreadable, match=r"'a\.txt' twice"):
        read_pack(path)


@given(st.data())
def test_a_damaged_file_is_read_as_it_was_or_refused(data: st.DataObject) -> None:
    """Whatever a disk or a person does to one byte: an error of ours, or files that a manifest can be held against."""
    whole = bytearray(zipped(FILES))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "pack.zip"
        path.write_bytes(bytes(whole))
        try:
            found = read_pack(path)
        except PackUnreadable:
            return
    assert sorted(found.values()) == sorted(FILES.values())
