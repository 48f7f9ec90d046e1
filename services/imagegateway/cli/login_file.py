"""The file that `imagegateway login` writes: address and key of a gateway, for this user alone."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from imagegateway.cli.errors import CommandError
from imagegateway.platform.private_files import replace_private
from imagegateway.platform.setting_source import user_config_dir

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Login:
    """Address of a gateway, and the secret of a key for it."""

    url: str
    key: str

    @staticmethod
    def path() -> Path:
        """Return the path of the file."""
        return user_config_dir() / "imagegateway" / "login.json"

    @classmethod
    def load(cls) -> Login | None:
        """Return the login, or None without one. Raises CommandError for a file that can't be read."""
        try:
            return cls(**json.loads(cls.path().read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError):
            raise CommandError(f"{cls.path()} can't be read: run `imagegateway login` again") from None

    def save(self) -> None:
        """Write the file with mode 0600, at once as a whole. Raises CommandError if it can't be written."""
        path = self.path()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_private(path, json.dumps(asdict(self), indent=2) + "\n")
        except OSError as error:
            raise CommandError(f"{path} can't be written: {error.strerror}") from None

    @classmethod
    def remove(cls) -> bool:
        """Remove the file. Return False without one."""
        try:
            cls.path().unlink()
        except FileNotFoundError:
            return False
        return True
