"""After a breach, with a real worker, Kafka and Valkey: the owed case is closed, and the failed rollback acknowledged.

One incident breaks a budget whose flag file is not there, so that the rollback is not applied. From then on a person
types, and what the worker made of it is read back by the verbs. The worker runs once; each test looks at one promise.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.adapters.embedded.valkey import EmbeddedValkey
from monitor.adapters.kafka.security import KafkaAccess
from monitor.core.decision import Type
from tests.cli.verbs import give
from tests.integration.heard import Heard
from tests.integration.stage import Stage, listening
from tests.integration.traffic import encode
from tests.integration.workers import eventually

AGAIN_S = 3.0  # a partition's owner may hear of the budget after the worker that armed it
BUDGET = """\
release: {release}
baseline: {baseline}
window: 24h
owner: answers-team
on_call: ada
rollback_budget:
  safety:
    high_severity_incidents_increase: 0
    action: immediate_rollback
    literal: true
flag:
  actuator: flagd-file
  key: chat
  baseline_variation: old
  candidate_variation: new
"""


@pytest.fixture(scope="module")
def stage(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A release that one incident has broken, with its rollback on record as not applied."""
    folder = tmp_path_factory.mktemp("aftermath")
    with EmbeddedValkey(folder / "valkey") as valkey:
        made = Stage(KafkaAccess(kafka), valkey, folder, f"aftermath-{time.time_ns():x}")
        try:
            asyncio.run(broken(made))
            yield made
        finally:
            asyncio.run(made.close())


async def broken(stage: Stage) -> None:
    release = stage.release("v2")
    stage.budget("v2", BUDGET.format(release=release, baseline=stage.release("v1")))
    await stage.make_topics()
    worker = stage.worker("w", budgets=stage.budgets, flagd_file=stage.folder / "nowhere" / "flags.json")
    await worker.ready()
    async with listening(stage) as heard:
        await heard.until(lambda all_: bool(all_.entry(Type.ARMING_CREATED, release)), "the release is armed")
        producing = asyncio.create_task(incidents(stage, release))
        try:
            await heard.until(is_over, "its rollback has failed, and somebody was told")
        except AssertionError as failure:
            failure.add_note(worker.log[-6_000:])
            raise
        finally:
            producing.cancel()
            await asyncio.wait({producing})


def is_over(heard: Heard) -> bool:
    """Tell whether the debt is open and the page about the failed rollback is delivered."""
    failed = {one.id for one in heard.of(Type.ROLLBACK_FAILED)}
    told = {
        one.decision.data["event_id"] for one in heard.entries if one.decision.type is Type.PAGE_DELIVERED
    }
    return bool(heard.of(Type.DEBT_CREATED)) and bool(failed & told)


async def incidents(stage: Stage, release: str) -> None:
    """Serve a request with a critical incident, again and again until cancelled."""
    number = 0
    while True:
        event: dict[str, object] = {
            "event_id": f"{release}-{number}",
            "at": time.time_ns() // 1_000_000,
            "release": release,
            "trace_id": f"trace-{number}",
            "incident_severity": "critical",
        }
        await stage.produce([(number % stage.partitions, encode(event))])
        number += 1
        await asyncio.sleep(AGAIN_S)


@pytest.fixture(autouse=True)
def mine(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commander's own settings."""
    given = {"kafka_bootstrap": stage.access.bootstrap, "redis_url": stage.valkey.url}
    topics = {"traces_topic": stage.traces, "traces_partitions": stage.partitions, "group": stage.name}
    for name, value in {**given, **topics}.items():
        monkeypatch.setenv(f"ROLLBACK_BUDGET_{name.upper()}", str(value))
    monkeypatch.setenv("USER", "dana")


def standing(capsys: pytest.CaptureFixture[str], stage: Stage) -> dict[str, Any]:
    code, out, err = give(capsys, "status", stage.release("v2"), "--output", "json")
    assert code == 0, err
    (one,) = json.loads(out)["releases"]
    return dict(one)


async def test_the_metrics_show_the_open_page_the_failed_effect_and_how_soon_it_was_decided(
    stage: Stage,
) -> None:
    (worker,) = stage.workers

    async def is_shown() -> bool:
        return (await worker.metrics()).get("open_pages") == 1

    await eventually(is_shown, "the page that the rollback is not applied is counted")
    metrics = await worker.metrics()
    refused, later = (
        f'effects_total{{effect="rollback",result="{one}"}}' for one in ("refused", "try_later")
    )
    assert metrics[refused] + metrics[later] >= 1
    assert metrics['decisions_total{type="rollback.requested"}'] == 1
    assert metrics["decision_delay_seconds_count"] >= 1


def test_a_page_that_a_rollback_is_not_applied_is_acknowledged_by_the_command_it_shows(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    (page,) = standing(capsys, stage)["pages"]
    assert page["summary"].startswith("rollback NOT APPLIED: ")
    assert page["delivered_at"] is not None
    code, out, err = give(capsys, *shlex.split(page["commands"][0])[1:], "--wait", "60")
    assert code == 0, err + out
    assert "page.acknowledged: dana has seen it" in out
    (page,) = standing(capsys, stage)["pages"]
    assert page["acknowledged_by"] == "dana"


def test_an_owed_case_is_closed_and_gone_from_all_that_names_it(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release = stage.release("v2")
    file = tmp_path / "v3.yaml"
    file.write_text(BUDGET.format(release=stage.release("v3"), baseline=release))
    code, out, err = give(capsys, "debt", "list", release, "--output", "json")
    assert code == 0, err
    (owed,) = json.loads(out)
    assert (owed["status"], owed["owner"]) == ("open", "answers-team")
    assert standing(capsys, stage)["eval_debt"] == 1
    assert owed["debt_id"][:12] in give(capsys, "validate", str(file))[1]

    close = ("debt", "close", owed["debt_id"][:12], "--evaluation", "evals/safe.yaml", "--reason", "labelled")
    code, out, err = give(capsys, *close, "--wait", "60")
    assert code == 0, err + out
    assert "evaldebt.closed: dana closed the eval debt" in out

    assert give(capsys, "debt", "list", release) == (0, "no evaluation case is owed\n", "")
    (closed,) = json.loads(give(capsys, "debt", "list", release, "--all", "--output", "json")[1])
    assert (closed["status"], closed["closed"]["evaluation"]) == ("closed", "evals/safe.yaml")
    assert standing(capsys, stage)["eval_debt"] == 0
    assert "eval debt" not in give(capsys, "validate", str(file))[1]
    assert give(capsys, *close)[1].startswith("closed already, by dana at ")
