"""A past in a file: the topic's records, one a line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from monitor.adapters.history_file import read_history
from monitor.adapters.recordings import RecordingUnreadable
from monitor.core.history import HistoryHour
from monitor.engine.codec import encode_cell
from monitor.wire.history import HistoryLine, to_history
from tests.engine.pasts import past


def lines(hours: list[HistoryHour]) -> bytes:
    """Return the records as a file holds them."""
    texts = [
        to_history(
            HistoryLine(one.release, one.hour, one.minutes, one.breached, encode_cell(one.cell), one.view)
        )[1]
        for one in hours
    ]
    return b"\n".join(texts) + b"\n\n"


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_holds_a_past(tmp_path: Path, packed: bool) -> None:
    file, hours = tmp_path / "past.jsonl", past(days=2)
    file.write_bytes(gzip.compress(lines(hours)) if packed else lines([*hours, *hours]))
    assert read_history(file).of("v41") == hours


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"release": "v41"}\n', "past.jsonl: line 1: history: hour: Field required"),
        (lines(past(days=1)) + b"x\n", "past.jsonl: line 26: history: record"),
        (gzip.compress(lines(past(days=1)), mtime=0)[:-200], "past.jsonl: cannot be read: "),
    ],
    ids=[
        "no hour",
        "a broken line",
        "a torn archive",
    ],  # the packed bytes name the moment, and processes must agree
)
def test_what_is_no_past_is_refused_with_its_place(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "past.jsonl"
    file.write_bytes(content)
    with pytest.raises(RecordingUnreadable) as refused:
        read_history(file)
    assert said in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingUnreadable, match=r"none\.jsonl: cannot be read: .*No such file"):
        read_history(tmp_path / "none.jsonl")
