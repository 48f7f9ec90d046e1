"""Certificate of the public port: its files as Envoy reads them, and their reload after a change.

Envoy 1.40 reloads files when an entry of a watched folder is renamed, but neither after a write into a file nor for a
new link, which certbot makes. So Envoy watches a folder of links, and `CertificateWatch` renames one after a change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.platform import logs
from imagegateway.platform.setting_source import PREFIX, SettingError
from imagegateway.stack import envoy_secrets

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self, TypeAlias

    from imagegateway.platform.settings import Settings

    _Version: TypeAlias = tuple[int, int, int] | None

_log = logs.get(__name__)
RESOURCE: Final = "certificate.yaml"
"""File that names the certificate to Envoy."""
_LINKS: Final = "certificate"
"""Folder of links, which Envoy watches."""
_CERT: Final = "cert.pem"
_KEY: Final = "key.pem"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Files of the certificate and of its private key."""

    cert: Path
    key: Path

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Return the files that the settings name, None without TLS."""
        edge = settings.edge
        return cls(edge.tls_cert, edge.tls_key) if edge.tls_cert and edge.tls_key else None

    def problem(self) -> str:
        """Return why Envoy can't serve TLS with the files, empty if it can."""
        from imagegateway.stack.certificate_check import CertificateError, check  # noqa: PLC0415  loads 9 MB

        try:
            check(self.cert, self.key)
        except CertificateError as error:
            return str(error)
        return ""

    def write(self, folder: Path) -> None:
        """Write what Envoy reads into a folder. Raises SettingError for files that can't serve TLS."""
        if problem := self.problem():
            raise SettingError(f"{PREFIX}TLS_CERT and {PREFIX}TLS_KEY: {problem}")
        links = folder / _LINKS
        links.mkdir(mode=0o700, exist_ok=True)
        _link(links / _CERT, self.cert)
        _link(links / _KEY, self.key)
        envoy_secrets.write_certificate(folder / RESOURCE, "public", links / _CERT, links / _KEY)

    def renew(self, folder: Path) -> None:
        """Let a running Envoy read the files again."""
        _link(folder / _LINKS / _KEY, self.key)

    def versions(self) -> tuple[_Version, _Version]:
        """Return values that change with the files, None for a file that can't be found."""
        return _version(self.cert), _version(self.key)


class CertificateWatch:
    """Reload of changed files while the stack runs."""

    @classmethod
    def of(cls, settings: Settings, folder: Path) -> Self | None:
        """Return the watch of a stack whose configuration is in a folder, None without TLS."""
        files = CertificateFiles.of(settings)
        return cls(files, folder) if files else None

    def __init__(self, files: CertificateFiles, folder: Path) -> None:
        """Watch the files from now on. `folder`: that of `CertificateFiles.write`."""
        self._files = files
        self._folder = folder
        self._handled = self._last = files.versions()

    def check(self) -> None:
        """Let Envoy load changed files. Log files that can't serve TLS: Envoy keeps the certificate that it has.

        Files count as changed when two checks have found the same change: the second of two files may be on its way.
        """
        found = self._files.versions()
        at_rest, self._last = found == self._last, found
        if found == self._handled or not at_rest:
            return
        self._handled = found
        if problem := self._files.problem():
            _log.error("certificate_refused", reason=problem)
            return
        self._files.renew(self._folder)
        _log.info("certificate_reloaded", path=str(self._files.cert))


def _version(file: Path) -> _Version:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _link(link: Path, target: Path) -> None:
    """Make a link by a rename, in place of an earlier one."""
    temporary = link.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
