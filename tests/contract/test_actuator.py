"""What every actuator promises, over the memory twin, flag files, and a flag system behind a signed webhook."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from monitor.adapters.flags.flag_file import FlagFileActuator
from monitor.adapters.flags.flagd_file import FLAGD
from monitor.adapters.flags.gofeatureflag import GoFeatureFlag
from monitor.adapters.flags.webhook import WebhookActuator
from monitor.adapters.http import SignedWebhook
from monitor.adapters.memory.actuator import MemoryActuator, MemoryFlag
from monitor.engine.errors import ActuatorFailed
from monitor.engine.ports import Actuator
from tests.adapters.orders import order
from tests.adapters.receiver import LOCAL, SECRET, FakeTime, Sent, receiver

Serving = Callable[[Mapping[str, str]], str]


@dataclass
class Subject:
    """An actuator over one flag `chat-model` that serves `v42`, and a look at the flag that does not go through it."""

    actuator: Actuator
    serving: Serving


def _memory() -> Subject:
    flag = MemoryFlag(("v41", "v42"), serving="v42")
    return Subject(MemoryActuator({"chat-model": flag}), flag.served_to)


def _flagd(folder: Path) -> Subject:
    path = folder / "flags.json"
    flag = {"state": "ENABLED", "variants": {"v41": "a", "v42": "b"}, "defaultVariant": "v42"}
    path.write_text(json.dumps({"flags": {"chat-model": flag}}))

    def serving(cohort: Mapping[str, str]) -> str:
        read = json.loads(path.read_text())["flags"]["chat-model"]
        rule = read.get("targeting", {}).get("if")
        wanted = {"and": [{"===": [{"var": name}, value]} for name, value in cohort.items()]}
        return str(rule[1] if rule and rule[0] == wanted else read["defaultVariant"])

    return Subject(FlagFileActuator(path, FLAGD), serving)


def _gofeatureflag(folder: Path) -> Subject:
    path = folder / "flags.json"
    flag = {"variations": {"v41": "a", "v42": "b"}, "defaultRule": {"variation": "v42"}}
    path.write_text(json.dumps({"chat-model": flag}))

    def serving(cohort: Mapping[str, str]) -> str:
        read = json.loads(path.read_text())["chat-model"]
        asked = " and ".join(f'{name} eq "{value}"' for name, value in cohort.items())
        rules = [rule for rule in read.get("targeting", ()) if rule["query"] == asked]
        return str((rules or [read["defaultRule"]])[0]["variation"])

    return Subject(FlagFileActuator(path, GoFeatureFlag(is_yaml=False)), serving)


@pytest.fixture(params=["memory", "flagd-file", "gofeatureflag-file", "webhook"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    """Each actuator in turn."""
    if request.param != "webhook":
        files = {"flagd-file": _flagd, "gofeatureflag-file": _gofeatureflag}
        yield files[request.param](tmp_path) if request.param in files else _memory()
        return
    behind = _memory()  # the vendor's flag system, behind the receiver

    async def receive(sent: Sent) -> web.Response:
        sent.verify()
        if sent.method == "GET":
            return web.json_response({}, status=405)
        data = sent.json["data"]
        wanted = order(
            decision_id=sent.json["id"], flag_key=data["flag"], baseline=data["serve"], cohort=data["cohort"]
        )
        try:
            effect = await behind.actuator.serve_baseline(wanted)
        except ActuatorFailed:
            return web.json_response({}, status=404)
        told = {"serving": effect.after["serving"], "changed": effect.changed, "before": dict(effect.before)}
        return web.json_response(told)

    async with receiver() as server:
        server.then = receive
        hook = SignedWebhook(server.url, SECRET, limits=LOCAL, timing=FakeTime().timing())
        yield Subject(WebhookActuator(hook), behind.serving)
        await hook.close()


async def test_the_baseline_is_served_once_the_order_returns(subject: Subject) -> None:
    effect = await subject.actuator.serve_baseline(order())
    assert effect.changed
    assert effect.before != effect.after
    assert subject.serving({}) == "v41"


async def test_repeating_an_order_changes_nothing(subject: Subject) -> None:
    await subject.actuator.serve_baseline(order())
    again = await subject.actuator.serve_baseline(order())
    another = await subject.actuator.serve_baseline(order(decision_id="d2"))
    assert (again.changed, another.changed) == (False, False)
    assert subject.serving({}) == "v41"


async def test_orders_at_the_same_time_end_as_one(subject: Subject) -> None:
    orders = (subject.actuator.serve_baseline(order(decision_id=f"d{number}")) for number in range(5))
    effects = await asyncio.gather(*orders)
    assert sum(effect.changed for effect in effects) == 1
    assert subject.serving({}) == "v41"


async def test_a_cohorts_order_leaves_everybody_else_alone(subject: Subject) -> None:
    acme = {"tenant": "acme"}
    first = await subject.actuator.serve_baseline(order(cohort=acme))
    again = await subject.actuator.serve_baseline(order(cohort=acme))
    assert (first.changed, again.changed) == (True, False)
    assert (subject.serving(acme), subject.serving({"tenant": "beta"})) == ("v41", "v42")


async def test_a_probe_changes_nothing(subject: Subject) -> None:
    await subject.actuator.probe(order())
    assert subject.serving({}) == "v42"


async def test_an_unknown_flag_is_a_final_failure_and_changes_nothing(subject: Subject) -> None:
    with pytest.raises(ActuatorFailed) as failed:
        await subject.actuator.serve_baseline(order(flag_key="absent"))
    assert not failed.value.retryable
    assert subject.serving({}) == "v42"


async def test_an_unknown_variation_is_a_final_failure_and_changes_nothing(subject: Subject) -> None:
    with pytest.raises(ActuatorFailed) as failed:
        await subject.actuator.serve_baseline(order(baseline="v40"))
    assert not failed.value.retryable
    assert subject.serving({}) == "v42"
