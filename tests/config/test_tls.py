"""Files for TLS: what is good is taken, and what is not is said by its name before anything connects."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from monitor.config.tls import TlsFiles, TlsUnusable
from tests.certificates import KEY_PASSWORD, Certificates, certificates


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


def test_servers_are_checked_whatever_is_given(made: Certificates) -> None:
    for files in (
        TlsFiles(),
        TlsFiles(made.ca),
        TlsFiles(made.ca, made.both),
        TlsFiles(made.ca, made.cert, made.key),
    ):
        context = files.context()
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED


def test_an_authority_of_ones_own_is_trusted_instead_of_the_systems(made: Certificates) -> None:
    (one,) = TlsFiles(made.ca).context().get_ca_certs()
    assert "trustme" in str(one["subject"])


def test_a_locked_key_needs_its_password_and_nobody_is_asked_for_it(made: Certificates) -> None:
    TlsFiles(made.ca, made.cert, made.locked_key, KEY_PASSWORD).context()
    for wrong in (None, "", "wrong", "x" * 2_000):
        with pytest.raises(TlsUnusable, match="the key's password") as refused:
            TlsFiles(made.ca, made.cert, made.locked_key, wrong).context()
        assert refused.value.field == "cert_file"
        assert str(made.locked_key) in str(refused.value)


def test_what_is_not_what_it_should_be_is_named(made: Certificates, tmp_path: Path) -> None:
    other, empty = certificates(tmp_path / "other"), tmp_path / "empty"
    empty.touch()
    bad = {
        "ca_file": [TlsFiles(tmp_path / "none"), TlsFiles(empty), TlsFiles(made.key), TlsFiles(tmp_path)],
        "cert_file": [
            TlsFiles(made.ca, tmp_path / "none"),
            TlsFiles(made.ca, made.cert),  # no key
            TlsFiles(made.ca, made.cert, other.key),  # another one's
            TlsFiles(made.ca, made.key, made.cert),
        ],
    }
    for field, files in bad.items():
        for one in files:
            with pytest.raises(TlsUnusable) as refused:
                one.context()
            assert refused.value.field == field
