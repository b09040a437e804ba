"""Somebody's own flag system behind the webhook protocol (docs/adding-an-actuator.md): it serves what it is told to."""

from __future__ import annotations

from tests.adapters.flags.servers.base import Asked, FlagServer, Json, Said


class WebhookServer(FlagServer):
    """One flag of two variations; a verify URL says which one it serves."""

    def __init__(self) -> None:
        super().__init__()
        self.serving = "v42"

    def is_authorised(self, asked: Asked) -> bool:
        """Tell whether it is signed, or only asks."""
        return asked.method == "GET" or "webhook-signature" in asked.headers

    def is_change(self, asked: Asked) -> bool:
        """Tell whether it is an order."""
        return asked.method == "POST"

    def answer(self, asked: Asked, *, half: bool = False) -> Said:
        """Serve what the order says, or say what is served; half of it is nothing."""
        if asked.method == "POST" and not half and self.serving != asked.body["data"]["serve"]:
            self.serving = asked.body["data"]["serve"]
            self.changed("flag")
        return Said(200, {"serving": self.serving})

    def configuration(self) -> Json:
        """Return what it serves: nothing else can be set."""
        return {"serving": self.serving}

    def ramp(self) -> None:
        """Serve the candidate."""
        self.serving = "v42"

    def served(self, **context: str) -> set[str]:
        """Return what everybody gets."""
        return {self.serving}
