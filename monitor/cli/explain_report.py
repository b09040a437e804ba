"""What `explain` says about a decision, for people and for machines. Loaded by the verb when it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from monitor.cli.explain_chart import chart
from monitor.cli.explain_words import (
    answer_words,
    facts,
    next_steps,
    number_words,
    value_form,
    verdict_facts,
)
from monitor.cli.output import on_one_line
from monitor.core.derivation import Derivation, EvidenceDamaged, NoEvidence
from monitor.core.errors import MonitorError
from monitor.core.ladder import mode_words
from monitor.core.moment import rfc3339
from monitor.core.record import finite
from monitor.core.rederive import derive
from monitor.wire.cloudevent import CloudEvent

if TYPE_CHECKING:
    from rich.console import Console

_LATER: Final = 6
_DIGITS: Final = 10  # of numbers that differ
_LABEL: Final = 11
_ASSESSED: Final = "release.assessed"
_UNSAYABLE: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, MonitorError)
"""What comes of words about a record that holds anything but what was written: text for a number, no stretch ..."""


@dataclass(frozen=True, slots=True)
class Derived:
    """One derivation, or why there is none.

    Attributes:
        what: Of an assessment, which row.
        problem: Evidence that cannot be read.
    """

    what: str = ""
    derivation: Derivation | None = None
    missing: str | None = None
    problem: str | None = None

    @property
    def agrees(self) -> bool:
        """Tell whether nothing speaks against the record."""
        return self.problem is None and (self.derivation is None or not self.derivation.disagreements)

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        found = self.derivation
        told: dict[str, Any] = {"agrees": self.agrees, "missing": self.missing, "problem": self.problem}
        if self.what:
            told["what"] = self.what
        if found is None:
            return told
        return {
            **told,
            "answer": found.answer,
            "refusal": found.refusal,
            "x": finite(found.x),
            "needed": finite(found.needed),
            "recorded_x": found.recorded_x,
            "disagreements": [
                {"what": one.what, "recorded": one.recorded, "found": one.found}
                for one in found.disagreements
            ],
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision, what follows from its record, and what came after it.

    Attributes:
        facts: (label, text), as far as the record can be said.
        drawn: Its curve, as lines.
    """

    event: CloudEvent
    derived: tuple[Derived, ...]
    later: tuple[CloudEvent, ...] = field(default=())
    facts: tuple[tuple[str, str], ...] = field(default=())
    drawn: tuple[str, ...] = field(default=())

    @property
    def agrees(self) -> bool:
        """Tell whether everything in the record follows from its sums."""
        return all(one.agrees for one in self.derived)

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        event = self.event
        return {
            "id": event.id,
            "type": event.type,
            "release": event.subject,
            "time": rfc3339(event.time_ms),
            "agrees": self.agrees,
            "derived": [one.as_json() for one in self.derived],
            "data": dict(event.data),
            "later": [
                {
                    "id": one.id,
                    "type": one.type,
                    "time": rfc3339(one.time_ms),
                    "summary": one.data.get("summary"),
                }
                for one in self.later
            ],
        }


def explanation(event: CloudEvent, known: Sequence[CloudEvent]) -> Explanation:
    """Return what is to be said about a decision, among those that are known.

    A record that cannot be said or drawn does not agree: nobody of us wrote it so.
    """
    if event.name == _ASSESSED:
        rows = [row for row in _listed(event.data.get("objectives")) if isinstance(row, Mapping)]
        derived = [_derived(row, _row_name(row)) for row in rows]
    else:
        derived = [_derived(event.data, "")]
    said: list[tuple[str, str]] = []
    drawn: list[str] = []
    is_whole = all(one.problem is None for one in derived)
    try:
        said.extend(_told(event, is_whole=is_whole))  # what could be said before it broke stays
        drawn = _drawn(event.data)
    except _UNSAYABLE as error:
        problem = f"the record cannot be said in words: {type(error).__name__}: {error}"
        derived += [Derived(problem=problem)] if is_whole else []
    said.append(("id", event.id))
    return Explanation(event, tuple(derived), tuple(_later(event, known)), tuple(said), tuple(drawn))


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _derived(data: Mapping[str, Any], what: str) -> Derived:
    try:
        return Derived(what, derive(data))
    except NoEvidence as error:
        return Derived(what, missing=str(error))
    except EvidenceDamaged as error:
        return Derived(what, problem=str(error))


def _row_name(row: Mapping[str, Any]) -> str:
    found = row.get("cohort")
    cohort = (
        ", ".join(f"{name}={value}" for name, value in found.items()) if isinstance(found, Mapping) else ""
    )
    return f"{row.get('objective')} for {cohort}" if cohort else str(row.get("objective"))


def _later(event: CloudEvent, known: Sequence[CloudEvent]) -> list[CloudEvent]:
    """What came after it in the same arming, about its objective or about the whole release; each once."""
    objective = event.data.get("objective")
    later = {
        one.id: one
        for one in known
        if one.subject == event.subject
        and one.time_ms >= event.time_ms
        and one.id != event.id
        and one.data.get("arming") == event.data.get("arming")
        and (objective is None or one.data.get("objective") in (None, objective))
    }
    return sorted(later.values(), key=lambda one: one.time_ms)[:_LATER]


def print_explanation(people: Console, told: Explanation) -> None:
    """Say it to people."""
    event = told.event
    people.print(on_one_line(f"{event.name} of {event.subject}, {rfc3339(event.time_ms)}"), style="bold")
    people.print(on_one_line(str(event.data.get("summary") or "it says nothing more")), style="bold")
    people.print()
    last = ""
    for label, text in told.facts:
        people.print(f"{label if label != last else '':<{_LABEL}} {on_one_line(text)}")
        last = label
    for line in told.drawn:
        people.print(line)
    if told.later:
        people.print()
        people.print("afterwards", style="bold")
        for one in told.later:
            said = f": {one.data['summary']}" if one.data.get("summary") else ""
            people.print(on_one_line(f"  {rfc3339(one.time_ms)} {one.name} {one.id[:12]}{said}"))
    people.print()
    for text, style in _verdicts(told):
        people.print(on_one_line(text), style=style)


def _told(event: CloudEvent, *, is_whole: bool) -> Iterator[tuple[str, str]]:
    data = event.data
    if event.name == _ASSESSED:
        for row in data.get("objectives") or ():
            yield from verdict_facts(row, _row_name(row))
    elif is_whole:
        yield from facts(data)
    yield (
        "budget",
        f"{data.get('budget')}, digest {str(data.get('budget_digest'))[:12]}, arming {data.get('arming')}",
    )
    if (mode := mode_words(data)) is not None:
        yield "mode", mode
    if data.get("exemplars"):
        yield "look at", ", ".join(str(one) for one in data["exemplars"])
    for step in next_steps(event):
        yield "next", step


def _drawn(data: Mapping[str, Any]) -> list[str]:
    evidence = data.get("evidence") or {}
    points = evidence.get("points")
    if not points:
        return []
    lines = chart(points, evidence["rule"], evidence["stretches"], value_form(data))
    return ["", *lines] if lines else []


def _verdicts(told: Explanation) -> Iterator[tuple[str, str]]:
    for one in told.derived:
        of = f" {one.what}" if one.what else ""
        if one.missing is not None:
            yield f"re-derived{of}: nothing; {one.missing}", "yellow"
        elif one.problem is not None:
            yield f"DOES NOT AGREE{of}: {one.problem}", "bold red"
        elif one.derivation is not None:
            yield from _verdict(one.derivation, of)


def _verdict(found: Derivation, of: str) -> Iterator[tuple[str, str]]:
    agrees = not found.disagreements
    yield f"re-derived{of}: {answer_words(found)}", "green" if agrees else "bold red"
    for one in found.disagreements:
        recorded, now = number_words(one.recorded, _DIGITS), number_words(one.found, _DIGITS)
        yield f"DOES NOT AGREE: {one.what}: the record says {recorded}, its sums say {now}", "bold red"
    if not agrees:
        yield "This record was changed after it was written, or another version wrote it.", "bold red"
