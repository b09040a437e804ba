"""LaunchDarkly's REST API 20240415, as its reference says: one flag with rules and targets in `chat/production`."""

from __future__ import annotations

from copy import deepcopy

from tests.adapters.flags.servers.base import NOW_MS, TOKEN, Asked, FlagServer, Json, Said

_IDS = {"v40": "id-40", "v41": "id-41", "v42": "id-42"}
_NAMES = list(_IDS)
_PATH = "/api/v2/flags/chat/chat-model"


class LaunchDarklyServer(FlagServer):
    """A rollout for everybody, a rule for beta users, a person's own target, and a prerequisite."""

    approval: Said | None = Said(
        405, {"code": "method_not_allowed", "message": "approval is required to make this request"}
    )
    conflict = Said(409, {"code": "conflict", "message": "the flag was changed by another request"})
    # The epoch in milliseconds at which to come back.
    limited = Said(
        429, {"code": "rate_limited", "message": "slow down"}, {"x-ratelimit-reset": str(NOW_MS + 7_000)}
    )

    def __init__(self) -> None:
        super().__init__()
        self.environment: Json = {
            "on": True,
            "version": 7,
            "archived": False,
            "targets": [{"variation": 2, "values": ["ada"], "contextKind": "user"}],
            "contextTargets": [{"variation": 2, "values": ["tablet-1"], "contextKind": "device"}],
            "rules": [
                {
                    "_id": "rule-beta",
                    "variation": 2,
                    "clauses": [
                        {"_id": "c1", "contextKind": "user", "attribute": "beta", "op": "in", "negate": False,
                         "values": [True]},
                    ],
                },
            ],
            "fallthrough": {
                "rollout": {
                    "contextKind": "user",
                    "bucketBy": "tenant",
                    "variations": [
                        {"variation": 0, "weight": 10_000},
                        {"variation": 1, "weight": 70_000},
                        {"variation": 2, "weight": 20_000},
                    ],
                }
            },
            "offVariation": 0,
            "prerequisites": [],
        }  # fmt: skip

    def is_authorised(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") == TOKEN

    def is_change(self, asked: Asked) -> bool:
        return asked.method != "GET" and "dryRun" not in asked.query

    def answer(self, asked: Asked, *, half: bool = False) -> Said:
        if asked.path != _PATH:
            return Said(404, {"code": "not_found", "message": "Unknown feature key"})
        if asked.headers.get("ld-api-version") != "20240415":
            return Said(400, {"code": "invalid_request", "message": "no such API version"})
        if asked.method == "GET":
            return Said(200, self._flag())
        if "domain-model=launchdarkly.semanticpatch" not in asked.headers["content-type"]:
            return Said(400, {"code": "invalid_request", "message": "not a semantic patch"})
        if asked.body["environmentKey"] != "production":
            return Said(400, {"code": "invalid_request", "message": "unknown environment"})
        told = asked.body["instructions"]
        changed = deepcopy(self.environment)
        for one in told[: len(told) // 2] if half else told:
            if problem := _apply(changed, one):
                return Said(400, {"code": "invalid_request", "message": problem})
        if "dryRun" not in asked.query and changed != self.environment:
            for key in changed:
                if changed[key] != self.environment[key]:
                    self.changed(key)
            self.environment = {**changed, "version": self.environment["version"] + 1}
        return Said(200, self._flag())

    def _flag(self) -> Json:
        variations = [{"_id": one, "name": name, "value": f"model-{name}"} for name, one in _IDS.items()]
        return {
            "key": "chat-model",
            "variations": variations,
            "environments": {"production": self.environment},
        }

    def configuration(self) -> Json:
        return deepcopy({key: value for key, value in self.environment.items() if key != "version"})

    def without_individuals(self) -> None:
        self.environment |= {"targets": [], "contextTargets": []}

    def ramp(self) -> None:
        self.environment |= {"on": True, "fallthrough": {"variation": 2}}

    def served(self, **context: str) -> set[str]:
        now = self.environment
        if not now["on"]:
            return {"off" if now["offVariation"] == 0 else _NAMES[now["offVariation"]]}
        found: set[str] = set()
        for one in (*now["targets"], *now["contextTargets"]):
            if one["values"]:
                found.add(_NAMES[one["variation"]])
        for rule in now["rules"]:
            found |= _given(rule)
            if context and all(
                clause["op"] == "in" and context.get(clause["attribute"]) in clause["values"]
                for clause in rule["clauses"]
            ):
                return found
            if not context and not rule["clauses"]:
                return found
            if context and rule["_id"].startswith("added"):
                found -= _given(rule)  # a cohort's rule, and these are not in the cohort
        return found | _given(now["fallthrough"])


def _given(served: Json) -> set[str]:
    if "rollout" in served:
        return {_NAMES[one["variation"]] for one in served["rollout"]["variations"] if one["weight"]}
    return {_NAMES[served["variation"]]}


def _variation(one: Json) -> int | None:
    ids = list(_IDS.values())
    return ids.index(one["variationId"]) if one.get("variationId") in ids else None


def _apply(environment: Json, one: Json) -> str | None:
    """Carry one instruction out, as the reference describes it; return what is wrong with it."""
    kind, variation = one["kind"], _variation(one)
    rules = {rule["_id"]: rule for rule in environment["rules"]}
    match kind:
        case "turnFlagOff":
            environment["on"] = False
        case "turnFlagOn":
            environment["on"] = True
        case "updateOffVariation":
            environment["offVariation"] = variation
        case "updateFallthroughVariationOrRollout":
            environment["fallthrough"] = _serve(one, variation)
        case "updateRuleVariationOrRollout":
            rule = rules[one["ruleId"]]
            kept = {key: rule[key] for key in ("_id", "clauses")}
            rule.clear()
            rule.update({**kept, **_serve(one, variation)})
        case "removeTargets":
            listed = "targets" if one["contextKind"] == "user" else "contextTargets"
            for target in environment[listed]:
                if target["variation"] == variation and target["contextKind"] == one["contextKind"]:
                    target["values"] = [value for value in target["values"] if value not in one["values"]]
        case "addTargets":
            listed = "targets" if one["contextKind"] == "user" else "contextTargets"
            found = [
                target
                for target in environment[listed]
                if target["variation"] == variation and target["contextKind"] == one["contextKind"]
            ]
            if not found:
                found = [{"variation": variation, "values": [], "contextKind": one["contextKind"]}]
                environment[listed] += found
            found[0]["values"] = [*found[0]["values"], *one["values"]]
        case "addRule":
            before = [rule["_id"] for rule in environment["rules"]].index(one["beforeRuleId"])
            added = {"_id": f"added-{len(rules)}", "variation": variation, "clauses": one["clauses"]}
            environment["rules"].insert(before, added)
        case _:
            return f"unknown instruction {kind}"
    return None


def _serve(one: Json, variation: int | None) -> Json:
    if "rolloutWeights" not in one:
        return {"variation": variation}
    weights = one["rolloutWeights"]
    assert sum(weights.values()) == 100_000
    assert set(weights) == set(_IDS.values())
    shares = [{"variation": index, "weight": weights[key]} for index, key in enumerate(_IDS.values())]
    return {
        "rollout": {
            "contextKind": one["rolloutContextKind"],
            "bucketBy": one["rolloutBucketBy"],
            "variations": shares,
        }
    }
