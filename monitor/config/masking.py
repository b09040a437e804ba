"""URLs as they may be printed: whom they reach, never what lets one in."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import SplitResult, urlsplit

MASK: Final = "********"


def parsed_url(url: str, schemes: Collection[str]) -> SplitResult | None:
    """Return the parts of a URL of one of the schemes that names a host (or, for `unix`, a path); None otherwise."""
    try:
        parts = urlsplit(url)
        reaches = parts.path if parts.scheme == "unix" else parts.hostname
        _ = parts.port  # raises where it is no number up to 65535
    except ValueError:
        return None
    return parts if parts.scheme in schemes and reaches else None


def masked_url(url: str, *, path: bool) -> str:
    """Return a URL without its credentials and query.

    Args:
        path: Mask the path too: the address of a chat system's webhook is its secret.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    login, at, host = parts.netloc.rpartition("@")
    if at:
        user = login.partition(":")[0]
        host = f"{user}:{MASK}@{host}" if ":" in login else f"{MASK}@{host}"
    shown = parts.path if not path or parts.path in ("", "/") else f"/{MASK}"
    query = f"?{MASK}" if parts.query or parts.fragment else ""
    return f"{parts.scheme}://{host}{shown}{query}"
