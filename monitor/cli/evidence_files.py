"""The files of an evidence pack. Loaded by the verb when it runs.

Nothing here reads a clock: the same record gives the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from typing import Any, ClassVar, Final

from rich.console import Console

from monitor.cli.explain_report import Explanation, explanation, print_explanation
from monitor.cli.on_record import OnRecord
from monitor.cli.scorecard_words import as_markdown, card_name, unmarked
from monitor.config.canonical import FORM, canonical
from monitor.core.budget import Budget
from monitor.core.decision import Decision, Type
from monitor.core.errors import MonitorError
from monitor.core.evidence_pack import DECISIONS, MANIFEST, Chain, chained, digest_of, manifest_of
from monitor.core.ids import canonical_json
from monitor.core.moment import rfc3339
from monitor.core.scorecard import Scorecard, scorecard
from monitor.core.scorecard_parts import newest_data, text_of
from monitor.engine.arming_record import ArmingRecord, debts_in, in_time_order, known_of
from monitor.engine.page_commands import harmless
from monitor.wire.cloudevent import SPEC_VERSION, CloudEvent, to_structured
from monitor.wire.eval_cases import debt_lines

EXPLAINED_MAX: Final = 2_000
_DISTRIBUTION: Final = "rollback-budget-monitor"
_ASSESSED: Final = "release.assessed"
_NEAR: Final = 500  # decisions among which "afterwards" is looked for: it names the first few
_FENCES: Final = re.compile("~+")


class OtherBudget(MonitorError):
    """A budget that is not the one on record."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Pack:
    """An evidence pack before it is written.

    Attributes:
        explained: How many decisions carry evidence; `disagreeing` of them do not follow from it.
        problems: What the pack itself says is missing, in sentences.
    """

    files: Mapping[str, bytes]
    card: Scorecard
    chain: Chain
    explained: int
    disagreeing: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def manifest_sha256(self) -> str:
        """What is to be kept elsewhere."""
        return digest_of(self.files[MANIFEST])


def pack_of(record: ArmingRecord, found: OnRecord, budget: Budget | None) -> Pack:
    """Return the pack of an arming.

    Args:
        found: Where the record is from.
        budget: A person's copy of the budget, for a record that lacks it.

    Raises:
        OtherBudget: Its digest is none of this arming's.
    """
    budgets = _budgets(record, budget)
    if record.spec is None and budget is not None and _newest_digest(record) == budget.digest:
        record = replace(record, spec=canonical(budget))
    known = known_of(record, found.source)
    card = scorecard(known)
    drill = known.rehearsed
    about = None if drill is None else (drill.release, drill.at)
    cited = [one for one in record.drills if (one.release, str(one.data.get("decided_at"))) == about]
    by_id = {event.id: event for event in found.events}
    events = [by_id[one.decision_id] for one in in_time_order([*record.decisions, *cited[-1:]])]
    chain = chained(to_structured(event) for event in events)
    explained, disagreeing, left_out = _explanations(events)
    doubts = [f"budget {one['digest']}: {one['problem']}" for one in budgets if one["problem"] is not None]
    unread = found.unread_words()
    problems = (*doubts, *([] if unread is None else [unread]), *left_out)
    files = {
        "scorecard.json": _json(asdict(card)),
        "scorecard.md": as_markdown(card).encode(),
        DECISIONS: b"".join(line + b"\n" for line in chain.lines),
        "explanations.md": "".join(
            f"{line}\n" for line in _explained_page(card, explained, left_out)
        ).encode(),
        "eval_debts.jsonl": debt_lines(debts_in(record.decisions), record.as_of_ms).encode(),
        "budgets.json": _json(budgets),
    }
    manifest = manifest_of(files, chain, _head(card, problems))
    return Pack({**files, MANIFEST: manifest}, card, chain, len(explained), disagreeing, problems)


def _head(card: Scorecard, problems: Sequence[str]) -> dict[str, object]:
    try:
        monitor = version(_DISTRIBUTION)
    except PackageNotFoundError:
        monitor = "not installed: run from its sources"
    who = card.identity
    return {
        "release": who.release,
        "arming": who.arming,
        "as_of": card.as_of,
        "result": card.result.value,
        "source": who.source,
        "made_by": {
            "monitor": monitor,
            "scorecard": card.version,
            "cloudevents": SPEC_VERSION,
            "budget_form": FORM,
        },
        "problems": list(problems),
    }


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False).encode() + b"\n"


def _newest_digest(record: ArmingRecord) -> str | None:
    return text_of(newest_data(record.decisions).get("budget_digest"))


def _budgets(record: ArmingRecord, given: Budget | None) -> list[dict[str, Any]]:
    """Return each budget of the arming, the first first, with its digest computed again."""
    first_at: dict[str, int] = {}
    specs: dict[str, Mapping[str, Any]] = {}
    for one in record.decisions:
        digest = text_of(one.data.get("budget_digest"))
        if digest is not None:
            first_at.setdefault(digest, one.at_ms)
            if (spec := _spec(one)) is not None:
                specs.setdefault(digest, spec)
    if given is not None and given.digest not in first_at:
        known = ", ".join(first_at) or "none"
        raise OtherBudget(
            f"the budget of {given.release} has the digest {given.digest}, and on record of {record.release}, arming "
            f"{record.number}, are {known}: give the file as it was armed"
        )
    return [_budget(digest, at_ms, specs.get(digest), given) for digest, at_ms in first_at.items()]


def _spec(one: Decision) -> Mapping[str, Any] | None:
    spec = one.data.get("spec") if one.type in (Type.ARMING_CREATED, Type.BUDGET_CHANGED) else None
    return spec if isinstance(spec, Mapping) else None


def _budget(digest: str, at_ms: int, spec: Mapping[str, Any] | None, given: Budget | None) -> dict[str, Any]:
    told: dict[str, Any] = {"digest": digest, "first_on_record": rfc3339(at_ms)}
    is_given = spec is None and given is not None and given.digest == digest
    if is_given and given is not None:
        spec = canonical(given)
    if spec is None:
        missing = "is not on record; --budget FILE adds it"
        return {**told, "from": None, "computed_again": None, "problem": missing, "budget": None}
    again = digest_of(canonical_json(spec).encode())
    wrong = (
        None
        if again == digest
        else f"is on record with the digest {again}: it was changed after it was armed"
    )
    origin = "file" if is_given else "record"
    return {**told, "from": origin, "computed_again": again, "problem": wrong, "budget": spec}


@dataclass(frozen=True, slots=True)
class _Told:
    event: CloudEvent
    agrees: bool
    text: str


def _explanations(events: Sequence[CloudEvent]) -> tuple[list[_Told], tuple[str, ...], tuple[str, ...]]:
    """Return what `explain` says of each decision with evidence, the ids that disagree, and what is left out."""
    places = [
        place for place, event in enumerate(events) if event.data.get("evidence") or event.name == _ASSESSED
    ]
    beyond = len(places) - EXPLAINED_MAX
    left_out = (f"{beyond:,} older decisions with evidence are not explained here",) if beyond > 0 else ()
    told = [
        one
        for place in places[-EXPLAINED_MAX:]
        if (one := _explained(events[place], events[max(0, place - _NEAR) : place + _NEAR])) is not None
    ]
    return told, tuple(one.event.id for one in told if not one.agrees), left_out


def _explained(event: CloudEvent, events: Sequence[CloudEvent]) -> _Told | None:
    try:
        found = explanation(event, events)
        if not _has_evidence(found):
            return None
        page = StringIO()
        people = Console(
            file=page, highlight=False, markup=False, emoji=False, width=10_000, color_system=None
        )
        print_explanation(people, found)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, MonitorError) as error:
        return _Told(event, False, f"it cannot be explained: {type(error).__name__}: {error}")
    return _Told(event, found.agrees, page.getvalue())


def _has_evidence(found: Explanation) -> bool:
    return any(one.missing is None for one in found.derived)


def _explained_page(card: Scorecard, told: Sequence[_Told], left_out: Sequence[str]) -> Iterator[str]:
    wrong = sum(not one.agrees for one in told)
    yield f"# Explanations: {unmarked(card_name(card))}"
    yield ""
    follow = (
        "every verdict follows from its record" if not wrong else f"{wrong} DO NOT FOLLOW from their record"
    )
    yield f"Decisions with evidence: {len(told)}; computed again, {follow if told else 'there is nothing to compute'}."
    yield from left_out
    for one in told:
        lines = [line.rstrip() for line in harmless(one.text.rstrip()).split("\n")]
        # Longer than any run in the text: nothing in it ends the block.
        fence = "~" * max(3, *(len(run) + 1 for line in lines for run in _FENCES.findall(line)), 3)
        yield from ("", f"## {one.event.name} {unmarked(one.event.id[:12])}", "")
        yield from (
            "It follows from its record." if one.agrees else "**IT DOES NOT FOLLOW FROM ITS RECORD.**",
            "",
        )
        yield from (f"{fence}text", *lines, fence)
