"""GO Feature Flag by its flag file (YAML or JSON), which the relay proxies and the SDKs poll.

Source: GO Feature Flag's flag schema and its relay proxy's swagger (`POST /admin/v1/retriever/refresh`). Steps of a
scheduled rollout change a flag by themselves at their time: those that could bring the candidate back are removed.
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from monitor.adapters.egress import WebhookUnusable
from monitor.adapters.flags.api import API_LIMITS, Api, Call, JsonObject
from monitor.adapters.flags.flag_file import FlagFileActuator, parse_json, write_json
from monitor.adapters.flags.flagd_rules import DECISION_KEY
from monitor.adapters.flags.settings import ActuatorSettings, ActuatorUnusable, Manner
from monitor.adapters.flags.vendor import final, listed
from monitor.adapters.http import HttpClient, Limits, WebhookFailed
from monitor.adapters.needed import needed
from monitor.core.budget import RollbackBy
from monitor.engine.ports import Actuator, Effect, RollbackOrder

_YAML_ENDINGS: Final = frozenset({".yaml", ".yml"})
_ATTRIBUTE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")  # what the query language takes as a name
_SHARES: Final = ("percentage", "progressiveRollout", "variation")
_REFRESH_S: Final = 5.0  # the relays poll anyway


def build(settings: ActuatorSettings, manner: Manner | None = None) -> Actuator:
    """Return the actuator of the settings' file, which tells the relay proxy where one is named.

    Raises:
        ActuatorUnusable: There is no file, or it is of a language we do not write.
        WebhookUnusable: The relay's address can never work.
    """
    whose, setting, what = "actuator 'gofeatureflag-file'", "gofeatureflag_file", "the flag file's path"
    path = needed(whose, settings.gofeatureflag_file, setting, error=ActuatorUnusable, what=what)
    if path.suffix not in _YAML_ENDINGS | {".json"}:
        raise ActuatorUnusable(
            f"actuator 'gofeatureflag-file': gofeatureflag_file: {path.name} is neither .yaml, .yml nor .json"
        )
    files = FlagFileActuator(path, GoFeatureFlag(is_yaml=path.suffix in _YAML_ENDINGS))
    if settings.gofeatureflag_url is None:
        return files
    token = settings.gofeatureflag_token
    secret = "" if token is None else token.get_secret_value()
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    limits = Limits(
        attempt_s=_REFRESH_S,
        max_answer_bytes=API_LIMITS.max_answer_bytes,
        allow_private=settings.webhook_allow_private,
    )
    http = HttpClient(limits=limits, transport=manner.transport if manner else None)
    return WithRelay(files, Api(settings.gofeatureflag_url, headers, secret, http=http))


class WithRelay:
    """A flag file whose relay proxy is told to read it now. The file is the truth: a silent relay polls."""

    def __init__(self, files: FlagFileActuator, relay: Api) -> None:
        self._files, self._relay = files, relay

    async def close(self) -> None:
        """Close the connections."""
        await self._relay.close()

    async def probe(self, order: RollbackOrder) -> None:
        """Raise `ActuatorFailed` where the file could not be turned."""
        await self._files.probe(order)

    async def serve_baseline(self, order: RollbackOrder) -> Effect:
        """Turn the file, then refresh the relay; `after` says how that went.

        Raises:
            ActuatorFailed: The file could not be turned.
        """
        effect = await self._files.serve_baseline(order)
        told = await self._refresh()
        return Effect(effect.changed, effect.before, {**effect.after, "relay": told})

    async def serves_baseline(self, order: RollbackOrder) -> bool:
        """Read the file and tell whether nothing is left to do."""
        return await self._files.serves_baseline(order)

    async def keep(self, order: RollbackOrder) -> JsonObject:
        """Return the flag as it stands, for `put_back`."""
        return await self._files.keep(order)

    async def put_back(self, order: RollbackOrder, kept: JsonObject) -> None:
        """Set the file back after a drill, then refresh the relay; raises as the file's."""
        await self._files.put_back(order, kept)
        await self._refresh()

    async def _refresh(self) -> str:
        try:
            async with asyncio.timeout(_REFRESH_S):
                said = await self._relay.send(Call("POST", "/admin/v1/retriever/refresh"))
        except (WebhookFailed, WebhookUnusable, TimeoutError) as error:
            return f"not refreshed, follows by polling: {error}"
        return "refreshed" if isinstance(said, dict) and said.get("refreshed") else "follows by polling"


@dataclass(frozen=True, slots=True)
class GoFeatureFlag:
    """A GO Feature Flag file.

    - `disable`: the flag is disabled; clients get what their code says.
    - `rollout_zero`: no rule gives the candidate; its percentage goes to the baseline.
    - `serve_variation`: every rule and the default rule give the baseline. For a cohort: a rule in front of the others.
    """

    is_yaml: bool = True
    name: str = "gofeatureflag-file"

    @property
    def language(self) -> str:
        """What the file is written in."""
        return "YAML" if self.is_yaml else "JSON"

    def parse(self, text: str) -> object:
        """Return the document; YAML keeps its comments.

        Raises:
            ValueError: It is none.
        """
        if not self.is_yaml:
            return parse_json(text)
        try:
            document: object = _yaml().load(text)
        except YAMLError as error:
            raise ValueError(" ".join(str(error).split())) from error
        return document

    def write(self, document: Any) -> str:
        """Return the document's text."""
        if not self.is_yaml:
            return write_json(document)
        written = io.StringIO()
        _yaml().dump(document, written)
        return written.getvalue()

    def flag_of(self, document: object, order: RollbackOrder, where: str) -> JsonObject:
        """Return the order's flag, checked as far as the order needs it.

        Raises:
            ActuatorFailed: Not a flag file, no such flag or variation, or an order it cannot carry out.
        """
        if not isinstance(document, dict):
            raise final(f"{where}: holds no flags; this actuator edits GO Feature Flag files")
        flag = document.get(order.flag_key)
        if not isinstance(flag, dict) or not isinstance(flag.get("variations"), dict):
            known = [name for name, one in document.items() if isinstance(one, dict) and "variations" in one]
            raise final(f"{where}: no flag {order.flag_key!r}; there are {listed(sorted(map(str, known)))}")
        _check(flag, order, f"{where}: flag {order.flag_key!r}")
        return flag

    def serves_baseline(self, flag: JsonObject, order: RollbackOrder) -> bool:
        """Tell whether turning it would change nothing."""
        return bool(_turned(flag, order) == flag)

    def turned(self, document: JsonObject, order: RollbackOrder) -> JsonObject:
        """Return the document with the order carried out, and the decision's id in the flag's metadata."""
        wanted = deepcopy(document)
        flag = _turned(wanted[order.flag_key], order)
        flag["metadata"] = {**(flag.get("metadata") or {}), DECISION_KEY: order.decision_id}
        wanted[order.flag_key] = flag
        return wanted

    def kept(self, document: JsonObject, order: RollbackOrder) -> JsonObject:
        """Return the flag."""
        return {"flag": deepcopy(document[order.flag_key])}

    def restored(self, document: JsonObject, order: RollbackOrder, was: JsonObject) -> JsonObject:
        """Return the document with the flag as it was."""
        wanted = deepcopy(document)
        wanted[order.flag_key] = deepcopy(was["flag"])
        return wanted


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4096  # a query stays on its line
    return yaml


def _check(flag: JsonObject, order: RollbackOrder, spot: str) -> None:
    names = [str(name) for name in flag["variations"]]
    wanted = [order.baseline_variation]
    if order.rollback_by is RollbackBy.ROLLOUT_ZERO:
        wanted.append(order.candidate_variation)
    for name in wanted:
        if name not in names:
            raise final(f"{spot}: no variation {name!r}; there are {listed(names)}")
    if flag.get("disable") and order.rollback_by is RollbackBy.SERVE_VARIATION:
        raise final(
            f"{spot}: is disabled, so clients get what their code says and not {order.baseline_variation!r}; "
            "enable it, or set flag.rollback_by to disable"
        )
    for name, value in order.cohort.items():
        if not _ATTRIBUTE.fullmatch(name) or not value.isprintable() or set(value) & {'"', "\\"}:
            raise final(
                f"{spot}: cohort {name}={value!r} cannot be said in a query; rename it, or use scope: release"
            )


def _turned(now: JsonObject, order: RollbackOrder) -> JsonObject:
    """Return the flag as it should be; equal where it is."""
    flag = deepcopy(now)
    if order.cohort:
        return _guarded(flag, order)
    if order.rollback_by is RollbackBy.DISABLE:
        flag["disable"] = True
        flag.pop("scheduledRollout", None)
        return flag
    if order.rollback_by is RollbackBy.ROLLOUT_ZERO:
        for rule in _rules(flag):
            _take_back(rule, order)
        if order.candidate_variation in set(_words(flag.get("scheduledRollout"))):
            flag.pop("scheduledRollout")
        return flag
    for rule in _rules(flag):
        if not _constant(rule, order.baseline_variation):
            _serve(rule, order.baseline_variation)
    for key in ("scheduledRollout", "experimentation"):  # both can serve something else at another time
        flag.pop(key, None)
    return flag


def _rules(flag: JsonObject) -> Iterator[JsonObject]:
    yield from (rule for rule in flag.get("targeting") or () if not rule.get("disable"))
    if isinstance(flag.get("defaultRule"), dict):
        yield flag["defaultRule"]


def _constant(rule: JsonObject, variation: str) -> bool:
    """Tell whether a rule gives nothing but this variation; a percentage stands before a variation."""
    if rule.get("progressiveRollout"):
        return False
    if rule.get("percentage"):
        return {str(name) for name, share in rule["percentage"].items() if share} == {variation}
    return rule.get("variation") == variation


def _serve(rule: JsonObject, variation: str) -> None:
    for key in _SHARES:
        rule.pop(key, None)
    rule["variation"] = variation


def _take_back(rule: JsonObject, order: RollbackOrder) -> None:
    if order.candidate_variation in set(_words(rule.get("progressiveRollout"))):
        _serve(rule, order.baseline_variation)
    elif rule.get("percentage"):
        shares = rule["percentage"]
        if freed := shares.get(order.candidate_variation):
            shares[order.candidate_variation] = 0
            shares[order.baseline_variation] = shares.get(order.baseline_variation, 0) + freed
    elif rule.get("variation") == order.candidate_variation:
        rule["variation"] = order.baseline_variation


def _words(node: Any) -> Iterator[str]:
    """Yield every text and key below a node."""
    if isinstance(node, dict):
        for key, below in node.items():
            yield str(key)
            yield from _words(below)
    elif isinstance(node, list):
        for below in node:
            yield from _words(below)
    elif isinstance(node, str):
        yield str(node)


def _query(order: RollbackOrder) -> str:
    return " and ".join(f'{name} eq "{value}"' for name, value in sorted(order.cohort.items()))


def _guarded(flag: JsonObject, order: RollbackOrder) -> JsonObject:
    """Put the cohort's rule in front, unless it stands there or behind others that give the baseline too."""
    rules = flag.get("targeting") or []
    for rule in (one for one in rules if not one.get("disable")):
        if not _constant(rule, order.baseline_variation):
            break
        if rule.get("query") == _query(order):
            return flag
    first = {
        "name": f"rollback-{order.decision_id[:16]}",
        "query": _query(order),
        "variation": order.baseline_variation,
    }
    flag["targeting"] = [first, *rules]
    return flag
