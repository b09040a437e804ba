"""Unleash 7's Admin API, as its OpenAPI document says: one feature with two strategies in `chat/production`."""

from __future__ import annotations

from copy import deepcopy

from tests.adapters.flags.servers.base import TOKEN, Asked, FlagServer, Json, Said

_ENVIRONMENT = "/api/admin/projects/chat/features/chat-model/environments/production"


def _strategy(number: int, weights: dict[str, int], rollout: str) -> Json:
    return {
        "id": f"s{number}",
        "name": "flexibleRollout",
        "title": None,
        "disabled": False,
        "constraints": [],
        "segments": [],
        "parameters": {"rollout": rollout, "stickiness": "default", "groupId": "chat-model"},
        "variants": [
            {
                "name": name,
                "weight": weight,
                "weightType": "variable" if name == "v42" else "fix",  # one of them has to be
                "stickiness": "default",
            }
            for name, weight in weights.items()
        ],
    }


class UnleashServer(FlagServer):
    """Two strategies, so that one of two can be done."""

    approval: Said | None = Said(
        403,
        {
            "name": "PermissionError",
            "message": "You don't have the required permissions to perform this operation. To perform this action, "
            'you need the "SKIP_CHANGE_REQUEST" permission.',
            "permissions": ["SKIP_CHANGE_REQUEST"],
        },
    )

    def __init__(self, *, with_variants: bool = True) -> None:
        super().__init__()
        first, second = ({"v40": 100, "v41": 700, "v42": 200}, {"v41": 0, "v42": 1000})
        self.enabled = True
        self.strategies = [
            _strategy(1, first if with_variants else {}, "20"),
            _strategy(2, second if with_variants else {}, "100"),
            {**_strategy(3, {"v42": 1000}, "100"), "disabled": True},
        ]

    def is_authorised(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") == TOKEN

    def is_change(self, asked: Asked) -> bool:
        return asked.method != "GET"

    def answer(self, asked: Asked, *, half: bool = False) -> Said:
        if not asked.path.startswith(_ENVIRONMENT):
            return Said(
                404, {"name": "NotFoundError", "message": "Could not find that feature or environment"}
            )
        rest = asked.path.removeprefix(_ENVIRONMENT)
        if (asked.method, rest) == ("GET", ""):
            return Said(200, {"name": "production", "enabled": self.enabled, "strategies": self.strategies})
        if asked.method == "POST" and rest in ("/on", "/off"):
            if self.enabled is not (rest == "/on") and not half:
                self.changed("enabled")
                self.enabled = rest == "/on"
            return Said(200, {})
        found = [one for one in self.strategies if rest == f"/strategies/{one['id']}"]
        if asked.method != "PATCH" or not found:
            return Said(404, {"name": "NotFoundError", "message": f"no {asked.method} {rest}"})
        return self._patched(found[0], asked.body)

    def _patched(self, strategy: Json, patch: Json) -> Said:
        for one in patch:
            assert one["op"] == "replace"
            if one["path"] == "/parameters/rollout":
                if not isinstance(one["value"], str):
                    return Said(400, {"message": "parameters are strings"})
                self._set(strategy, strategy["parameters"], "rollout", one["value"])
            elif one["path"] == "/variants":
                weights = [variant["weight"] for variant in one["value"]]
                kinds = [variant["weightType"] for variant in one["value"]]
                if sum(weights) != 1000 or "variable" not in kinds:
                    return Said(400, {"message": "weights sum to 1000 and one is variable"})
                self._set(strategy, strategy, "variants", one["value"])
        return Said(200, strategy)

    def _set(self, strategy: Json, where: Json, key: str, value: Json) -> None:
        if where[key] != value:
            self.changed(strategy["id"])
            where[key] = value

    def configuration(self) -> Json:
        return deepcopy({"enabled": self.enabled, "strategies": self.strategies})

    def ramp(self) -> None:
        self.enabled = True
        for variant in self.strategies[0]["variants"]:
            variant["weight"] = 1000 if variant["name"] == "v42" else 0

    def served(self, **context: str) -> set[str]:
        if not self.enabled:
            return {"off"}
        found = set()
        for one in self.strategies:
            if one["disabled"] or one["parameters"]["rollout"] == "0":
                continue
            names = {variant["name"] for variant in one["variants"] if variant["weight"]}
            found |= names or {"on"}
        return found or {"off"}
