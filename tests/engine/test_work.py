"""The data plane does no more for an event than it did: counted work, so that a busy machine changes nothing.

Slower on purpose, or because of a new Python? `python -m tests.engine.work --write` records the counts anew, and the
reviewer sees them in the diff. Faster? Record them too: what was gained is then kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from monitor.engine.feed import Feed
from tests.engine.work import CASES, PYTHON, RECORDED, work

KNOWN: Mapping[str, Mapping[str, Mapping[str, float]]] = json.loads(RECORDED.read_text())
SLACK = 1.10 if PYTHON in KNOWN else 1.50  # another Python has other bytecodes for the same work
ALLOWED = KNOWN.get(PYTHON) or KNOWN[max(KNOWN)]


def grown(found: Mapping[str, float], case: str) -> dict[str, str]:
    """Return the counts that are beyond what is recorded."""
    return {
        name: f"{count:g}, recorded {ALLOWED[case][name]:g}"
        for name, count in found.items()
        if count > ALLOWED[case][name] * SLACK
    }


@pytest.mark.parametrize("case", CASES)
def test_an_event_costs_no_more_than_is_recorded(case: str) -> None:
    assert grown(work(CASES[case]), case) == {}, "if it is worth it: python -m tests.engine.work --write"


def test_looking_at_each_event_again_and_again_is_seen() -> None:
    """The guard can fail: where every event is read again and again, it says so."""

    def again(feed: Feed) -> None:
        once = feed._decode
        feed._decode = lambda value: [once(value) for _ in range(25)][-1]

    case = next(iter(CASES))
    assert {"fold bytecodes", "fold calls"} <= grown(work(CASES[case], again), case).keys()
