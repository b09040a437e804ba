"""Nothing is lost, repeated or missed wherever a worker dies; `make chaos` lives through all forty-eight deaths."""

from __future__ import annotations

import pytest

from tests.simulation.crash_points import POINTS, POSITIONS, crash


def test_there_are_forty_eight() -> None:
    assert len(POINTS) * len(POSITIONS) == 48


@pytest.mark.parametrize(
    ("point", "position"), [(point, POSITIONS[at % len(POSITIONS)]) for at, point in enumerate(POINTS)]
)
def test_a_death_at_a_marked_point_breaks_no_promise(point: str, position: tuple[int, float]) -> None:
    """One passage of each point here; the death itself is checked to have happened."""
    died = crash(point, *position)
    assert died.passage > 0
    assert died.found == []
