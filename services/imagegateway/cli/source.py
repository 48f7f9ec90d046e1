"""Source of the settings, for commands."""

from __future__ import annotations

from typing import Final

from imagegateway.platform.setting_source import Source

_OF_CLIENTS: Final = frozenset({"SETTINGS", "DATA_DIR", "URL", "KEY", "KEY_FILE", "BYOK", "BYOK_FILE"})


def checked_source() -> Source:
    """Return the source of the settings. Raises SettingError for a name that is no setting's."""
    source = Source.load()
    if not {name for name, _ in source.names()} <= _OF_CLIENTS:
        # The names come from all catalogs, whose import takes longer than most commands of clients.
        from imagegateway.providers.setting_names import check_names  # noqa: PLC0415

        check_names(source)
    return source
