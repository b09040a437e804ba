"""The flagd file actuator on real files: what it writes, what it leaves alone, what it says when it cannot."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent

from monitor.adapters.flags import flag_file
from monitor.adapters.flags.flag_file import FlagFileActuator
from monitor.adapters.flags.flagd_file import FLAGD
from monitor.engine.errors import ActuatorFailed
from monitor.engine.ports import Effect, RollbackOrder
from tests.adapters.orders import order

USERS = [f"user-{number}" for number in range(200)]


def definition() -> dict[str, Any]:
    """Return a flag file that splits traffic in half."""
    return {
        "$schema": "https://flagd.dev/schema/v0/flags.json",
        "metadata": {"version": "12"},
        "flags": {
            "chat-model": {
                "state": "ENABLED",
                "variants": {"v41": "model-v41", "v42": "model-v42"},
                "defaultVariant": "v42",
                "targeting": {"fractional": [["v41", 50], ["v42", 50]]},
            },
            "größe": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"},
        },
    }


@pytest.fixture
def flags(tmp_path: Path) -> Path:
    """Return the path of a written flag file."""
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(definition(), ensure_ascii=False))
    return path


def turn(path: Path, wanted: RollbackOrder, *, sleep: Callable[[float], None] = time.sleep) -> Effect:
    """Give the order and wait for its effect."""
    return asyncio.run(FlagFileActuator(path, FLAGD, sleep=sleep).serve_baseline(wanted))


def probe(path: Path, wanted: RollbackOrder) -> None:
    """Probe the order."""
    asyncio.run(FlagFileActuator(path, FLAGD).probe(wanted))


def served(client: OpenFeatureClient, user: str) -> str:
    """Return what the application of that user gets."""
    return client.get_string_value("chat-model", "code default", EvaluationContext(targeting_key=user))


def test_an_application_with_the_official_evaluator_gets_nothing_but_the_baseline(flags: Path) -> None:
    provider = FlagdProvider(
        resolver_type=ResolverType.FILE, offline_flag_source_path=str(flags), deadline_ms=20
    )
    changed = threading.Event()

    def seen(details: EventDetails) -> None:
        if details.flags_changed and "chat-model" in details.flags_changed:
            changed.set()

    try:
        api.set_provider_and_wait(provider, "rollback-proof")
        client = api.get_client("rollback-proof")
        before = {served(client, user) for user in USERS}
        client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, seen)
        turn(flags, order())
        assert changed.wait(60)
        details = client.get_string_details("chat-model", "code default")
        after = {served(client, user) for user in USERS}
    finally:
        api.shutdown()
        api.clear_providers()
    assert before == {"model-v41", "model-v42"}
    assert after == {"model-v41"}
    assert details.flag_metadata["rollbackDecisionId"] == "d1"


def test_the_effect_tells_what_was_and_what_is(flags: Path) -> None:
    effect = turn(flags, order())
    written = json.loads(flags.read_text())["flags"]["chat-model"]
    assert effect.changed
    assert effect.before == definition()["flags"]["chat-model"]
    assert effect.after == written
    assert "targeting" not in written


def test_repeating_an_order_touches_nothing(flags: Path) -> None:
    turn(flags, order())
    before = flags.stat()
    effect = turn(flags, order(decision_id="d2"))
    after = flags.stat()
    assert not effect.changed
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_that_serves_the_baseline_may_even_be_read_only(flags: Path) -> None:
    document = definition()
    document["flags"]["chat-model"] |= {"defaultVariant": "v41", "targeting": {}}
    flags.write_text(json.dumps(document))
    flags.chmod(0o444)
    assert not (turn(flags, order())).changed
    assert [path.name for path in flags.parent.iterdir()] == ["flags.json"]


def test_mode_and_everything_else_in_the_file_are_kept(flags: Path) -> None:
    flags.chmod(0o640)
    turn(flags, order())
    written = json.loads(flags.read_text(encoding="utf-8"))
    assert stat.S_IMODE(flags.stat().st_mode) == 0o640
    assert written["flags"]["größe"] == definition()["flags"]["größe"]
    assert list(written) == list(definition())
    assert written["metadata"] == {"version": "12", "rollbackDecisionId": "d1"}


def test_equal_flags_are_equal_bytes(tmp_path: Path) -> None:
    texts = []
    for indent in (None, 7):
        path = tmp_path / f"{indent}.json"
        path.write_text(json.dumps(definition(), indent=indent))
        turn(path, order())
        texts.append(path.read_bytes())
    assert texts[0] == texts[1]


def test_links_stay_links_as_kubernetes_volumes_use_them(flags: Path, tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    data = mounted / "..2026_11_22"
    data.mkdir(parents=True)
    flags.rename(data / "flags.json")
    (mounted / "..data").symlink_to(data.name)
    (mounted / "flags.json").symlink_to("..data/flags.json")
    turn(mounted / "flags.json", order())
    assert (mounted / "flags.json").is_symlink()
    assert not (data / "flags.json").is_symlink()
    assert json.loads((data / "flags.json").read_text())["flags"]["chat-model"]["defaultVariant"] == "v41"


def test_a_watcher_that_compares_times_sees_a_file_from_the_future_replaced(flags: Path) -> None:
    future = flags.stat().st_mtime + 3600
    os.utime(flags, (future, future))
    turn(flags, order())
    assert flags.stat().st_mtime > future


def test_a_reader_never_sees_half_a_file(flags: Path) -> None:
    done, broken = threading.Event(), []

    def read_all_the_time() -> None:
        while not done.is_set():
            try:
                json.loads(flags.read_text())
            except (OSError, ValueError) as error:
                broken.append(error)

    reader = threading.Thread(target=read_all_the_time)
    reader.start()
    try:
        for number in range(20):
            flags_now = definition()
            flags_now["flags"]["chat-model"]["variants"][f"v{number + 100}"] = "x" * 5_000
            replacement = flags.with_name("new")
            replacement.write_text(json.dumps(flags_now))
            replacement.replace(flags)
            turn(flags, order(decision_id=f"d{number}"))
    finally:
        done.set()
        reader.join()
    assert broken == []


def test_orders_at_the_same_time_all_hold(flags: Path) -> None:
    document = definition()
    for number in range(8):
        document["flags"][f"flag-{number}"] = definition()["flags"]["chat-model"]
    flags.write_text(json.dumps(document))
    actuators = [FlagFileActuator(flags, FLAGD) for _ in range(8)]

    async def at_once() -> None:
        orders = (order(flag_key=f"flag-{number}") for number in range(8))
        await asyncio.gather(*map(FlagFileActuator.serve_baseline, actuators, orders))

    asyncio.run(at_once())
    written = json.loads(flags.read_text())["flags"]
    assert {written[f"flag-{number}"]["defaultVariant"] for number in range(8)} == {"v41"}
    assert written["chat-model"] == definition()["flags"]["chat-model"]


def test_a_save_by_somebody_else_in_between_is_kept(flags: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = flag_file._identity
    saves: list[bool] = []

    def save_first(seen: os.stat_result) -> tuple[int, int, int, int]:
        if not saves:
            saves.append(True)
            document = definition() | {"savedMeanwhile": True}
            flags.write_text(json.dumps(document))
            return real(flags.stat())
        return real(seen)

    monkeypatch.setattr(flag_file, "_identity", save_first)
    turn(flags, order())
    written = json.loads(flags.read_text())
    assert written["savedMeanwhile"] is True
    assert written["flags"]["chat-model"]["defaultVariant"] == "v41"


def test_a_writer_that_keeps_saving_is_named_and_worth_another_try(
    flags: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = iter(range(1_000))
    monkeypatch.setattr(flag_file, "_identity", lambda _: (next(changes), 0, 0, 0))
    with pytest.raises(ActuatorFailed, match="another writer") as failed:
        turn(flags, order())
    assert failed.value.retryable
    assert json.loads(flags.read_text()) == definition()
    assert not list(flags.parent.glob("*.tmp"))


def test_a_held_lock_is_waited_for_a_bounded_time(flags: Path) -> None:
    waits: list[float] = []
    with flags.with_name(".flags.json.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ActuatorFailed, match="holds its lock") as failed:
            turn(flags, order(), sleep=waits.append)
    assert failed.value.retryable
    assert sum(waits) == pytest.approx(5)


def _with(flag: dict[str, Any]) -> str:
    document = definition()
    document["flags"]["chat-model"] |= flag
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "says", "retryable"),
    [
        ('{"flags": ', "not JSON", True),
        ('{"flags": NaN}', "NaN is no JSON number", True),
        ("\udcff", "not JSON", True),
        ("[]", "holds no object `flags`", False),
        ('{"flags": []}', "holds no object `flags`", False),
        ('{"flags": {"a": {}, "b": {}}}', "no flag 'chat-model'; there are 'a', 'b'", False),
        ('{"flags": {}}', "no flag 'chat-model'; there are none", False),
        ('{"flags": {"chat-model": {}}, "metadata": []}', "`metadata` must be an object", False),
        (_with({"variants": {"v42": "x", "on": "y"}}), "no variation 'v41'; there are 'on', 'v42'", False),
        (_with({"variants": {"v41": None}}), "no variation 'v41'", False),
        (_with({"variants": []}), "no variation 'v41'; there are none", False),
        (_with({"metadata": "x"}), "`metadata` must be an object", False),
        (_with({"variants": {"v41": 1e999}}).replace("Infinity", "1e999"), "a value JSON cannot say", False),
    ],
)
def test_a_file_that_cannot_be_turned_is_said_and_left_alone(
    flags: Path, text: str, says: str, retryable: bool
) -> None:
    flags.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ActuatorFailed) as failed:
        turn(flags, order())
    assert says in str(failed.value)
    assert failed.value.retryable == retryable
    assert flags.read_bytes() == text.encode("utf-8", "surrogateescape")


def test_a_missing_file_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ActuatorFailed, match="correct the path") as failed:
        turn(tmp_path / "absent.json", order())
    assert not failed.value.retryable


@pytest.mark.parametrize(
    ("error", "says", "retryable"),
    [
        (OSError(16, "Device or resource busy"), "mount the directory, not the single file", False),
        (OSError(30, "Read-only file system"), "mount the directory writable", False),
        (PermissionError(13, "Permission denied"), "write access to its directory", False),
        (OSError(28, "No space left on device"), "No space left", True),
    ],
)
def test_a_file_system_that_refuses_is_named_and_leaves_the_flags_whole(
    flags: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, says: str, retryable: bool
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ActuatorFailed) as failed:
        turn(flags, order())
    assert says in str(failed.value)
    assert failed.value.retryable == retryable
    assert json.loads(flags.read_text()) == definition()
    assert not list(flags.parent.glob("*.tmp"))


@pytest.mark.parametrize(("mode", "keeps"), [(0o644, True), (0o640, False), (0o600, False)])
def test_a_file_is_not_taken_from_an_owner_who_could_not_read_it_any_more(
    flags: Path, monkeypatch: pytest.MonkeyPatch, mode: int, keeps: bool
) -> None:
    flags.chmod(mode)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    owner = flags.stat().st_uid
    real = os.fstat

    def as_if_of_another_user(handle: int) -> os.stat_result:
        seen = list(real(handle))
        if real(handle).st_ino == flags.stat().st_ino:
            seen[4] = owner + 1
        return os.stat_result(
            seen, {"st_mtime_ns": real(handle).st_mtime_ns, "st_atime_ns": real(handle).st_atime_ns}
        )

    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setattr(os, "fstat", as_if_of_another_user)
    if keeps:
        assert (turn(flags, order())).changed
    else:
        with pytest.raises(ActuatorFailed, match="ownership"):
            turn(flags, order())


@pytest.mark.parametrize(
    ("cohort", "state", "says"),
    [
        ({"doc.type": "x"}, "ENABLED", "use a name without dots"),
        ({"": "x"}, "ENABLED", "use a name without dots"),
        ({"tenant": "acme"}, "DISABLED", "would change what all others get"),
    ],
)
def test_a_cohorts_order_that_would_touch_others_is_refused(
    flags: Path, cohort: dict[str, str], state: str, says: str
) -> None:
    flags.write_text(_with({"state": state}))
    with pytest.raises(ActuatorFailed, match=says) as failed:
        turn(flags, order(cohort=cohort))
    assert not failed.value.retryable


def test_a_probe_changes_nothing_and_finds_what_would_fail(flags: Path) -> None:
    before = flags.stat()
    probe(flags, order())
    assert flags.stat().st_mtime_ns == before.st_mtime_ns
    assert [path.name for path in flags.parent.iterdir()] == ["flags.json"]
    with pytest.raises(ActuatorFailed, match="no flag"):
        probe(flags, order(flag_key="absent"))


def test_a_probe_finds_a_directory_that_cannot_be_written(
    flags: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(ActuatorFailed, match="mount the directory writable"):
        probe(flags, order())
