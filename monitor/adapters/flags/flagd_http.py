"""flagd by the document that its HTTP source reads: read with its ETag, and written only where it is still that one.

Source: flagd's sync configuration (provider `http`: GET of one JSON document at an interval, `Authorization` as set, no
change where the ETag is the same), and RFC 9110, 13.1.1 (`If-Match`, strong comparison). The monitor writes to the
server that serves the flags already and never serves them itself (decision 0012).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from monitor.adapters.egress import place
from monitor.adapters.flags.api import Api, Call, JsonObject
from monitor.adapters.flags.flag_file import parse_json, write_json
from monitor.adapters.flags.flagd_rules import flag_of, kept, restored, serves_baseline, turned
from monitor.adapters.flags.settings import USUAL, ActuatorSettings, Manner, needed, over_http
from monitor.adapters.flags.vendor import Refusal, Refused, final
from monitor.adapters.http import WebhookFailed, endpoint
from monitor.engine.ports import Actuator, RollbackOrder

_FRESH: Final = {"cache-control": "no-cache"}  # what a cache on the way still has is not what is served


def build(settings: ActuatorSettings, manner: Manner = USUAL) -> Actuator:
    """Return the actuator of the settings' document.

    Raises:
        ActuatorUnusable: The address is missing.
        WebhookUnusable: The address can never work.
    """
    url = endpoint(needed("flagd-http", settings.flagd_http_url, "flagd_http_url"), "flag definition's URL")
    path = url.raw_path.decode()
    root = str(url).split("#")[0].removesuffix(path)
    token = settings.flagd_http_token
    said = "" if token is None else token.get_secret_value().strip()
    # As flagd's own `authHeader`: with a scheme in front it is the whole header.
    headers = {"authorization": said if " " in said else f"Bearer {said}"} if said else {}
    system = FlagdHttp(path, f"flagd-http: {place(url)}")
    return over_http(system, root, headers, None, settings, manner, is_one_document=True)


@dataclass(frozen=True, slots=True)
class FlagdHttp:
    """What is the HTTP source's own; the rules are in `flagd_rules`.

    Attributes:
        path: The document's path and query, quoted.
        where: The server as messages may show it; a query can hold a key.
    """

    path: str
    where: str
    name: str = "flagd-http"

    async def read(self, api: Api, order: RollbackOrder) -> JsonObject:
        """Return the document and its ETag.

        Raises:
            ActuatorFailed: No document is there, or none that can be written without undoing what others write.
        """
        try:
            answer = await api.ask(Call("GET", self.path, headers=_FRESH))
        except WebhookFailed as failed:
            if failed.status in (404, 410):
                raise final(f"{failed}: no document is there; check the setting flagd_http_url") from failed
            raise
        try:
            document = parse_json(answer.body.decode())
        except (ValueError, RecursionError) as error:
            raise api.odd("flag definition in JSON", "flagd_http_url") from error
        if not isinstance(document, dict):
            raise api.odd("flag definition", "flagd_http_url")
        etag = answer.headers.get("etag", "")
        if not etag or etag.startswith("W/"):
            what = "only a weak ETag" if etag else "no ETag"
            raise final(
                f"{self.where}: sends {what}, so a rollback could undo what somebody else has just written; let that "
                "server send strong ETags and honour If-Match, or use actuator flagd-file or webhook"
            )
        return {"document": document, "etag": etag}

    def plan(self, state: JsonObject, order: RollbackOrder) -> Sequence[Call]:
        """Return the one write, on condition that the document is still the one that was read."""
        flag = flag_of(state["document"], order, self.where)
        if serves_baseline(flag, order):
            return []
        return [self._write(turned(state["document"], order), state)]

    def back(self, state: JsonObject, order: RollbackOrder, was: JsonObject) -> Sequence[Call]:
        """Return the one write that puts the flag, and the decision that the flag set names, where they were."""
        flag_of(state["document"], order, self.where)
        before = kept(was["document"], order)
        if kept(state["document"], order) == before:
            return []
        return [self._write(restored(state["document"], order, before), state)]

    def shown(self, state: JsonObject, order: RollbackOrder) -> JsonObject:
        """Return the flag, and which version of the document it stood in."""
        flag = flag_of(state["document"], order, self.where)
        copied: JsonObject = json.loads(json.dumps(flag))
        return {"etag": state["etag"], "flag": copied}

    def trial(self, calls: Sequence[Call]) -> Sequence[Call]:
        """Return nothing: a plain HTTP server cannot tell what it would do."""
        return ()

    def refusal(self, refused: Refused) -> Refusal | None:
        """Return conflict where the document is another by now."""
        return Refusal.CONFLICT if refused.status in (409, 412) else None

    def _write(self, document: JsonObject, state: JsonObject) -> Call:
        return Call("PUT", self.path, headers={"if-match": state["etag"]}, text=write_json(document))
