"""Statsig's Console API, as its reference says: a gate with two rules."""

from __future__ import annotations

from copy import deepcopy

from tests.adapters.flags.servers.base import TOKEN, Asked, FlagServer, Json, Said

_PATH = "/console/v1/gates/chat-model"


class StatsigServer(FlagServer):
    """Two rules that pass some, and one that passes nobody."""

    approval: Said | None = Said(
        403, {"status": 403, "message": "This change requires a review by your team"}
    )

    def __init__(self) -> None:
        super().__init__()
        self.gate: Json = {
            "id": "chat-model",
            "isEnabled": True,
            "status": "In Progress",
            "rules": [
                {
                    "id": name,
                    "baseID": name,
                    "name": name,
                    "passPercentage": share,
                    "conditions": [],
                    "environments": None,
                }
                for name, share in (("beta", 100), ("nobody", 0), ("ramp", 20))
            ],
        }

    def is_authorised(self, asked: Asked) -> bool:
        return asked.headers.get("statsig-api-key") == TOKEN

    def is_change(self, asked: Asked) -> bool:
        return asked.method != "GET"

    def answer(self, asked: Asked, *, half: bool = False) -> Said:
        if not asked.path.startswith(_PATH):
            return Said(404, {"status": 404, "message": "Gate not found"})
        rest = asked.path.removeprefix(_PATH)
        if (asked.method, rest) == ("PUT", "/disable"):
            if self.gate["isEnabled"] and not half:
                self.changed("gate")
                self.gate |= {"isEnabled": False, "status": "Disabled"}
        elif (asked.method, rest) == ("PUT", "/enable"):
            if not self.gate["isEnabled"] and not half:
                self.changed("gate")
                self.gate |= {"isEnabled": True, "status": "In Progress"}
        elif asked.method == "PATCH":
            found = [one for one in self.gate["rules"] if rest == f"/rules/{one['id']}"]
            if not found or not 0 <= asked.body["passPercentage"] <= 100:
                return Said(400, {"status": 400, "message": "invalid rule"})
            if found[0] != asked.body:
                self.changed(found[0]["id"])
                found[0].update(asked.body)
        elif (asked.method, rest) != ("GET", ""):
            return Said(404, {"status": 404, "message": "no such endpoint"})
        return Said(200, {"message": "Gate read successfully.", "data": self.gate})

    def configuration(self) -> Json:
        return deepcopy(self.gate)

    def ramp(self) -> None:
        self.gate |= {"isEnabled": True, "status": "In Progress"}
        self.gate["rules"][1]["passPercentage"] = 1

    def served(self, **context: str) -> set[str]:
        passes = self.gate["isEnabled"] and any(rule["passPercentage"] for rule in self.gate["rules"])
        return {"on", "off"} if passes else {"off"}
