"""How to reach Kafka: address, encryption, identity."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from monitor.config.settings import Settings

_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """Everything a client needs to connect. The password never shows in `repr`, and so in no log.

    Attributes:
        bootstrap: `host:port`, several separated by commas.
        ca_file: PEM file with the authority that signed the brokers' certificates; the system's by default.
    """

    bootstrap: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

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
            ValueError: `ca_file` cannot be read as certificates.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": [part.strip() for part in self.bootstrap.split(",") if part.strip()],
            "security_protocol": self.security_protocol,
        }
        if self._uses_tls:
            options["ssl_context"] = self._tls()
        if self._uses_sasl:
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.username
            options["sasl_plain_password"] = self.password
        return options

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:  # ssl.SSLError is one too
            raise ValueError(f"{self.ca_file}: {error}; it must be a PEM file with certificates") from error

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
        ca_file=settings.kafka_ca_file,
    )
