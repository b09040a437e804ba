"""How to reach Kafka: address, encryption, identity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from monitor.config.settings import Settings
from monitor.config.tls import TlsFiles

_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """Everything a client needs to connect. The password never shows in `repr`, and so in no log.

    Attributes:
        bootstrap: `host:port`, several separated by commas.
        tls: Files for `SSL` and `SASL_SSL`.
    """

    bootstrap: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: TlsFiles = field(default=TlsFiles(), repr=False)

    def __post_init__(self) -> None:
        if not self.bootstrap.strip():
            raise ValueError("Kafka's address is empty; it is host:port, several separated by commas")
        if self.security_protocol not in _PROTOCOLS:
            raise ValueError(
                f"{self.security_protocol!r} is no security protocol; one of {', '.join(_PROTOCOLS)}"
            )
        if self._uses_sasl and self.sasl_mechanism not in _MECHANISMS:
            raise ValueError(f"{self.sasl_mechanism!r} is no SASL mechanism; one of {', '.join(_MECHANISMS)}")
        if self._uses_sasl and not (self.username and self.password):
            raise ValueError(f"{self.security_protocol} needs a user name and a password")
        if not self._uses_sasl and (self.sasl_mechanism or self.username or self.password):
            raise ValueError(
                f"{self.security_protocol} sends no user name and password; did you mean "
                f"{'SASL_SSL' if self._uses_tls else 'SASL_PLAINTEXT'}?"
            )

    def client_options(self) -> dict[str, Any]:
        """Return the keyword arguments every aiokafka client takes.

        Raises:
            TlsUnusable: A file is not what it should be; settings are read with files that are.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": [part.strip() for part in self.bootstrap.split(",") if part.strip()],
            "security_protocol": self.security_protocol,
        }
        if self._uses_tls:
            options["ssl_context"] = self.tls.context()
        if self._uses_sasl:
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.username
            options["sasl_plain_password"] = self.password
        return options

    @property
    def _uses_sasl(self) -> bool:
        return self.security_protocol.startswith("SASL_")

    @property
    def _uses_tls(self) -> bool:
        return self.security_protocol.endswith("SSL")


def access_of(settings: Settings) -> KafkaAccess:
    """Return how the settings say to reach Kafka."""
    password = settings.kafka_password
    return KafkaAccess(
        bootstrap=settings.kafka_bootstrap,
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_username,
        password=None if password is None else password.get_secret_value(),
        tls=settings.tls_files,
    )
