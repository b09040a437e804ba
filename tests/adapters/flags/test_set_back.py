"""A drill sets a flag file back to what it was, and leaves alone what somebody else has changed meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from monitor.adapters.flags import ACTUATORS, actuator_for
from monitor.adapters.flags.flag_file import FlagFileActuator
from monitor.adapters.flags.flagd_file import FLAGD
from monitor.adapters.flags.gofeatureflag import GoFeatureFlag
from monitor.config.flag_systems import FLAG_SYSTEMS
from monitor.config.settings import Settings
from monitor.engine.errors import ActuatorFailed
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
