"""A drill sets a flag back to what it was, and leaves alone what somebody else has changed meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from monitor.adapters.flags import ACTUATORS, actuator_for
from monitor.adapters.flags.driver import ApiActuator
from monitor.adapters.flags.flag_file import FlagFileActuator
from monitor.adapters.flags.flagd_file import FLAGD
from monitor.adapters.flags.gofeatureflag import GoFeatureFlag
from monitor.config.flag_systems import FLAG_SYSTEMS
from monitor.config.settings import Settings
from monitor.core.budget import RollbackBy
from monitor.engine.errors import ActuatorFailed
from tests.adapters.flags.servers.base import TOKEN, Fault, Said
from tests.adapters.flags.servers.launchdarkly import LaunchDarklyServer
from tests.adapters.flags.servers.statsig import StatsigServer
from tests.adapters.flags.test_vendors import PASSING, SILENCE_S, SILENT, every_case
from tests.adapters.flags.vendors import CASES, Case, in_process, turner
from tests.adapters.orders import order
from tests.adapters.receiver import SECRET

FLAGD_FILE = json.dumps(
    {
        "$schema": "https://flagd.dev/schema/v0/flags.json",
        "metadata": {"version": "12"},
        "flags": {
            "chat-model": {
                "state": "ENABLED",
                "variants": {"v41": "a", "v42": "b"},
                "defaultVariant": "v42",
                "targeting": {"fractional": [["v41", 50], ["v42", 50]]},
            },
            "other": {"state": "ENABLED", "variants": {"on": True}, "defaultVariant": "on"},
        },
    },
    indent=2,
)
GO_FILE = """\
# Flags of the chat service.
chat-model:
  variations: {v41: a, v42: b}
  targeting:
    - name: beta   # people who asked for it
      query: beta eq true
      variation: v42
  defaultRule:
    percentage: {v41: 90, v42: 10}
other:
  variations: {on: true, off: false}
  defaultRule: {variation: "off"}
"""
Make = Callable[[Path], FlagFileActuator]


def flagd(folder: Path) -> tuple[FlagFileActuator, Path]:
    path = folder / "flags.json"
    path.write_text(FLAGD_FILE + "\n")
    return FlagFileActuator(path, FLAGD), path


def go(folder: Path) -> tuple[FlagFileActuator, Path]:
    path = folder / "flags.yaml"
    path.write_text(GO_FILE)
    return FlagFileActuator(path, GoFeatureFlag(is_yaml=True)), path


@pytest.mark.parametrize("make", [flagd, go])
async def test_a_flag_file_is_set_back_to_what_it_said(
    make: Callable[[Path], tuple[FlagFileActuator, Path]], tmp_path: Path
) -> None:
    actuator, path = make(tmp_path)
    before = yaml.safe_load(path.read_text())  # JSON is YAML too
    assert not await actuator.serves_baseline(order())
    kept = await actuator.keep(order())
    await actuator.serve_baseline(order())
    assert await actuator.serves_baseline(order())
    assert yaml.safe_load(path.read_text()) != before
    await actuator.put_back(order(), kept)
    assert yaml.safe_load(path.read_text()) == before


@pytest.mark.parametrize("make", [flagd, go])
async def test_what_somebody_else_changed_meanwhile_is_left_alone(
    make: Callable[[Path], tuple[FlagFileActuator, Path]], tmp_path: Path
) -> None:
    actuator, path = make(tmp_path)
    kept = await actuator.keep(order())
    await actuator.serve_baseline(order())
    path.write_text(FLAGD_FILE if path.suffix == ".json" else GO_FILE)
    with pytest.raises(ActuatorFailed, match="changed by somebody else"):
        await actuator.put_back(order(), kept)


async def test_a_second_drill_leaves_the_file_as_the_first_found_it(tmp_path: Path) -> None:
    actuator, path = flagd(tmp_path)
    await actuator.serve_baseline(order(decision_id="an earlier rollback"))
    text = path.read_text()
    kept = await actuator.keep(order())
    await actuator.put_back(order(), kept | {"flag": json.loads(FLAGD_FILE)["flags"]["chat-model"]})
    assert json.loads(path.read_text())["metadata"] == json.loads(text)["metadata"]


async def test_a_webhook_without_a_verify_url_cannot_tell_what_is_served() -> None:
    settings = Settings(
        actuator_webhook_url=SecretStr("https://flags.example.org"), actuator_webhook_secret=SecretStr(SECRET)
    )
    actuator = ACTUATORS["webhook"](settings)
    with pytest.raises(ActuatorFailed, match="actuator_webhook_verify_url"):
        await actuator.serves_baseline(order())  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(FLAG_SYSTEMS))
def test_what_is_declared_to_be_set_back_can_be(name: str, tmp_path: Path) -> None:
    token = SecretStr("t" * 32)
    settings = Settings(
        flagd_file=tmp_path / "a.json",
        gofeatureflag_file=tmp_path / "a.yaml",
        actuator_webhook_url=SecretStr("https://flags.example.org"),
        actuator_webhook_secret=SecretStr(SECRET),
        flagd_http_url=SecretStr("https://f.example.org/flags.json"),
        unleash_url="https://u.example.org",
        unleash_token=token,
        launchdarkly_token=token,
        growthbook_token=token,
        flipt_url="https://f.example.org",
        flipt_token=token,
        statsig_token=token,
        posthog_token=token,
    )
    actuator = actuator_for(name, settings)
    assert hasattr(actuator, "serves_baseline")
    assert hasattr(actuator, "put_back") is FLAG_SYSTEMS[name].is_set_back


async def drilled(
    case: Case, *, faults: list[Fault | None], attempt_s: float = 60.0
) -> tuple[bool, Counter[str]]:
    """Play what a drill does to a flag, with faults on the way back.

    Returns:
        Whether the flag is what it was, and what changed how often.
    """
    async with turner(case, attempt_s=attempt_s) as (actuator, server, _):
        assert isinstance(actuator, ApiActuator)
        before = server.configuration()
        kept = await actuator.keep(case.order())
        assert not server.changes
        await actuator.serve_baseline(case.order(decision_id="the worker's"))
        assert server.configuration() != before
        server.faults = list(faults)
        await actuator.put_back(case.order(), kept)
        return server.configuration() == before, Counter(server.changes)


@every_case
@pytest.mark.parametrize("fault", [None, *PASSING], ids=lambda fault: fault.name if fault else "none")
async def test_a_flag_is_as_it_was_after_a_drill_whatever_goes_wrong_on_the_way_back(
    case: Case, fault: Fault | None
) -> None:
    """Each thing changed twice: to the baseline, and back."""
    is_back, changes = await drilled(case, faults=[fault])
    assert is_back
    assert changes == Counter(2 * list(case.changed))


async def test_a_flag_is_as_it_was_also_where_an_answer_never_came() -> None:
    """All at once, since each of them waits for the time-out."""
    tried = [(case, fault) for case in CASES for fault in SILENT]
    ended = await asyncio.gather(
        *(drilled(case, faults=[fault], attempt_s=SILENCE_S) for case, fault in tried)
    )
    wanted = {f"{case.name} {fault.name}": (True, Counter(2 * list(case.changed))) for case, fault in tried}
    assert dict(zip(wanted, ended, strict=True)) == wanted


@every_case
async def test_a_flag_that_is_as_it_was_is_not_touched(case: Case) -> None:
    async with turner(case) as (actuator, server, _):
        assert isinstance(actuator, ApiActuator)
        kept = await actuator.keep(case.order())
        await actuator.put_back(case.order(), kept)
    assert server.changes == []


@every_case
async def test_what_cannot_be_set_back_tells_the_person_how_it_was(case: Case) -> None:
    async with turner(case) as (actuator, server, time):
        assert isinstance(actuator, ApiActuator)
        kept = await actuator.keep(case.order())
        await actuator.serve_baseline(case.order())
        turned = server.configuration()
        server.faults = [Fault.FORBIDDEN]
        with pytest.raises(ActuatorFailed, match="give it the right") as failed:
            await actuator.put_back(case.order(), kept)
        assert server.configuration() == turned
        server.faults = [Fault.ERROR] * 100
        with pytest.raises(ActuatorFailed, match="500") as down:
            await actuator.put_back(case.order(), kept)
        assert time.seconds <= 60
    for one in (failed.value, down.value):
        assert "set it back there by hand, before the drill it was {" in str(one)
        assert TOKEN not in str(one)
    assert (failed.value.retryable, down.value.retryable) == (False, True)


@every_case
async def test_what_somebody_else_has_made_of_the_flag_during_a_drill_is_left_alone(case: Case) -> None:
    """Somebody brings the candidate back in another way than it was."""
    actuator, server, _ = in_process(case)
    assert isinstance(actuator, ApiActuator)
    kept = await actuator.keep(case.order())
    await actuator.serve_baseline(case.order())
    server.ramp()
    now, changes = server.configuration(), len(server.changes)
    if case.rollback_by is RollbackBy.DISABLE:
        # The switch is all that the drill has turned, and it is on again.
        await actuator.put_back(case.order(), kept)
    else:
        with pytest.raises(ActuatorFailed, match=r"changed by somebody else.*before the drill it was"):
            await actuator.put_back(case.order(), kept)
    assert (server.configuration(), len(server.changes)) == (now, changes)


@every_case
async def test_a_flag_that_cannot_be_read_is_not_begun_with(case: Case) -> None:
    async with turner(case) as (actuator, server, _):
        assert isinstance(actuator, ApiActuator)
        server.reads = [Said(503)]
        with pytest.raises(ActuatorFailed) as failed:
            await actuator.keep(case.order())
        assert failed.value.retryable
        with pytest.raises(ActuatorFailed, match="leave the cohort out"):
            await actuator.keep(case.order(cohort={"tenant": "acme"}))


async def test_what_no_call_brings_back_is_refused_before_anything_is_turned() -> None:
    """An experiment's allocation, an off variation that was none, a gate's launch."""
    by_name = {case.name: case for case in CASES}
    actuator, server, _ = in_process(by_name["launchdarkly-serve_variation"])
    assert isinstance(server, LaunchDarklyServer)
    assert isinstance(actuator, ApiActuator)
    server.environment["prerequisites"], server.environment["offVariation"] = [{"key": "x"}], None
    with pytest.raises(ActuatorFailed, match="no off variation"):
        await actuator.keep(by_name["launchdarkly-serve_variation"].order())
    server.environment["prerequisites"] = []
    server.environment["fallthrough"]["rollout"]["kind"] = "experiment"
    with pytest.raises(ActuatorFailed, match="an experiment runs in it"):
        await actuator.keep(by_name["launchdarkly-serve_variation"].order())
    actuator, gate, _ = in_process(by_name["statsig-disable"])
    assert isinstance(gate, StatsigServer)
    assert isinstance(actuator, ApiActuator)
    gate.gate["status"] = "Launched"
    with pytest.raises(ActuatorFailed, match="is launched"):
        await actuator.keep(by_name["statsig-disable"].order())
    assert server.changes == gate.changes == []
