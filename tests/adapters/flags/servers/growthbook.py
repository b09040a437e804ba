"""GrowthBook's API v2, as its OpenAPI document says: a feature with three rules in two environments."""

from __future__ import annotations

import json
from copy import deepcopy

from tests.adapters.flags.servers.base import TOKEN, Asked, FlagServer, Json, Said

_PATH = "/api/v2/features/chat-model"
_TYPES = ("force", "rollout", "experiment-ref", "safe-rollout")


def _rule(name: str, kind: str, **more: Json) -> Json:
    scope = {"allEnvironments": False, "environments": ["production"]}
    return {"id": name, "type": kind, "description": "", "enabled": True, **scope, **more}


class GrowthBookServer(FlagServer):
    """A rule for beta users everywhere, a rollout in production, and one that is off."""

    approval: Said | None = Said(
        403,
        {
            "message": "This feature requires a review before publishing changes to: production. Enable 'REST API ..."
        },
    )

    def __init__(self) -> None:
        super().__init__()
        self.enabled = {"production": True, "staging": True}
        self.rules: list[Json] = [
            _rule(
                "beta", "force", value="v42", condition='{"beta":true}', allEnvironments=True, environments=[]
            ),
            _rule("ramp", "rollout", value="v42", coverage=0.2, hashAttribute="id"),
            _rule("old", "force", value="v42", enabled=False),
            _rule("vip", "force", value="v40", condition='{"vip":true}'),
        ]

    def is_authorised(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") == f"Bearer {TOKEN}"

    def is_change(self, asked: Asked) -> bool:
        return asked.method != "GET"

    def answer(self, asked: Asked, *, half: bool = False) -> Said:
        if asked.path not in (_PATH, f"{_PATH}/toggle"):
            return Said(400, {"message": "Could not find a feature with that key"})
        if asked.method == "GET":
            return Said(200, {"feature": self._feature()})
        if asked.path.endswith("/toggle"):
            for name, state in asked.body["environments"].items():
                if name not in self.enabled:
                    return Said(400, {"message": f"Unknown environment: '{name}'"})
                if self.enabled[name] != state and not half:
                    self.changed(name)
                    self.enabled[name] = state
            return Said(200, {"feature": self._feature()})
        return self._updated(asked.body["rules"], half=half)

    def _updated(self, rules: list[Json], *, half: bool) -> Said:
        """Replace all rules in one revision, as the real one does; a revision is whole or is not there."""
        for rule in rules:
            if rule["type"] not in _TYPES or (rule["type"] == "force" and not isinstance(rule["value"], str)):
                return Said(400, {"message": "Request body: invalid rule"})
        named = [{"id": f"fr_{len(rules)}", **rule} for rule in rules]
        if named != self.rules and not half:
            self.changed("rules")
            self.rules = named
        return Said(200, {"feature": self._feature()})

    def _feature(self) -> Json:
        environments = {
            name: {"enabled": state, "defaultValue": "v41"} for name, state in self.enabled.items()
        }
        return {
            "id": "chat-model",
            "valueType": "string",
            "defaultValue": "v41",
            "environments": environments,
            "rules": self.rules,
        }

    def configuration(self) -> Json:
        return deepcopy({"enabled": self.enabled, "rules": self.rules})

    def ramp(self) -> None:
        self.enabled["production"] = True
        self.rules.insert(0, {**self.rules[-1], "id": "new", "type": "force", "value": "v42"})

    def served(self, **context: str) -> set[str]:
        return self.served_in("production", **context)

    def served_in(self, environment: str, **context: str) -> set[str]:
        """Return what users of one environment can get."""
        if not self.enabled[environment]:
            return {"off"}
        found = set()
        for rule in self.rules:
            here = rule["allEnvironments"] or environment in rule["environments"]
            condition = json.loads(rule.get("condition") or "{}")
            misses = context and "tenant" in condition and condition["tenant"] != context.get("tenant")
            if not rule["enabled"] or not here or rule.get("coverage") == 0 or misses:
                continue
            found.add(rule["value"])
            is_for_all = not condition or (
                bool(context) and all(context.get(k) == v for k, v in condition.items())
            )
            if is_for_all and rule["type"] == "force":
                return found
        return found | {"v41"}
