"""The commander's console: one page of plain files, which reads and orders through the worker's HTTP API.

The files hold no data and no secret. Whoever has the token sees what the API tells, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final, NamedTuple


class WebFile(NamedTuple):
    """One answer."""

    headers: Mapping[str, str]
    body: bytes


_SCRIPTS: Final = ("console", "api", "cards", "clock", "dom")
_FILES: Final = {
    "/console": ("console.html", "text/html; charset=utf-8"),
    "/console/console.css": ("console.css", "text/css; charset=utf-8"),
    **{f"/console/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8") for name in _SCRIPTS},
}
# Nothing but these files and this worker: a name out of the traffic can be shown, and can do nothing.
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",  # after an update nobody decides with yesterday's page
}


def console_files() -> Mapping[str, WebFile]:
    """Return the console's files by their paths."""
    folder = files(__name__)
    return {
        path: WebFile({**_HEADERS, "content-type": kind}, folder.joinpath(name).read_bytes())
        for path, (name, kind) in _FILES.items()
    }
