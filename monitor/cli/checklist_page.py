"""The checklist as a page: for people, for a ticket, for machines. Loaded by the verb when it runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from monitor.core.checklist import ASKED, Checklist, Item
from monitor.core.checklist_facts import Facts
from monitor.core.checklist_seen import State
from monitor.engine.page_words import plain

_STYLES: Final = {State.READY: "green", State.GAP: "bold red", State.UNKNOWN: "yellow"}
_WIDTH: Final = max(len(one) for one in State)
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>#|~&])")
_HEAD: Final = "| | item | seen | who | to mend it |"
_TICKS: Final = re.compile(r"`+")


def as_json(facts: Facts, found: Checklist) -> dict[str, object]:
    """Return the page for machines."""
    budget = facts.budget
    return {
        "budget": facts.file,
        "release": None if budget is None else budget.release,
        "baseline": None if budget is None else budget.baseline,
        "budget_digest": None if budget is None else budget.digest,
        "ready": found.is_ready,
        "missing": [one.item_id.value for one in found.missing],
        "items": [_item_as_json(one) for one in found.items],
    }


def _item_as_json(one: Item) -> dict[str, object]:
    return {
        "id": one.item_id.value,
        "group": one.asked.group.name.lower(),
        "question": one.asked.question,
        "required": one.asked.is_required,
        "state": one.state.value,
        "seen": one.seen,
        "who": {"role": one.asked.role.value, "name": one.name},
        "mend": one.mend or None,
    }


def text_lines(facts: Facts, found: Checklist) -> Iterator[tuple[str, str]]:
    """Yield the lines for a terminal, each with its style."""
    yield f"{plain(_title(facts))}: {_sum(found)}", "bold green" if found.is_ready else "bold red"
    for group, items in groupby(found.items, lambda one: one.asked.group):
        yield "", ""
        yield group.value, "bold"
        for one in items:
            yield f"  {one.state.value:<{_WIDTH}}  {_question(one)} {plain(one.seen)}", _STYLES[one.state]
            if one.state is not State.READY:
                mend = f": {plain(one.mend)}" if one.mend else ""
                yield f"  {'':<{_WIDTH}}  → {plain(one.who)}{mend}", ""


def in_markdown(facts: Facts, found: Checklist) -> str:
    """Return the page for a ticket: tables of GitHub's Markdown, in which nothing from outside is markup."""
    lines = [f"## Before the release: {_safe(_title(facts))}", "", f"**{_safe(_sum(found))}**"]
    for group, items in groupby(found.items, lambda one: one.asked.group):
        lines += [
            "",
            f"### {group.value}",
            "",
            "| | item | seen | who | to mend it |",
            "| --- | --- | --- | --- | --- |",
        ]
        for one in items:
            state = one.state.value if one.state is State.READY else f"**{one.state.value}**"
            mend = _code(one.mend) if one.mend else ""
            cells = (state, _question(one), _safe(one.seen), _safe(one.who), mend)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _title(facts: Facts) -> str:
    budget = facts.budget
    return facts.file if budget is None else f"{budget.release} against {budget.baseline}"


def _sum(found: Checklist) -> str:
    """Return how it stands: `not ready: of 17 required items 12 are ready, 2 gap, 3 unknown`."""
    required = sum(one.is_required for one in ASKED.values())
    if found.is_ready:
        return f"ready: all {required} required items are"
    counts = Counter(one.state for one in found.missing)
    lacking = ", ".join(f"{counts[state]} {state.value}" for state in _STYLES if counts[state])
    return f"not ready: of {required} required items {required - len(found.missing)} are ready, {lacking}"


def _question(one: Item) -> str:
    return one.asked.question if one.asked.is_required else f"{one.asked.question} (recommended)"


def _safe(text: str) -> str:
    return _MARKUP.sub(r"\\\1", plain(text))


def _code(text: str) -> str:
    """Return a code span that ends where it should: its fence is longer than any run of ticks inside.

    What would end the table's cell there is written as text: readers of Markdown differ about escapes in code.
    """
    line = plain(text)
    if "|" in line or "\\" in line:
        return _safe(text)
    fence = "`" * (max((len(run) for run in _TICKS.findall(line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"
