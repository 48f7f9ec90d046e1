"""Endpoint of a route: the base URL, the key, and the hosts that may receive the key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imagegateway.platform.errors import GatewayError
from imagegateway.platform.setting_source import PREFIX
from imagegateway.providers.catalog import api_key_setting, base_url_setting
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagegateway.platform.settings import Settings
    from imagegateway.providers.kit.adapter import Adapter


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Base URL, key and timeout of a route's calls."""

    base_url: str
    key: str
    timeout_seconds: float
    """Timeout of requests that state none, in seconds."""

    @classmethod
    def resolve(cls, adapter: Adapter, settings: Settings, credential: str) -> Endpoint:
        """Return the route's endpoint from the settings; `credential`, the caller's own key, precedes the operator's.

        Raises GatewayError PROVIDER_NOT_CONFIGURED without a key.
        """
        setting = api_key_setting(adapter.route)
        key = credential or settings.source.watched_secret(setting).reveal()
        if not key and adapter.requires_key:
            raise GatewayError(
                ErrorReason.ERROR_REASON_PROVIDER_NOT_CONFIGURED,
                f"The setting {PREFIX}{setting} is empty.",
            )
        configured = settings.source.text(base_url_setting(adapter.route), adapter.default_base_url).rstrip("/")
        timeout = settings.route_timeout(adapter.route) or adapter.timeout_seconds
        return cls(adapter.base_url(configured, settings.source.text), key, timeout)

    def url(self, path: str) -> str:
        """Return the URL of a path under the base URL; an absolute URL is returned unchanged."""
        return path if path.startswith(("https://", "http://")) else self.base_url + path

    def trusts(self, url: str, hosts: Sequence[str]) -> bool:
        """Return whether a URL has the base URL's origin, or is https on one of the adapter's trusted hosts."""
        here, base = urlsplit(url), urlsplit(self.base_url)
        if (here.scheme, here.netloc) == (base.scheme, base.netloc):
            return True
        host = here.hostname or ""
        return here.scheme == "https" and any(
            host.endswith(known[1:]) if known.startswith("*.") else host == known for known in hosts
        )
