"""Check of a certificate and its key before Envoy loads them. Imports 9 MB that only a gateway with TLS needs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

if TYPE_CHECKING:
    from pathlib import Path

_SHORTEST_RSA: Final = 2048
"""Bits of the shortest RSA key that Envoy accepts."""


class CertificateError(Exception):
    """A file that can't serve TLS. The message names the file and the cause."""


def check(cert: Path, key: Path, now: datetime | None = None) -> datetime:
    """Return the end of a certificate's validity. `now`: time of the check, by default the present.

    Raises CertificateError for files that can't be read or parsed, a key that belongs to another certificate or has a
    passphrase, a kind of key that Envoy does not support, and a certificate that is not valid now.
    """
    text = _read(cert)
    try:
        certificate = x509.load_pem_x509_certificates(text)[0]
    except ValueError:
        raise CertificateError(f"{cert} holds no certificate in PEM form") from None
    try:
        private = load_pem_private_key(_read(key), password=None)
    except TypeError:
        raise CertificateError(f"{key} has a passphrase: write the key without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"{key} holds no private key in PEM form") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) and not (
        isinstance(private, rsa.RSAPrivateKey) and private.key_size >= _SHORTEST_RSA
    ):
        raise CertificateError(f"{key} must be an RSA key of {_SHORTEST_RSA} bits or more, or an ECDSA key")
    if private.public_key() != certificate.public_key():
        raise CertificateError(f"{key} is not the key of the first certificate in {cert}")
    now = now or datetime.now(UTC)
    if now >= certificate.not_valid_after_utc:
        raise CertificateError(f"{cert} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if now < certificate.not_valid_before_utc:
        raise CertificateError(f"{cert} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
    return certificate.not_valid_after_utc


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{path} can't be read ({error.strerror})") from None
