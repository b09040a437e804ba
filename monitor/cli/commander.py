"""The verbs of the incident commander, from `decide` to `close-breaker`. Each sends one signed order."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import typer

from monitor.cli.output import Output, OutputOption, console, on_one_line, print_json
from monitor.core.errors import MonitorError

if TYPE_CHECKING:
    from monitor.cli.orders import Answer
    from monitor.config.settings import Settings
    from monitor.wire.commands import Order

DECIDE_EXAMPLE: Final = (
    'rollback-budget decide model-v42 continue --until 2h --reason "the cache is still cold"'
)
OVERRIDE_EXAMPLE: Final = (
    'rollback-budget override model-v42 --until 30m --reason "provider outage, both are slow"'
)
ACKNOWLEDGE_EXAMPLE: Final = "rollback-budget acknowledge model-v42"
EXTEND_EXAMPLE: Final = 'rollback-budget extend model-v42 --by 10m --reason "waiting for the provider"'
ARM_EXAMPLE: Final = 'rollback-budget arm model-v42 --reason "prompt fixed, rolled out again"'
DISARM_EXAMPLE: Final = 'rollback-budget disarm model-v42 --reason "the experiment is over"'
CLOSE_BREAKER_EXAMPLE: Final = (
    'rollback-budget close-breaker --reason "the provider is well again, the rollbacks were right"'
)

FAILED: Final = 1
WAIT_S: Final = 10.0


class BadOrder(MonitorError):
    """An order that cannot be understood; nothing was sent. The message says what is allowed."""

    exit_code: ClassVar[int] = 2


class Decision(StrEnum):
    """The commander's answer to a page."""

    ROLLBACK = "rollback"
    CONTINUE = "continue"


Release = Annotated[str, typer.Argument(metavar="RELEASE", help="The candidate's name, as in its budget.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, in your words; it goes on record.")]
Author = Annotated[
    str | None, typer.Option("--author", help="Who orders it; by default $USER or your login name.")
]
Page = Annotated[
    str | None, typer.Option("--page", metavar="ID", help="Which page; not needed where one alone is open.")
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Send it and do not wait for the answer.")]
Wait = Annotated[
    float,
    typer.Option("--wait", metavar="SECONDS", min=0.1, max=600, help="How long to wait for the answer."),
]
Direct = Annotated[
    bool,
    typer.Option(
        "--direct",
        help="`rollback` while Kafka or Redis is away: turn the flag of --budget from here. No worker is asked.",
    ),
]
DirectBudget = Annotated[
    str | None, typer.Option("--budget", metavar="FILE", help="With --direct: whose flag is turned.")
]
Journal = Annotated[
    Path | None,
    typer.Option(
        "--journal", metavar="FILE", help="With --direct: where it is written down, one JSON object a line."
    ),
]
_MOMENT_HELP: Final = "A duration from now, such as 30m or 2h, or an RFC 3339 moment."


def decide(
    release: Release,
    decision: Annotated[
        Decision, typer.Argument(metavar="rollback|continue", help="Roll back now, or go on.")
    ],
    reason: Reason,
    page: Page = None,
    objective: Annotated[
        str | None,
        typer.Option("--objective", metavar="ID", help="Which objective, as an alternative to the page."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="WHEN", help=f"`continue` only; without it until it clears. {_MOMENT_HELP}"
        ),
    ] = None,
    direct: Direct = False,
    budget: DirectBudget = None,
    journal: Journal = None,
    author: Author = None,
    wait: Wait = WAIT_S,
    no_wait: NoWait = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Answer a page: roll the release back now, or go on with it (which holds that objective back).

    `rollback` needs no page: it is an order to roll back.
    """
    if direct or budget is not None or journal is not None:
        if not direct or budget is None or decision is not Decision.ROLLBACK:
            raise BadOrder(
                "--direct, --budget, --journal: only `rollback --direct --budget FILE` goes past Kafka"
            )
        if (page, objective, until) != (None, None, None):
            raise BadOrder(
                "--page, --objective, --until: --direct asks no worker: there is no page to be answered"
            )
        from monitor.cli.direct import turn_directly

        turn_directly(release, budget, reason, author or login_name(), journal, output)
        return
    if page is not None and objective is not None:
        raise BadOrder("--page, --objective: give one of the two; a page is about one objective already")
    order = {
        "command": "decide",
        "decision": decision.value,
        "page_id": page,
        "objective": objective,
        "until": until,
    }
    send_order(
        {**order, "release": release, "reason": reason, "author": author}, wait, output, no_wait=no_wait
    )


def override(
    release: Release,
    until: Annotated[str, typer.Option("--until", metavar="WHEN", help=f"When it ends. {_MOMENT_HELP}")],
    reason: Reason,
    objective: Annotated[
        str | None,
        typer.Option("--objective", metavar="ID", help="Hold only this objective back, not the release."),
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option(
            "--limit", metavar="X", help="Hold only while the delta is not beyond this; as in the budget."
        ),
    ] = None,
    author: Author = None,
    wait: Wait = WAIT_S,
    no_wait: NoWait = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Hold rollbacks of a release back until a moment; safety too, unless its budget says otherwise."""
    order = {"command": "override", "objective": objective, "until": until, "limit": limit}
    send_order(
        {**order, "release": release, "reason": reason, "author": author}, wait, output, no_wait=no_wait
    )


def acknowledge(
    release: Release,
    page: Page = None,
    reason: Annotated[str, typer.Option("--reason", help="A note for the record.")] = "",
    author: Author = None,
    wait: Wait = WAIT_S,
    no_wait: NoWait = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say that you have seen a page: reminders and escalation stop, its deadline does not."""
    order = {"command": "acknowledge", "page_id": page, "reason": reason}
    send_order({**order, "release": release, "author": author}, wait, output, no_wait=no_wait)


def extend(
    release: Release,
    by: Annotated[str, typer.Option("--by", metavar="DURATION", help="How much longer, such as 10m.")],
    reason: Reason,
    page: Page = None,
    author: Author = None,
    wait: Wait = WAIT_S,
    no_wait: NoWait = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Take more time to decide about a page, as far as its budget's `max_extension` allows."""
    order = {"command": "extend", "page_id": page, "by_min": _minutes(by), "reason": reason}
    send_order({**order, "release": release, "author": author}, wait, output, no_wait=no_wait)


def arm(
    release: Release,
    reason: Reason,
    author: Author = None,
    wait: Wait = WAIT_S,
    no_wait: NoWait = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Arm a release again, after a rollback or a disarming: its budget's window begins anew."""
    order = {"command": "arm", "release": release, "reason": reason, "author": author}
    send_order(order, wait, output, no_wait=no_wait)


def disarm(
    release: Release,
    reason: Reason,
    author: Author = None,
    wait: Wait = WAIT_S,
    no_wait: NoWait = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Stop watching a release; its open pages are resolved, and nothing rolls it back any more."""
    order = {"command": "disarm", "release": release, "reason": reason, "author": author}
    send_order(order, wait, output, no_wait=no_wait)


def close_breaker(
    reason: Reason,
    author: Author = None,
    wait: Wait = WAIT_S,
    no_wait: NoWait = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Let releases roll back by themselves again after a storm: the automatic rollbacks so far no longer count.

    Pages that came instead of a rollback stay: each is decided by a person.
    """
    order = {"command": "close_breaker", "release": "*", "reason": reason, "author": author}
    send_order(order, wait, output, no_wait=no_wait)


def send_order(given: dict[str, Any], wait: float, output: Output, *, no_wait: bool) -> None:
    """Sign an order, send it, and say what became of it.

    Args:
        wait: Seconds to wait for the answer, unless `no_wait`.
    """
    from monitor.config.settings_source import load_settings

    wait_s = 0 if no_wait else wait
    order, answer = give_order(given, load_settings(), wait_s)
    if output is Output.JSON:
        print_json(_as_json(order, answer))
    else:
        _print(order, answer, wait_s)
    if answer is not None and (answer.is_refused or not answer.decisions):
        raise typer.Exit(FAILED)


def give_order(given: dict[str, Any], settings: Settings, wait_s: float) -> tuple[Order, Answer | None]:
    """Sign an order and send it; return it with what became of it, None where that is not waited for (0)."""
    import asyncio

    from monitor.cli.orders import kafka_log, kafka_said_plainly, send

    order = _signed(given, settings)

    async def give() -> Answer | None:
        log = kafka_log(settings)
        try:
            return await send(log, order, wait_s)
        finally:
            await log.close()

    with kafka_said_plainly(settings):
        return order, asyncio.run(give())


def _signed(given: dict[str, Any], settings: Settings) -> Order:
    """Return the order with its author and an id of its own, checked as a worker will check it."""
    import json
    from uuid import uuid4

    from monitor.config.command_keys import key_of
    from monitor.wire.commands import BadCommand, read_command
    from monitor.wire.signing import signed

    order = {name: value for name, value in given.items() if value is not None}
    order["author"] = given.get("author") or login_name()
    order["command_id"] = str(uuid4())
    if given.get("until") is not None:
        order["until"] = _moment_ms(given["until"], settings)
    try:
        read = read_command(json.dumps(order).encode())
    except BadCommand as error:
        raise BadOrder("\n".join(error.problems)) from error
    key = settings.command_key
    return read if key is None else signed(read, key_of(key.get_secret_value()))


def _minutes(text: str) -> int:
    from monitor.config.duration import NotADuration, minutes_of

    try:
        minutes = minutes_of(text)
    except NotADuration as error:
        raise BadOrder(f'--by: "{text}" {error}') from error
    if minutes < 1:
        raise BadOrder("--by: nothing is no extension; write at least 1m")
    return minutes


def _moment_ms(text: str, settings: Settings) -> int:
    """Return a duration from now, or an RFC 3339 moment, as epoch milliseconds of event time."""
    from monitor.adapters.timebase import WallClock
    from monitor.app import timebase_of
    from monitor.config.duration import NotADuration, minutes_of
    from monitor.core.moment import rfc3339
    from monitor.wire.rfc3339 import parse_strictly

    now_ms = WallClock(timebase_of(settings)).now_ms()
    at_ms = parse_strictly(text)
    if at_ms is None:
        try:
            at_ms = now_ms + minutes_of(text) * 60_000
        except NotADuration as error:
            raise BadOrder(
                f'--until: "{text}" {error}; or an RFC 3339 moment such as {rfc3339(now_ms)}'
            ) from error
    if at_ms <= now_ms:
        raise BadOrder(f"--until: {text} has passed already; now it is {rfc3339(now_ms)}")
    return at_ms


def login_name() -> str:
    """Return who is logged in; raises `BadOrder` where nobody is by name."""
    import getpass
    import os

    try:
        return os.environ.get("USER") or getpass.getuser()
    except (OSError, KeyError) as error:  # an account without a name, as containers have
        raise BadOrder("--author: nobody is logged in by name here; say who orders it") from error


def _as_json(order: Order, answer: Answer | None) -> dict[str, object]:
    from monitor.wire.cloudevent import of_decision, to_structured

    decisions = () if answer is None else answer.decisions
    return {
        "command_id": order.command_id,
        "command": order.command,
        "release": order.release,
        "author": order.author,
        "signed": order.signature is not None,
        "answer": _in_a_word(answer),
        "decisions": [to_structured(of_decision(decision)) for decision in decisions],
    }


def _in_a_word(answer: Answer | None) -> str:
    if answer is None:
        return "not_awaited"
    if not answer.decisions:
        return "none"
    return "refused" if answer.is_refused else "accepted"


def _print(order: Order, answer: Answer | None, wait_s: float) -> None:
    people = console()
    if answer is None:
        people.print(f"sent: {order.command} for {order.release} (command {order.command_id})")
        return
    if not answer.decisions:
        print(
            f"no answer within {wait_s:g} s. The order is on record (command {order.command_id}) and counts from "
            f"now: the worker that evaluates {order.release} answers it. See `rollback-budget status {order.release}`",
            file=sys.stderr,
        )
        return
    style = "red" if answer.is_refused else "green"
    people.print("refused" if answer.is_refused else "accepted", style=style)
    for decision in answer.decisions:
        people.print(f"  {decision.type.value}: {on_one_line(str(decision.data.get('summary', '')))}")
