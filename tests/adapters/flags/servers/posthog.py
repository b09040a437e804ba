"""PostHog's private API, as its reference says: a multivariate flag with an override, in project 7."""

from __future__ import annotations

from copy import deepcopy

from tests.adapters.flags.servers.base import TOKEN, Asked, FlagServer, Json, Said

_PATH = "/api/projects/7/feature_flags/"


def _filters(*, with_variants: bool) -> Json:
    variants = [
        {"key": name, "name": None, "rollout_percentage": share}
        for name, share in (("v40", 10), ("v41", 70), ("v42", 20))
    ]
    filters: Json = {
        "groups": [
            {"properties": [{"key": "beta", "type": "person", "value": ["true"], "operator": "exact"}],
             "rollout_percentage": 100, "variant": "v42" if with_variants else None},
            {"properties": [], "rollout_percentage": None, "variant": None},
        ],
        "payloads": {"v42": '{"temperature":1}'},
    }  # fmt: skip
    return filters | ({"multivariate": {"variants": variants}} if with_variants else {})


class PostHogServer(FlagServer):
    """Found by a search that finds more than the key, changed by number and version."""

    conflict = Said(
        409, {"type": "server_error", "code": "error", "detail": "The feature flag was updated by ada"}
    )
    approval: Said | None = Said(
        409,
        {
            "code": "approval_required",
            "status": "approval_required",
            "detail": "This change requires approval",
            "change_request_id": "c1",
        },
    )

    def __init__(self, *, with_variants: bool = True) -> None:
        super().__init__()
        filters = _filters(with_variants=with_variants)
        self.flag: Json = {
            "id": 41,
            "key": "chat-model",
            "active": True,
            "version": 3,
            "deleted": False,
            "filters": filters,
        }

    def is_authorised(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") == f"Bearer {TOKEN}"

    def is_change(self, asked: Asked) -> bool:
        return asked.method != "GET"

    def answer(self, asked: Asked, *, half: bool = False) -> Said:
        if asked.method == "GET" and asked.path == _PATH:
            others = [
                {**self.flag, "id": 40, "key": "chat-model-2"},
                {**self.flag, "id": 39, "deleted": True},
            ]
            flags = [one for one in (*others, self.flag) if asked.query["search"] in one["key"]]
            first = int(asked.query["offset"]) == 0
            page = flags[:2] if first else flags[2:]  # the flag itself is on the second page
            more = f"{_PATH}?offset=2" if first else None
            return Said(200, {"count": len(flags), "next": more, "results": page})
        if asked.method != "PATCH" or asked.path != f"{_PATH}41/":
            return Said(404, {"type": "invalid_request", "code": "not_found", "detail": "Not found."})
        return self._patched(asked.body, half=half)

    def _patched(self, body: Json, *, half: bool) -> Said:
        changes = {key: deepcopy(body[key]) for key in ("active", "filters") if key in body}
        if body["version"] != self.flag["version"]:
            if any(body["original_flag"][key] != self.flag[key] for key in changes):
                return self.conflict
        variants = changes.get("filters", {}).get("multivariate", {}).get("variants", [])
        if variants and sum(one["rollout_percentage"] for one in variants) != 100:
            return Said(400, {"type": "validation_error", "detail": "must sum to 100"})
        if any(self.flag[key] != value for key, value in changes.items()) and not half:
            self.changed("flag")
            self.flag |= {**changes, "version": self.flag["version"] + 1}
        return Said(200, self.flag)

    def configuration(self) -> Json:
        return deepcopy({key: value for key, value in self.flag.items() if key != "version"})

    def ramp(self) -> None:
        self.flag["active"] = True
        self.flag["filters"]["groups"][1] |= {"variant": "v42", "rollout_percentage": 1}

    def served(self, **context: str) -> set[str]:
        if not self.flag["active"]:
            return {"off"}
        filters = self.flag["filters"]
        found: set[str] = set()
        for group in filters["groups"]:
            if group["rollout_percentage"] == 0:
                continue
            variants = filters.get("multivariate", {}).get("variants", [])
            shared = {one["key"] for one in variants if one["rollout_percentage"]}
            found |= {group["variant"]} if group["variant"] else shared or {"on"}
        return found or {"off"}
