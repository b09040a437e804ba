"""Who ordered it: an order's signature by its author's key, and what an order without one is worth.

HMAC-SHA256 over the canonical JSON of the order as it was understood, its signature left out: how its text was
written means nothing. What is signed holds the order's id, and an id counts once, so an order that is sent again by
somebody else changes nothing.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from monitor.core.ids import canonical_json
from monitor.wire.commands import Order

SCHEME: Final = "v1"
_CONTEXT: Final = (
    b"rollback-budget order v1\n"  # a key that signs other things too signs nothing that is an order
)


@dataclass(frozen=True, slots=True)
class Signed:
    """What an order's signature shows.

    Attributes:
        is_known: Its author is known by a key; None where nobody's key is known here.
        fault: Why it is not to be obeyed: a code, and in words.
    """

    is_known: bool | None = None
    fault: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Signatures:
    """The authors' keys, and whether every order has to be signed by one.

    Attributes:
        keys: By author.
    """

    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    is_required: bool = False

    def check(self, order: Order) -> Signed:
        """Return what an order's signature shows."""
        if not self.keys:
            return Signed()
        author, key = order.author, self.keys.get(order.author)
        if order.signature is None:
            if self.is_required:
                return Signed(False, ("unsigned", "it is not signed, and every order has to be"))
            return Signed(False)
        if key is None:
            return Signed(False, ("unknown_author", f"nobody here knows a key of {author}"))
        if not hmac.compare_digest(order.signature.encode(), signature_of(order, key).encode()):
            return Signed(False, ("wrong_signature", f"its signature is not by the key of {author}"))
        return Signed(True)


def signature_of(order: Order, key: bytes) -> str:
    """Return the signature of an order, `v1,<base64>`."""
    said = order.model_dump(mode="json", exclude_none=True, exclude={"signature"})
    digest = hmac.new(key, _CONTEXT + canonical_json(said).encode(), sha256).digest()
    return f"{SCHEME},{base64.b64encode(digest).decode()}"


def signed(order: Order, key: bytes) -> Order:
    """Return the order with its signature."""
    return order.model_copy(update={"signature": signature_of(order, key)})
