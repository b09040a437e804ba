"""The command API as pages of the worker's web part: what Faust's requests are, and what its answers are."""

from __future__ import annotations

from typing import Any

import faust
from faust.web import View

from monitor.adapters.command_api import BODY_MAX, VERBS, Call, CommandApi, Reply

PREFIX = "/v1"


def add_api(app: faust.App, api: CommandApi) -> None:
    """Add `POST /v1/<verb>`, `GET /v1/status` and `GET /v1/status/<release>`."""
    for verb in VERBS:
        app.page(f"{PREFIX}/{verb}", name=f"api-{verb}")(_orders(verb, api))
    app.page(f"{PREFIX}/status", name="api-status")(_status(api))
    app.page(f"{PREFIX}/status/{{release}}", name="api-status-of")(_status(api))


def _orders(verb: str, api: CommandApi) -> type[View]:
    class Orders(View):
        """One verb."""

        async def post(self, request: Any) -> Any:
            """Give an order."""
            return _said(self, await api.order(verb, await _call(request)))

    return Orders


def _status(api: CommandApi) -> type[View]:
    class Status(View):
        """How releases stand."""

        async def get(self, request: Any, release: str | None = None) -> Any:
            """Tell it."""
            return _said(self, await api.status(release, await _call(request)))

    return Status


async def _call(request: Any) -> Call:
    """Return what is read of a request; a body is read to its bound and no further."""
    body = bytearray()
    while len(body) <= BODY_MAX and (part := await request.content.read(BODY_MAX + 1 - len(body))):
        body += part
    query = {str(name): str(request.query[name]) for name in request.query}
    return Call(request.headers.get("authorization"), bytes(body), query)


def _said(view: View, reply: Reply) -> Any:
    return view.json(dict(reply.body), status=reply.status, headers=dict(reply.headers))
