"""Settings of the gateway on this machine, for commands that read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.platform import settings
from imagegateway.platform.setting_source import Source
from imagegateway.providers.setting_names import check_names

if TYPE_CHECKING:
    from imagegateway.platform.settings import Settings


def settings_here() -> Settings:
    """Return the settings. Raises SettingError for a wrong value, and for a name that is no setting's."""
    check_names(Source.load())
    return settings.current()
