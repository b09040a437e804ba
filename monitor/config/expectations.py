"""The `expect` of a budget's test: which decisions are to come, which are not, when and about what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NoReturn, TypeVar

from pydantic_core import PydanticCustomError

from monitor.config.fields import as_minutes, as_text, as_whole, as_word, refuse
from monitor.config.problem import near, shown
from monitor.config.source import BROKEN, Path, Source
from monitor.config.translate import either, unknown_key
from monitor.core.budget import Budget, Objective, Tier
from monitor.core.cohort import CohortKey, cohort_key
from monitor.core.decision import Reason, Type
from monitor.core.expectation import EXPECTABLE, HAPPENINGS, Expectation

NOTHING: Final = "nothing"
NOT: Final = "not"
MAX_EXPECTATIONS: Final = 50
MAX_COUNT: Final = 1_000
VERDICTS: Final = ("healthy", "inconclusive", "breach", "no_data")
CONDITIONS: Final = ("objective", "cohort", "between", "reason", "tier", "verdict", "count")

_ALL: Final = frozenset(CONDITIONS)
_NO_VERDICT: Final = _ALL - {"verdict"}
_ALLOWED: Final = {
    Type.ROLLBACK_REQUESTED: _NO_VERDICT,
    Type.PAGE_OPENED: _NO_VERDICT,
    Type.BREACH_STARTED: _NO_VERDICT,
    Type.BREACH_CLEARED: _NO_VERDICT,
    Type.PAGE_EXPIRED: _NO_VERDICT - {"tier"},
    Type.PAGE_RESOLVED: _NO_VERDICT - {"tier"},
    Type.DEBT_CREATED: _NO_VERDICT - {"tier", "reason"},
    Type.RELEASE_ASSESSED: _ALL - {"tier", "reason", "count"},
}
"""Which conditions a decision can meet: it says nothing about the others."""

_BY_OTHERS: Final = {one.value for one in Type} - {
    one.value for one in EXPECTABLE
}  # by people, or by what acts

T = TypeVar("T")


class ExpectReader:
    """Reads the `expect` of one test.

    Args:
        budget: What objectives and slices there are; None where it could not be loaded.
        minutes: How long the test's traffic lasts; None where that is not known.
    """

    def __init__(self, source: Source, budget: Budget | None, minutes: int | None) -> None:
        self._source = source
        self._budget = budget
        self._minutes = minutes

    def read(self, data: object, path: Path) -> tuple[Expectation, ...]:
        """Return what is expected, and report what cannot be."""
        if data == NOTHING:
            return (Expectation(HAPPENINGS, is_forbidden=True),)
        if not isinstance(data, list):
            self._source.error(path, f"got {shown(data)}; write a list of decisions, or {NOTHING}")
            return ()
        if not data or len(data) > MAX_EXPECTATIONS:
            message = f"{len(data)} expectations; write 1 to {MAX_EXPECTATIONS}, or {NOTHING} where nothing is to come"
            self._source.error(path, message)
        found = [self._item(item, (*path, position)) for position, item in enumerate(data[:MAX_EXPECTATIONS])]
        return tuple(one for one in found if one is not None)

    def _item(self, item: object, path: Path, *, is_forbidden: bool = False) -> Expectation | None:
        """Return one item: a decision's name, or a mapping of it to its conditions, or of `not` to either."""
        if item is BROKEN:
            return None
        if isinstance(item, dict) and len(item) == 1:
            ((name, conditions),) = item.items()
            if name == NOT and not is_forbidden:
                return self._item(conditions, (*path, name), is_forbidden=True)
            path = (*path, name)
        elif isinstance(item, str):
            name, conditions = item, {}
        else:
            said = "not" if is_forbidden else "an expectation"
            message = f"got {shown(item)}; {said} holds one decision, such as rollback.requested"
            self._source.error(path, message)
            return None
        type_ = next((one for one in EXPECTABLE if one.value == name), None)
        if type_ is None:
            allowed = [one.value for one in EXPECTABLE]
            hint = "" if name in _BY_OTHERS else near(name, allowed)
            message = f"{shown(name)} is no decision that traffic leads to{hint}; use {either(allowed)}"
            self._source.error(path, message, mark=self._source.keys.get(path))
            return None
        return self._expectation(type_, conditions, path, is_forbidden=is_forbidden)

    def _expectation(
        self, type_: Type, conditions: object, path: Path, *, is_forbidden: bool
    ) -> Expectation | None:
        if conditions is BROKEN:
            return None
        if not isinstance(conditions, dict):
            message = (
                f"got {shown(conditions)}; write its conditions as a mapping, or the decision's name alone"
            )
            self._source.error(path, message)
            return None
        given = self._known(type_, conditions, path, is_forbidden=is_forbidden)
        objective = self._read(given, path, "objective", self._objective)
        if "verdict" in given and "objective" not in given:
            self._source.error((*path, "verdict"), "a verdict is an objective's; add `objective:`")
        return Expectation(
            types=(type_,),
            is_forbidden=is_forbidden,
            objective_id=objective,
            cohort=self._read(given, path, "cohort", lambda value: self._cohort(value, objective)),
            reason=self._read(
                given, path, "reason", lambda value: _word(value, [one.value for one in Reason])
            ),
            tier=self._read(given, path, "tier", lambda value: _word(value, [one.value for one in Tier])),
            verdict=self._read(given, path, "verdict", lambda value: _word(value, VERDICTS)),
            between_min=self._read(given, path, "between", self._between),
            count=self._read(given, path, "count", lambda value: as_whole(value, 1, MAX_COUNT)),
        )

    def _known(
        self, type_: Type, conditions: Mapping[str, object], path: Path, *, is_forbidden: bool
    ) -> dict[str, object]:
        """Return the conditions that this decision can meet, and report the others."""
        allowed = [
            one for one in CONDITIONS if one in _ALLOWED[type_] and not (is_forbidden and one == "count")
        ]
        for key in conditions:
            if key not in allowed:
                place = (*path, key)
                self._source.error(place, unknown_key(key, allowed), mark=self._source.keys.get(place))
        return {key: value for key, value in conditions.items() if key in allowed and value is not BROKEN}

    def _read(
        self, given: Mapping[str, object], path: Path, key: str, read: Callable[[object], T]
    ) -> T | None:
        if key not in given:
            return None
        try:
            return read(given[key])
        except PydanticCustomError as problem:
            self._source.error((*path, key), problem.message())
            return None

    def _objective(self, value: object) -> str:
        name = as_text(value, 256)
        if self._budget is not None:
            _word(name, [one.objective_id for one in self._budget.objectives])
        return name

    def _cohort(self, value: object, objective_id: str | None) -> CohortKey:
        if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
            refuse(f"got {shown(value)}; write `dimension: value`, or {{}} for everybody")
        key = cohort_key(value)
        meant = [one for one in self._objectives() if objective_id in (None, one.objective_id)]
        views = {view for one in meant for view in one.views()}
        if meant and key not in views:
            allowed = [_flow(view) for view in sorted(views)]
            refuse(f"the budget does not look at {_flow(key)} alone; use {either(allowed)}")
        return key

    def _objectives(self) -> tuple[Objective, ...]:
        return () if self._budget is None else self._budget.objectives

    def _between(self, value: object) -> tuple[int, int]:
        if not isinstance(value, list) or len(value) != 2:
            refuse(f"got {shown(value)}; write the first and the last moment, such as [50m, 60m]")
        most = 1_000_000 if self._minutes is None else self._minutes
        first, last = (as_minutes(one, 0, 1_000_000) for one in value)
        if first > last:
            refuse(f"{shown(value[0])} is after {shown(value[1])}; write the earlier moment first")
        if first > most:
            refuse(f"{shown(value[0])} is after the end of the traffic, which lasts {most}m")
        return first, last


def _word(value: object, allowed: list[str] | tuple[str, ...]) -> str:
    word = as_word(value)
    if word in allowed:
        return str(word)
    _refuse_word(word, list(allowed))


def _refuse_word(word: object, allowed: list[str]) -> NoReturn:
    refuse(f"{shown(word)} is not allowed; use {either(allowed)}{near(str(word), allowed)}")


def _flow(key: CohortKey) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in key) + "}"
