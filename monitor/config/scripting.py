"""The traffic of a budget's test as an exact script: defaults applied, every value checked where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

from monitor.config.budget_tests_model import BudgetTestsFile, BudgetTestSpec, SliceSpec, StretchSpec
from monitor.config.problem import near
from monitor.config.scripted_values import complaint_about, joined, read_values
from monitor.config.source import Path, Source
from monitor.core.cohort import Role, cohort_key
from monitor.core.indicator import INCIDENTS
from monitor.core.traffic_script import Slice, Stretch, TrafficScript, Values

MAX_EVENTS: Final = 1_000_000
"""Of one test: about a minute's work."""

DEFAULT_SHARE: Final = Fraction(1, 2)
_ROOM: Final = (
    4  # an incident needs a request to happen in: so many of its lane each, and it is surely in time
)
_NO_VALUES: Final[Values] = {}


def script_of(
    kept: Mapping[str, Any], file: BudgetTestsFile | None, position: int, source: Source
) -> TrafficScript | None:
    """Return the script of one test, and report what is wrong with its values.

    Args:
        kept: The whole file as it stands.
        file: The same, where it fits its models; None: then only the values are checked.
    """
    values = dict(_all_values(kept, position, source))
    if file is None:
        return None
    return _Scripting(file, position, values, source).script()


def _all_values(kept: Mapping[str, Any], position: int, source: Source) -> Iterator[tuple[Path, Values]]:
    """Yield every mapping of values that bears on a test, by its place.

    The file's own bear on each of its tests: what is wrong with them is told each time, and shown once.
    """
    here: Path = ("tests", position)
    test = kept["tests"][position]
    for path, above in (((), kept), (here, test)):
        yield from _values_in(above, path, source, "base")
        for name, one in _below(above, "slices"):
            yield from _values_in(one, (*path, "slices", name), source, "base")
    traffic = test.get("traffic")
    for number, stretch in enumerate(traffic if isinstance(traffic, list) else ()):
        place: Path = (*here, "traffic", number)
        yield from _values_in(stretch, place, source, "base", "baseline", "candidate")
        for name, one in _below(stretch, "slices"):
            yield from _values_in(one, (*place, "slices", name), source, "baseline", "candidate")


def _below(above: object, key: str) -> Iterable[tuple[str, object]]:
    below = above.get(key) if isinstance(above, dict) else None
    return below.items() if isinstance(below, dict) else ()


def _values_in(above: object, path: Path, source: Source, *keys: str) -> Iterator[tuple[Path, Values]]:
    for key in keys:
        if isinstance(above, dict) and key in above:
            place = (*path, key)
            yield place, read_values(above[key], place, source, with_incidents=key != "base")


class _Scripting:
    """One test on its way to a script."""

    def __init__(
        self, file: BudgetTestsFile, position: int, values: Mapping[Path, Values], source: Source
    ) -> None:
        self._file = file
        self._test: BudgetTestSpec = file.tests[position]
        self._path: Path = ("tests", position)
        self._values = values
        self._source = source
        own = self._test.slices
        self._specs: Mapping[str, SliceSpec] = file.slices if own is None else own
        self._specs_path: Path = ("slices",) if own is None else (*self._path, "slices")

    def script(self) -> TrafficScript | None:
        """Return the script; None where it cannot be made."""
        slices = self._slices()
        stretches = [self._stretch(number, slices) for number in range(len(self._test.traffic))]
        found = tuple(one for one in stretches if one is not None)
        if len(found) != len(stretches):
            return None
        script = TrafficScript(slices, found)
        if script.requests > MAX_EVENTS:
            message = f"{script.requests:,} requests are too many for one test; at most {MAX_EVENTS:,}"
            self._source.error((*self._path, "traffic"), message)
        elif not script.requests:
            self._source.error((*self._path, "traffic"), "there is no request in it; give it a rate above 0")
        return script

    def _slices(self) -> tuple[Slice, ...]:
        """Return the named slices, and what they leave of the traffic as one without a name."""
        named = [Slice(name, cohort_key(spec.where), spec.share) for name, spec in self._specs.items()]
        rest = 1 - sum((one.share for one in named), Fraction(0))
        if rest < 0:
            message = f"the shares add up to {float(1 - rest):.4g}; they are parts of one whole, at most 1"
            self._source.error(self._specs_path, message)
            rest = Fraction(0)
        return tuple(named) if rest == 0 else (*named, Slice(share=rest))

    def _stretch(self, number: int, slices: tuple[Slice, ...]) -> Stretch | None:
        spec: StretchSpec = self._test.traffic[number]
        path: Path = (*self._path, "traffic", number)
        per_min = next(
            (one for one in (spec.rate, self._test.rate, self._file.rate) if one is not None), None
        )
        if per_min is None:
            self._source.error((*self._path, "rate"), "missing; add it, such as `rate: 300/min`")
            return None
        for name in spec.slices:
            if name not in self._specs:
                self._source.error((*path, "slices", name), self._no_slice(name))
        shares = (spec.share, self._test.share, self._file.share, DEFAULT_SHARE)
        stretch = Stretch(
            minutes=spec.lasts,
            per_min=per_min,
            candidate_share=next(one for one in shares if one is not None),
            values={(role, one.name): self._shown(path, role, one.name) for role in Role for one in slices},
            incidents=self._incidents(path, spec),
        )
        self._check_room(path, stretch, slices)
        return stretch

    def _no_slice(self, name: str) -> str:
        known = ", ".join(self._specs) or "none"
        return f"there is no such slice{near(name, self._specs)}; known are {known}"

    def _of(self, *path: str | int) -> Values:
        return self._values.get(path, _NO_VALUES)

    def _shown(self, path: Path, role: Role, name: str) -> Values:
        """Return what one lane shows, from the general to the particular."""
        shown = joined(
            self._of("base"),
            self._of(*self._path, "base"),
            self._of(*self._specs_path, name, "base"),
            self._of(*path, "base"),
            self._of(*path, role.value),
            self._of(*path, "slices", name, role.value),
        )
        shown.pop(INCIDENTS, None)
        if complaint := complaint_about(shown):
            self._source.error(path, f"{role.value}: {complaint}")
        return shown

    def _incidents(self, path: Path, spec: StretchSpec) -> dict[tuple[Role, str | None], int]:
        places: list[tuple[tuple[Role, str | None], Path]] = [
            ((role, name), (*path, *below, role.value))
            for name, below in ((None, ()), *((name, ("slices", name)) for name in spec.slices))
            for role in Role
        ]
        counts = {lane: int(self._of(*place).get(INCIDENTS, 0)) for lane, place in places}
        return {lane: count for lane, count in counts.items() if count}

    def _check_room(self, path: Path, stretch: Stretch, slices: tuple[Slice, ...]) -> None:
        """Refuse more incidents than the lane has requests to carry them."""
        shares = {one.name: one.share for one in slices}
        for (role, name), count in stretch.incidents.items():
            candidate = stretch.candidate_share
            arm = candidate if role is Role.CANDIDATE else 1 - candidate
            requests = int(stretch.requests * arm * (1 if name is None else shares.get(name, Fraction(1))))
            if requests < _ROOM * count:
                below = () if name is None else ("slices", name)
                message = f"{count} in {requests} requests; spread over a stretch they need {_ROOM * count}"
                self._source.error((*path, *below, role.value, INCIDENTS), message)
