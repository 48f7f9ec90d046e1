"""Certificate of the public port: refusal of files that can't serve TLS, and reload after every kind of change."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from imagegateway.platform.setting_source import SettingError
from imagegateway.stack.certificate_check import CertificateError, check
from imagegateway.stack.public_certificate import CertificateFiles, CertificateWatch
from structlog.testing import capture_logs

from tests.support.certificates import Authority, Issued, pem

if TYPE_CHECKING:
    from pathlib import Path

AUTHORITY: Final = Authority()
GOOD: Final = AUTHORITY.issue("localhost")
OTHER: Final = AUTHORITY.issue("localhost")


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    """Return the files of a good certificate."""
    (tmp_path / "run").mkdir()
    found = CertificateFiles(tmp_path / "tls.crt", tmp_path / "tls.key")
    GOOD.write(found.cert, found.key)
    return found


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), rsa_key(2048)], ids=["ecdsa", "rsa"])
def test_certificate_with_its_key_is_accepted(
    files: CertificateFiles, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
) -> None:
    AUTHORITY.issue("localhost", key=key).write(files.cert, files.key)
    check(files.cert, files.key)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (replace(GOOD, cert=b"text"), "tls.crt holds no certificate in PEM form"),
        (replace(GOOD, key=b"text"), "tls.key holds no private key in PEM form"),
        (replace(GOOD, key=OTHER.key), "tls.key is not the key of the first certificate in "),
        (replace(GOOD, key=pem(ec.generate_private_key(ec.SECP256R1()), b"secret")), "tls.key has a passphrase"),
        (AUTHORITY.issue("localhost", key=ed25519.Ed25519PrivateKey.generate()), "tls.key must be an RSA key"),
        (AUTHORITY.issue("localhost", key=rsa_key(1024)), "tls.key must be an RSA key of 2048 bits or more"),
        (AUTHORITY.issue("localhost", valid=-dt.timedelta(hours=1)), "tls.crt expired on "),
    ],
    ids=["no-certificate", "no-key", "another-key", "passphrase", "ed25519", "short", "expired"],
)
def test_files_that_can_not_serve_tls_are_refused_by_file_and_cause(
    files: CertificateFiles, tmp_path: Path, given: Issued, message: str
) -> None:
    given.write(files.cert, files.key)
    with pytest.raises(CertificateError, match=message):
        check(files.cert, files.key)
    with pytest.raises(SettingError, match=f"^IMAGEGATEWAY_TLS_CERT and IMAGEGATEWAY_TLS_KEY: .*{message}"):
        files.write(tmp_path / "run")


def test_missing_and_future_certificates_are_refused(files: CertificateFiles) -> None:
    with pytest.raises(CertificateError, match=r"tls\.crt is not valid before "):
        check(files.cert, files.key, dt.datetime.now(dt.UTC) - dt.timedelta(days=3))
    files.key.unlink()
    with pytest.raises(CertificateError, match=r"tls\.key can't be read \(No such file or directory\)"):
        check(files.cert, files.key)


class WatchedFolder:
    """A watch of files, and Envoy's view of them."""

    def __init__(self, files: CertificateFiles, folder: Path) -> None:
        self._folder = folder
        self._watch = CertificateWatch(files, folder)
        files.write(folder)
        self._seen = self._link()

    def reloads(self) -> bool:
        """Check often enough for a change to come to rest. Return True if Envoy sees a reason to reload."""
        for _ in range(3):
            self._watch.check()
        before, self._seen = self._seen, self._link()
        return self._seen != before

    def check_once(self) -> None:
        self._watch.check()

    def _link(self) -> tuple[int, int]:
        found = (self._folder / "certificate" / "key.pem").lstat()
        return found.st_ino, found.st_mtime_ns


def test_certificate_that_is_written_into_its_files_is_reloaded_once(files: CertificateFiles, tmp_path: Path) -> None:
    watched = WatchedFolder(files, tmp_path / "run")
    assert not watched.reloads()
    OTHER.write(files.cert, files.key)
    assert watched.reloads()
    assert not watched.reloads()
    assert (tmp_path / "run" / "certificate" / "cert.pem").read_bytes() == OTHER.cert


def test_new_links_and_a_swapped_folder_are_reloaded(tmp_path: Path) -> None:
    """certbot replaces links; Kubernetes swaps the folder that its links lead through."""
    for name, issued in (("one", GOOD), ("two", OTHER)):
        (tmp_path / name).mkdir()
        issued.write(tmp_path / name / "tls.crt", tmp_path / name / "tls.key")
    (tmp_path / "run").mkdir()
    (tmp_path / "data").symlink_to("one")
    files = CertificateFiles(tmp_path / "data" / "tls.crt", tmp_path / "data" / "tls.key")
    watched = WatchedFolder(files, tmp_path / "run")
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "data")
    assert watched.reloads()
    (tmp_path / "data").unlink()
    assert not watched.reloads()
    (tmp_path / "data").symlink_to("one")
    assert watched.reloads()


def test_broken_certificate_is_logged_once_and_not_loaded(files: CertificateFiles, tmp_path: Path) -> None:
    watched = WatchedFolder(files, tmp_path / "run")
    files.cert.write_bytes(OTHER.cert)
    with capture_logs() as lines:
        assert not watched.reloads()
        assert not watched.reloads()
    assert [(line["event"], line["log_level"]) for line in lines] == [("certificate_refused", "error")]
    files.key.write_bytes(OTHER.key)
    assert watched.reloads()


def test_second_file_of_a_change_is_waited_for(files: CertificateFiles, tmp_path: Path) -> None:
    watched = WatchedFolder(files, tmp_path / "run")
    files.cert.write_bytes(OTHER.cert)
    with capture_logs() as lines:
        watched.check_once()
        files.key.write_bytes(OTHER.key)
        assert watched.reloads()
    assert [line["event"] for line in lines] == ["certificate_reloaded"]
