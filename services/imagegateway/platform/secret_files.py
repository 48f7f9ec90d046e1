"""Watch of secret files: a rotated secret is in force without a restart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from imagegateway.platform import logs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.platform.secret import SecretFile

RELOAD_SECONDS: Final = 10.0
"""Seconds between two reads of each file. Reads see every kind of replacement, also a swapped symbolic link."""
_log = logs.get(__name__)


class SecretWatch:
    """Watch of a process's secret files. `files` may grow meanwhile."""

    def __init__(self, files: Mapping[str, SecretFile]) -> None:
        self._files = files
        self._failing: set[str] = set()

    async def follow(self) -> None:
        """Reload all secrets every 10 s, until cancelled."""
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            await asyncio.to_thread(self.reload)

    def reload(self) -> None:
        """Read all files again.

        A file that can't be read keeps its last value, and is logged as an error once until it can be read again.
        """
        for file in list(self._files.values()):
            try:
                changed = file.reload()
            except (OSError, ValueError) as error:
                if file.setting not in self._failing:
                    self._failing.add(file.setting)
                    _log.error("secret_file_unreadable", setting=file.setting, path=str(file.path), reason=str(error))
            else:
                self._failing.discard(file.setting)
                if changed:
                    _log.info("secret_reloaded", setting=file.setting, path=str(file.path))
