"""Processes behind Envoy: their addresses, and the certificates for the way to them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from imagegateway.platform.addresses import TcpAddress
from imagegateway.platform.setting_source import SettingError
from imagegateway.stack import envoy_secrets

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.platform.addresses import Address
    from imagegateway.platform.internal_settings import TlsFiles
    from imagegateway.platform.settings import Settings

CERTIFICATE: Final = "internal_certificate.yaml"
"""File that names Envoy's own certificate."""
AUTHORITY: Final = "internal_authority.yaml"
"""File that names the authorities of the processes behind Envoy."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Processes of one kind. Without addresses, Envoy reads them from a file."""

    addresses: tuple[Address, ...]

    @property
    def discovery(self) -> Literal["STATIC", "DNS", "EDS"]:
        """Envoy's way to find the endpoints."""
        if not self.addresses:
            return "EDS"
        names = [address for address in self.addresses if isinstance(address, TcpAddress) and not address.is_ip]
        return "DNS" if names else "STATIC"

    @property
    def is_remote(self) -> bool:
        """Return whether the processes are reached by TCP: Envoy then checks their health."""
        return not self.addresses or any(isinstance(address, TcpAddress) for address in self.addresses)


@dataclass(frozen=True, slots=True)
class Upstreams:
    """All processes behind Envoy."""

    routers: Upstream
    uploads: Upstream
    media: Upstream
    endpoints: Path | None = None
    """Folder with the endpoints of each cluster: `router.yaml`, `uploads.yaml` and `media.yaml`.

    Envoy takes no file with those of several clusters.
    """

    @classmethod
    def of_stack(cls, settings: Settings) -> Upstreams:
        """Return the processes of `imagegateway up`. Raises SettingError for routers that share a port."""
        listen = settings.internal
        for name, address in (("ROUTER", listen.router_listen), ("UPLOADS", listen.uploads_listen)):
            if address and settings.routers > 1:
                raise SettingError(
                    f"IMAGEGATEWAY_{name}_LISTEN is one address, but `imagegateway up` starts {settings.routers} "
                    "routers: set IMAGEGATEWAY_ROUTERS to 1, or start routers by `imagegateway run router`"
                )
        replicas = range(settings.routers)
        return cls(
            Upstream(tuple(settings.router_addresses(replica)[0] for replica in replicas)),
            Upstream(tuple(settings.uploads_address(replica) for replica in replicas)),
            Upstream((settings.media_address,)),
        )

    def check_certificates(self, settings: Settings) -> None:
        """Raise SettingError for certificates that the processes refuse. Files of another machine are not checked."""
        from imagegateway.platform.internal_tls import InternalTls, Role  # noqa: PLC0415  loads 9 MB

        files = settings.internal.tls_files
        if not files or not any(upstream.is_remote for upstream in (self.routers, self.uploads, self.media)):
            return
        if all(os.access(path, os.R_OK) for path in (files.certificate, files.key, files.authority)):
            InternalTls(files, role=Role.ENVOY)


def write_certificates(files: TlsFiles, folder: Path) -> None:
    """Write the files that name the internal certificates to Envoy."""
    envoy_secrets.write_certificate(folder / CERTIFICATE, "internal", files.certificate, files.key)
    envoy_secrets.write_authority(folder / AUTHORITY, "internal_authority", files.authority)
