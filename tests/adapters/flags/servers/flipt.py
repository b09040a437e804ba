"""Flipt 2's environments API, as its proto files say: a variant and a boolean flag in `production/default`."""

from __future__ import annotations

from copy import deepcopy

from tests.adapters.flags.servers.base import TOKEN, Asked, FlagServer, Json, Said

_RESOURCES = "/api/v2/environments/production/namespaces/default/resources"


def _rule(*shares: tuple[str, float]) -> Json:
    distributions = [{"variant": name, "rollout": share} for name, share in shares]
    return {"segmentOperator": "OR_SEGMENT_OPERATOR", "segments": ["s"], "distributions": distributions}


class FliptServer(FlagServer):
    """Two rules and a default variant; every write needs the revision it is based on."""

    conflict = Said(
        409, {"code": 10, "message": "the resource was changed since revision abc", "details": []}
    )

    def __init__(self) -> None:
        super().__init__()
        self.revision = 1
        self.flag: Json = {
            "@type": "flipt.core.Flag",
            "key": "chat-model",
            "type": "VARIANT_FLAG_TYPE",
            "name": "Chat",
            "enabled": True,
            "variants": [{"key": name, "name": name} for name in ("v40", "v41", "v42")],
            "rules": [_rule(("v40", 10.0), ("v41", 70.0), ("v42", 20.0)), _rule(("v42", 100.0))],
            "defaultVariant": "v41",
        }

    def is_authorised(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") == f"Bearer {TOKEN}"

    def is_change(self, asked: Asked) -> bool:
        return asked.method != "GET"

    def answer(self, asked: Asked, *, half: bool = False) -> Said:
        if asked.method == "GET" and asked.path == f"{_RESOURCES}/flipt.core.Flag/chat-model":
            return Said(200, self._resource())
        if asked.method != "PUT" or asked.path != _RESOURCES:
            return Said(404, {"code": 5, "message": "resource not found", "details": []})
        if asked.body["revision"] != str(self.revision):
            return self.conflict
        if asked.body["payload"]["@type"] != "flipt.core.Flag" or asked.body["key"] != "chat-model":
            return Said(400, {"code": 3, "message": "payload and key must fit", "details": []})
        wanted = deepcopy(asked.body["payload"])
        for rule in wanted.get("rules", ()):
            assert sum(one["rollout"] for one in rule["distributions"]) == 100.0
        if wanted != self.flag and not half:
            self.changed("flag")
            self.flag, self.revision = wanted, self.revision + 1
        return Said(200, self._resource())

    def _resource(self) -> Json:
        resource = {"namespaceKey": "default", "key": "chat-model", "payload": self.flag}
        return {"resource": resource, "revision": str(self.revision)}

    def configuration(self) -> Json:
        return deepcopy(self.flag)

    def ramp(self) -> None:
        self.flag |= {"enabled": True, "defaultVariant": "v42"}

    def served(self, **context: str) -> set[str]:
        if self.flag["type"] == "BOOLEAN_FLAG_TYPE":
            rollouts = [one.get("segment") or one["threshold"] for one in self.flag.get("rollouts", ())]
            found = {bool(one.get("value")) for one in rollouts} | {bool(self.flag.get("enabled"))}
            return {"v42" if one else "v41" for one in found}
        if not self.flag.get("enabled"):
            return {"off"}
        shares = (one for rule in self.flag["rules"] for one in rule["distributions"])
        return {one["variant"] for one in shares if one["rollout"]} | {self.flag["defaultVariant"]}
