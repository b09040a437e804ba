"""Files that TLS needs: who is trusted, and who we say we are."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple


class TlsUnusable(ValueError):
    """A file cannot be read, or is not what it should be; `field` says which of `TlsFiles`."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


class TlsFiles(NamedTuple):
    """PEM files, and what the key is locked with; the key may be in the certificate's file."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: str | None = None

    def context(self) -> ssl.SSLContext:
        """Return what a client connects with.

        Raises:
            TlsUnusable: A file cannot be read, is no PEM, or the key is none of the certificate's, or locked.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:  # ssl.SSLError is one too
            text = f"{self.ca_file}: {error}; it must be a PEM file with certificates"
            raise TlsUnusable("ca_file", text) from error
        if self.cert_file is not None:
            self._show(context, self.cert_file)
        return context

    def _show(self, context: ssl.SSLContext, cert_file: Path) -> None:
        """Let a context show our certificate to who asks."""
        try:
            # Without any password the library would ask for one on the terminal, and wait.
            context.load_cert_chain(cert_file, self.key_file, password=self.key_password or "")
        except (OSError, ValueError) as error:  # the latter: a password of more than 1,023 bytes
            files = str(cert_file) if self.key_file is None else f"{cert_file} and {self.key_file}"
            text = f"{files}: {error}; it takes a certificate, its key and the key's password if it has one, in PEM"
            raise TlsUnusable("cert_file", text) from error
