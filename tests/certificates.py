"""Certificates for the tests: an authority, a server, and the monitor as their client."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from monitor.adapters.embedded.server import HOST

USER, KEY_PASSWORD = "monitor", "battery staple"


@dataclass(frozen=True)
class Certificates:
    """An authority, and what it signed, as files.

    Attributes:
        ca: The authority, PEM.
        server: A server's key and certificate, in one file.
        cert: The monitor's own, PEM; `key` to it, and `locked_key`, which needs `KEY_PASSWORD`.
        both: Certificate and key in one file.
    """

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def server(self) -> Path:
        return self.folder / "server.pem"

    @property
    def cert(self) -> Path:
        return self.folder / "monitor.pem"

    @property
    def key(self) -> Path:
        return self.folder / "monitor.key"

    @property
    def locked_key(self) -> Path:
        return self.folder / "monitor.locked.key"

    @property
    def both(self) -> Path:
        return self.folder / "monitor.both.pem"


def certificates(folder: Path, key_password: str = KEY_PASSWORD) -> Certificates:
    """Make an authority, a server's certificate and the monitor's."""
    folder.mkdir(parents=True, exist_ok=True)
    made, ca = Certificates(folder), trustme.CA()
    ca.cert_pem.write_to_path(made.ca)
    server = ca.issue_cert(HOST, "localhost")
    chain = b"".join(one.bytes() for one in server.cert_chain_pems)
    made.server.write_bytes(_pkcs8(server) + chain)
    mine = ca.issue_cert("monitor.internal", common_name=USER)
    cert = b"".join(one.bytes() for one in mine.cert_chain_pems)
    made.cert.write_bytes(cert)
    made.key.write_bytes(_pkcs8(mine))
    made.locked_key.write_bytes(_pkcs8(mine, key_password))
    made.both.write_bytes(_pkcs8(mine) + cert)
    return made


def _pkcs8(cert: trustme.LeafCert, password: str | None = None) -> bytes:
    """Return the key in the one form that Java reads."""
    key = load_pem_private_key(cert.private_key_pem.bytes(), None)
    lock = NoEncryption() if password is None else BestAvailableEncryption(password.encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
