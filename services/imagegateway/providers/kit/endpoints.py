"""Where a route's calls go, and whom its key may be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imagegateway.platform.errors import GatewayError
from imagegateway.platform.setting_source import PREFIX
from imagegateway.providers.catalog import api_key_setting
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagegateway.platform.settings import Settings
    from imagegateway.providers.kit.adapter import Adapter


@dataclass(frozen=True, slots=True)
class Target:
    """Where a route's calls go, and with what."""

    base: str
    key: str

    @classmethod
    def of(cls, adapter: Adapter, settings: Settings, credential: str) -> Target:
        """The route's settings; `credential`, the caller's own key, goes before the operator's.

        Raises GatewayError PROVIDER_NOT_CONFIGURED without a key.
        """
        setting = api_key_setting(adapter.route)
        key = credential or settings.source.text(setting)
        if not key and adapter.needs_key:
            raise GatewayError(
                ErrorReason.ERROR_REASON_PROVIDER_NOT_CONFIGURED,
                f"The setting {PREFIX}{setting} is empty.",
            )
        base = settings.source.text(f"{adapter.route.upper()}_BASE_URL", adapter.origin).rstrip("/")
        return cls(adapter.place(base, settings.source.text), key)

    def url(self, path: str) -> str:
        return path if path.startswith(("https://", "http://")) else self.base + path

    def trusts(self, url: str, hosts: Sequence[str]) -> bool:
        """Whether a URL is of the configured origin, or https on one of the adapter's hosts."""
        here, base = urlsplit(url), urlsplit(self.base)
        if (here.scheme, here.netloc) == (base.scheme, base.netloc):
            return True
        host = here.hostname or ""
        return here.scheme == "https" and any(
            host.endswith(known[1:]) if known.startswith("*.") else host == known for known in hosts
        )
