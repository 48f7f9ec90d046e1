"""Settings of the gateway on this machine, for commands that read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.cli.source import checked_source
from imagegateway.keys import root_secret
from imagegateway.platform import settings
from imagegateway.platform.setting_source import PREFIX, SettingError
from imagegateway.providers.setting_names import check_routes, watch_keys

if TYPE_CHECKING:
    from imagegateway.platform.settings import Settings


def settings_here(*, read_keys: bool = True) -> Settings:
    """Return the settings. Raises SettingError for a wrong value, and for a name that is no setting's.

    `read_keys`: also read the files of providers' keys.
    """
    checked_source()
    current = settings.current()
    check_routes(current)
    if read_keys:
        watch_keys(current)
    return current


def require(current: Settings, *names: str) -> None:
    """Raise SettingError for settings, which the parts of the gateway share, that have no value."""
    if missing := [name for name in names if not _is_given(current, name)]:
        listed = ", ".join(PREFIX + name for name in missing)
        raise SettingError(f"{listed} must be set: the parts of the gateway share what it names")


def _is_given(current: Settings, name: str) -> bool:
    """Return whether a setting has a value. Parts that share a data directory find the root secret there."""
    if name == "SECRET_KEY":
        return bool(current.secret_key) or (current.data_dir / root_secret.FILE).exists()
    return bool(current.source.origin(name))
