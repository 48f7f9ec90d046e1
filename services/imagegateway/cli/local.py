"""Settings of the gateway on this machine, for commands that read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.cli.source import checked_source
from imagegateway.platform import settings
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
