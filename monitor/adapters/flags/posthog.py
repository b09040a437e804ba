"""PostHog by its private API: one patch of the flag, with the version it was read at.

Source: PostHog's API reference, feature flags. `scope` is the project's number. A flag is found by its key and changed
by its number; the version and the flag as read go with the patch, so that a change by somebody else is a 409. A wanted
approval is a 409 too, with its own status in the body.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from monitor.adapters.flags.api import Api, Call, JsonObject, segment
from monitor.adapters.flags.settings import USUAL, ActuatorSettings, Manner, needed, over_http
from monitor.adapters.flags.vendor import Refusal, Refused, final, listed
from monitor.core.budget import RollbackBy
from monitor.engine.ports import Actuator, RollbackOrder

_ALL = 100  # percent
_PAGE, _MAX_PAGES = 100, 10  # flags of which the wanted key is a part of the name


def build(settings: ActuatorSettings, manner: Manner = USUAL) -> Actuator:
    """Return the actuator of the settings' PostHog.

    Raises:
        ActuatorUnusable: The key is missing.
        WebhookUnusable: The address can never work.
    """
    token = needed("posthog", settings.posthog_token, "posthog_token")
    headers = {"authorization": f"Bearer {token}"}
    return over_http(PostHog(), settings.posthog_url, headers, token, settings, manner)


class PostHog:
    """What is PostHog's own.

    - `disable`: the flag is inactive; clients get what their code says for a flag that is off.
    - `rollout_zero`: the candidate's variant has 0 percent and no condition set names it; without variants every
      condition set has 0 percent.
    - `serve_variation`: the baseline's variant has 100 percent and every condition set that names a variant names it.
      Whom no condition set reaches still gets what the code says.
    """

    name = "posthog"

    async def read(self, api: Api, order: RollbackOrder) -> JsonObject:
        """Return the flag of that key."""
        for page in range(_MAX_PAGES):
            params = {"search": order.flag_key, "limit": str(_PAGE), "offset": str(page * _PAGE)}
            answer = await api.get(_path(order), params)
            found = answer.get("results") if isinstance(answer, dict) else None
            if not isinstance(found, list):
                raise api.odd("list of feature flags", "posthog_url")
            for one in found:
                if one.get("key") == order.flag_key and not one.get("deleted"):
                    flag: JsonObject = one
                    return flag
            if not answer.get("next"):
                break
        raise final(
            f"posthog: no flag {order.flag_key!r} in project {order.scope!r}: check flag.key and flag.scope"
        )

    def plan(self, state: JsonObject, order: RollbackOrder) -> Sequence[Call]:
        """Return the one patch, where the flag is not as it should be."""
        if order.rollback_by is RollbackBy.DISABLE:
            wanted: JsonObject = {"active": False}
        elif not state.get("active"):
            return _inactive(order)
        else:
            wanted = {"filters": _filters(state["filters"], order)}
        return _patch(state, order, wanted)

    def back(self, state: JsonObject, order: RollbackOrder, was: JsonObject) -> Sequence[Call]:
        """Return the one patch that puts the switch, or the release conditions, where they were."""
        key = "active" if order.rollback_by is RollbackBy.DISABLE else "filters"
        return _patch(state, order, {key: was[key]})

    def shown(self, state: JsonObject, order: RollbackOrder) -> JsonObject:
        """Return the version and what the flag gives to how many."""
        filters = state["filters"]
        return {
            "id": state["id"],
            "version": state.get("version"),
            "active": bool(state.get("active")),
            "groups": [
                {key: group.get(key) for key in ("rollout_percentage", "variant")}
                for group in _groups(filters)
            ],
            "variants": {one["key"]: one["rollout_percentage"] for one in _variants(filters)},
        }

    def trial(self, calls: Sequence[Call]) -> Sequence[Call]:
        """Return nothing: PostHog has no dry run."""
        return ()

    def refusal(self, refused: Refused) -> Refusal | None:
        """Return approval or conflict for a 409, by what its body says."""
        if refused.status != 409:
            return None
        said = refused.said if isinstance(refused.said, dict) else {}
        wants = "approval_required" in (said.get("status"), said.get("code"))
        return Refusal.APPROVAL if wants else Refusal.CONFLICT


def _path(order: RollbackOrder) -> str:
    return f"/api/projects/{segment(order.scope or '')}/feature_flags/"


def _patch(state: JsonObject, order: RollbackOrder, wanted: JsonObject) -> Sequence[Call]:
    if all(state.get(key) == value for key, value in wanted.items()):
        return []
    original = {key: state.get(key) for key in ("active", "filters")}
    body = {**wanted, "version": state.get("version"), "original_flag": original}
    return [Call("PATCH", f"{_path(order)}{state['id']}/", body)]


def _inactive(order: RollbackOrder) -> Sequence[Call]:
    """Judge a flag that is off: the candidate is not served, and one variant for all is not served either."""
    if order.rollback_by is RollbackBy.ROLLOUT_ZERO:
        return []
    raise final(
        f"posthog: flag {order.flag_key!r} is inactive, so clients get what their code says and not "
        f"{order.baseline_variation!r}; activate it there, or set flag.rollback_by to disable"
    )


def _groups(filters: JsonObject) -> list[JsonObject]:
    return filters.get("groups") or []


def _variants(filters: JsonObject) -> list[JsonObject]:
    return (filters.get("multivariate") or {}).get("variants") or []


def _filters(now: JsonObject, order: RollbackOrder) -> JsonObject:
    """Return the release conditions that serve the baseline; all that does not matter stays as it is."""
    filters = deepcopy(now)
    variants = {one["key"]: one for one in _variants(filters)}
    only_candidate = order.rollback_by is RollbackBy.ROLLOUT_ZERO
    if only_candidate and not variants:
        for group in _groups(filters):
            group["rollout_percentage"] = 0
        return filters
    for name in (order.baseline_variation, *((order.candidate_variation,) if only_candidate else ())):
        if name not in variants:
            raise final(
                f"posthog: flag {order.flag_key!r} has no variant {name!r}; there are {listed(list(variants))}"
            )
    baseline = variants[order.baseline_variation]
    if only_candidate:
        candidate = variants[order.candidate_variation]
        baseline["rollout_percentage"] += candidate["rollout_percentage"]
        candidate["rollout_percentage"] = 0
    else:
        for one in variants.values():
            one["rollout_percentage"] = _ALL if one is baseline else 0
    for group in _groups(filters):
        named = group.get("variant")
        if named and (named == order.candidate_variation if only_candidate else True):
            group["variant"] = order.baseline_variation
    return filters
