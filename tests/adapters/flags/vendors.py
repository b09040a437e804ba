"""Every vendor with what its baseline can mean: an actuator over a contract server that serves the candidate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache

import httpx
from pydantic import SecretStr

from monitor.adapters.flags import flagd_http, flipt, growthbook, launchdarkly, posthog, statsig, unleash
from monitor.adapters.flags.api import API_LIMITS
from monitor.adapters.flags.driver import ApiActuator
from monitor.adapters.flags.settings import Manner
from monitor.adapters.http import Limits
from monitor.config.settings import Settings
from monitor.core.budget import RollbackBy
from monitor.engine.ports import Actuator, RollbackOrder
from tests.adapters.flags.servers.base import NOW_MS, TOKEN, FlagServer, running, without_network
from tests.adapters.flags.servers.flagd_http import PATH, FlagdHttpServer
from tests.adapters.flags.servers.flipt import FliptServer
from tests.adapters.flags.servers.growthbook import GrowthBookServer
from tests.adapters.flags.servers.launchdarkly import LaunchDarklyServer
from tests.adapters.flags.servers.posthog import PostHogServer
from tests.adapters.flags.servers.statsig import StatsigServer
from tests.adapters.flags.servers.unleash import UnleashServer
from tests.adapters.orders import order
from tests.adapters.receiver import FakeTime

DISABLE, ZERO, SERVE = RollbackBy.DISABLE, RollbackBy.ROLLOUT_ZERO, RollbackBy.SERVE_VARIATION
BUILD = {
    "flagd-http": flagd_http.build,
    "flipt": flipt.build,
    "growthbook": growthbook.build,
    "launchdarkly": launchdarkly.build,
    "posthog": posthog.build,
    "statsig": statsig.build,
    "unleash": unleash.build,
}


@dataclass(frozen=True)
class Case:
    """One vendor, one meaning of "baseline".

    Attributes:
        settings: The address's setting; `<vendor>_token` is the token's.
        scope: What the order names.
        after: All that anybody can get once the order is carried out.
        changed: Everything that changes on the way, each exactly once.
    """

    actuator: str
    rollback_by: RollbackBy
    server: Callable[[], FlagServer]
    scope: str | None
    after: frozenset[str]
    changed: frozenset[str]

    @property
    def name(self) -> str:
        """The case as pytest shows it."""
        return f"{self.actuator}-{self.rollback_by.value}"

    @property
    def setting(self) -> str:
        """How the names of its settings begin."""
        return self.actuator.replace("-", "_")

    def order(self, **more: object) -> RollbackOrder:
        """Return the order "serve v41 instead of v42"."""
        return replace(order(scope=self.scope, rollback_by=self.rollback_by), **more)  # type: ignore[arg-type]  # a test's own


def _case(
    actuator: str,
    rollback_by: RollbackBy,
    server: Callable[[], FlagServer],
    scope: str | None,
    after: str,
    changed: str,
) -> Case:
    return Case(actuator, rollback_by, server, scope, frozenset(after.split()), frozenset(changed.split()))


CASES = (
    _case("unleash", SERVE, UnleashServer, "chat/production", "v41", "s1 s2"),
    _case("unleash", ZERO, UnleashServer, "chat/production", "v40 v41", "s1 s2"),
    _case("unleash", DISABLE, UnleashServer, "chat/production", "off", "enabled"),
    _case(
        "launchdarkly", SERVE, LaunchDarklyServer, "chat/production", "v41",
        "fallthrough rules targets contextTargets",
    ),
    _case(
        "launchdarkly", ZERO, LaunchDarklyServer, "chat/production", "v40 v41",
        "fallthrough rules targets contextTargets",
    ),
    _case("launchdarkly", DISABLE, LaunchDarklyServer, "chat/production", "off", "on"),
    _case("flagd-http", SERVE, FlagdHttpServer, None, "v41", "document"),
    _case("growthbook", SERVE, GrowthBookServer, "production", "v41", "rules"),
    _case("growthbook", ZERO, GrowthBookServer, "production", "v40 v41", "rules"),
    _case("growthbook", DISABLE, GrowthBookServer, "production", "off", "production"),
    _case("flipt", SERVE, FliptServer, "production/default", "v41", "flag"),
    _case("flipt", ZERO, FliptServer, "production/default", "v40 v41", "flag"),
    _case("flipt", DISABLE, FliptServer, "production/default", "off", "flag"),
    _case("posthog", SERVE, PostHogServer, "7", "v41", "flag"),
    _case("posthog", ZERO, PostHogServer, "7", "v40 v41", "flag"),
    _case("posthog", DISABLE, PostHogServer, "7", "off", "flag"),
    _case("statsig", ZERO, StatsigServer, None, "off", "beta ramp"),
    _case("statsig", DISABLE, StatsigServer, None, "off", "gate"),
)  # fmt: skip


@cache
def _defaults() -> Settings:
    """Return the defaults; reading the environment takes longer than many an order."""
    return Settings()


def settings(actuator: str, url: str, token: str = TOKEN, *, allow_private: bool = True) -> Settings:
    """Return settings that reach a vendor's contract server and nothing else."""
    setting = actuator.replace("-", "_")
    where = SecretStr(url + PATH) if actuator == "flagd-http" else url
    named = {f"{setting}_url": where, f"{setting}_token": SecretStr(token)}
    return _defaults().model_copy(update={**named, "webhook_allow_private": allow_private})


@asynccontextmanager
async def turner(
    case: Case, token: str = TOKEN, *, attempt_s: float = 60.0
) -> AsyncIterator[tuple[Actuator, FlagServer, FakeTime]]:
    """Run the case's server and give its actuator; only answers that never come take time."""
    time = FakeTime()
    now = datetime.fromtimestamp(NOW_MS / 1000, UTC)
    # Reading the system's certificates takes longer than such a test, and loopback needs none.
    plain = httpx.AsyncHTTPTransport(verify=False)
    hurried = Manner(Limits(attempt_s=attempt_s), replace(time.timing(), now=lambda: now), plain)
    async with running(case.server()) as server:
        actuator = BUILD[case.actuator](settings(case.actuator, server.url, token), hurried)
        yield actuator, server, time
        if isinstance(actuator, ApiActuator):
            await actuator.close()


def in_process(case: Case) -> tuple[Actuator, FlagServer, FakeTime]:
    """Return the case's actuator over its server without a network between."""
    time, server = FakeTime(), case.server()
    now = datetime.fromtimestamp(NOW_MS / 1000, UTC)
    way = without_network(server, time, API_LIMITS.attempt_s)
    manner = Manner(replace(API_LIMITS, attempt_s=60.0), replace(time.timing(), now=lambda: now), way)
    return BUILD[case.actuator](settings(case.actuator, "http://127.0.0.1:1", TOKEN), manner), server, time
