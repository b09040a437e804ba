"""A plain HTTP server that holds flagd's document: strong ETags, conditional GET and PUT, as RFC 9110 says.

What users get is asked of flagd's official evaluator, over the document that a GET gives, as flagd polls it.
"""

from __future__ import annotations

import json
from copy import deepcopy
from hashlib import sha256

from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from tests.adapters.flags.servers.base import TOKEN, Asked, FlagServer, Json, Said

PATH = "/team/flags.json"
USERS = 60


def definition() -> Json:
    """Return a document with two flags: a rule for beta users and a split for everybody."""
    split = {"fractional": [["v40", 20], ["v41", 40], ["v42", 40]]}
    return {
        "$schema": "https://flagd.dev/schema/v0/flags.json",
        "metadata": {"version": "12"},
        "flags": {
            "chat-model": {
                "state": "ENABLED",
                "variants": {"v40": "model-v40", "v41": "model-v41", "v42": "model-v42"},
                "defaultVariant": "v42",
                "targeting": {"if": [{"===": [{"var": "beta"}, True]}, "v42", split]},
            },
            "größe": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"},
        },
    }


class FlagdHttpServer(FlagServer):
    """One document; who writes it must name the version that was read."""

    conflict = Said(412, {"message": "the document is another by now"})

    def __init__(self) -> None:
        super().__init__()
        self.document = definition()
        self.weak = ""  # in front of the ETag

    @property
    def etag(self) -> str:
        """The document's version."""
        digest = sha256(json.dumps(self.document).encode()).hexdigest()[:16]
        return f'{self.weak}"{digest}"'

    def is_authorised(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") == f"Bearer {TOKEN}"

    def is_change(self, asked: Asked) -> bool:
        return asked.method != "GET"

    def answer(self, asked: Asked, *, half: bool = False) -> Said:
        if asked.path != PATH:
            return Said(404, {"message": "Not Found"})
        if asked.method == "GET":
            if asked.headers.get("if-none-match") == self.etag:
                return Said(304, None, {"etag": self.etag})
            return Said(200, deepcopy(self.document), {"etag": self.etag})
        if asked.method != "PUT":
            return Said(405, {"message": "Method Not Allowed"})
        if "if-match" not in asked.headers:
            return Said(428, {"message": "Precondition Required"})
        if self.weak or asked.headers["if-match"] != self.etag:
            return self.conflict
        if asked.body != self.document and not half:  # a document is whole or is not there
            self.changed("document")
            self.document = asked.body
        return Said(204, None, {"etag": self.etag})

    def configuration(self) -> Json:
        return deepcopy(self.document)

    def ramp(self) -> None:
        self.document["flags"]["chat-model"]["defaultVariant"] = "v42"

    def spoilt(self, body: Json, become: object) -> Json:
        return {**body, "flags": dict.fromkeys(body["flags"], become)}

    def served(self, **context: str) -> set[str]:
        evaluator = FlagdCore()
        evaluator.set_flags(json.dumps(self.document))
        found = set()
        for number in range(USERS):
            more = {"beta": True} if not context and number % 2 else context
            user = EvaluationContext(f"user-{number}", more)
            found.add(evaluator.resolve_string_value("chat-model", "off", user).variant or "off")
        return found
