"""The command API and the console's files as pages of the worker's web part: what Faust's requests and answers are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import faust
from faust.web import View

from monitor.adapters.command_api import BODY_MAX, VERBS, Call, CommandApi, Reply

PREFIX = "/v1"
CONTENT_TYPE = "content-type"

Files = Mapping[str, tuple[Mapping[str, str], bytes]]
"""(headers, body) by path; among the headers is the content type."""


def add_api(app: faust.App, api: CommandApi) -> None:
    """Add `POST /v1/<verb>`, `GET /v1/status` and `GET /v1/status/<release>`."""
    for verb in VERBS:
        app.page(f"{PREFIX}/{verb}", name=f"api-{verb}")(_orders(verb, api))
    app.page(f"{PREFIX}/status", name="api-status")(_status(api))
    app.page(f"{PREFIX}/status/{{release}}", name="api-status-of")(_status(api))


def add_files(app: faust.App, files: Files) -> None:
    """Add pages that are the same for everybody."""
    for path, (headers, body) in files.items():
        app.page(path, name=f"file {path}")(_file(headers, body))


def _file(headers: Mapping[str, str], body: bytes) -> Callable[[Any, Any], Awaitable[Any]]:
    kind, others = headers[CONTENT_TYPE], {name: headers[name] for name in headers if name != CONTENT_TYPE}

    async def page(view: Any, _request: Any) -> Any:
        # The library sets no charset beside a type of its own: UTF-8 is named where the files are.
        answer = view.bytes(body, content_type=kind.partition(";")[0], headers=others)
        answer.headers[CONTENT_TYPE] = kind
        return answer

    return page


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
    headers = {"cache-control": "no-store", **reply.headers}
    return view.json(dict(reply.body), status=reply.status, headers=headers)
