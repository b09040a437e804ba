"""A curve of bounded size over a watch of any length: neighbours are joined, and the worse of them stays."""

from __future__ import annotations

from typing import Final

from monitor.core.indicator import Direction

MAX_POINTS: Final = 1_024  # more than a screen or a page can show


class Curve:
    """One value a minute, kept as at most `MAX_POINTS` points of equally many minutes each.

    Attributes:
        first_minute: The minute of the first point; None before one was added.
        step_min: How many minutes a point stands for.
    """

    __slots__ = ("_is_lower_worse", "_max", "_values", "first_minute", "step_min")

    def __init__(self, worse: Direction, *, max_points: int = MAX_POINTS) -> None:
        assert max_points % 2 == 0, "points are joined in pairs"
        self._is_lower_worse = worse is Direction.LOWER_IS_WORSE
        self._max = max_points
        self._values: list[float | None] = []
        self.first_minute: int | None = None
        self.step_min = 1

    def add(self, minute: int, value: float | None) -> None:
        """Add a minute's value, None where there is none; minutes come in order, some may be left out."""
        if self.first_minute is None:
            self.first_minute = minute
        while (minute - self.first_minute) // self.step_min >= self._max:
            self._join()
        index = (minute - self.first_minute) // self.step_min
        self._values += [None] * (index + 1 - len(self._values))
        self._values[index] = self._worse(self._values[index], value)

    def points(self) -> tuple[tuple[int, float | None], ...]:
        """Return (first minute of the point, worst value within it)."""
        first = self.first_minute or 0
        return tuple((first + index * self.step_min, value) for index, value in enumerate(self._values))

    def _join(self) -> None:
        self.step_min *= 2
        rest = self._values[1::2] + [None] * (len(self._values) % 2)
        self._values = [self._worse(one, other) for one, other in zip(self._values[::2], rest, strict=True)]

    def _worse(self, one: float | None, other: float | None) -> float | None:
        if one is None or other is None:
            return other if one is None else one
        return min(one, other) if self._is_lower_worse else max(one, other)
