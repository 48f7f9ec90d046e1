"""A certificate authority for tests."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

if TYPE_CHECKING:
    from pathlib import Path

    Key: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key, as PEM."""

    cert: bytes
    key: bytes

    def write(self, cert: Path, key: Path) -> None:
        """Write into both files, as an administrator copies them: without a rename."""
        cert.write_bytes(self.cert)
        key.write_bytes(self.key)


class Authority:
    """A certificate authority that issues certificates. `issuer`: the authority above an intermediate one."""

    def __init__(self, name: str = "Authority of tests", *, issuer: Authority | None = None) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        above = issuer or self
        builder = _builder(self._name, above._name, self._key, dt.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.pem: bytes = builder.sign(above._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        *names: str,
        key: Key | None = None,
        valid: dt.timedelta = dt.timedelta(days=1),
        usage: x509.ObjectIdentifier | None = None,
    ) -> Issued:
        """Return a certificate of DNS names and IP addresses.

        `valid`: time from now to its end; `usage`: its only extended key usage, by default any.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
        builder = _builder(subject, self._name, key, valid)
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Issued(certificate.public_bytes(serialization.Encoding.PEM), pem(key))

    def client(self) -> ssl.SSLContext:
        """Return a client's context that trusts this authority alone."""
        return ssl.create_default_context(cadata=self.pem.decode())


def pem(key: Key, passphrase: bytes = b"") -> bytes:
    """Return a private key as PEM, encrypted with a passphrase."""
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, valid: dt.timedelta) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=2))
        .not_valid_after(now + valid)
    )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
