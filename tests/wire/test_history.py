"""The history's records: an hour comes back as it was written, and what is none is refused by name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.cohort import OVERALL, cohort_key
from monitor.core.ids import canonical_json
from monitor.wire.history import HistoryLine, NoHistoryRecord, from_history, to_history

LINE = HistoryLine("model-v41", 498_706, 60, False, b"\x9c\x01\x02")


@given(
    st.builds(
        HistoryLine,
        release=st.text(st.characters(codec="utf-8"), min_size=1, max_size=128),
        hour=st.integers(0, 2_000_000),
        minutes=st.integers(1, 60),
        breached=st.booleans(),
        packed=st.binary(min_size=3, max_size=500),
        view=st.dictionaries(st.text(min_size=1, max_size=9), st.text(max_size=9), max_size=3).map(
            cohort_key
        ),
    )
)
def test_an_hour_comes_back_as_it_was(line: HistoryLine) -> None:
    key, value = to_history(line)
    cohort = f"/{canonical_json(dict(line.view))}" if line.view else ""
    assert key == f"{line.release}/{line.hour}{cohort}"
    assert from_history(value) == line


def test_everybodys_hour_is_written_as_it_was_before_slices_had_records() -> None:
    """Whoever reads only those goes on reading them, and finds the slices to be none."""
    assert sorted(json.loads(to_history(LINE)[1])) == ["breached", "cell", "hour", "minutes", "release"]
    assert from_history(to_history(LINE)[1]).view == OVERALL


def test_a_slice_has_a_record_and_a_key_of_its_own() -> None:
    key, value = to_history(LINE._replace(view=cohort_key({"workflow": "claims", "tenant": "acme"})))
    assert key == 'model-v41/498706/{"tenant":"acme","workflow":"claims"}'
    assert json.loads(value)["cohort"] == {"tenant": "acme", "workflow": "claims"}


def test_the_hour_is_told_as_people_write_it() -> None:
    assert json.loads(to_history(LINE)[1])["hour"] == "2026-11-22T10:00:00.000Z"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"minutes": 0}, "minutes: Input should be greater than or equal to 1"),
        ({"minutes": 61}, "minutes: Input should be less than or equal to 60"),
        ({"hour": "2026-11-22T10:30:00.000Z"}, "is not the beginning of an hour"),
        ({"hour": "2026-11-32T10:00:00.000Z"}, "history: "),
        ({"cell": "AAA"}, "cell: String should have at least 4 characters"),
        ({"cell": "AAAAA"}, "history: "),
        ({"cohort": {"tenant": 7}}, "cohort.tenant: Input should be a valid string"),
        ({"cohort": "acme"}, "cohort: Input should be "),
        ({"requests": 7}, "requests: Extra inputs are not permitted"),
    ],
)
def test_what_is_no_hour_is_refused_with_the_reason(change: dict[str, object], said: str) -> None:
    record = {**json.loads(to_history(LINE)[1]), **change}
    with pytest.raises(NoHistoryRecord) as refused:
        from_history(json.dumps(record).encode())
    assert said in str(refused.value)


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"\xff"])
def test_what_is_no_json_object_is_refused(value: bytes) -> None:
    with pytest.raises(NoHistoryRecord):
        from_history(value)
