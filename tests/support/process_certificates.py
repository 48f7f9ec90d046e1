"""Certificates of the gateway's processes, as files."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imagegateway.platform.internal_settings import TlsFiles

from tests.support.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessAuthority:
    """Authority whose certificates are files in a folder."""

    folder: Path
    name: str = "internal"
    authority: Authority = field(default_factory=Authority)

    def __post_init__(self) -> None:
        self.path.write_bytes(self.authority.pem)

    @property
    def path(self) -> Path:
        """File of the authority's certificate."""
        return self.folder / f"{self.name}.ca.pem"

    def certificate(self, process: str) -> bytes:
        """Return the present certificate of a process, as DER."""
        return ssl.PEM_cert_to_DER_cert((self.folder / f"{process}.pem").read_text())

    def issue(self, process: str, *dns_names: str) -> TlsFiles:
        """Write a certificate with DNS names (by default, `process`) and its key, in place of earlier ones."""
        issued = self.authority.issue(*(dns_names or (process,)))
        files = TlsFiles(self.folder / f"{process}.pem", self.folder / f"{process}.key.pem", self.path)
        _replace(files.key, issued.key)
        _replace(files.certificate, issued.cert)
        return files


def environment(files: TlsFiles) -> dict[str, str]:
    """Return the settings, without prefix and in lower case, of a process with these files."""
    return {
        "internal_tls_cert": str(files.certificate),
        "internal_tls_key": str(files.key),
        "internal_tls_ca": str(files.authority),
    }


def _replace(path: Path, content: bytes) -> None:
    """Replace a file at once, as certificate managers do."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)
