"""The root secret, and the keys that are derived from it."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Final

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.common.identity import write_once
from services.common.settings import SettingError

if TYPE_CHECKING:
    from services.common.settings import Settings

_FILE: Final = "secret-key"
_SHORTEST: Final = 16


class RootSecret:
    """IMAGEGATEWAY_SECRET_KEY, or what the first start made; all replicas must have the same."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    @classmethod
    def load(cls, settings: Settings, *, make: bool = True) -> RootSecret:
        """Take the setting, else read `secret-key` in the data directory, else make it (mode 0600, flushed) unless
        told not to.

        Processes that start together agree on one. Raises SettingError for a secret of fewer than 16
        characters and for a file that can't be read or written.
        """
        if settings.secret_key:
            return cls(_long_enough(settings.secret_key.reveal(), "IMAGEGATEWAY_SECRET_KEY"))
        path = settings.data_dir / _FILE
        try:
            if make and not path.exists():
                write_once(path, secrets.token_urlsafe(32))
            secret = path.read_text().strip()
        except OSError as error:
            raise SettingError(f"IMAGEGATEWAY_SECRET_KEY is not set, and {path}: {error.strerror}") from error
        return cls(_long_enough(secret, str(path)))

    def derive(self, purpose: str) -> bytes:
        """A key of 32 bytes for one purpose; what one of them is used for tells nothing about another."""
        return HKDF(algorithm=SHA256(), length=32, salt=b"imagegateway", info=purpose.encode()).derive(self._secret)


def fernet(key: bytes) -> Fernet:
    """Authenticated encryption with 32 bytes of the gateway's own."""
    return Fernet(base64.urlsafe_b64encode(key))


def _long_enough(secret: str, where: str) -> str:
    if len(secret) < _SHORTEST:
        raise SettingError(f"{where} must have at least {_SHORTEST} characters")
    return secret
