"""Actuators by name: a budget's `flag.actuator` is a key of `ACTUATORS`. A new vendor is one file and one line here.

What each can do stands in `monitor.config.flag_systems`, where budgets are checked against it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from monitor.adapters.flags import (
    flagd_file,
    flagd_http,
    flipt,
    gofeatureflag,
    growthbook,
    launchdarkly,
    posthog,
    statsig,
    unleash,
    webhook,
)
from monitor.adapters.flags.settings import ActuatorSettings, ActuatorUnusable
from monitor.engine.ports import Actuator

__all__ = ["ACTUATORS", "ActuatorSettings", "ActuatorUnusable", "actuator_for"]

ACTUATORS: Mapping[str, Callable[[ActuatorSettings], Actuator]] = {
    "flagd": flagd_file.build,  # the short name of the same
    "flagd-file": flagd_file.build,
    "flagd-http": flagd_http.build,
    "flipt": flipt.build,
    "gofeatureflag-file": gofeatureflag.build,
    "growthbook": growthbook.build,
    "launchdarkly": launchdarkly.build,
    "posthog": posthog.build,
    "statsig": statsig.build,
    "unleash": unleash.build,
    "webhook": webhook.build,
}


def actuator_for(kind: str, settings: ActuatorSettings) -> Actuator:
    """Return the actuator of that name.

    Raises:
        ActuatorUnusable: No such actuator, or its settings are incomplete.
        WebhookUnusable: A URL or secret can never work.
    """
    factory = ACTUATORS.get(kind)
    if factory is None:
        raise ActuatorUnusable(f"actuator {kind!r} is unknown; there are {', '.join(sorted(ACTUATORS))}")
    return factory(settings)
