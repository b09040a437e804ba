"""Unleash as it is: the same orders over the contract server and, where one is named, over a real server and its SDK.

`ROLLBACK_BUDGET_TEST_UNLEASH_URL`, `..._ADMIN_TOKEN` and `..._CLIENT_TOKEN` name a real one (its project `default` and
environment `development`, as every new Unleash has them). Its Python SDK (`UnleashClient`) is asked too where it is
installed. Nothing is installed here.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import time
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from monitor.adapters.flags import unleash
from monitor.adapters.flags.driver import ApiActuator
from monitor.config.settings import Settings
from monitor.core.budget import RollbackBy
from monitor.engine.errors import ActuatorFailed
from monitor.engine.ports import Actuator, RollbackOrder
from tests.adapters.flags.servers.base import TOKEN, running
from tests.adapters.flags.servers.unleash import UnleashServer
from tests.adapters.orders import order

_PREFIX = "ROLLBACK_BUDGET_TEST_UNLEASH_"
URL = os.environ.get(f"{_PREFIX}URL")
DEADLINE_S = 60.0  # a client API answers from a cache of its own
DISABLE, ZERO, SERVE = RollbackBy.DISABLE, RollbackBy.ROLLOUT_ZERO, RollbackBy.SERVE_VARIATION
USERS = [f"user-{number}" for number in range(300)]

if URL is None:
    warnings.warn(
        "no Unleash is named: its actuator is tested against the contract server alone; "
        "docs/actuators.md says how the real one is",
        stacklevel=1,
    )


@dataclass
class World:
    """One Unleash with one flag of two strategies, and how it is seen from outside.

    Attributes:
        served: Every variation that a client can get, `off` where the flag is off.
        changes: How often the flag changed since it was made.
    """

    actuator: Actuator
    key: str
    scope: str
    served: Callable[[], Any]
    changes: Callable[[], Any]

    def order(self, way: RollbackBy) -> RollbackOrder:
        """Return the order of this world's flag."""
        return order(flag_key=self.key, scope=self.scope, rollback_by=way)


def _actuator(url: str, token: str) -> Actuator:
    return unleash.build(
        Settings(unleash_url=url, unleash_token=SecretStr(token), webhook_allow_private=True)
    )


@asynccontextmanager
async def contract() -> AsyncIterator[World]:
    """Yield the contract server's world."""
    async with running(UnleashServer()) as server:

        async def served() -> set[str]:
            return server.served()

        async def changes() -> int:
            return len(server.changes)

        yield World(_actuator(server.url, TOKEN), "chat-model", "chat/production", served, changes)


@asynccontextmanager
async def real() -> AsyncIterator[World]:
    """Yield a new flag on the real server; it is archived at the end."""
    admin, client = os.environ[f"{_PREFIX}ADMIN_TOKEN"], os.environ[f"{_PREFIX}CLIENT_TOKEN"]
    key = f"chat-model-{uuid4().hex[:12]}"
    feature = f"/api/admin/projects/default/features/{key}"
    environment = f"{feature}/environments/development"
    async with httpx.AsyncClient(base_url=str(URL), headers={"authorization": admin}, timeout=30) as http:

        async def changes() -> int:
            answer = (await http.get(f"/api/admin/events/{key}")).json()
            made = {
                "feature-strategy-update",
                "feature-environment-disabled",
                "feature-environment-enabled",
            }
            return sum(event["type"] in made for event in answer["events"])

        async def served() -> set[str]:
            async with httpx.AsyncClient(base_url=str(URL), headers={"authorization": client}) as reader:
                answer = (await reader.get("/api/client/features")).json()
            found = [one for one in answer["features"] if one["name"] == key]
            return _served(found[0]) if found else {"nothing yet"}

        (await http.post("/api/admin/projects/default/features", json={"name": key})).raise_for_status()
        for strategy in UnleashServer().strategies[:2]:
            wanted = {part: strategy[part] for part in ("name", "parameters", "constraints", "variants")}
            wanted["variants"] = [
                {**one, "weightType": "variable" if one["name"] == "v41" else "fix"}
                for one in wanted["variants"]
            ]
            (await http.post(f"{environment}/strategies", json=wanted)).raise_for_status()
        (await http.post(f"{environment}/on")).raise_for_status()
        try:
            yield World(_actuator(str(URL), admin), key, "default/development", served, changes)
        finally:
            await http.delete(feature)


def _served(feature: Mapping[str, Any]) -> set[str]:
    """Return what the client API's document can give, by the rules of the SDKs."""
    if not feature["enabled"]:
        return {"off"}
    active = [one for one in feature["strategies"] if one["parameters"]["rollout"] != "0"]
    return {one["name"] for strategy in active for one in strategy["variants"] if one["weight"]} or {"off"}


WORLDS: dict[str, Callable[[], AbstractAsyncContextManager[World]]] = {
    "contract": contract,
    **({"real": real} if URL else {}),
}


async def becomes(world: World, wanted: set[str]) -> None:
    """Wait until clients can get just this."""
    ends = time.monotonic() + DEADLINE_S
    while (seen := await world.served()) != wanted:
        assert time.monotonic() < ends, f"clients still get {seen}"
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("world_of", WORLDS.values(), ids=WORLDS.keys())
@pytest.mark.parametrize(
    ("way", "after", "changed"), [(SERVE, {"v41"}, 2), (ZERO, {"v40", "v41"}, 2), (DISABLE, {"off"}, 1)]
)
async def test_a_client_gets_the_baseline_with_one_change_of_each_and_after_a_drill_what_it_got_before(
    world_of: Callable[[], AbstractAsyncContextManager[World]], way: RollbackBy, after: set[str], changed: int
) -> None:
    async with world_of() as world:
        await becomes(world, {"v40", "v41", "v42"})
        assert isinstance(world.actuator, ApiActuator)
        await world.actuator.probe(world.order(way))
        kept, made = await world.actuator.keep(world.order(way)), await world.changes()
        first = await world.actuator.serve_baseline(world.order(way))
        again = await world.actuator.serve_baseline(world.order(way))
        await becomes(world, after)
        assert (first.changed, again.changed, await world.changes()) == (True, False, made + changed)
        await world.actuator.put_back(world.order(way), kept)
        await becomes(world, {"v40", "v41", "v42"})
        assert await world.changes() == made + 2 * changed
        assert (await world.actuator.keep(world.order(way)))["shown"] == kept["shown"]
        await world.actuator.close()


@pytest.mark.parametrize("world_of", WORLDS.values(), ids=WORLDS.keys())
async def test_what_is_not_there_is_final(
    world_of: Callable[[], AbstractAsyncContextManager[World]],
) -> None:
    async with world_of() as world:
        for wanted in (
            order(flag_key="absent-flag", scope=world.scope),
            order(flag_key=world.key, scope="default/absent"),
            order(flag_key=world.key, scope="absent/development"),
        ):
            with pytest.raises(ActuatorFailed, match="404") as failed:
                await world.actuator.serve_baseline(wanted)
            assert not failed.value.retryable
        assert isinstance(world.actuator, ApiActuator)
        await world.actuator.close()


def _sdk(refresh_s: int = 1) -> Any:
    """Return a started SDK client of the real server."""
    made = importlib.import_module("UnleashClient").UnleashClient(
        url=f"{URL}/api",
        app_name="rollback-tests",
        instance_id=uuid4().hex,
        refresh_interval=refresh_s,
        disable_metrics=True,
        disable_registration=True,
        custom_headers={"Authorization": os.environ[f"{_PREFIX}CLIENT_TOKEN"]},
        cache_directory=None,
    )
    made.initialize_client()
    return made


def _given(sdk: Any, key: str) -> set[str]:
    """Return the variants that users get from the SDK."""
    return {sdk.get_variant(key, {"userId": user})["name"] for user in USERS}


async def _given_becomes(sdk: Any, key: str, judge: Callable[[set[str]], bool]) -> None:
    ends = time.monotonic() + DEADLINE_S
    while not judge(seen := await asyncio.to_thread(_given, sdk, key)):
        assert time.monotonic() < ends, f"the SDK still gives {seen}"
        await asyncio.sleep(0.2)


SDKS = [_sdk] if URL and importlib.util.find_spec("UnleashClient") else []


async def test_users_of_the_sdk_get_the_baseline() -> None:
    """Where the SDK and a server are there, 300 users are asked; elsewhere there is nobody to ask."""
    for start in SDKS:
        async with real() as world:
            sdk = await asyncio.to_thread(start)
            try:
                await _given_becomes(sdk, world.key, lambda seen: "v42" in seen)
                await world.actuator.serve_baseline(world.order(SERVE))
                await _given_becomes(sdk, world.key, lambda seen: seen == {"v41"})
            finally:
                await asyncio.to_thread(sdk.destroy)
