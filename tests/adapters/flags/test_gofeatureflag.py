"""The GO Feature Flag file: what each way back makes of a flag, what stays, and what a relay proxy is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pydantic import SecretStr

from monitor.adapters.flags.flag_file import FlagFileActuator
from monitor.adapters.flags.gofeatureflag import GoFeatureFlag, build
from monitor.adapters.flags.settings import Manner
from monitor.config.settings import Settings
from monitor.core.budget import RollbackBy
from monitor.engine.errors import ActuatorFailed
from monitor.engine.ports import RollbackOrder
from tests.adapters.orders import order
from tests.adapters.receiver import answer, receiver

DISABLE, ZERO, SERVE = RollbackBy.DISABLE, RollbackBy.ROLLOUT_ZERO, RollbackBy.SERVE_VARIATION
FILE = """\
# Flags of the chat service.
chat-model:
  variations: {v40: model-v40, v41: model-v41, v42: model-v42}
  targeting:
    - name: beta   # people who asked for it
      query: beta eq true
      variation: v42
    - name: ramp
      query: region eq "eu"
      percentage: {v40: 10, v41: 70, v42: 20}
    - name: slow
      query: region eq "us"
      progressiveRollout:
        initial: {variation: v41, percentage: 0, date: 2026-01-01T00:00:00Z}
        end: {variation: v42, percentage: 100, date: 2026-02-01T00:00:00Z}
    - name: old
      query: region eq "xx"
      variation: v42
      disable: true
  defaultRule:
    percentage: {v41: 90, v42: 10}
  scheduledRollout:
    - date: 2026-03-01T00:00:00Z
      defaultRule: {variation: v42}
other:
  variations: {on: true, off: false}
  defaultRule: {variation: "off"}
"""
ACME = {"tenant": "acme"}


@pytest.fixture
def flags(tmp_path: Path) -> Path:
    """Return the path of a written flag file."""
    path = tmp_path / "flags.yaml"
    path.write_text(FILE)
    return path


def files(path: Path) -> FlagFileActuator:
    """Return the actuator of a file."""
    return FlagFileActuator(path, GoFeatureFlag(is_yaml=path.suffix == ".yaml"))


def read(path: Path, flag: str = "chat-model") -> dict[str, Any]:
    """Return a flag with a reader that is not ours."""
    found: dict[str, Any] = yaml.safe_load(path.read_text())[flag]
    return found


def text_of(path: Path) -> str:
    """Return a file's text."""
    return path.read_text()


def write(path: Path, text: str) -> None:
    """Save a file as a careless editor does."""
    path.write_text(text)


def given(rule: dict[str, Any]) -> set[str]:
    """Return the variations that a rule gives to anybody, as the evaluator takes them."""
    if "progressiveRollout" in rule:
        return {rule["progressiveRollout"][step]["variation"] for step in ("initial", "end")}
    if rule.get("percentage"):
        return {name for name, share in rule["percentage"].items() if share}
    return {rule["variation"]}


def served(flag: dict[str, Any], **context: str) -> set[str]:
    """Return every variation that users with these attributes can get; now and, by its schedule, later."""
    if flag.get("disable"):
        return {"off"}
    found = set()
    for rule in flag["targeting"]:
        if rule.get("disable"):
            continue
        cohort = rule["query"].partition('tenant eq "')[2].rstrip('"')
        if cohort and cohort != context.get("tenant"):
            continue
        found |= given(rule)
        if cohort:
            return found
    later = [step["defaultRule"]["variation"] for step in flag.get("scheduledRollout", ())]
    return found | given(flag["defaultRule"]) | set(later)


@pytest.mark.parametrize(("way", "after"), [(SERVE, {"v41"}), (ZERO, {"v40", "v41"}), (DISABLE, {"off"})])
async def test_each_way_back_is_taken_once_and_keeps_the_rest(
    flags: Path, way: RollbackBy, after: set[str]
) -> None:
    other, wanted = read(flags, "other"), order(rollback_by=way)
    assert "v42" in served(read(flags))
    effect = await files(flags).serve_baseline(wanted)
    text = text_of(flags)
    again = await files(flags).serve_baseline(order(rollback_by=way, decision_id="d2"))
    assert served(read(flags)) == after
    assert (effect.changed, again.changed) == (True, False)
    assert (text_of(flags), read(flags, "other")) == (text, other)
    assert "# Flags of the chat service." in text
    assert "# people who asked for it" in text
    assert read(flags)["metadata"] == {"rollbackDecisionId": "d1"}
    assert effect.before["defaultRule"] == {"percentage": {"v41": 90, "v42": 10}}


async def test_json_stays_json(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    write(path, '{"chat-model": {"variations": {"v41": 1, "v42": 2}, "defaultRule": {"variation": "v42"}}}')
    assert (await files(path).serve_baseline(order())).changed
    assert read(path)["defaultRule"] == {"variation": "v41"}
    assert text_of(path).startswith("{\n")


async def test_a_cohorts_order_leaves_everybody_else_alone(flags: Path) -> None:
    others = served(read(flags), tenant="beta")
    first = await files(flags).serve_baseline(order(cohort=ACME))
    again = await files(flags).serve_baseline(order(cohort=ACME, decision_id="d2"))
    flag = read(flags)
    assert (first.changed, again.changed) == (True, False)
    assert (served(flag, **ACME), served(flag, tenant="beta")) == ({"v41"}, others)


@pytest.mark.parametrize(
    ("text", "wanted", "says"),
    [
        (FILE, order(flag_key="absent"), "no flag 'absent'; there are 'chat-model', 'other'"),
        (FILE, order(baseline="v39"), "no variation 'v39'; there are 'v40', 'v41', 'v42'"),
        (FILE, order(candidate="v49", rollback_by=ZERO), "no variation 'v49'"),
        (FILE.replace("  defaultRule:\n", "  disable: true\n  defaultRule:\n"), order(), "is disabled"),
        (FILE, order(cohort={"tenant": 'a"b'}), "cannot be said in a query"),
        (FILE, order(cohort={"ten ant": "a"}), "cannot be said in a query"),
        (FILE, order(cohort=ACME, rollback_by=DISABLE), "cannot roll back one cohort by disable"),
        ("- a list", order(), "holds no flags"),
    ],
)
async def test_what_cannot_be_done_is_final_and_changes_nothing(
    flags: Path, text: str, wanted: RollbackOrder, says: str
) -> None:
    write(flags, text)
    for attempt in (files(flags).probe, files(flags).serve_baseline):
        with pytest.raises(ActuatorFailed, match=says) as failed:
            await attempt(wanted)
        assert not failed.value.retryable
    assert text_of(flags) == text


@pytest.mark.parametrize("text", ["chat-model: [", "a: 1\na: 2\n", "\x00"])
async def test_a_file_that_is_being_saved_is_looked_at_again(flags: Path, text: str) -> None:
    write(flags, text)
    with pytest.raises(ActuatorFailed, match="not YAML") as failed:
        await files(flags).serve_baseline(order())
    assert failed.value.retryable


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, {"refreshed": True}, "refreshed"),
        (200, {"refreshed": False}, "polling"),
        (401, {}, "polling: http"),
    ],
)
async def test_a_relay_is_told_and_not_waited_for(flags: Path, status: int, body: object, says: str) -> None:
    async with receiver() as relay:
        relay.then = answer(status, body)
        settings = Settings(
            gofeatureflag_file=flags,
            gofeatureflag_url=relay.url.removesuffix("/hook"),
            gofeatureflag_token=SecretStr("admin-key"),
            webhook_allow_private=True,
        )
        actuator = build(settings, Manner(transport=httpx.AsyncHTTPTransport(verify=False)))
        await actuator.probe(order())
        assert relay.got == []
        effect = await actuator.serve_baseline(order())
    assert effect.changed
    assert says in str(effect.after["relay"])
    assert [(sent.method, sent.headers["Authorization"]) for sent in relay.got] == [
        ("POST", "Bearer admin-key")
    ]
    assert "admin-key" not in str(effect.after)
