"""A commander's rollback without Kafka and without Redis: the flag is turned from here, and a journal on disk says so.

The last resort while the monitor's own parts are down. It judges nothing and asks no worker: it takes the flag from a
budget file, the flag system from the settings, and does what a worker would do with the order. Loaded by the verb.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final
from uuid import uuid4

from monitor.adapters.closing import close_all
from monitor.adapters.flags import actuator_for
from monitor.cli.one_budget import one_budget
from monitor.cli.output import Output, console, print_json
from monitor.config.settings_source import load_settings
from monitor.core.budget import FlagTarget, Mode
from monitor.core.errors import MonitorError
from monitor.core.moment import rfc3339
from monitor.engine.act_events import order_for
from monitor.engine.errors import ActuatorFailed
from monitor.engine.page_commands import order as command_line
from monitor.engine.patience import FLAG_PATIENCE, Trying
from monitor.engine.ports import Effect

JOURNAL: Final = "rollback-budget-direct.jsonl"
_OURS: Final = 0o600  # who ordered what is nobody else's to read


class NotDirect(MonitorError):
    """What was asked for cannot be done directly; nothing was turned."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Turned:
    """A flag that was turned from here.

    Attributes:
        merge: The command that puts it on the monitor's record once Kafka is back.
    """

    order: Mapping[str, object]
    flag: FlagTarget
    effect: Effect
    journal: Path
    merge: str


def turn_directly(
    release: str, file: str, reason: str, author: str, journal: Path | None, output: Output
) -> None:
    """Do it, and say what came of it; raises as `roll_back_directly`."""
    done = roll_back_directly(release, file, reason=reason, author=author, journal=journal or Path(JOURNAL))
    if output is Output.JSON:
        told = {**done.order, "answer": "applied", "on_record": False, "journal": str(done.journal)}
        flag = {"actuator": done.flag.actuator, "flag": done.flag.key, "changed": done.effect.changed}
        print_json({**told, **flag, "merge": done.merge})
        return
    found = "was turned and read back" if done.effect.changed else "served it already"
    people = console()
    people.print(
        f"rolled back: {done.flag.actuator} {done.flag.key} serves {done.flag.baseline_variation} ({found})",
        style="green",
    )
    people.print(f"  the monitor does not know of it; it stands in {done.journal}")
    people.print(f"  when Kafka is back: {done.merge}")


def roll_back_directly(release: str, file: str, *, reason: str, author: str, journal: Path) -> Turned:
    """Turn the flag of a budget's release to the baseline; the journal has the order before, and the end after it.

    Raises:
        NotDirect: The budget is another release's or names no flag, or the journal cannot be written.
        ActuatorFailed: The flag system did not confirm; the journal says that too.
    """
    budget = one_budget(file, NotDirect, "roll them back")
    if budget.release != release:
        raise NotDirect(f"--budget: {file} is the budget of {budget.release}, not of {release}")
    if budget.mode is Mode.OBSERVE:
        raise NotDirect(
            f"--budget: {file} only observes, so no flag is turned; set `mode: page` or `auto` first"
        )
    if budget.flag is None:
        raise NotDirect(f"--budget: {file} names no flag: turn back by hand what serves {release}")
    actuator = actuator_for(budget.flag.actuator, load_settings())
    order = {
        "command": "decide",
        "decision": "rollback",
        "command_id": str(uuid4()),
        "release": release,
        "baseline": budget.baseline,
        "budget_digest": budget.digest,
        "author": author,
        "reason": reason,
    }
    _note(journal, order, "ordered")
    what = order_for(
        budget.flag,
        decision_id=str(order["command_id"]),
        release=release,
        baseline=budget.baseline,
        reason="commander",
    )

    async def turn() -> Effect:
        try:
            return await Trying(FLAG_PATIENCE).until_done(
                what.decision_id, lambda: actuator.serve_baseline(what), ActuatorFailed
            )
        finally:
            await close_all([actuator])

    try:
        effect = asyncio.run(turn())
    except ActuatorFailed as failure:
        _note(journal, order, "failed", message=str(failure))
        raise
    _note(journal, order, "applied", changed=effect.changed, before=effect.before, after=effect.after)
    merge = command_line("decide", release, "rollback", "--reason", f"{reason} (turned directly)")
    return Turned(order, budget.flag, effect, journal, merge)


def _note(journal: Path, order: Mapping[str, object], stage: str, **more: object) -> None:
    """Append a line to the journal, and wait until the disk has it."""
    at = rfc3339(time.time_ns() // 1_000_000)
    line = json.dumps({"at": at, "stage": stage, **order, **more}, default=str)
    try:
        with os.fdopen(os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _OURS), "a") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        why = f"--journal: {journal} cannot be written: {error.strerror or error}"
        if stage == "ordered":
            raise NotDirect(f"{why}; nothing was turned: name another file") from error
        raise MonitorError(f"{why}; the rollback is {stage}, and that is not in it") from error
