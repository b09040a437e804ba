"""Where Kafka is, how its connections are secured, and who we are there."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from monitor.config.setting_values import Servers
from monitor.config.tls import TlsFiles, TlsUnusable

_SASL: Final = frozenset({"SASL_PLAINTEXT", "SASL_SSL"})
_LOGIN: Final = ("kafka_sasl_mechanism", "kafka_username", "kafka_password")
_TLS: Final = ("kafka_ca_file", "kafka_cert_file", "kafka_key_file", "kafka_key_password")


class KafkaSettings(BaseSettings):
    """A part of `Settings`."""

    kafka_bootstrap: Servers = Field(
        "127.0.0.1:9092", description="Kafka servers to begin with, host:port, several with commas between."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How Kafka connections are secured."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="How to log in to Kafka; needed with SASL."
    )
    kafka_username: str | None = Field(None, description="Kafka user; needed with SASL.")
    kafka_password: SecretStr | None = Field(None, description="Kafka password; needed with SASL.")
    kafka_ca_file: Path | None = Field(
        None, description="Certificates that Kafka's is checked against, PEM; the system's by default."
    )
    kafka_cert_file: Path | None = Field(
        None, description="Our own certificate, for a Kafka that asks for one, PEM; the key may be in it."
    )
    kafka_key_file: Path | None = Field(None, description="The key to that certificate, PEM.")
    kafka_key_password: SecretStr | None = Field(None, description="What the key is locked with.")
    kafka_replication: int | None = Field(
        None,
        ge=1,
        le=32,
        description="Copies of the topics we create; by default 3, or as many as there are brokers.",
    )
    kafka_wait_s: float = Field(
        0, ge=0, le=86_400, description="Seconds to wait for Kafka at the start; 0 waits for ever."
    )

    def access_problems(self) -> list[str]:
        """Return what these settings say against each other, a line each."""
        return [*self._login_problems(), *self._tls_problems()]

    def _login_problems(self) -> list[str]:
        protocol, given = self.kafka_security_protocol, self._given(_LOGIN)
        if protocol in _SASL:
            return [f"{name}: missing; {protocol} needs it" for name in _LOGIN if name not in given]
        return [f"{name}: has no effect with {protocol}; use SASL_SSL, or remove it" for name in given]

    def _tls_problems(self) -> list[str]:
        protocol, given = self.kafka_security_protocol, self._given(_TLS)
        if not protocol.endswith("SSL"):
            return [
                f"{name}: has no effect with {protocol}; use SSL or SASL_SSL, or remove it" for name in given
            ]
        if self.kafka_cert_file is None and (needing := self._given(_TLS[2:])):
            return [
                f"{name}: has no effect without kafka_cert_file; set both, or remove it" for name in needing
            ]
        try:
            self.tls_files.context()
        except TlsUnusable as problem:
            return [f"kafka_{problem.field}: {problem}"]
        return []

    @property
    def tls_files(self) -> TlsFiles:
        """What connections with TLS take."""
        locked = self.kafka_key_password
        password = None if locked is None else locked.get_secret_value()
        return TlsFiles(self.kafka_ca_file, self.kafka_cert_file, self.kafka_key_file, password)

    def _given(self, names: tuple[str, ...]) -> list[str]:
        return [name for name in names if getattr(self, name) is not None]
