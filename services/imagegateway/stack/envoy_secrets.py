"""Files that name certificates to Envoy, which reloads a certificate when an entry of its folder is renamed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.platform.private_files import write_private
from imagegateway.stack.templates import render

if TYPE_CHECKING:
    from pathlib import Path


def write_certificate(resource: Path, name: str, certificate: Path, key: Path) -> None:
    """Write the resource of a certificate and its key, which lie in one folder."""
    values = {"name": name, "cert": certificate, "key": key, "watched": certificate.parent}
    write_private(resource, render("envoy/certificate.yaml.j2", **values))


def write_authority(resource: Path, name: str, authority: Path) -> None:
    """Write the resource of a file of authorities."""
    values = {"name": name, "authority": authority, "watched": authority.parent}
    write_private(resource, render("envoy/authority.yaml.j2", **values))
